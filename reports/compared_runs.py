"""Runs with the same classes, to be compared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy
from numpy.typing import NDArray

from base.errors import InputError
from reports.analysis.class_scores import Group, class_groups
from reports.paired_tests import PairedTests, pair_tests
from reports.run_files import RunFiles


@dataclass(frozen=True)
class Comparison:
    """R runs with the same C classes.

    Attributes:
        runs: The runs; the first one is the reference.
        names: R unique names.
        groups: Group of each class, by its training samples in the first run.
        recalls: float64 (R, C), recall of each class; NaN for a class without test samples.
        tests: The predictions of all runs for the same test samples, or why there are none.
    """

    runs: tuple[RunFiles, ...]
    names: tuple[str, ...]
    groups: tuple[Group, ...]
    recalls: NDArray[Any]
    tests: PairedTests | str

    @property
    def classes(self) -> tuple[str, ...]:
        """C labels."""
        return self.runs[0].task.classes

    @property
    def training(self) -> NDArray[Any]:
        """Number of training samples of each class in the first run, int64 (C,)."""
        return numpy.array(self.runs[0].task.class_counts)


def compare_runs(runs: Sequence[RunFiles]) -> Comparison:
    """Collect what a comparison of runs needs.

    Args:
        runs: The runs; the first one is the reference.

    Raises:
        InputError: If there are fewer than two, one was not tested or has several labels a sample, or the runs have
            different classes.
    """
    if len(runs) < 2:
        raise InputError(f"RUN: expected two or more runs, got {len(runs)}.")
    first = runs[0]
    for run in runs:
        if run.task.is_multilabel:
            raise InputError(
                f"RUN: expected runs whose samples have one label each, got {str(run.folder)!r}, whose samples may "
                "have several."
            )
        if not run.metrics:
            raise InputError(f"RUN: expected a tested run with test_metrics.json, got {str(run.folder)!r}.")
        if run.task.classes != first.task.classes:
            raise InputError(
                f"RUN: expected runs with the same classes, got {first.task.num_classes} in {first.folder} and "
                f"{run.task.num_classes} in {run.folder}{_only(first, run)}{_only(run, first)}."
            )
    fractions = first.settings["model"]["groups"]
    groups = class_groups(first.task.class_counts, fractions["head_fraction"], fractions["tail_fraction"])
    recalls = [[run.metrics.get(f"test/recall/{name}") for name in first.task.classes] for run in runs]
    return Comparison(
        tuple(runs),
        _unique_names(runs),
        groups,
        numpy.array(recalls, dtype=numpy.float64),
        pair_tests(runs, groups),
    )


def _only(one: RunFiles, other: RunFiles) -> str:
    """Names the first class of one run that the other run does not have, if any."""
    names = [name for name in one.task.classes if name not in other.task.classes]
    return f", {names[0]!r} only in {one.folder}" if names else ""


def _unique_names(runs: Sequence[RunFiles]) -> tuple[str, ...]:
    names = [run.name for run in runs]
    if len(set(names)) < len(names):
        names = [str(run.folder) for run in runs]
    return tuple(name if name not in names[:place] else f"{name} ({place + 1})" for place, name in enumerate(names))
