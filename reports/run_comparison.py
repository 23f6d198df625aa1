"""A page that compares runs with the same classes."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy
from numpy.typing import NDArray

from base.atomic_file import write_file
from base.errors import InputError
from reports.analysis.class_scores import Group, class_groups
from reports.figures.colors import PALETTE
from reports.figures.plotly_figure import Figure, figure, log_axis, plain_text, rounded
from reports.metric_titles import ACCURACIES, METRICS
from reports.number_texts import number
from reports.page_template import render_page
from reports.run_files import RunFiles, read_run

_LOWER_IS_BETTER = ("calibration_error",)
_SYMBOLS = ("circle", "square", "diamond", "x", "triangle-up", "cross", "star", "pentagon")


@dataclass(frozen=True)
class Comparison:
    """R runs with the same C classes.

    Attributes:
        runs: The runs; the first one is the reference.
        names: R unique names.
        groups: Group of each class, by its training samples in the first run.
        recalls: float64 (R, C), recall of each class; NaN for a class without test samples.
    """

    runs: tuple[RunFiles, ...]
    names: tuple[str, ...]
    groups: tuple[Group, ...]
    recalls: NDArray[Any]

    @property
    def classes(self) -> tuple[str, ...]:
        """C labels."""
        return self.runs[0].task.classes

    @property
    def training(self) -> NDArray[Any]:
        """Number of training samples of each class in the first run, int64 (C,)."""
        return numpy.array(self.runs[0].task.class_counts)


def write_comparison(paths: Sequence[Path], output: Path) -> Path:
    """Write a page that compares runs.

    Args:
        paths: Folders of the runs; the first one is the reference.
        output: The HTML file to write.

    Returns:
        The file.

    Raises:
        InputError: If a run cannot be read or was not tested, or the runs have different classes.
    """
    page = build_comparison(compare_runs([read_run(path) for path in paths]))
    write_file(output, lambda temporary: temporary.write_text(page))
    return output


def compare_runs(runs: Sequence[RunFiles]) -> Comparison:
    """Collect what a comparison of runs needs.

    Args:
        runs: The runs; the first one is the reference.

    Raises:
        InputError: If there are fewer than two, one was not tested, or the runs have different classes.
    """
    if len(runs) < 2:
        raise InputError(f"RUN: expected two or more runs, got {len(runs)}.")
    first = runs[0]
    for run in runs:
        if not run.metrics:
            raise InputError(f"RUN: expected a tested run with test_metrics.json, got {str(run.folder)!r}.")
        if run.task.classes != first.task.classes:
            raise InputError(
                f"RUN: expected runs with the same classes, got {first.task.num_classes} in {first.folder} and "
                f"{run.task.num_classes} in {run.folder}{_only(first, run)}{_only(run, first)}."
            )
    groups = first.settings["model"]["groups"]
    recalls = [[run.metrics.get(f"test/recall/{name}") for name in first.task.classes] for run in runs]
    return Comparison(
        tuple(runs),
        _unique_names(runs),
        class_groups(first.task.class_counts, groups["head_fraction"], groups["tail_fraction"]),
        numpy.array(recalls, dtype=numpy.float64),
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


def metric_rows(comparison: Comparison) -> list[dict[str, Any]]:
    """Title of each metric and its value in each run as text; the best value is marked unless all are equal."""
    rows = []
    for name, title in METRICS.items():
        values = [run.metrics.get(f"test/{name}") for run in comparison.runs]
        known = [value for value in values if value is not None]
        if not known:
            continue
        best = min(known) if name in _LOWER_IS_BETTER else max(known)
        unique = len(set(known)) > 1
        cells = [{"text": number(value), "best": unique and value == best} for value in values]
        rows.append({"title": title + (" (lower is better)" if name in _LOWER_IS_BETTER else ""), "cells": cells})
    return rows


def setting_rows(settings: Sequence[Mapping[str, Any]]) -> list[tuple[str, ...]]:
    """The settings that differ between runs: dotted name, and value in each run."""
    flat = [dict(_flattened(one)) for one in settings]
    names = sorted({name for one in flat for name in one})
    rows = [(name, *(one.get(name, "–") for one in flat)) for name in names]
    return [row for row in rows if len(set(row[1:])) > 1]


def _flattened(value: Any, name: str = "") -> list[tuple[str, str]]:
    if isinstance(value, Mapping) and value:
        return [pair for key, one in value.items() for pair in _flattened(one, f"{name}.{key}" if name else str(key))]
    if isinstance(value, list) and value and isinstance(value[0], Mapping):
        return [pair for place, one in enumerate(value) for pair in _flattened(one, f"{name}.{place}")]
    return [(name, "null" if value is None else str(value))]


def metric_figure(comparison: Comparison) -> Figure:
    """Bars: accuracies of each run."""
    traces = [
        {
            "type": "bar",
            "name": plain_text(name),
            "x": [title.replace(" accuracy", "") for title in ACCURACIES.values()],
            "y": [run.metrics.get(f"test/{metric}") for metric in ACCURACIES],
            "hovertemplate": "%{x} %{y:.3f}<extra>%{fullData.name}</extra>",
            "marker": {"color": PALETTE[place % len(PALETTE)]},
        }
        for place, (run, name) in enumerate(zip(comparison.runs, comparison.names, strict=True))
    ]
    return figure(traces, {}, {"title": {"text": "Accuracy"}, "range": [0, 1]}, barmode="group")


def difference_figure(comparison: Comparison) -> Figure:
    """Points: recall of each class minus that in the first run, against training samples, for each other run."""
    x = numpy.maximum(comparison.training, 1).tolist()
    traces = [
        {
            "type": "scatter",
            "mode": "markers",
            "name": plain_text(comparison.names[place]),
            "x": x,
            "y": rounded((comparison.recalls[place] - comparison.recalls[0]).tolist()),
            "text": [plain_text(name) for name in comparison.classes],
            "hovertemplate": "%{text}: %{y:+.2f}<extra>%{fullData.name}</extra>",
            "marker": _marker(place),
        }
        for place in range(1, len(comparison.runs))
    ]
    y = {
        "title": {"text": f"Recall minus that of {plain_text(comparison.names[0])}"},
        "zeroline": True,
        "zerolinewidth": 2,
    }
    return figure(traces, log_axis("Training samples", comparison.training.tolist()), y, hovermode="closest")


def last_weights(comparison: Comparison) -> list[NDArray[Any] | None]:
    """Class weights of each run's last recluster, with mean 1 over classes with samples; None without reclusters."""
    weights = [run.weights.weights[-1] if run.weights is not None else None for run in comparison.runs]
    return [None if one is None else one * max(1, int((one > 0).sum())) for one in weights]


def weight_figure(comparison: Comparison) -> Figure:
    """Points: class weights of each run's last recluster, against training samples."""
    traces = [
        {
            "type": "scatter",
            "mode": "markers",
            "name": plain_text(comparison.names[place]),
            "x": numpy.maximum(comparison.training, 1).tolist(),
            "y": weights.round(4).tolist(),
            "text": [plain_text(name) for name in comparison.classes],
            "hovertemplate": "%{text}: %{y:.3f}<extra>%{fullData.name}</extra>",
            "marker": _marker(place),
        }
        for place, weights in enumerate(last_weights(comparison))
        if weights is not None
    ]
    y = {"title": {"text": "Class weight (mean 1)"}}
    return figure(traces, log_axis("Training samples", comparison.training.tolist()), y, hovermode="closest")


def _marker(place: int) -> dict[str, Any]:
    look = {"color": PALETTE[place % len(PALETTE)], "symbol": _SYMBOLS[place % len(_SYMBOLS)]}
    return {**look, "size": 8, "opacity": 0.7}


def comparison_warnings(comparison: Comparison) -> list[str]:
    """Warnings to read before the figures."""
    first = comparison.runs[0]
    others = [
        name
        for run, name in zip(comparison.runs, comparison.names, strict=True)
        if run.task.training_digest != first.task.training_digest
    ]
    if not others:
        return []
    return [
        f"Trained on other samples than {comparison.names[0]}: {', '.join(others)}. Their test samples may differ too, "
        "so the split may explain a part of each difference."
    ]


def build_comparison(comparison: Comparison) -> str:
    """The page as HTML."""
    weights = last_weights(comparison)
    figures = {"metrics": metric_figure(comparison), "differences": difference_figure(comparison)}
    if any(one is not None for one in weights):
        figures["weights"] = weight_figure(comparison)
    without = [name for name, one in zip(comparison.names, weights, strict=True) if one is None]
    payload = {
        "figures": figures,
        "classes": list(comparison.classes),
        "groups": list(comparison.groups),
        "training": comparison.training.tolist(),
        "names": list(comparison.names),
        "recalls": [rounded(row.tolist()) for row in comparison.recalls],
    }
    return render_page(
        "compare.html",
        payload,
        ["page.js", "compare.js"],
        title=f"Comparison of {len(comparison.runs)} runs",
        names=comparison.names,
        folders=[str(run.folder) for run in comparison.runs],
        metrics=metric_rows(comparison),
        settings=setting_rows([run.settings for run in comparison.runs]),
        warnings=comparison_warnings(comparison),
        has_weights="weights" in figures,
        without_weights=", ".join(without),
        footer=f"Written by lightning compare on {time.strftime('%Y-%m-%d %H:%M')}. This file works offline.",
    )
