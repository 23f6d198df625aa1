"""Compute arrays of many molecules on all cores, in files that survive an interruption."""

from __future__ import annotations

import gc
import os
import zipfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy

from base.atomic_file import write_binary
from datamodules.feature_cache import Arrays

_MOLECULES_PER_PART = 1_000
_PARTS_FOR_ONE_PROCESS = 2

Compute = Callable[[Sequence[str]], Arrays]


def write_parts(smiles: Sequence[str], compute: Compute, folder: Path, description: str) -> list[Path]:
    """Compute the arrays of a thousand SMILES at a time, with a progress bar if it takes long.

    Args:
        smiles: M SMILES.
        compute: Turns SMILES into arrays; it is sent to worker processes.
        folder: Where the files go. Complete files of an interrupted call with the same arguments are kept.
        description: Shown beside the progress bar.

    Returns:
        One `.npz` file for each part of the SMILES, in order.
    """
    from tqdm import tqdm

    starts = range(0, max(len(smiles), 1), _MOLECULES_PER_PART)
    parts = [folder / f"part_{start:010d}_{_MOLECULES_PER_PART}.npz" for start in starts]
    missing = [number for number, part in enumerate(parts) if not zipfile.is_zipfile(part)]
    texts = [smiles[starts[number] : starts[number] + _MOLECULES_PER_PART] for number in missing]
    done = len(smiles) - sum(map(len, texts))
    bar = tqdm(total=len(smiles), initial=done, desc=description, unit=" molecules", delay=2, leave=False, disable=None)
    with bar as progress:
        for count in _write(texts, compute, [parts[number] for number in missing]):
            progress.update(count)
    return parts


def _write(texts: list[Sequence[str]], compute: Compute, paths: list[Path]) -> Iterator[int]:
    workers = min(len(texts), len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
    tasks = texts, [compute] * len(texts), paths
    if workers <= 1 or len(texts) <= _PARTS_FOR_ONE_PROCESS:
        yield from map(_write_part, *tasks)
        return
    # Spawned, because forking a process that runs torch's threads can deadlock.
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=gc.disable) as pool:
        yield from pool.map(_write_part, *tasks)


def _write_part(smiles: Sequence[str], compute: Compute, path: Path) -> int:
    arrays = compute(smiles)
    write_binary(path, lambda file: numpy.savez(file, **arrays))  # type: ignore[arg-type]
    return len(smiles)
