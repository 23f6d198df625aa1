"""A table of any length as batches to predict on: read, featurized and served in chunks."""

from __future__ import annotations

import gc
import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy
import torch
from torch.utils.data import IterableDataset

from datamodules.batch import Batch
from datamodules.chemistry.molecule_features import FeatureSettings, MoleculeFeatures, featurize
from datamodules.features import FeaturedTable, Featurize, featurize_table
from datamodules.tables.columns import ColumnNames, Columns, InputKind, choose_columns
from datamodules.tables.drug_table import make_table
from datamodules.tables.smiles_cells import Agents
from datamodules.tables.source_table import read_table
from datamodules.tables.table_chunks import TableChunk, TableFile
from datamodules.tables.table_file import open_table

CHUNK_ROWS = 16_384
"""Rows of a chunk by default; about three chunks are in memory at a time."""

_MOLECULES_FOR_ONE_PROCESS = 2_000
_CHUNKS_AHEAD = 2
_MOLECULES_PER_TASK = 1_000


@dataclass(frozen=True)
class FeaturedChunk:
    """Consecutive rows of a table with their features.

    Attributes:
        first_row: Number of the first row, from 0.
        featured: The rows.
    """

    first_row: int
    featured: FeaturedTable


@dataclass(frozen=True)
class PredictionTable:
    """A table to predict on, checked but not featurized.

    Attributes:
        columns: Names of its columns, in order.
        rows: Number of rows.
        chunks: From the number of a process and of all processes to the chunks of that process, in order.
    """

    columns: list[str]
    rows: int
    chunks: Callable[[int, int], Iterator[FeaturedChunk]]


def open_prediction_table(
    path: Path,
    input: InputKind,
    names: ColumnNames,
    settings: FeatureSettings,
    chunk_rows: int,
    agents: Agents = "apart",
) -> PredictionTable:
    """Check a table to predict on.

    Args:
        path: The file; an `.npz` of arrays is read whole.
        input: What one sample is.
        names: Names of columns; a label column is not read.
        settings: The features to compute.
        chunk_rows: Rows of a chunk.
        agents: What becomes of the agents of reactions in one column.

    Raises:
        InputError: If the file or a column is missing, damaged or empty.
    """
    if input == "array":
        table = read_table(path, input, names, need_labels=False)
        whole = FeaturedChunk(0, featurize_table(table, settings))
        frame = table.frame
        return PredictionTable(frame.columns, len(frame), lambda process, _: iter([whole] if process == 0 else []))
    file = open_table(path)
    columns = choose_columns(file.columns, path, input, names, need_labels=False)
    chunks = partial(_chunks, file, columns, input, agents, settings, chunk_rows)
    return PredictionTable(file.columns, file.rows, chunks)


def _chunks(
    file: TableFile,
    columns: Columns,
    input: InputKind,
    agents: Agents,
    settings: FeatureSettings,
    size: int,
    process: int,
    processes: int,
) -> Iterator[FeaturedChunk]:
    """Chunks in order; the next ones are featurized while the caller works on one."""
    with ExitStack() as stack:
        # One chunk at a time in this process, since the threads would share what featurizing has learned of atoms.
        featurize_smiles: Featurize = featurize
        at_once = 1
        if file.rows > _MOLECULES_FOR_ONE_PROCESS:
            # Threads of torch that wait for a core hold up the processes that featurize.
            threads = torch.get_num_threads()
            stack.callback(torch.set_num_threads, threads)
            torch.set_num_threads(max(1, threads // 2))
            workers = stack.enter_context(_worker_processes(processes))
            featurize_smiles, at_once = partial(_featurize_in, workers), _CHUNKS_AHEAD

        def work(chunk: TableChunk) -> FeaturedChunk:
            table = make_table(chunk, columns, file.path, input, agents=agents)
            return FeaturedChunk(chunk.first_row, featurize_table(table, settings, featurize_smiles))

        pool = stack.enter_context(ThreadPoolExecutor(at_once))
        at_work: deque[Future[FeaturedChunk]] = deque()
        for chunk in file.chunks(size, process, processes):
            at_work.append(pool.submit(work, chunk))
            if len(at_work) > _CHUNKS_AHEAD:
                yield at_work.popleft().result()
        while at_work:
            yield at_work.popleft().result()


def _worker_processes(processes: int) -> ProcessPoolExecutor:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    # Spawned, because forking a process that runs torch's threads can deadlock.
    return ProcessPoolExecutor(max(1, cores // processes), mp_context=get_context("spawn"), initializer=gc.disable)


def _featurize_in(pool: ProcessPoolExecutor, smiles: Sequence[str], settings: FeatureSettings) -> MoleculeFeatures:
    starts = range(0, len(smiles), _MOLECULES_PER_TASK)
    tasks = [smiles[start : start + _MOLECULES_PER_TASK] for start in starts]
    parts = [part.to_arrays() for part in pool.map(partial(featurize, settings=settings), tasks)]
    joined = {name: numpy.concatenate([part[name] for part in parts]) for name in parts[0]}
    return MoleculeFeatures.from_arrays(joined)


class PredictionRows(IterableDataset[Batch]):
    """The usable rows of a table in batches.

    A batch consists of the usable ones of `batch_size` consecutive rows. Chunks hold whole batches, so that their size
    does not change the predictions, down to the last bit.

    Attributes:
        begun: Chunks from which batches were taken, oldest first; the consumer removes those that it has finished.
        ended: Whether all chunks have been taken.
    """

    def __init__(self, table: PredictionTable, batch_size: int) -> None:
        """Refer to a table; nothing is read before the iteration.

        Args:
            table: Its chunks are multiples of the batch size, but for the last one.
            batch_size: Rows of a batch.
        """
        self.table, self._batch_size = table, batch_size
        self.share(0, 1)
        self.begun: deque[FeaturedChunk] = deque()
        self.ended = False

    def share(self, process: int, processes: int) -> None:
        """Serve one of every `processes` chunks.

        Args:
            process: Number of this process.
            processes: Number of processes that share the chunks.
        """
        self._process, self._processes = process, processes

    def __iter__(self) -> Iterator[Batch]:
        """Batches whose `sample_index` is the row of the table."""
        for chunk in self.table.chunks(self._process, self._processes):
            self.begun.append(chunk)
            rows = chunk.featured.usable_rows
            for start in range(0, len(chunk.featured.reasons), self._batch_size):
                own = rows[(rows >= start) & (rows < start + self._batch_size)]
                if len(own):
                    yield chunk.featured.store.batch(own, own + chunk.first_row, numpy.full(len(own), -1))
        self.ended = True
