"""Sampling: how often each class is drawn in an epoch of training."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy
from numpy.typing import NDArray

from base.ranges import check_range, check_whole


class Sampling(ABC):
    """Draws as many samples an epoch as there are, with a share for each class.

    If more samples of a class are drawn than it has, they are repeated evenly: none comes twice before all came once.
    """

    @abstractmethod
    def shares(self, counts: NDArray[Any], epoch: int) -> NDArray[Any]:
        """The share of each class in the draws.

        Args:
            counts: int (C,), number of samples of each class.
            epoch: From 0.

        Returns:
            float (C,) of sum 1, 0 for a class without samples.
        """

    def order(self, codes: NDArray[Any], epoch: int, generator: numpy.random.Generator) -> NDArray[Any]:
        """The samples of an epoch, shuffled.

        Args:
            codes: int (N,), class of each sample.
            epoch: From 0.
            generator: Random generator.

        Returns:
            int (N,) places among the samples.
        """
        counts = numpy.bincount(codes)
        # One random offset rounds all expected numbers, so that they add up to N.
        ends = numpy.floor(len(codes) * self.shares(counts, epoch).cumsum() + generator.random()).astype(int)
        ends[-1] = len(codes)
        draws = numpy.diff(ends, prepend=0)
        members = numpy.split(numpy.argsort(codes, kind="stable"), counts.cumsum()[:-1])
        drawn = [numpy.zeros(0, dtype=numpy.int64)]
        for own, number in zip(members, draws, strict=True):
            if number > 0:
                drawn += [own] * (number // len(own)) + [generator.permutation(own)[: number % len(own)]]
        return generator.permutation(numpy.concatenate(drawn))


class PowerSampling(Sampling):
    """Classes in proportion to ``n_c^power`` (Kang et al., 2020, arXiv 1910.09217)."""

    def __init__(self, power: float = 0.0) -> None:
        """A sampling of constant shares.

        Args:
            power: 1: every sample once; 0.5: by the square root of the count; 0: all classes equally often.

        Raises:
            ValueError: If `power` is not in 0..1.
        """
        check_range("power", power, 0, highest=1)
        self.power = power

    def shares(self, counts: NDArray[Any], epoch: int) -> NDArray[Any]:
        """See `Sampling.shares`."""
        weights = numpy.where(counts > 0, counts.clip(min=1) ** float(self.power), 0)
        shares: NDArray[Any] = weights / weights.sum()
        return shares


class ProgressiveSampling(Sampling):
    """From every sample once to all classes equally often, in equal steps (Kang et al., 2020, arXiv 1910.09217)."""

    def __init__(self, epochs: int) -> None:
        """A sampling whose shares change over the epochs.

        Args:
            epochs: Epochs until all classes are drawn equally often; in the paper all epochs of the training.

        Raises:
            ValueError: If `epochs` is below 1.
        """
        check_whole("epochs", epochs, 1)
        self.epochs = epochs

    def shares(self, counts: NDArray[Any], epoch: int) -> NDArray[Any]:
        """See `Sampling.shares`."""
        progress = min(epoch / self.epochs, 1.0)
        return (1 - progress) * PowerSampling(1).shares(counts, 0) + progress * PowerSampling(0).shares(counts, 0)


class SamplingSchedule(Sampling):
    """One sampling after another."""

    def __init__(self, samplings: Sequence[tuple[int, Sampling | None]]) -> None:
        """Create the schedule.

        Args:
            samplings: First epoch and sampling of each part of the schedule, by increasing epochs. Every sample is
                drawn once where the sampling is None, and before the first epoch.
        """
        self.samplings = list(samplings)

    def shares(self, counts: NDArray[Any], epoch: int) -> NDArray[Any]:
        """See `Sampling.shares`."""
        begun = [sampling for start_epoch, sampling in self.samplings if start_epoch <= epoch]
        return ((begun[-1] if begun else None) or PowerSampling(1)).shares(counts, epoch)


def draw_per_class(codes: NDArray[Any], most: int | None, seed: int) -> NDArray[Any]:
    """Places of samples, ascending: at most so many of each class, drawn at random.

    Args:
        codes: int (N,), class of each sample.
        most: Samples of a class; None takes all.
        seed: Random seed.
    """
    order = numpy.arange(len(codes)) if most is None else numpy.random.default_rng(seed).permutation(len(codes))
    order = order[numpy.argsort(codes[order], kind="stable")]
    counts = numpy.bincount(codes)
    place = numpy.arange(len(codes)) - (counts.cumsum() - counts)[codes[order]]
    return numpy.sort(order if most is None else order[place < most])


def first_of_each(codes: NDArray[Any], samples: NDArray[Any]) -> NDArray[Any]:
    """Places of one row of each sample in each class, the first one, ascending.

    Args:
        codes: int (N,), class of each of one or more rows.
        samples: int (N,), equal for rows of the same sample.
    """
    order = numpy.lexsort((codes, samples))
    changed = (numpy.diff(codes[order]) != 0) | (numpy.diff(samples[order]) != 0)
    return numpy.sort(order[numpy.append(True, changed)])
