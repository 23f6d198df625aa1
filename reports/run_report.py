"""The report of a run, as one HTML file."""

from __future__ import annotations

import time
from typing import Any

import numpy
import yaml

from reports.analysis.class_scores import reliability_by_group
from reports.figures.class_figures import (
    class_count_figure,
    distance_figure,
    recall_figure,
    reliability_figure,
    weight_figure,
)
from reports.figures.confusion_figure import confusion_cells, confusion_figure
from reports.figures.decision_figure import decision_figure
from reports.figures.learning_figure import accuracy_figure, loss_figure
from reports.figures.map_figure import map_figure, map_points
from reports.figures.plotly_figure import Figure, matrix_rows, rounded
from reports.page_template import render_page
from reports.report_data import ReportData
from reports.run_answer import answer, baseline_rows
from reports.run_description import facts, texts, tiles, warnings
from reports.run_trust import coverage_rows, level_rows, trust_texts
from reports.samples.drawings import HEIGHT, WIDTH, pack
from reports.samples.sample_texts import SampleTexts


def build_report(data: ReportData, start: float | None = None, command: str = "lightning") -> str:
    """The page as HTML.

    Args:
        data: The contents of the report.
        start: Start of the work by `time.monotonic`; the page states its duration unless None.
        command: Name of the command, for messages.
    """
    payload = report_payload(data)
    took = "" if start is None else f" in {time.monotonic() - start:.0f} s"
    return render_page(
        "report.html",
        payload,
        ["page.js", "samples.js", "matrix.js", "class_table.js", "report.js"],
        title=f"Report of {data.run.name}",
        subtitle=data.run.settings["data"]["source"],
        answer=answer(data),
        warnings=warnings(data),
        values=tiles(data),
        baseline=baseline_rows(data),
        facts=facts(data.run, data.split_sizes),
        texts={**texts(data, command), **trust_texts(several=False, command=command)},
        levels=level_rows(data.run),
        coverage=coverage_rows(
            None if data.coverage is None else data.coverage.by_group(data.scores.groups), several=False
        ),
        has_weights=data.run.weights is not None,
        has_curve=data.curve is not None,
        has_learning=bool(data.run.curves),
        has_confusions=bool(data.confusions),
        layouts=list(data.points.layouts),
        class_names=data.scores.names,
        settings=yaml.safe_dump(data.run.settings, sort_keys=False),
        rejected=data.run.rejected,
        footer=f"Written by {command} report on {time.strftime('%Y-%m-%d %H:%M')}{took}. This file works offline.",
    )


def report_figures(data: ReportData) -> dict[str, Figure]:
    """The figures of a report, by the id of their element on the page."""
    test, scores = data.test, data.scores
    evaluated = numpy.bincount(test.codes, minlength=len(scores.names))
    represented = (test.total / numpy.maximum(evaluated, 1))[test.codes]
    confidence, codes, predicted, weights = (
        values[data.counted] for values in (test.confidence, test.codes, test.predicted, represented)
    )
    bins = reliability_by_group(confidence, codes, predicted, weights, scores.groups)
    figures = {
        "counts": class_count_figure(scores),
        "recall": recall_figure(scores, data.results),
        "distances": distance_figure(data.distances, scores.names),
        "map": map_figure(data.points, data.training, test, scores),
        "reliability": reliability_figure(bins),
    }
    if data.run.curves:
        figures |= {"loss": loss_figure(data.run.curves), "progress": accuracy_figure(data.run.curves)}
    if data.curve is not None:
        figures["decisions"] = decision_figure(data.curve)
    if data.run.weights is not None:
        figures["weights"] = weight_figure(data.run.weights, scores)
    return figures


def report_payload(data: ReportData) -> dict[str, Any]:
    """The data that the script of the page reads."""
    points, drawings, smiles = map_points(data.points, data.training, data.test, data.texts)
    confusions = _confusion_rows(data, drawings, smiles)
    scores, distances = data.scores, data.distances
    return {
        "figures": {**report_figures(data), "matrix": confusion_figure()},
        "classes": list(scores.names),
        "groups": list(scores.groups),
        "training": scores.training.tolist(),
        "test": scores.test.tolist(),
        "recall": rounded(scores.recall.tolist()),
        "results": {
            name: rounded(getattr(data.results, name).tolist())
            for name in ("recall_low", "recall_high", "precision", "f1")
        },
        "covered": None if data.coverage is None else rounded(data.coverage.of_classes.tolist()),
        "hits": data.results.hits.tolist(),
        "evaluated": data.results.evaluated.tolist(),
        "matrix": confusion_cells(data.test, scores, data.similar),
        "distance": {
            "epochs": list(distances.epochs),
            "shown": distances.shown.tolist(),
            "matrices": [matrix_rows(matrix) for matrix in distances.matrices],
            "rivals": [rivals.tolist() for rivals in distances.rivals],
            "nearest": [matrix_rows(nearest[None])[0] for nearest in distances.nearest],
        },
        "map": points,
        "confusions": confusions,
        "drawings": pack(drawings),
        "smiles": pack(smiles),
        "drawingSize": [WIDTH, HEIGHT],
    }


def _confusion_rows(data: ReportData, drawings: list[str], smiles: list[str]) -> list[dict[str, Any]]:
    """The confusions for the page; the drawings and SMILES of their examples are appended to the lists."""

    def side(texts: SampleTexts, place: int) -> dict[str, Any]:
        text = texts[place]
        drawings.extend(text.drawings)
        smiles.append(text.smiles)
        own = list(range(len(drawings) - len(text.drawings), len(drawings)))
        return {"name": text.name, "drawings": own, "smiles": len(smiles) - 1}

    rows = []
    for confusion, examples in data.confusions:
        shown = [
            {
                "test": side(data.texts["test"], example.test),
                "confidence": round(float(data.test.confidence[example.test]), 3),
                "training": None if example.training is None else side(data.texts["train"], example.training),
                "similarity": round(example.similarity, 3),
            }
            for example in examples
        ]
        rows.append(
            {
                "true": confusion.true,
                "predicted": confusion.predicted,
                "samples": confusion.samples,
                "share": round(confusion.share, 4),
                "cost": confusion.cost,
                "examples": shown,
            }
        )
    return rows
