"""How many of the labels of test samples prediction sets hold, where a sample may have several."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy
from numpy.typing import NDArray

from modules.evaluation.group_names import GROUPS, Group
from reports.analysis.intervals import Estimate, wilson
from reports.analysis.label_intervals import draw_resamples, estimate, number_of_resamples
from reports.analysis.set_coverage import ByGroup
from reports.analysis.shares import share


@dataclass(frozen=True)
class LabelCoverage:
    """Prediction sets of test samples with several labels.

    Attributes:
        of_labels: Share of the samples with each label whose set holds it, float64 (L,); NaN without any.
        by_group: Share of the labels of samples that their sets hold, with the mean size of the sets: of all samples,
            or for a group of those that have its labels, once for each.
    """

    of_labels: NDArray[Any]
    by_group: ByGroup


def label_coverage(
    members: NDArray[Any],
    labels: NDArray[Any],
    training: NDArray[Any],
    groups: Sequence[Group],
    samples: NDArray[Any],
    resamples: int | None = None,
) -> LabelCoverage:
    """Count the labels that sets hold.

    Intervals are those of resamples, since the labels of a sample depend on each other.

    Args:
        members: bool (n, L), which labels are in the set of each row.
        labels: 1 the row has the label, 0 it does not, -1 not known, int (n, L).
        training: int (L,), training samples with each label; no set promises to hold a label without any.
        groups: Group of each label.
        samples: int (n,), equal for rows of the same sample.
        resamples: Number of resamples; as many as take a reasonable time if None.
    """
    present = (labels == 1) & (training > 0)
    held, counts = present & members, present.sum(axis=0)
    weights = draw_resamples(samples, number_of_resamples(*labels.shape) if resamples is None else resamples)
    sizes = members.sum(axis=1)
    found: dict[Group | None, tuple[Estimate, float]] = {}
    for group in (None, *GROUPS):
        own = numpy.full(len(groups), True) if group is None else numpy.array(groups) == group
        of_rows, total = present[:, own].sum(axis=1), int(counts[own].sum())
        size = sizes.mean() if group is None and len(sizes) else float(of_rows @ sizes) / max(total, 1)
        found[group] = _estimate(held[:, own].sum(axis=1), of_rows, weights, samples), float(size)
    return LabelCoverage(share(held.sum(axis=0), counts), found)


def _estimate(held: NDArray[Any], present: NDArray[Any], weights: NDArray[Any], samples: NDArray[Any]) -> Estimate:
    """The share of present labels that sets hold; where it is 0 or 1, resamples do not vary, and rows are counted."""
    total = int(present.sum())
    if not total:
        return Estimate(numpy.nan, numpy.nan, numpy.nan, 0)
    if 0 < held.sum() < total:
        return estimate(share(held.astype(float) @ weights, present.astype(float) @ weights), total)
    clusters = numpy.array([len(numpy.unique(samples[present > 0]))])
    held_all = int(held.sum() > 0)
    low, high = wilson(clusters * held_all, clusters)
    return Estimate(float(held_all), float(low[0]), float(high[0]), total)
