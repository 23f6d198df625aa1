"""The report of a run whose samples may have several labels, as one HTML file."""

from __future__ import annotations

import time
from typing import Any

import numpy
import yaml

from reports.analysis.label_errors import LabelError
from reports.figures.class_figures import reliability_figure
from reports.figures.label_figures import (
    RELIABILITY_NAMES,
    curve_figure,
    curves,
    label_figure,
    pair_figure,
    reliability_bins,
)
from reports.figures.learning_figure import loss_figure, precision_figure
from reports.figures.plotly_figure import Figure, rounded
from reports.label_data import LabelData
from reports.label_texts import label_answer, label_leads, label_rows, label_tiles, label_warnings
from reports.page_template import render_page
from reports.run_description import facts
from reports.run_trust import coverage_rows, level_rows, trust_texts
from reports.samples.drawings import HEIGHT, WIDTH, pack

_SIDE_BY_SIDE = 24
"""Largest number of labels whose two matrices stand side by side, with a name for each label."""


def build_label_report(data: LabelData, start: float | None = None, command: str = "lightning") -> str:
    """The page as HTML.

    Args:
        data: The contents of the report.
        start: Start of the work by `time.monotonic`; the page states its duration unless None.
        command: Name of the command, for messages.
    """
    payload = label_payload(data)
    took = "" if start is None else f" in {time.monotonic() - start:.0f} s"
    return render_page(
        "label_report.html",
        payload,
        ["page.js", "samples.js", "matrix.js", "label_report.js"],
        title=f"Report of {data.run.name}",
        subtitle=data.run.settings["data"]["source"],
        answer=label_answer(data),
        warnings=label_warnings(data),
        values=label_tiles(data),
        baseline=label_rows(data),
        facts=facts(data.run, data.split_sizes),
        texts={**label_leads(data), **trust_texts(several=True, command=command)},
        levels=level_rows(data.run),
        coverage=coverage_rows(None if data.coverage is None else data.coverage.by_group, several=True),
        few_pairs=len(data.pairs.shown) <= _SIDE_BY_SIDE,
        has_learning=bool(data.run.curves),
        has_alarms=bool(data.alarms),
        has_misses=bool(data.misses),
        names=[(place, data.names[place]) for place in data.order.tolist()],
        settings=yaml.safe_dump(data.run.settings, sort_keys=False),
        rejected=data.run.rejected,
        footer=f"Written by {command} report on {time.strftime('%Y-%m-%d %H:%M')}{took}. This file works offline.",
    )


def label_figures(data: LabelData) -> dict[str, Figure]:
    """The figures of a report, by the id of their element on the page."""
    figures = {
        "labels": label_figure(data),
        "reliability": reliability_figure(reliability_bins(data), RELIABILITY_NAMES, "Share with the label"),
    }
    if data.run.curves:
        figures |= {"loss": loss_figure(data.run.curves), "progress": precision_figure(data.run.curves)}
    pairs = data.pairs
    known = [shares[~numpy.isnan(shares)] for shares in (pairs.training, pairs.predicted)]
    most = max((float(values.max()) for values in known if len(values)), default=0.0) or 1.0
    for name, shares in (("pairs-training", pairs.training), ("pairs-predicted", pairs.predicted)):
        figures[name] = pair_figure(shares, most, "Share that has the other label too")
    return figures


def label_payload(data: LabelData) -> dict[str, Any]:
    """The data that the script of the page reads."""
    drawings: list[str] = []
    smiles: list[str] = []
    return {
        "figures": {**label_figures(data), "curves": curve_figure()},
        "classes": list(data.names),
        "groups": list(data.groups),
        "labels": label_columns(data),
        "curves": curves(data),
        "shown": data.pairs.shown.tolist(),
        "errors": {
            name: [_error(data, error, drawings, smiles) for error in errors]
            for name, errors in (("alarms", data.alarms), ("misses", data.misses))
        },
        "drawings": pack(drawings),
        "smiles": pack(smiles),
        "drawingSize": [WIDTH, HEIGHT],
    }


def label_columns(data: LabelData) -> dict[str, list[Any]]:
    """The columns of the table of labels by name, each with a value for each label."""
    model, baseline = data.comparison.model, data.comparison.baseline
    counts = {
        "training": data.training,
        "training_without": data.training_without,
        "unknown": data.unknown,
        "test": model.positive,
        "test_without": model.negative,
    }
    scores = {
        "average_precision": [one.value for one in model.average_precision],
        "low": [one.low for one in model.average_precision],
        "high": [one.high for one in model.average_precision],
        "baseline": [one.value for one in baseline.average_precision],
        **{
            name: getattr(model, name).tolist()
            for name in ("shares", "auroc", "precision", "recall", "recall_low", "recall_high", "f1")
        },
        "threshold": data.thresholds.tolist(),
    }
    if data.coverage is not None:
        scores["covered"] = data.coverage.of_labels.tolist()
    return {
        **{name: values.tolist() for name, values in counts.items()},
        **{name: rounded(values) for name, values in scores.items()},
    }


def _error(data: LabelData, error: LabelError, drawings: list[str], smiles: list[str]) -> dict[str, Any]:
    """An error for the page; the drawings and SMILES of its sample are appended to the lists."""
    text, known = data.texts[error.sample], data.test.labels[error.sample]
    drawings.extend(text.drawings)
    smiles.append(text.smiles)
    return {
        "label": error.label,
        "probability": round(error.probability, 4),
        "name": text.name,
        "has": numpy.flatnonzero(known == 1).tolist(),
        "drawings": list(range(len(drawings) - len(text.drawings), len(drawings))),
        "smiles": len(smiles) - 1,
    }
