"""Runs with the same classes, or labels, to be compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy
from numpy.typing import NDArray

from base.errors import InputError
from modules.evaluation.group_names import Group
from modules.run_layout import is_best
from reports.analysis.class_scores import class_groups
from reports.comparison_kinds import CLASSES, LABELS, ComparisonKind
from reports.paired_labels import PairedLabels, pair_labels
from reports.paired_tests import PairedTests, pair_tests
from reports.run_files import RunFiles


@dataclass(frozen=True)
class Comparison:
    """R runs with the same C classes, or labels.

    Attributes:
        kind: What is shown, and in which words.
        runs: The runs; the first one is the reference.
        names: R unique names.
        groups: Group of each class, by its training samples in the first run.
        metrics: Test metrics of each run, named as in `test_metrics.json`.
        tests: The predictions of all runs for the same test samples, or why there are none.
    """

    kind: ComparisonKind
    runs: tuple[RunFiles, ...]
    names: tuple[str, ...]
    groups: tuple[Group, ...]
    metrics: tuple[Mapping[str, float | None], ...]
    tests: PairedTests | PairedLabels | str

    @property
    def classes(self) -> tuple[str, ...]:
        """C labels."""
        return self.runs[0].task.classes

    @property
    def training(self) -> NDArray[Any]:
        """Number of training samples of each class in the first run, int64 (C,)."""
        return numpy.array(self.runs[0].task.class_counts)

    @property
    def scores(self) -> NDArray[Any]:
        """Score of each class in each run, float64 (R, C); NaN where there is none, as without test samples."""
        names = [f"test/{self.kind.score}/{name}" for name in self.classes]
        return numpy.array([[own.get(name) for name in names] for own in self.metrics], dtype=numpy.float64)


def compare_runs(runs: Sequence[RunFiles]) -> Comparison:
    """Collect what a comparison of runs needs.

    Args:
        runs: The runs; the first one is the reference.

    Raises:
        InputError: If there are fewer than two, one was not tested, some have one label a sample and others several,
            or the runs have different classes.
    """
    if len(runs) < 2:
        raise InputError(f"RUN: expected two or more runs, got {len(runs)}.")
    first = runs[0]
    several = first.task.is_multilabel
    kind = LABELS if several else CLASSES
    for run in runs:
        if run.task.is_multilabel != several:
            one, other = (run.folder, first.folder) if several else (first.folder, run.folder)
            raise InputError(
                f"RUN: expected runs that all have one label a sample, or all several, got one in {one} and several in "
                f"{other}."
            )
        if not run.metrics:
            raise InputError(f"RUN: expected a tested run with test_metrics.json, got {str(run.folder)!r}.")
        if not is_best(run.checkpoint, run.folder):
            raise InputError(
                f"RUN: expected the folder of a run or its best.ckpt, which was tested, got {str(run.checkpoint)!r}."
            )
        if run.task.classes != first.task.classes:
            raise InputError(
                f"RUN: expected runs with the same {kind.plural}, got {first.task.num_classes} in {first.folder} and "
                f"{run.task.num_classes} in {run.folder}{_contrast(first, run)}."
            )
    fractions = first.settings["model"]["groups"]
    groups = class_groups(first.task.class_counts, fractions["head_fraction"], fractions["tail_fraction"])
    tests = pair_labels(runs, groups) if several else pair_tests(runs, groups)
    metrics: list[Mapping[str, float | None]] = [run.metrics for run in runs]
    if isinstance(tests, PairedLabels):
        metrics = [tests.metrics(place) for place in range(len(runs))]
    return Comparison(kind, tuple(runs), _unique_names(runs), groups, tuple(metrics), tests)


def _contrast(one: RunFiles, other: RunFiles) -> str:
    """Names the first class of either run that the other run does not have."""
    if set(one.task.classes) == set(other.task.classes):
        return ", in another order"
    found = ""
    for own, its in ((one, other), (other, one)):
        names = [name for name in own.task.classes if name not in its.task.classes]
        found += f", {names[0]!r} only in {own.folder}" if names else ""
    return found


def _unique_names(runs: Sequence[RunFiles]) -> tuple[str, ...]:
    names = [run.name for run in runs]
    if len(set(names)) < len(names):
        names = [str(run.folder) for run in runs]
    return tuple(name if name not in names[:place] else f"{name} ({place + 1})" for place, name in enumerate(names))
