"""A page that compares runs with the same classes, or labels."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from base.atomic_file import write_file
from reports.compared_runs import Comparison, compare_runs
from reports.decided_texts import decided_text
from reports.figures.comparison_figures import difference_figure, last_weights, metric_figure, weight_figure
from reports.figures.plotly_figure import rounded
from reports.number_texts import number, signed, signed_interval
from reports.page_template import render_page
from reports.paired_labels import PairedLabels
from reports.run_files import read_run

_LOWER_IS_BETTER = ("calibration_error",)


def write_comparison(paths: Sequence[Path], output: Path) -> Path:
    """Write a page that compares runs.

    Args:
        paths: Folders of the runs; the first one is the reference.
        output: The HTML file to write.

    Returns:
        The file.

    Raises:
        InputError: If a run cannot be read, or as of `compare_runs`.
    """
    page = build_comparison(compare_runs([read_run(path) for path in paths]))
    write_file(output, lambda temporary: temporary.write_text(page))
    return output


def metric_rows(comparison: Comparison) -> list[dict[str, Any]]:
    """Title of each metric, its test samples, and its value in each run with the difference to the first run, as text.

    A value is marked as best if it is better than that of every other run by more than noise, which is not known of
    metrics that need the probabilities of all classes.
    """
    tests, rows = comparison.tests, []
    for name, title in comparison.kind.metrics.items():
        values = [metrics.get(f"test/{name}") for metrics in comparison.metrics]
        if all(value is None for value in values):
            continue
        cells = [{"text": number(value), "difference": "", "best": False} for value in values]
        samples = ""
        if not isinstance(tests, str):
            samples = f"{tests.samples_of(name):,}"
            known = name in tests.differences[0, 1]
            for place, cell in enumerate(cells):
                others = [own[name] for (one, _), own in tests.differences.items() if one == place] if known else []
                cell["best"] = bool(others) and all(gain.low > 0 for gain in others)
                if known and place:
                    gain = tests.differences[place, 0][name]
                    cell["difference"] = f"{signed(gain.value)} {signed_interval(gain)}"
        rows.append(
            {
                "title": title + (" (lower is better)" if name in _LOWER_IS_BETTER else ""),
                "samples": samples,
                "cells": cells,
            }
        )
    return rows


def answers(comparison: Comparison) -> list[str]:
    """For each run but the first, whether it is better than the first, in one sentence.

    By balanced accuracy or, of several labels, by macro average precision.
    """
    tests, kind = comparison.tests, comparison.kind
    if isinstance(tests, str):
        return []
    found = []
    for place in range(1, len(comparison.runs)):
        gain = tests.differences[place, 0]
        overall = gain[kind.answer]
        ours, other = (tests.estimates[run][kind.answer].value for run in (place, 0))
        verdict = "not clearly different from"
        if overall.is_clear:
            verdict = "better than" if overall.value > 0 else "worse than"
        parts = [
            f"{name} {signed(gain[key].value)} {signed_interval(gain[key])}"
            for name, key in ((name, f"{name}_{kind.group_score}") for name in ("head", "tail"))
            if not math.isnan(gain[key].value)
        ]
        found.append(
            f"{comparison.names[place]} is {verdict} {comparison.names[0]}: {kind.answer_title} {number(ours)} against "
            f"{number(other)}, a difference of {signed(overall.value)} {signed_interval(overall)}"
            f"{''.join(f'; {part}' for part in parts)}."
        )
    return found


def noise_text(comparison: Comparison) -> str:
    """What the intervals mean, or why there are none."""
    if isinstance(comparison.tests, str):
        return f"Without intervals, since {comparison.tests}: no difference here is known to be more than noise."
    return (
        "Brackets are 95% intervals of the difference to the first run, on the same test samples. A value is bold if "
        "it is better than that of every other run by more than noise. Intervals say how much depends on which samples "
        f"were tested, not on the random seed of the training.{comparison.kind.noise}"
    )


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


def comparison_warnings(comparison: Comparison) -> list[str]:
    """Warnings to read before the figures."""
    first = comparison.runs[0]
    others = [
        name
        for run, name in zip(comparison.runs, comparison.names, strict=True)
        if run.task.training_digest != first.task.training_digest
    ]
    found = []
    if others:
        found.append(
            f"Trained on other samples than {comparison.names[0]}: {', '.join(others)}. Their test samples may differ "
            "too, so the split may explain a part of each difference."
        )
    for run, name in zip(comparison.runs, comparison.names, strict=True):
        if changed := decided_text(run):
            found.append(f"{name}: {changed}. All numbers here are those of the test.")
    tests = comparison.tests
    if isinstance(tests, PairedLabels) and len(tests.labels) < tests.total:
        found.append(f"All scores are based on {len(tests.labels):,} of {tests.total:,} test rows, drawn at random.")
    return found


def _noise(comparison: Comparison) -> dict[str, Any]:
    """Test samples and intervals of the classes, and which differences are clear, for the script of the page."""
    tests, runs = comparison.tests, range(len(comparison.runs))
    if isinstance(tests, str):
        return {"test": None}
    return {
        "test": tests.samples.tolist(),
        "bounds": [[rounded(bound.tolist(), 2) for bound in tests.score_bounds(run)] for run in runs],
        "clear": [tests.clear_classes(run).tolist() for run in runs],
    }


def build_comparison(comparison: Comparison) -> str:
    """The page as HTML."""
    weights, kind = last_weights(comparison), comparison.kind
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
        "scores": [rounded(row.tolist()) for row in comparison.scores],
        "titles": {"class": kind.noun.capitalize(), "test": kind.test_title, "training": kind.training_title},
        **_noise(comparison),
    }
    return render_page(
        "compare.html",
        payload,
        ["page.js", "compare.js"],
        kind=kind,
        title=f"Comparison of {len(comparison.runs)} runs",
        names=comparison.names,
        folders=[str(run.folder) for run in comparison.runs],
        answers=answers(comparison),
        noise=noise_text(comparison),
        metrics=metric_rows(comparison),
        settings=setting_rows([run.settings for run in comparison.runs]),
        warnings=comparison_warnings(comparison),
        has_weights="weights" in figures,
        without_weights=", ".join(without),
        footer=f"Written by lightning compare on {time.strftime('%Y-%m-%d %H:%M')}. This file works offline.",
    )
