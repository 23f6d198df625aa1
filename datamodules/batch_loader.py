"""Batches on the device that uses them; on a GPU, the next one is made while the model works on this one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cache
from typing import TypeVar

import torch
from torch.utils.data import DataLoader, Dataset

from datamodules.batch import Batch
from datamodules.samplers import EpochBatches

T = TypeVar("T")


class BatchLoader:
    """An iterable of batches in the order of a sampler, or of an iterable data set.

    On a GPU, a thread slices the next batch, and copies it from page-locked memory on a stream of its own, while the
    model works on the current one. On CPUs, a thread gains nothing (docs/performance.md).

    Attributes:
        dataset: The samples, which Lightning asks for their type.
        sampler: The sampler, whose epoch Lightning sets before the first batch of each epoch is drawn.
        batch_sampler: None, as in a `DataLoader` of whole batches, which Lightning asks for too.
    """

    def __init__(
        self,
        samples: Dataset[Batch],
        device: torch.device,
        batches: EpochBatches | None = None,
        num_workers: int = 0,
    ) -> None:
        """Create the loader; nothing is read before the first batch is asked for.

        Args:
            samples: A data set that gives the batch of an item of `batches`, or an iterable one of batches.
            device: Device of the batches.
            batches: The samples of each batch; None for an iterable data set.
            num_workers: Worker processes; 0 slices batches in this process.
        """
        self.dataset, self.device = samples, device
        pinned = device.type == "cuda"
        self._loader = DataLoader(samples, sampler=batches, batch_size=None, num_workers=num_workers, pin_memory=pinned)
        self.sampler, self.batch_sampler = self._loader.sampler, self._loader.batch_sampler

    @property
    def works_ahead(self) -> bool:
        """Whether the next batch is made while the current one is used."""
        return self.device.type == "cuda"

    def __len__(self) -> int:
        return len(self._loader)

    def __iter__(self) -> Iterator[Batch]:
        batches = iter(self._loader)
        if not self.works_ahead:
            return batches
        return one_ahead(batches) if self.device.type == "cpu" else _copied(batches, self.device)


def one_ahead(items: Iterator[T], prepare_thread: Callable[[], None] | None = None) -> Iterator[T]:
    """Take items from an iterator in a thread, each while the caller works on the one before.

    Nothing is taken before the first item is asked for. An error in the iterator is raised where its item would be. The
    thread ends with the items, with an error, and when this iterator is closed or forgotten.

    Args:
        items: The items, in order; None is not among them.
        prepare_thread: Called once in the thread, first.

    Yields:
        The items.
    """
    with ThreadPoolExecutor(1, "next batch", prepare_thread) as thread:

        def take() -> T | None:
            item = next(items, None)
            if item is None:
                # Lightning asks for no batch behind the last one, so the thread would wait until the next epoch.
                thread.shutdown(wait=False)
            return item

        taken = thread.submit(take)
        while (item := taken.result()) is not None:
            taken = thread.submit(take)
            yield item


@cache
def _stream(device: torch.device) -> torch.cuda.Stream:
    # One for all loaders, since memory that was used on one stream is not used again on another.
    return torch.cuda.Stream(device)  # type: ignore[no-untyped-call]


def _copied(batches: Iterator[Batch], device: torch.device) -> Iterator[Batch]:
    """Copy batches in page-locked memory to a GPU, each while the caller works on the one before."""
    stream = _stream(device)

    def copied(batch: Batch) -> Batch:
        with torch.cuda.stream(stream):
            return replace(batch.to(device, non_blocking=True), copied=stream.record_event())

    for batch in one_ahead(map(copied, batches), lambda: torch.cuda.set_device(device)):
        current = torch.cuda.current_stream(device)
        assert batch.copied is not None
        current.wait_event(batch.copied)
        # The memory belongs to the other stream, which would use it again too early.
        batch.record_stream(current)
        yield batch
