"""A table of any length as batches to predict on: read, featurised and served in chunks."""

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
from typing import Any

import numpy
import polars
from numpy.typing import NDArray
from torch.utils.data import IterableDataset

from datamodules.chemistry.molecule_features import Features, FeatureSettings, featurise
from datamodules.drug_records import FeaturedTable, featurise_with
from datamodules.molecule_batch import MoleculeBatch
from datamodules.tables.array_table import read_array_table
from datamodules.tables.drug_table import Columns, InputKind, choose_columns, make_table
from datamodules.tables.table_chunks import ChunkedTable, TableChunk, open_table

CHUNK_ROWS = 16_384
"""About how many rows are in memory with their features and predictions; three chunks are at work at a time."""

MOLECULES_FOR_ONE_PROCESS = 2_000
"""Tables of more rows are featurised by processes of their own."""

_CHUNKS_AHEAD = 2
_MOLECULES_PER_TASK = 1_000


@dataclass(frozen=True)
class FeaturedChunk:
    """Consecutive rows of a table with their features.

    Attributes:
        first_row: Number of the first one, from 0.
        featured: The rows.
    """

    first_row: int
    featured: FeaturedTable


@dataclass(frozen=True)
class PredictionTable:
    """A table to predict on, checked but not featurised.

    Attributes:
        columns: Names of its columns in order.
        rows: How many rows it has.
        chunks: Gives the chunks of one of several processes, with features, in order.
    """

    columns: list[str]
    rows: int
    chunks: Callable[[int, int], Iterator[FeaturedChunk]]


def open_prediction_table(
    path: Path,
    input: InputKind,
    smiles_columns: Sequence[str] | None,
    sequence_column: str | None,
    settings: FeatureSettings,
    chunk_rows: int,
    folder: Path,
) -> PredictionTable:
    """Check a table, or an .npz of arrays, which is read whole.

    Args:
        path: The file.
        input: What one sample is.
        smiles_columns: Names of the SMILES columns; guessed if None.
        sequence_column: Name of the column of amino-acid sequences; guessed if None.
        settings: What to compute.
        chunk_rows: Rows of a chunk.
        folder: For what is unpacked from a gzip file.

    Raises:
        InputError: If the file or a column is missing, damaged or empty.
    """
    if input == "array":
        arrays = featurise_with(read_array_table(path, need_labels=False), settings, lambda texts: {})
        whole = FeaturedChunk(0, arrays)
        frame = arrays.table.frame
        return PredictionTable(frame.columns, len(frame), lambda process, _: iter([whole] if process == 0 else []))
    table = open_table(path, folder)
    columns = choose_columns(
        table.columns, path, input, smiles_columns, need_labels=False, sequence_column=sequence_column
    )
    chunks = partial(_featured_chunks, table, columns, input, settings, chunk_rows)
    return PredictionTable(table.columns, table.rows, chunks)


def _featured_chunks(
    table: ChunkedTable,
    columns: Columns,
    input: InputKind,
    settings: FeatureSettings,
    size: int,
    process: int,
    processes: int,
) -> Iterator[FeaturedChunk]:
    """Chunks in order; the next ones are featurised while the caller works on one."""
    with ExitStack() as stack:
        # Of this process, one chunk at a time: what featurising has learned of atoms is shared by its threads.
        features_of, at_once = partial(featurise, settings=settings), 1
        if table.rows > MOLECULES_FOR_ONE_PROCESS:
            workers = stack.enter_context(_worker_processes(processes))
            features_of, at_once = partial(_featurise_in, workers, settings), _CHUNKS_AHEAD

        def work(chunk: TableChunk) -> FeaturedChunk:
            own = make_table(chunk.frame, chunk.ragged, columns, table.path, input)
            return FeaturedChunk(chunk.first_row, featurise_with(own, settings, features_of))

        threads = stack.enter_context(ThreadPoolExecutor(at_once))
        at_work: deque[Future[FeaturedChunk]] = deque()
        for chunk in table.chunks(size, process, processes):
            at_work.append(threads.submit(work, chunk))
            if len(at_work) > _CHUNKS_AHEAD:
                yield at_work.popleft().result()
        while at_work:
            yield at_work.popleft().result()


def _worker_processes(processes: int) -> ProcessPoolExecutor:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    # Spawned, because forking a process that runs torch's threads can deadlock.
    return ProcessPoolExecutor(max(1, cores // processes), mp_context=get_context("spawn"), initializer=gc.disable)


def _featurise_in(pool: ProcessPoolExecutor, settings: FeatureSettings, smiles: list[str]) -> Features:
    starts = range(0, len(smiles), _MOLECULES_PER_TASK)
    tasks = [smiles[start : start + _MOLECULES_PER_TASK] for start in starts]
    parts = list(pool.map(partial(featurise, settings=settings), tasks))
    return {name: numpy.concatenate([part[name] for part in parts]) for name in parts[0]}


class PredictionRows(IterableDataset[MoleculeBatch]):
    """The usable rows of a table in batches.

    A batch is made of the usable ones of `batch_size` consecutive rows, wherever chunks end, so that the size of the
    chunks does not change what is predicted, down to the last bit.

    Attributes:
        begun: Chunks from which batches were taken, oldest first; the consumer removes those it has finished.
        ended: Whether all chunks have been taken.
    """

    def __init__(self, table: PredictionTable, batch_size: int) -> None:
        """Keep references; nothing is read before the iteration.

        Args:
            table: Its chunks are whole multiples of the batch size.
            batch_size: Rows of a batch, at most.
        """
        self.table, self._batch_size = table, batch_size
        self.share(0, 1)
        self.begun: deque[FeaturedChunk] = deque()
        self.ended = False

    def share(self, process: int, processes: int) -> None:
        """Serve every so many chunks only.

        Args:
            process: This process.
            processes: How many share the chunks.
        """
        self._process, self._processes = process, processes

    def __iter__(self) -> Iterator[MoleculeBatch]:
        """Batches whose `sample_index` is the row of the table."""
        for chunk in self.table.chunks(self._process, self._processes):
            self.begun.append(chunk)
            rows = usable_rows(chunk)
            for start in range(0, len(chunk.featured.reasons), self._batch_size):
                own = rows[(rows >= start) & (rows < start + self._batch_size)]
                if len(own):
                    yield chunk.featured.store.batch(own, own + chunk.first_row, numpy.full(len(own), -1))
        self.ended = True


def usable_rows(chunk: FeaturedChunk) -> NDArray[Any]:
    """Rows of a chunk that can be predicted on, int64 (n,), by number within the chunk."""
    reasons: polars.Series = chunk.featured.reasons
    return reasons.is_null().arg_true().to_numpy().astype(numpy.int64)
