"""How often prediction sets hold the labels of test samples, for each class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy
from numpy.typing import NDArray

from modules.evaluation.group_names import GROUPS, Group
from reports.analysis.intervals import Estimate, wilson
from reports.analysis.same_samples import different_by_class, same_numbers
from reports.analysis.shares import share

COVERAGE = 0.9
"""Share of the samples whose set must contain their label, or of the labels of samples that may have several."""

ByGroup = Mapping[Group | None, tuple[Estimate, float]]
"""Coverage and mean size of prediction sets for the classes of a group; None is all classes."""


@dataclass(frozen=True)
class SetCoverage:
    """Prediction sets of test rows, by the C classes of the rows.

    Attributes:
        covered: int64 (C,), number of evaluated rows whose set contains their label.
        evaluated: int64 (C,), number of evaluated rows; 0 for a class without training samples.
        sizes: int64 (C,), labels in all sets together.
        total: int64 (C,), test rows of each class, also those that were not evaluated.
        different: int64 (C,), number of different samples among the evaluated rows.
    """

    covered: NDArray[Any]
    evaluated: NDArray[Any]
    sizes: NDArray[Any]
    total: NDArray[Any]
    different: NDArray[Any]

    @property
    def of_classes(self) -> NDArray[Any]:
        """Share of the samples of each class that are covered, float64 (C,); NaN without samples."""
        return share(self.covered, self.evaluated)

    def by_group(self, groups: Sequence[Group]) -> ByGroup:
        """Share of the samples that are covered, and the mean size of their sets, NaN without samples.

        Args:
            groups: Group of each class.
        """
        return {group: self._of(groups, group) for group in (None, *GROUPS)}

    def _of(self, groups: Sequence[Group], group: Group | None) -> tuple[Estimate, float]:
        own = (self.evaluated > 0) & (True if group is None else numpy.array(groups) == group)
        samples = int(self.different[own].sum())
        if not samples:
            return Estimate(numpy.nan, numpy.nan, numpy.nan, 0), numpy.nan
        # Of a large class, only a part may have been evaluated.
        weights = self.total[own] / self.total[own].sum()
        value = float(weights @ self.of_classes[own])
        size = float(weights @ (self.sizes[own] / self.evaluated[own]))
        low, high = wilson(numpy.array([value * samples]), numpy.array([samples]))
        return Estimate(value, float(low[0]), float(high[0]), samples), size


def set_coverage(
    members: NDArray[Any],
    codes: NDArray[Any],
    total: NDArray[Any],
    training: NDArray[Any],
    samples: NDArray[Any] | None = None,
) -> SetCoverage:
    """Count the covered rows of each class.

    Args:
        members: bool (n, C), which classes are in the set of each evaluated row.
        codes: int (n,), class codes of the rows.
        total: int (C,), test rows of each class.
        training: int (C,), training samples of each class; no set promises to cover a class without any.
        samples: int (n,), equal for rows of the same sample; each row is one if None.
    """
    known = training[codes] > 0
    different = different_by_class(codes[known], same_numbers(samples, len(codes))[known], len(total))
    codes, members, size = codes[known], members[known], len(total)
    covered = numpy.bincount(codes[members[numpy.arange(len(codes)), codes]], minlength=size)
    sizes = numpy.bincount(codes, members.sum(axis=1), minlength=size).astype(numpy.int64)
    return SetCoverage(covered, numpy.bincount(codes, minlength=size), sizes, total, different)
