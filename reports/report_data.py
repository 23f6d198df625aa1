"""The contents of a report, as arrays, from the folder, the model and the data of a run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy
from numpy.typing import NDArray

from base.stratified import draw_stratified
from modules.evaluation.class_means_file import ClassMeans
from modules.evaluation.group_names import Group
from modules.evaluation.split_scores import SplitScores, scores_path
from reports.analysis.baseline import Baseline, compare_baseline
from reports.analysis.baseline_fit import FittedBaseline, fit_baseline
from reports.analysis.class_results import ClassResults, class_results
from reports.analysis.class_scores import ClassScores, class_groups, recall_per_class
from reports.analysis.confusions import Confusion, Example, find_confusions, find_examples, shown_confusions
from reports.analysis.decision_curve import DecisionCurve, decision_curve
from reports.analysis.distance_matrix import ClassDistances, compare_classes, similar_classes
from reports.analysis.intervals import Estimate, accuracies
from reports.analysis.layouts import principal_components, umap_layout
from reports.analysis.set_coverage import SetCoverage
from reports.run_data import has_changed, part_sizes, set_up_data, table_size
from reports.run_files import RunFiles
from reports.run_sets import measure_coverage
from reports.samples.evaluated import (
    TEST_EVALUATED,
    TRAINING_EMBEDDED,
    EvaluatedSamples,
    evaluate_out_of_fold,
    evaluate_split,
)
from reports.samples.sample_texts import SampleTexts, sample_texts

if TYPE_CHECKING:
    from datamodules.drug_datamodule import DrugDataModule
    from modules.drug_classifier import DrugClassifier

POINTS = 2_000
"""Default number of samples on the embedding map."""


@dataclass(frozen=True)
class MapPoints:
    """The n samples on the embedding map, training samples first.

    Attributes:
        training: Indices among the embedded training samples.
        test: Indices among the evaluated test samples.
        layouts: Positions, float32 (n, 2), by the name of the layout.
        variance: (2,), fraction of the variance along each principal component.
    """

    training: NDArray[Any]
    test: NDArray[Any]
    layouts: dict[str, NDArray[Any]]
    variance: NDArray[Any]


@dataclass(frozen=True)
class ReportData:
    """The contents of a report.

    Attributes:
        run: The files in the run's folder.
        split_sizes: Numbers of rows and of different samples in each part of the table, see `part_sizes`.
        table_size: Numbers of rows and of different samples in all of them together.
        scores: Sample counts and recall of the classes.
        results: Precision, F1 and the interval of the recall of the classes.
        accuracies: Accuracies on the test samples by name, with intervals.
        distances: Distances between classes.
        similar: Codes of all C classes, int64 (C,), similar ones next to each other.
        training: Embedded training samples.
        test: Evaluated test samples.
        counted: bool (n,), which of them are of classes with training samples; the others are in no number but the
            cells of the matrix of confusions.
        points: The samples on the embedding map.
        confusions: The confusions to show, each with its examples.
        num_confusions: Number of all confusions.
        texts: Texts of the samples to show, by split (train and test).
        changed_data: Whether the training samples differ from those of the checkpoint.
        curve: Accuracies of all decisions of the model on the test samples; None without it.
        baseline: A logistic regression against the model; None without it.
        coverage: Coverage of prediction sets on the test samples; None without it.
    """

    run: RunFiles
    split_sizes: Mapping[str, tuple[int, int]]
    table_size: tuple[int, int]
    scores: ClassScores
    results: ClassResults
    accuracies: Mapping[str, Estimate]
    distances: ClassDistances
    similar: NDArray[Any]
    training: EvaluatedSamples
    test: EvaluatedSamples
    counted: NDArray[Any]
    points: MapPoints
    confusions: list[tuple[Confusion, list[Example]]]
    num_confusions: int
    texts: dict[str, SampleTexts]
    changed_data: bool
    curve: DecisionCurve | None
    baseline: Baseline | None
    coverage: SetCoverage | None


def collect(run: RunFiles, points: int = POINTS, umap: bool = False, trust: Sequence[str] = ()) -> ReportData:
    """Evaluate the model of a run on samples of its data, on the CPU.

    Args:
        run: The files of the run.
        points: Number of samples on the embedding map; every class keeps at least one in each split.
        umap: Whether to add a UMAP layout to the map.
        trust: Modules with classes of the user that the checkpoint may name.

    Raises:
        InputError: If the table of the run cannot be read, or its checkpoint names a class that is not trusted.
    """
    from modules.checkpoint_file import read_checkpoint
    from modules.decision_choice import saved_objective
    from modules.drug_classifier import DrugClassifier

    model = DrugClassifier.load_from_checkpoint(run.checkpoint, setting="RUN", trust=trust)
    data = set_up_data(run)
    training = evaluate_split(model, data, "train", TRAINING_EMBEDDED)
    if data.split.has_test_rows:
        test = evaluate_split(model, data, "test", TEST_EVALUATED)
    else:
        scores = SplitScores.load(scores_path(run.checkpoint), run.task.num_classes)
        objective = saved_objective(model, read_checkpoint(run.checkpoint, "RUN"))
        test = evaluate_out_of_fold(model, data, scores, objective, TEST_EVALUATED)
    texts = {
        "train": lambda indices: sample_texts(data, training.rows, indices),
        "test": lambda indices: sample_texts(data, test.rows, indices),
    }
    return assemble(
        run,
        training,
        test,
        groups=class_groups(run.task.class_counts, model.groups.head_fraction, model.groups.tail_fraction),
        split_sizes=part_sizes(data.records),
        table_size=table_size(data.records),
        texts=texts,
        points=points,
        umap=umap,
        curve=_curve(model, test, run),
        baseline=fit_run_baseline(data, test.rows, run),
        coverage=measure_coverage(model, data, test, run),
        changed_data=has_changed(data, run),
    )


def assemble(
    run: RunFiles,
    training: EvaluatedSamples,
    test: EvaluatedSamples,
    groups: tuple[Group, ...],
    split_sizes: Mapping[str, tuple[int, int]],
    table_size: tuple[int, int],
    texts: Mapping[str, Callable[[list[int]], SampleTexts]],
    points: int = POINTS,
    umap: bool = False,
    changed_data: bool = False,
    curve: DecisionCurve | None = None,
    baseline: FittedBaseline | None = None,
    coverage: SetCoverage | None = None,
) -> ReportData:
    """Compute scores, distances and confusions, and choose the samples to show.

    Args:
        run: The files in the run's folder.
        training: Embedded training samples.
        test: Evaluated test samples.
        groups: Group of each class.
        split_sizes: Numbers of rows and of different samples in each part of the table, see `part_sizes`.
        table_size: Numbers of rows and of different samples in all of them together.
        texts: For train and test, a function from indices of samples to their texts.
        points: Number of samples on the embedding map.
        umap: Whether to add a UMAP layout to the map.
        changed_data: Whether the training samples differ from those of the checkpoint.
        curve: Accuracies of all decisions of the model on the test samples.
        baseline: What a logistic regression predicts for the test samples.
        coverage: Coverage of prediction sets on the test samples.
    """
    num_classes, counts = run.task.num_classes, numpy.array(run.task.class_counts)
    recall = recall_per_class(test.codes, test.predicted, num_classes)
    # As in the metrics of the run: what training never saw is in no average.
    recall[counts == 0] = numpy.nan
    counted = counts[test.codes] > 0
    found = find_confusions(test.codes[counted], test.predicted[counted], num_classes)
    confusions = [(one, _examples(one, test, training)) for one in shown_confusions(found)]
    chosen = choose_points(training, test, points, umap)
    examples = [example for _, several in confusions for example in several]
    shown_training = {*chosen.training.tolist(), *(one.training for one in examples if one.training is not None)}
    shown_test = {*chosen.test.tolist(), *(one.test for one in examples)}
    scores = ClassScores(run.task.classes, counts, test.total, recall, groups)
    means = run.class_means or (means_of(training),)
    return ReportData(
        run=run,
        split_sizes=split_sizes,
        table_size=table_size,
        scores=scores,
        results=class_results(test.codes, test.predicted, test.total, scores.training, test.samples),
        accuracies=accuracies(test.codes, test.predicted, ~numpy.isnan(recall), scores.test, groups, test.samples),
        distances=compare_classes(means),
        similar=similar_classes(means[-1]),
        training=training,
        test=test,
        counted=counted,
        points=chosen,
        confusions=confusions,
        num_confusions=len(found),
        texts={"train": texts["train"](sorted(shown_training)), "test": texts["test"](sorted(shown_test))},
        changed_data=changed_data,
        curve=curve,
        baseline=None
        if baseline is None
        else compare_baseline(baseline, test.codes, test.predicted, scores, test.samples),
        coverage=coverage,
    )


def _curve(model: DrugClassifier, test: EvaluatedSamples, run: RunFiles) -> DecisionCurve | None:
    import torch

    from modules.evaluation.split_scores import SplitScores

    arrays = (test.rows, test.codes, test.logits, test.at_prior)
    scores = SplitScores(*(torch.from_numpy(values) for values in arrays))
    return decision_curve(model, scores, torch.from_numpy(test.predicted), run.checkpoint, run.objective)


def fit_run_baseline(data: DrugDataModule, rows: NDArray[Any], run: RunFiles) -> FittedBaseline:
    """The logistic regression of the rows that the model, or each member of an ensemble without test rows, has seen.

    Args:
        data: The data module, after `setup`.
        rows: (n,), rows of the test samples in the table.
        run: The files of the run.
    """
    if data.split.has_test_rows or data.split.fold is not None:
        return fit_baseline(data, rows, [(data.records.rows["train"], numpy.arange(len(rows)))])
    assert data.records.folds is not None
    fold_of = data.records.folds[rows]
    parts = (
        (set_up_data(run, fold, data).records.rows["train"], numpy.flatnonzero(fold_of == fold))
        for fold in range(data.split.folds or 0)
    )
    return fit_baseline(data, rows, parts)


def _examples(confusion: Confusion, test: EvaluatedSamples, training: EvaluatedSamples) -> list[Example]:
    return find_examples(
        confusion,
        (test.codes, test.predicted, test.confidence, test.embeddings),
        (training.codes, training.embeddings),
    )


def means_of(training: EvaluatedSamples) -> ClassMeans:
    """Class means of the embedded training samples, for a run without reclusters."""
    num_classes = len(training.total)
    samples = numpy.bincount(training.codes, minlength=num_classes)
    sums = numpy.zeros((num_classes, training.embeddings.shape[1]))
    numpy.add.at(sums, training.codes, training.embeddings)
    return ClassMeans(None, (sums / numpy.maximum(samples, 1)[:, None]).astype(numpy.float32), samples)


def choose_points(training: EvaluatedSamples, test: EvaluatedSamples, points: int, umap: bool = False) -> MapPoints:
    """Draw the samples on the embedding map, stratified by class, and lay them out.

    Args:
        training: Embedded training samples.
        test: Evaluated test samples.
        points: Total number, half of them test samples; a split that is too small is made up for by the other.
        umap: Whether to add a UMAP layout.
    """
    half = max(points // 2, points - len(training))
    chosen_test = draw_stratified(test.codes, max(1, half))
    chosen_training = draw_stratified(training.codes, max(1, points - len(chosen_test)))
    embeddings = numpy.concatenate([training.embeddings[chosen_training], test.embeddings[chosen_test]])
    plane, variance = principal_components(embeddings)
    layouts = {"PCA": plane}
    if umap and len(embeddings) > 3:
        layouts["UMAP"] = umap_layout(embeddings)
    return MapPoints(chosen_training, chosen_test, layouts, variance)
