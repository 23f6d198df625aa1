"""The contents of the report of a run whose samples may have several labels, as arrays."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy
from numpy.typing import NDArray

from modules.evaluation.group_names import Group
from modules.evaluation.split_scores import SplitScores, scores_path
from reports.analysis.baseline_fit import FittedBaseline
from reports.analysis.class_scores import class_groups
from reports.analysis.label_coverage import LabelCoverage, label_coverage
from reports.analysis.label_errors import LabelError, find_errors
from reports.analysis.label_intervals import LabelPredictions
from reports.analysis.label_pairs import LabelPairs, compare_pairs
from reports.analysis.label_results import LabelComparison, compare_labels
from reports.report_data import fit_run_baseline
from reports.run_data import has_changed, part_sizes, set_up_data
from reports.run_files import RunFiles
from reports.run_sets import members_of_test
from reports.samples.evaluated import TEST_EVALUATED, decided_folds
from reports.samples.sample_texts import SampleTexts, sample_texts

if TYPE_CHECKING:
    from datamodules.drug_datamodule import DrugDataModule
    from modules.drug_classifier import DrugClassifier


@dataclass(frozen=True)
class TestedSamples:
    """n test samples of a run with L labels.

    Attributes:
        samples: int64 (n,), equal for rows of the same sample.
        labels: 1 the sample has the label, 0 it does not, -1 not known, int64 (n, L).
        predicted: bool (n, L), labels that are predicted.
        probabilities: float32 (n, L), calibrated probabilities.
        scores: float32 (n, L), probabilities before calibration, which is that of each fold for an ensemble; they rank.
        total: Number of test rows, of which the n are a part if there are more.
        members: bool (n, L), labels in the prediction sets; None without sets.
    """

    # Pytest would take it for a class of tests.
    __test__ = False

    samples: NDArray[Any]
    labels: NDArray[Any]
    predicted: NDArray[Any]
    probabilities: NDArray[Any]
    scores: NDArray[Any]
    total: int
    members: NDArray[Any] | None

    def __len__(self) -> int:
        """Number of samples n."""
        return len(self.labels)


@dataclass(frozen=True)
class LabelData:
    """The contents of a report on L labels.

    Attributes:
        run: The files in the run's folder.
        split_sizes: Numbers of rows and of different samples in each part of the table, see `part_sizes`.
        groups: Group of each label.
        unknown: int64 (L,), training samples of which it is not known whether they have each label.
        thresholds: float64 (L,), calibrated probability from which each label is predicted; NaN for labels that no
            training sample has.
        test: The test samples.
        fitted: The baseline; its scores are probabilities.
        comparison: The model against the baseline.
        coverage: Coverage of prediction sets; None without sets.
        pairs: Labels that occur together.
        alarms: Labels that are predicted and known to be absent, the most probable first.
        misses: Labels that are not predicted and known to be present, the least probable first.
        texts: Texts of the samples of `alarms` and `misses`.
        changed_data: Whether the training samples differ from those of the checkpoint.
    """

    run: RunFiles
    split_sizes: Mapping[str, tuple[int, int]]
    groups: tuple[Group, ...]
    unknown: NDArray[Any]
    thresholds: NDArray[Any]
    test: TestedSamples
    fitted: FittedBaseline
    comparison: LabelComparison
    coverage: LabelCoverage | None
    pairs: LabelPairs
    alarms: Sequence[LabelError]
    misses: Sequence[LabelError]
    texts: SampleTexts
    changed_data: bool

    @property
    def names(self) -> tuple[str, ...]:
        """L labels."""
        return self.run.task.classes

    @property
    def training(self) -> NDArray[Any]:
        """Training samples with each label, int64 (L,)."""
        return numpy.array(self.run.task.class_counts)

    @property
    def training_without(self) -> NDArray[Any]:
        """Training samples that are known not to have each label, int64 (L,)."""
        found: NDArray[Any] = numpy.array(self.run.task.known_counts) - self.training
        return found

    @property
    def order(self) -> NDArray[Any]:
        """Places of the labels, the most frequent in training first, int64 (L,)."""
        return numpy.array(sorted(range(len(self.names)), key=lambda place: -int(self.training[place])))


def collect_labels(run: RunFiles, trust: Sequence[str] = ()) -> LabelData:
    """Evaluate the model of a run on samples of its data, on the CPU.

    Args:
        run: The files of a run whose samples may have several labels.
        trust: Modules with classes of the user that the checkpoint may name.

    Raises:
        InputError: If the table of the run cannot be read, or its checkpoint names a class that is not trusted.
    """
    import torch

    from modules.drug_classifier import DrugClassifier

    model = DrugClassifier.load_from_checkpoint(run.checkpoint, setting="RUN", trust=trust)
    data = set_up_data(run)
    rows, test = _evaluate(model, data, run)
    with torch.no_grad():
        at_half = torch.sigmoid(-model.decision.class_offset)
        thresholds = model.decision.calibration(at_half[None])[0].double().numpy()
    records = data.records
    trained = records.rows["train"]
    counted = records.different_samples(trained) if records.count_by == "samples" else len(trained)
    return assemble_labels(
        run,
        test,
        records.codes[trained],
        thresholds,
        fit_run_baseline(data, rows, run),
        lambda indices: sample_texts(data, rows, indices),
        groups=class_groups(run.task.class_counts, model.groups.head_fraction, model.groups.tail_fraction),
        split_sizes=part_sizes(records),
        unknown=counted - numpy.array(run.task.known_counts),
        changed_data=has_changed(data, run),
    )


def _evaluate(model: DrugClassifier, data: DrugDataModule, run: RunFiles) -> tuple[NDArray[Any], TestedSamples]:
    """Test samples and their rows, at most `TEST_EVALUATED`, drawn at random."""
    from modules.checkpoint_file import read_checkpoint
    from modules.decision_choice import saved_objective
    from modules.inference import infer_scores
    from modules.multilabel.tested_labels import TestedLabels

    def draw(number: int) -> NDArray[Any]:
        drawn = numpy.random.default_rng(0).permutation(number)[:TEST_EVALUATED]
        return numpy.sort(drawn)

    if data.split.has_test_rows:
        rows = data.records.rows["test"]
        total = len(rows)
        rows = rows[draw(total)]
        refusal = "RUN: expected finite predictions, got NaN or infinity."
        scores = infer_scores(model, data.batches_of(rows)).finite(refusal)
        decided = [(model.decision, scores)]
    else:
        scores = SplitScores.load(scores_path(run.checkpoint), run.task.num_classes)
        objective = saved_objective(model, read_checkpoint(run.checkpoint, "RUN"))
        total = len(scores.rows)
        decided = decided_folds(model, data, scores, objective)
    tested = TestedLabels.joined([TestedLabels.by(*one) for one in decided])
    rows, labels, predicted, calibrated, probabilities = (
        getattr(tested, name).numpy() for name in ("rows", "labels", "predicted", "calibrated", "probability")
    )
    logits = numpy.concatenate([own.logits.numpy() for _, own in decided])
    order = numpy.argsort(rows, kind="stable")
    order = order[draw(len(order))]
    rows = rows[order]
    samples = data.records.samples[rows]
    of_rows = labels[order], predicted[order] == 1, calibrated[order], probabilities[order]
    return rows, TestedSamples(samples, *of_rows, total, members_of_test(model, data, rows, logits[order], run))


def assemble_labels(
    run: RunFiles,
    test: TestedSamples,
    training: NDArray[Any],
    thresholds: NDArray[Any],
    fitted: FittedBaseline,
    texts: Callable[[list[int]], SampleTexts],
    groups: tuple[Group, ...],
    split_sizes: Mapping[str, tuple[int, int]],
    unknown: NDArray[Any],
    changed_data: bool = False,
    resamples: int | None = None,
) -> LabelData:
    """Compute scores, intervals and pairs, and choose the samples to show.

    Args:
        run: The files in the run's folder.
        test: The test samples.
        training: Labels of the training rows, see `TestedSamples`, integers (N, L).
        thresholds: Calibrated probability from which each label is predicted, float64 (L,).
        fitted: What the baseline says of the test samples.
        texts: A function from indices of test samples to their texts.
        groups: Group of each label.
        split_sizes: Numbers of rows and of different samples in each part of the table, see `part_sizes`.
        unknown: int64 (L,), training samples of which it is not known whether they have each label.
        changed_data: Whether the training samples differ from those of the checkpoint.
        resamples: As of `compare_labels`.
    """
    counts = numpy.array(run.task.class_counts)
    ours = LabelPredictions(test.scores, test.predicted)
    theirs = LabelPredictions(fitted.predicted, fitted.predicted > 0.5)
    alarms, misses = find_errors(test.labels, test.predicted, test.probabilities, counts > 0, test.samples)
    return LabelData(
        run=run,
        split_sizes=split_sizes,
        groups=groups,
        unknown=unknown,
        thresholds=numpy.where(counts > 0, thresholds, numpy.nan),
        test=test,
        fitted=fitted,
        comparison=compare_labels(test.labels, ours, theirs, test.samples, counts, groups, resamples),
        coverage=None
        if test.members is None
        else label_coverage(test.members, test.labels, counts, groups, test.samples, resamples),
        pairs=compare_pairs(training, test.predicted, counts),
        alarms=alarms,
        misses=misses,
        texts=texts(sorted({error.sample for error in (*alarms, *misses)})),
        changed_data=changed_data,
    )
