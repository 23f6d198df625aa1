"""How far a prediction can be trusted: accuracy by applicability, and the coverage of prediction sets."""

from __future__ import annotations

import math

import numpy

from reports.analysis.intervals import Estimate, wilson
from reports.analysis.set_coverage import COVERAGE, ByGroup
from reports.number_texts import interval, number
from reports.run_files import RunFiles


def level_rows(run: RunFiles) -> list[dict[str, str]]:
    """Test samples and the share of right labels on each level of applicability; empty without the file of the run."""
    rows = []
    for level in run.levels:
        # The share is that of the rows, of which a sample may have several; the trials are the different samples.
        samples, share = int(level["samples"]), math.nan if level["accuracy"] is None else float(level["accuracy"])
        low, high = wilson(numpy.array([share * samples]), numpy.array([samples]))
        rows.append(
            {
                "title": str(level["level"]).capitalize(),
                "accuracy": number(share),
                "interval": interval(Estimate(share, float(low[0]), float(high[0]), samples)),
                "samples": f"{samples:,}",
            }
        )
    return rows


def coverage_rows(coverage: ByGroup | None, several: bool) -> list[dict[str, str]]:
    """Coverage and mean size of prediction sets, of all samples and of each group; empty without sets.

    Args:
        coverage: The coverage.
        several: Whether a sample may have several labels, which are then what is counted.
    """
    everyone, counted = ("All labels", "labels") if several else ("All samples", "classes")
    return [
        {
            "title": everyone if group is None else f"{group.capitalize()} {counted}",
            "coverage": number(share.value),
            "interval": interval(share),
            "size": "–" if math.isnan(size) else f"{size:.1f}",
            "samples": f"{share.samples:,}",
        }
        for group, (share, size) in (coverage or {}).items()
        if share.samples
    ]


def trust_texts(several: bool, command: str = "lightning") -> dict[str, str]:
    """The leads of the two tables, by name.

    Args:
        several: Whether a sample may have several labels.
        command: Name of the command, for messages.
    """
    share = f"With --coverage {COVERAGE:g}, {command} predict also writes a set of labels"
    levels = (
        f"{command} predict gives each prediction a level of applicability, from its probability and from how near the "
        "sample is to the training samples. This is how often"
    )
    same = "The interval and the number of samples count rows of the same sample once."
    if several:
        return {
            "levels": f"{levels} predicted labels were right on each, as the mean over test rows of the share of "
            "their labels that were. No label at all counts as one; rows of which nothing that is predicted is known "
            f"are left out, and rows whose only labels have no training samples. {same}",
            "coverage": f"{share} for each row. The sets are meant to hold {COVERAGE:.0%} of the known labels of rows. "
            "This is how many they did hold, and how many labels a set has: of all test samples, and of those that "
            "have a head, middle or tail label. The table of every label has the share of each.",
        }
    return {
        "levels": f"{levels} labels of test rows were right on each, without those of classes that have no training "
        f"samples. {same}",
        "coverage": f"{share} that is meant to contain the true one for {COVERAGE:.0%} of the samples. This is how "
        "often it did, and how many labels a set has. The table of every class has the coverage of each class.",
    }
