"""Whether a model is better than the logistic regression: the answer that a report starts with."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from reports.analysis.baseline_fit import FittedBaseline
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
        return {"verdict": "none", "sentence": sentence, "groups": joined_groups(groups)}
    gain, other = baseline.differences["balanced_accuracy"], baseline.accuracies["balanced_accuracy"]
    verdict = verdict_of(gain)
    sentence = f"{claim(verdict, 'is')}: balanced accuracy {against(balanced, other, gain)}."
    groups = [
        f"{name} classes {against_short(ours[key], baseline.accuracies[key], baseline.differences[key])}"
        for name, key in (("head", "head_accuracy"), ("tail", "tail_accuracy"))
        if ours[key].samples
    ]
    return {"verdict": verdict, "sentence": sentence, "groups": joined_groups(groups)}


def verdict_of(gain: Estimate) -> str:
    """What a difference of a model to a baseline says: `better`, `worse` or `unclear`."""
    return "unclear" if not gain.is_clear else "better" if gain.value > 0 else "worse"


def claim(verdict: str, does: str) -> str:
    """A verdict as the start of a sentence.

    Args:
        verdict: As of `verdict_of`.
        does: What the model does better or worse, such as "is" or "ranks".
    """
    if verdict == "unclear":
        return f"It is not clear that the model {does} better than a simple baseline"
    return f"The model {does} {verdict} than a simple baseline"


def against(ours: Estimate, theirs: Estimate, gain: Estimate) -> str:
    """A score of the model against that of the baseline, with the interval of the difference, as text."""
    values = f"{number(ours.value)} against {number(theirs.value)}"
    return f"{values}, a difference of {signed(gain.value)} {signed_interval(gain)}"


def against_short(ours: Estimate, theirs: Estimate, gain: Estimate) -> str:
    """As `against`, with the difference in parentheses."""
    return f"{number(ours.value)} against {number(theirs.value)} ({signed(gain.value)} {signed_interval(gain)})"


def _group_text(name: str, one: Estimate) -> str:
    return f"{name} classes {number(one.value)} {interval(one)}".rstrip()


def joined_groups(parts: Sequence[str]) -> str:
    """What is said of head and tail as one sentence; empty without parts."""
    text = "; ".join(parts)
    return f"{text[:1].upper()}{text[1:]}." if text else ""


def baseline_text(data: ReportData) -> str:
    """What the baseline is, and what its intervals mean; empty without one."""
    if data.baseline is None:
        return ""
    return fitted_text(data.baseline.fitted, "a logistic regression")


def fitted_text(fitted: FittedBaseline, what: str) -> str:
    """What a baseline is, and what intervals mean.

    Args:
        fitted: The baseline.
        what: Its model, in words.
    """
    trained = "the same rows"
    if fitted.fitted_rows < fitted.training_rows:
        trained = f"{fitted.fitted_rows:,} of the same {fitted.training_rows:,} rows"
    if fitted.fits > 1:
        trained += f" (in {fitted.fits} fits, each without the fold that it predicts)"
    took = "" if math.isnan(fitted.seconds) else f", which took {seconds(fitted.seconds)}"
    return (
        f"The baseline is {what} with balanced class weights on {fitted.features}, trained on "
        f"{trained}{took}. Brackets are 95% intervals: they say how much depends on which samples were tested. A "
        "difference whose interval holds 0 may be chance."
    )


def baseline_rows(data: ReportData) -> list[dict[str, Any]]:
    """Accuracies of model and logistic regression and their differences, with intervals; empty without one."""
    baseline = data.baseline
    if baseline is None:
        return []
    names = ("balanced_accuracy", "head_accuracy", "middle_accuracy", "tail_accuracy", "accuracy")
    titles = {name: ACCURACIES[name] for name in names}
    return compared_rows(titles, data.accuracies, baseline.accuracies, baseline.differences)


def compared_rows(
    titles: Mapping[str, str],
    ours: Mapping[str, Estimate],
    theirs: Mapping[str, Estimate],
    differences: Mapping[str, Estimate],
) -> list[dict[str, Any]]:
    """Scores of a model and a baseline and their differences, with intervals, as text.

    Args:
        titles: Titles of the scores by name, in order.
        ours: Scores of the model.
        theirs: Scores of the baseline.
        differences: Scores of the model minus those of the baseline.
    """
    rows = []
    for name, title in titles.items():
        own, other, gain = ours[name], theirs[name], differences[name]
        rows.append(
            {
                "title": title,
                "samples": f"{own.samples:,}",
                "model": (number(own.value), interval(own)),
                "baseline": (number(other.value), interval(other)),
                "difference": (signed(gain.value), signed_interval(gain)),
                "is_clear": gain.is_clear,
            }
        )
    return rows
