"""The opinion of the nearest training samples on new ones, in numpy; see `NearestSamples`."""

from __future__ import annotations

from typing import Any

import numpy
from numpy.typing import NDArray

_POWER = 4
_DOUBT = 0.05


class RememberedSamples:
    """Remembers the fingerprint bins of training samples, by bin, and their classes."""

    def __init__(
        self, starts: NDArray[Any], bins: NDArray[Any], codes: NDArray[Any], classes: int, number: int
    ) -> None:
        """Remember training samples.

        Args:
            starts: (N + 1,) integers, the first bin of each sample, and the number of all bins.
            bins: Bins of the samples, integers, the samples end to end.
            codes: (N,) class codes.
            classes: Number of classes C.
            number: Number of nearest samples to ask.
        """
        self._sizes = numpy.diff(starts)
        order = numpy.argsort(bins, kind="stable")
        self._samples = numpy.repeat(numpy.arange(len(codes), dtype=numpy.int32), self._sizes)[order]
        self._ends = numpy.cumsum(numpy.bincount(bins))
        self._codes, self._number = codes, min(number, len(codes))
        self._counts = numpy.bincount(codes, minlength=classes)

    def opinions(self, bits: NDArray[Any]) -> NDArray[Any]:
        """Compute the opinions on samples, fp32 (n, C).

        Args:
            bits: Which bins the samples have, bool (n, W).
        """
        found = [self._opinion(numpy.flatnonzero(row)) for row in bits]
        return numpy.array(found, dtype=numpy.float32).reshape(len(bits), len(self._counts))

    def _opinion(self, bins: NDArray[Any]) -> NDArray[Any]:
        own = bins[bins < len(self._ends)].tolist()
        having = [self._samples[self._ends[bin - 1] if bin else 0 : self._ends[bin]] for bin in own]
        joined = numpy.concatenate(having) if having else self._samples[:0]
        shared = numpy.bincount(joined, minlength=len(self._codes))
        either = numpy.maximum(self._sizes + len(bins) - shared, 1)
        similarity = shared.astype(numpy.float32) / either.astype(numpy.float32)
        nearest = _largest_first(similarity, self._number)
        votes = similarity[nearest].astype(numpy.float64) ** _POWER
        of_class = numpy.bincount(self._codes[nearest], votes, minlength=len(self._counts))
        lift = of_class * len(self._codes) / numpy.maximum(self._counts, 1)
        opinion = numpy.log((lift + _DOUBT) / (votes.sum() + _DOUBT))
        known = self._counts > 0
        filled: NDArray[Any] = numpy.where(known, opinion, opinion[known].mean())
        return filled


def _largest_first(values: NDArray[Any], number: int) -> NDArray[Any]:
    """Places of the largest values, of equal ones the first."""
    least = numpy.partition(values, len(values) - number)[len(values) - number]
    above = numpy.flatnonzero(values > least)
    return numpy.concatenate([above, numpy.flatnonzero(values == least)[: number - len(above)]])
