"""What a comparison of runs shows, and in which words: of runs with one label a sample, and of runs with several."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from reports.analysis.intervals import FEWEST
from reports.metric_titles import ACCURACIES, METRICS, MULTILABEL_METRICS


@dataclass(frozen=True)
class ComparisonKind:
    """What a comparison shows of its classes, or labels.

    Attributes:
        noun: What they are called.
        plural: What several are called.
        metrics: Titles of the metrics, by name, in order.
        answer: Name of the metric that says which run is better.
        answer_title: Title of it within a sentence.
        group_score: End of the names of the metrics of head, middle and tail.
        bars: Titles of the metrics that the bars show, by name.
        bars_title: Title of their axis.
        bars_named: Their name within a sentence.
        score: Name of the metric of each class.
        score_title: Title of it.
        gain_title: Title of its difference to the first run, whose name takes the place of `{first}`.
        table: Name of the table of all classes, as the id of its element and as its file without ending.
        test_title: Title of the number of test samples of a class.
        training_title: Title of the number of training samples of a class.
        counted: What follows a number of test samples of a class.
        noise: What else is to be known of the intervals of metrics; starts with a space unless empty.
        differences: Lead of the figure of differences.
        pale: What follows it if the runs have the same test samples.
        bounds: Lead of the table of all classes in that case.
    """

    noun: str
    plural: str
    metrics: Mapping[str, str]
    answer: str
    answer_title: str
    group_score: str
    bars: Mapping[str, str]
    bars_title: str
    bars_named: str
    score: str
    score_title: str
    gain_title: str
    table: str
    test_title: str
    training_title: str
    counted: str
    noise: str
    differences: str
    pale: str
    bounds: str


CLASSES = ComparisonKind(
    noun="class",
    plural="classes",
    metrics=METRICS,
    answer="balanced_accuracy",
    answer_title="balanced accuracy",
    group_score="accuracy",
    bars={name: title.replace(" accuracy", "") for name, title in ACCURACIES.items()},
    bars_title="Accuracy",
    bars_named="accuracies",
    score="recall",
    score_title="Recall",
    gain_title="Recall minus that of {first}",
    table="recalls",
    test_title="Test samples",
    training_title="Training samples",
    counted="",
    noise="",
    differences="Above zero, a class is predicted correctly more often than in the first run; below zero, less often. "
    "Rare classes are on the left, common ones on the right.",
    pale="Pale points are within noise: the run and the first one are right on too few different samples of the class "
    "(McNemar's exact test, 5%).",
    bounds="Brackets are 95% intervals (Wilson) of a recall; gray differences are within noise.",
)
"""Each sample has one label."""

LABELS = ComparisonKind(
    noun="label",
    plural="labels",
    metrics=MULTILABEL_METRICS,
    answer="average_precision",
    answer_title="macro average precision",
    group_score="average_precision",
    bars={
        "average_precision": "All labels",
        "head_average_precision": "Head",
        "middle_average_precision": "Middle",
        "tail_average_precision": "Tail",
    },
    bars_title="Average precision",
    bars_named="average precisions",
    score="average_precision",
    score_title="Average precision",
    gain_title="Difference in average precision",
    table="average_precisions",
    test_title="Test samples with it",
    training_title="Training samples with it",
    counted=" with it",
    noise=" They come from random draws of the test samples, the same for all runs. All scores here are those of the "
    "probabilities in test_predictions.csv, without labels that some run has no training samples with.",
    differences="Above zero, the samples with a label are ranked higher than in the first run; below zero, lower. Rare "
    "labels are on the left, common ones on the right.",
    pale="Pale points are within noise: the 95% interval of the difference in average precision holds 0, or fewer "
    f"than {FEWEST} test samples have the label.",
    bounds="Brackets are 95% intervals of an average precision, from random draws of the test samples; there are none "
    f"with fewer than {FEWEST} test samples that have the label. Gray differences are within noise.",
)
"""A sample may have several labels."""
