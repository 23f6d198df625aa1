"""The texts of a report on several labels: answer, tiles, facts, warnings, and a lead for each section."""

from __future__ import annotations

import math
from typing import Any

import numpy

from reports.analysis.intervals import FEWEST
from reports.analysis.label_pairs import LABELS_SHOWN
from reports.decided_texts import report_warnings
from reports.label_data import LabelData
from reports.metric_titles import MULTILABEL_METRICS
from reports.number_texts import interval, number
from reports.run_answer import against, against_short, claim, compared_rows, fitted_text, joined_groups, verdict_of
from reports.run_description import CHANGED, rejected_text
from reports.threshold_texts import threshold_text

_TILES = (
    "average_precision",
    "head_average_precision",
    "middle_average_precision",
    "tail_average_precision",
    "auroc",
    "macro_f1",
    "micro_f1",
)


def label_answer(data: LabelData) -> dict[str, str]:
    """Whether the model ranks better than the baseline.

    Returns:
        The `verdict`, which is `better`, `worse`, `unclear` or, if nothing can be measured, `none`; one `sentence` that
        says it; and `groups`, a sentence about head and tail labels.
    """
    ours, theirs = data.comparison.model.means, data.comparison.baseline.means
    gains, name = data.comparison.differences, "average_precision"
    if math.isnan(ours[name].value):
        sentence = "No label can be judged: none has training samples, test samples with it and test samples without."
        return {"verdict": "none", "sentence": sentence, "groups": ""}
    verdict = verdict_of(gains[name])
    values = against(ours[name], theirs[name], gains[name])
    groups = [
        f"{group} labels {against_short(ours[key], theirs[key], gains[key])}"
        for group, key in (("head", "head_average_precision"), ("tail", "tail_average_precision"))
        if not math.isnan(ours[key].value)
    ]
    sentence = f"{claim(verdict, 'ranks')}: macro average precision {values}."
    decided = gains["macro_f1"]
    if decided.is_clear:
        f1 = against(ours["macro_f1"], theirs["macro_f1"], decided)
        sentence += f" Its decisions are {verdict_of(decided)}: macro F1 {f1}."
    return {"verdict": verdict, "sentence": sentence, "groups": joined_groups(groups)}


def label_tiles(data: LabelData) -> list[dict[str, str]]:
    """Titles and values of the summary tiles."""
    ours, theirs = data.comparison.model.means, data.comparison.baseline.means
    found = [
        {
            "title": MULTILABEL_METRICS[name],
            "value": number(ours[name].value),
            "interval": interval(ours[name]),
            "note": f"baseline {number(theirs[name].value)}",
        }
        for name in _TILES
    ]
    known = data.test.labels >= 0
    values = {
        "Labels": f"{len(data.names):,}",
        "Test samples": f"{len(numpy.unique(data.test.samples)):,}",
        "Known test values": f"{known.mean():.0%}" if known.size else "–",
        "Labels of a test sample": f"{(data.test.labels == 1).sum() / max(len(data.test), 1):.2f}",
    }
    return found + [{"title": title, "value": value, "interval": "", "note": ""} for title, value in values.items()]


def label_rows(data: LabelData) -> list[dict[str, Any]]:
    """Scores of model and baseline and their differences, with intervals."""
    one = data.comparison
    return compared_rows(MULTILABEL_METRICS, one.model.means, one.baseline.means, one.differences)


def label_warnings(data: LabelData) -> list[str]:
    """Warnings to read before the figures."""
    found = report_warnings(data.run) + ([CHANGED] if data.changed_data else [])
    if len(data.test) < data.test.total:
        found.append(
            f"The test results are based on {len(data.test):,} of {data.test.total:,} test rows, drawn at random."
        )
    left_out = [
        name
        for name, one in zip(data.names, data.comparison.model.average_precision, strict=True)
        if math.isnan(one.value)
    ]
    if left_out:
        named = ", ".join(left_out[:8]) + (f" and {len(left_out) - 8:,} more" if len(left_out) > 8 else "")
        found.append(
            f"{len(left_out):,} of {len(data.names):,} labels cannot be judged and are in no mean, since no training "
            f"sample has them, or not both kinds of test samples are known, with the label and without it: {named}."
        )
    return found


def label_leads(data: LabelData) -> dict[str, str]:
    """The leads of the sections, by name."""
    share = data.comparison.model.shares
    judged = ~numpy.isnan([one.value for one in data.comparison.model.average_precision])
    guess = number(float(share[judged].mean())) if judged.any() else "–"
    names = len(data.pairs.shown)
    which = (
        f" The {LABELS_SHOWN} most frequent of {len(data.names):,} labels are shown." if names < len(data.names) else ""
    )
    several = len(data.run.curves) > 1
    kept = "A star marks the epoch whose checkpoint was kept and tested."
    return {
        "summary": "Average precision says how far the model ranks the samples that have a label before those that "
        "have not: 1 is a perfect ranking, and guessing gives the share of samples with the label, here "
        f"{guess} on average. AUROC is the chance that a sample with the label is ranked before one without it; "
        "guessing gives 0.5. F1 is high if few samples with a label are missed and few others are taken for them. "
        "Macro is the mean over labels, each of which counts the same; micro counts all known values together. Head "
        "labels are the most frequent ones in training, tail labels the least frequent ones.",
        "baseline": fitted_text(data.fitted, "a logistic regression for each label")
        + f" {threshold_text(data.run.objective)} The baseline predicts a label from a probability of one half on, so "
        "that a difference in F1 is not one of the ranking alone. Intervals rest on "
        f"{data.comparison.resamples:,} random draws of the test samples, the same for model and baseline.",
        "labels": "Each point is a label. Rare labels are on the left, frequent ones on the right; pale circles are "
        "the baseline. Hover over a point or tap it for its name and interval.",
        "table": "Guessing has the share of test samples with the label as its average precision. Recall is the share "
        "of the samples with a label that get it, precision the share of the samples that get it that have it, F1 "
        "their harmonic mean. A label is predicted if its calibrated probability is above the threshold. With it and "
        "without are numbers of samples of which it is known whether they have the label. Brackets are 95% intervals; "
        f"average precision has one if {FEWEST} test samples or more have the label.",
        "curves": "Going down the ranking of a label, recall is the share of the samples with it that have been met, "
        "precision the share of the met samples that have it. The higher the line, the better the ranking.",
        "learning": f"Each line is one of the {len(data.run.curves)} members of the ensemble. {kept}"
        if several
        else f"Average precision is that of validation samples, as the mean over labels. {kept}",
        "reliability": "On the dashed line, 80 of 100 samples with a probability of 80% for a label have it; below "
        "it, the model is too sure, above it not sure enough. Larger points stand for more values.",
        "pairs": "Each cell says how many of the samples with the label of its row have the label of its column too: "
        "once among training samples of which this is known, once as the model predicts it for the test samples. "
        f"Labels that belong together should be dark in both. Hover over a cell or tap it for its number.{which}",
        "alarms": "The label is predicted with a high probability and known to be absent. Either the model is wrong or "
        "the table is.",
        "misses": "The label is known to be present, is not predicted and has a low probability.",
        "rejected": rejected_text(data.run),
    }
