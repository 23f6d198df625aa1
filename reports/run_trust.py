"""How far a prediction can be trusted: accuracy by applicability, and the coverage of prediction sets."""

from __future__ import annotations

import math

import numpy

from reports.analysis.class_scores import GROUPS, Group
from reports.analysis.intervals import Estimate, wilson
from reports.analysis.set_coverage import COVERAGE
from reports.number_texts import interval, number
from reports.report_data import ReportData

_TITLES: dict[Group | None, str] = {
    None: "All samples",
    "head": "Head classes",
    "middle": "Middle classes",
    "tail": "Tail classes",
}


def level_rows(data: ReportData) -> list[dict[str, str]]:
    """Test samples and the share of right labels on each level of applicability; empty without the file of the run."""
    rows = []
    for level in data.run.levels:
        samples, right = int(level["samples"]), int(level["right"])
        low, high = wilson(numpy.array([right]), numpy.array([samples]))
        share = right / samples if samples else math.nan
        rows.append(
            {
                "title": str(level["level"]).capitalize(),
                "accuracy": number(share),
                "interval": interval(Estimate(share, float(low[0]), float(high[0]), samples)),
                "samples": f"{samples:,}",
            }
        )
    return rows


def coverage_rows(data: ReportData) -> list[dict[str, str]]:
    """Coverage and mean size of prediction sets, of all samples and of each group; empty without sets."""
    if data.coverage is None:
        return []
    rows = []
    for group in (None, *GROUPS):
        share, size = data.coverage.of(data.scores.groups, group)
        if share.samples:
            rows.append(
                {
                    "title": _TITLES[group],
                    "coverage": number(share.value),
                    "interval": interval(share),
                    "size": "–" if math.isnan(size) else f"{size:.1f}",
                    "samples": f"{share.samples:,}",
                }
            )
    return rows


def trust_texts() -> dict[str, str]:
    """The leads of the two tables, by name."""
    return {
        "levels": "lightning predict gives each prediction a level of applicability, from its probability and from how "
        "near the sample is to the training samples. This is how often labels of test samples were right on each.",
        "coverage": f"With --coverage {COVERAGE:g}, lightning predict also writes a set of labels that is meant to "
        f"contain the true one for {COVERAGE:.0%} of the samples. This is how often it did, and how many labels a set "
        "has. The table of every class has the coverage of each class.",
    }
