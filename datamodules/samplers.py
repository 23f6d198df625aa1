"""The samples of each batch, on each process and in each epoch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy
from numpy.typing import NDArray
from torch.utils.data import Sampler

from base.ranges import check_whole

Draw = Callable[[int, numpy.random.Generator], NDArray[Any]]
"""From an epoch and a random generator to the samples of that epoch, in order."""


class EpochBatches(Sampler[NDArray[Any]]):
    """Batches of sample numbers, the same number of batches on every process.

    Each sample comes once an epoch unless `draw` says otherwise. The order depends on the seed and the epoch alone, so
    a resumed run sees the batches that it would have seen. Batches differ by one sample at most; none is dropped.
    """

    def __init__(
        self,
        size: int,
        batch_size: int,
        shuffle: bool,
        seed: int = 0,
        rank: int = 0,
        world_size: int = 1,
        draw: Draw | None = None,
    ) -> None:
        """Batches of a number of samples.

        Args:
            size: Number of samples.
            batch_size: Largest number of samples in a batch on one process.
            shuffle: Whether to shuffle the samples, differently in each epoch.
            seed: Random seed of the order.
            rank: Number of this process.
            world_size: Number of processes that share the samples.
            draw: The `size` samples of each shuffled epoch; every sample once if None.

        Raises:
            ValueError: If `batch_size` is below 1.
        """
        check_whole("batch_size", batch_size, 1)
        self._size = size
        self._shuffle = shuffle
        self._seed = seed
        self._rank = rank
        self._world_size = world_size
        self._draw = draw or (lambda epoch, generator: generator.permutation(size))
        largest_share = -(-size // world_size)
        self._batches = -(-largest_share // batch_size)
        self._epoch = 0
        self._skipped = (0, 0)

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch, which Lightning does at its start."""
        self._epoch = epoch

    def skip(self, epoch: int, batches: int) -> None:
        """Leave out the first batches of one epoch, which a resumed run has seen before."""
        self._skipped = (epoch, batches)

    @property
    def smallest(self) -> int:
        """Number of samples of the smallest batch of any process."""
        return self._size // self._world_size // self._batches if self._batches else 0

    def __len__(self) -> int:
        return self._batches

    def __iter__(self) -> Iterator[NDArray[Any]]:
        order = numpy.arange(self._size)
        if self._shuffle:
            order = self._draw(self._epoch, numpy.random.default_rng([self._seed, self._epoch]))
        share = order[self._rank :: self._world_size]
        first = self._skipped[1] if self._skipped[0] == self._epoch else 0
        yield from numpy.array_split(share, self._batches)[first:] if self._batches else ()
