"""A made run with any number of labels, of which a report can be built without training."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy
import polars
from numpy.typing import NDArray

from datamodules.tables.label_sets import LabelSets
from reports.analysis.baseline_fit import FittedBaseline
from reports.analysis.class_scores import class_groups
from reports.analysis.learning_curves import LOSS, PRECISIONS, LearningCurve
from reports.label_data import LabelData, TestedSamples, assemble_labels
from reports.run_files import RunFiles
from tests.reports.made_run import made_run, made_texts


def made_labels(rows: int, num_labels: int, seed: int) -> NDArray[Any]:
    """Long-tailed labels, (rows, L), of which a fifth is not known; the last one is known to be absent everywhere."""
    generator = numpy.random.default_rng(seed)
    shares = 0.4 / numpy.arange(1, num_labels + 1) ** 0.7
    labels = (generator.random((rows, num_labels)) < shares).astype(int)
    labels[generator.random(labels.shape) < 0.2] = -1
    labels[:, -1] = 0
    return labels


def made_scores(labels: NDArray[Any], help_: float, seed: int) -> NDArray[Any]:
    """Probabilities that are higher, by `help_`, where a label is present."""
    noise = numpy.random.default_rng(seed).random(labels.shape)
    scores: NDArray[Any] = ((noise + help_ * (labels == 1)) / (1 + help_)).astype(numpy.float32)
    return scores


def made_label_report(num_labels: int, rows: int, folder: Path, suffix: str = "", resamples: int = 50) -> LabelData:
    """A report of a made run, a fifth of whose rows are for testing.

    The last but one label has no training samples, and the last one no test samples with it.

    Args:
        num_labels: Number of labels L, three or more.
        rows: Training and test rows, about.
        folder: The run's.
        suffix: End of the name of each label.
        resamples: Of the test samples.
    """
    training, tested = made_labels(rows * 4 // 5, num_labels, 1), made_labels(rows // 5, num_labels, 2)
    training[:3, -1] = 1
    training[:, -2] = numpy.where(training[:, -2] == 1, -1, training[:, -2])
    tested[:2, -2] = 1
    counts = (training == 1).sum(axis=0)
    run = made_run(counts, folder, 0)
    names = tuple(f"{name}{suffix}" for name in run.task.classes)
    known = tuple((training >= 0).sum(axis=0).tolist())
    epochs = numpy.arange(20)
    learning = LearningCurve(dict.fromkeys((LOSS, *PRECISIONS), (epochs, 1 - 0.9**epochs)), 18)
    run = replace(run, task=replace(run.task, classes=names, known_counts=known), curves=(learning,), weights=None)
    probabilities = made_scores(tested, 0.3, 3)
    samples = numpy.arange(len(tested)) // 2 * 2
    test = TestedSamples(
        samples,
        tested,
        (probabilities > 0.7) & (counts > 0),
        probabilities,
        probabilities,
        len(tested),
        (probabilities > 0.3) & (counts > 0),
    )
    fitted = FittedBaseline("Morgan counts", made_scores(tested, 0.1, 4).astype(float), len(training), len(training), 1)
    return assemble_labels(
        run,
        test,
        training,
        numpy.full(num_labels, 0.7),
        fitted,
        made_texts,
        groups=class_groups(counts.tolist(), 0.3, 0.3),
        split_sizes={"train": (len(training), len(training)), "test": (len(tested), len(numpy.unique(samples)))},
        unknown=len(training) - numpy.array(known),
        resamples=resamples,
    )


def made_label_runs(folder: Path, labels: NDArray[Any], *scores: NDArray[Any], suffix: str = "") -> list[RunFiles]:
    """Runs that were tested on the same rows, of which two after each other are the same drug.

    The first run has no reclusters. Labels are predicted above a probability of 0.6; of 60 training samples with the
    first one, each next label has its share.

    Args:
        folder: Folder of their folders.
        labels: 1 the sample has the label, 0 it does not, -1 not known, (n, L).
        *scores: Probabilities of each run, (n, L).
        suffix: End of the name of each label.
    """
    runs = []
    counts = 60 // numpy.arange(1, labels.shape[1] + 1)
    for place, shares in enumerate(scores):
        run = made_run(counts, folder / f"{'abc'[place]}/version_0", 2 if place else 0)
        names = tuple(f"{name}{suffix}" for name in run.task.classes)
        unknown = LabelSets(names, (labels < 0).astype(numpy.int8)).joined()
        columns = {
            "row": polars.Series(range(1, len(labels) + 1)),
            "smiles": polars.Series(["C" * (row // 2 + 1) for row in range(len(labels))]),
            "true_labels": LabelSets(names, labels.astype(numpy.int8)).joined(),
            "unknown_labels": unknown.set(unknown == "none", None),
            "predicted_labels": LabelSets(names, (shares > 0.6).astype(numpy.int8)).joined(),
            **{f"p/{name}": polars.Series(shares[:, label]).cast(polars.String) for label, name in enumerate(names)},
            "split": polars.Series(["test"] * len(labels)),
        }
        task = replace(run.task, classes=names, known_counts=(100,) * len(names))
        metrics: dict[str, float | None] = {"test/average_precision": 0.25, "test/micro_f1": 0.5}
        runs.append(replace(run, task=task, predictions=polars.DataFrame(columns), metrics=metrics))
    return runs
