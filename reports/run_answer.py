"""Whether a model is better than the logistic regression: the answer that a report starts with."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from reports.analysis.intervals import Estimate
from reports.metric_titles import ACCURACIES
from reports.number_texts import interval, number, seconds, signed, signed_interval
from reports.report_data import ReportData


def answer(data: ReportData) -> dict[str, str]:
    """Whether the model is better than the logistic regression.

    Returns:
        The `verdict`, which is `better`, `worse`, `unclear` or, without a logistic regression, `none`; one `sentence`
        that says it; and `groups`, a sentence about head and tail classes.
    """
    ours, baseline = data.accuracies, data.baseline
    balanced = ours["balanced_accuracy"]
    if baseline is None:
        sentence = f"The balanced accuracy is {number(balanced.value)} {interval(balanced)}; no baseline was fitted."
        groups = [_group_text(name, ours[f"{name}_accuracy"]) for name in ("head", "tail")]
        return {"verdict": "none", "sentence": sentence, "groups": _joined(groups)}
    gain, other = baseline.differences["balanced_accuracy"], baseline.accuracies["balanced_accuracy"]
    verdict = "unclear" if not gain.is_clear else "better" if gain.value > 0 else "worse"
    claim = {
        "better": "The model is better than a simple baseline",
        "worse": "The model is worse than a simple baseline",
        "unclear": "It is not clear that the model is better than a simple baseline",
    }[verdict]
    sentence = (
        f"{claim}: balanced accuracy {number(balanced.value)} against {number(other.value)}, a difference of "
        f"{signed(gain.value)} {signed_interval(gain)}."
    )
    groups = [
        f"{name} classes {number(ours[key].value)} against {number(baseline.accuracies[key].value)} "
        f"({signed(baseline.differences[key].value)} {signed_interval(baseline.differences[key])})"
        for name, key in (("head", "head_accuracy"), ("tail", "tail_accuracy"))
        if ours[key].samples
    ]
    return {"verdict": verdict, "sentence": sentence, "groups": _joined(groups)}


def _group_text(name: str, one: Estimate) -> str:
    return f"{name} classes {number(one.value)} {interval(one)}".rstrip()


def _joined(parts: Sequence[str]) -> str:
    text = "; ".join(parts)
    return f"{text[:1].upper()}{text[1:]}." if text else ""


def baseline_text(data: ReportData) -> str:
    """What the baseline is, and what its intervals mean; empty without one."""
    if data.baseline is None:
        return ""
    fitted = data.baseline.fitted
    trained = "the same rows"
    if fitted.fitted_rows < fitted.training_rows:
        trained = f"{fitted.fitted_rows:,} of the same {fitted.training_rows:,} rows"
    if fitted.fits > 1:
        trained += f" (in {fitted.fits} fits, each without the fold that it predicts)"
    took = "" if math.isnan(fitted.seconds) else f", which took {seconds(fitted.seconds)}"
    return (
        f"The baseline is a logistic regression with balanced class weights on {fitted.features}, trained on "
        f"{trained}{took}. Brackets are 95 % intervals: they say how much depends on which samples were tested. A "
        "difference whose interval holds 0 may be chance."
    )


def baseline_rows(data: ReportData) -> list[dict[str, Any]]:
    """Accuracies of model and logistic regression and their differences, with intervals; empty without one."""
    baseline = data.baseline
    if baseline is None:
        return []
    rows = []
    for name in ("balanced_accuracy", "head_accuracy", "middle_accuracy", "tail_accuracy", "accuracy"):
        own, other, gain = data.accuracies[name], baseline.accuracies[name], baseline.differences[name]
        rows.append(
            {
                "title": ACCURACIES[name],
                "samples": f"{own.samples:,}",
                "model": (number(own.value), interval(own)),
                "baseline": (number(other.value), interval(other)),
                "difference": (signed(gain.value), signed_interval(gain)),
                "is_clear": gain.is_clear,
            }
        )
    return rows
