"""A made run of any size, of which a report can be built without training."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy
import polars
from numpy.typing import NDArray

from base.stratified import draw_stratified
from datamodules.chemistry.molecule_features import FeatureSettings
from datamodules.drug_task import DrugTask
from modules.evaluation.class_means_file import ClassMeans
from reports.analysis.baseline_fit import FittedBaseline
from reports.analysis.class_scores import class_groups
from reports.analysis.decision_curve import OBJECTIVES, DecisionCurve, DecisionPoint
from reports.analysis.learning_curves import ACCURACIES, LOSS, LearningCurve
from reports.analysis.set_coverage import SetCoverage, set_coverage
from reports.report_data import POINTS, ReportData, assemble
from reports.run_files import ClassWeights, Rejected, RunFiles, Times
from reports.samples.drawings import draw_molecule
from reports.samples.evaluated import TEST_EVALUATED, TRAINING_EMBEDDED, EvaluatedSamples
from reports.samples.sample_texts import SampleText, SampleTexts

DRUGS = Path(__file__).resolve().parents[2] / "datamodules/datasets/inn_stems/inn_stems.csv"
WIDTH = 64


@cache
def drawn_drugs() -> list[str]:
    """Drawings of real drugs, which made samples take in turns."""
    return [draw_molecule(text) for text in polars.read_csv(DRUGS)["smiles"].to_list()]


def made_texts(places: list[int]) -> SampleTexts:
    """Texts of samples, which take the real drugs in turns."""
    drawings, smiles = drawn_drugs(), polars.read_csv(DRUGS)["smiles"].to_list()
    which = {place: place % len(drawings) for place in places}
    return {place: SampleText(f"drug {place}", [drawings[one]], smiles[one]) for place, one in which.items()}


def made_samples(codes: NDArray[Any], most: int, num_classes: int, seed: int) -> EvaluatedSamples:
    """Samples around a direction for each class; a tenth of the predictions is the next class.

    Args:
        codes: int (n,), classes of the whole split.
        most: How many to draw.
        num_classes: Number of classes C.
        seed: Of directions and predictions.
    """
    generator = numpy.random.default_rng(seed)
    directions = numpy.random.default_rng(0).normal(size=(num_classes, WIDTH))
    places = draw_stratified(codes, most)
    own = codes[places]
    vectors = directions[own] + 0.7 * generator.normal(size=(len(own), WIDTH))
    wrong = generator.random(len(own)) < 0.1
    return EvaluatedSamples(
        total=numpy.bincount(codes, minlength=num_classes),
        rows=places,
        samples=places,
        codes=own,
        predicted=numpy.where(wrong, (own + 1) % num_classes, own),
        confidence=generator.uniform(0.3, 1.0, len(own)).astype(numpy.float32),
        embeddings=(vectors / numpy.linalg.norm(vectors, axis=1, keepdims=True)).astype(numpy.float32),
        subclusters=places % 3,
        logits=numpy.zeros((len(own), 0), dtype=numpy.float32),
        at_prior=own,
    )


def moved(run: RunFiles, folder: Path) -> RunFiles:
    """The same run in another folder."""
    return replace(run, folder=folder, checkpoint=folder / "checkpoints/best.ckpt")


def made_run(counts: NDArray[Any], folder: Path, reclusters: int) -> RunFiles:
    """What the folder of a run with these training counts, int (C,), might say."""
    generator = numpy.random.default_rng(1)
    num_classes = len(counts)
    classes = tuple(f"class {code:04} <b>" for code in range(num_classes))
    start, end = generator.normal(size=(2, num_classes, WIDTH))
    means = []
    for step in range(reclusters):
        points = start + step / max(reclusters - 1, 1) * end
        unit = points / numpy.linalg.norm(points, axis=1, keepdims=True)
        means.append(ClassMeans(5 * step + 5, unit.astype(numpy.float32), counts))
    weights = generator.dirichlet(numpy.full(num_classes, 20.0), reclusters)
    epochs = numpy.array([one.epoch for one in means])
    task = DrugTask("molecule", classes, tuple(counts.tolist()), FeatureSettings(), "digest")
    rows = tuple((str(row), f"SMILES <i>{row}</i>", "cannot be read") for row in range(200))
    settings = {"data": {"source": "made.csv", "split_seed": 3}, "model": MODEL, "seed_everything": 7}
    return RunFiles(
        folder=folder,
        checkpoint=folder / "checkpoints/best.ckpt",
        settings=settings,
        task=task,
        weights=ClassWeights(epochs, weights) if reclusters else None,
        class_means=tuple(means),
        times=Times(12, reclusters, 3.0, 1.0, 240.0),
        rejected=Rejected(1_234, ("row", "text", "reason"), rows),
        metrics={},
        curves=(made_learning(),),
        levels=(
            made_level("high", 0.8, rows=90, right=81, estimated=0.92),
            made_level("medium", 0.5, rows=10, right=6, estimated=0.62),
            made_level("low", 0.0, rows=0, right=0, estimated=None),
        ),
    )


MODEL = {
    "encoder": {"class_path": "modules.encoders.GIN", "init_args": {"hidden_dim": 64}},
    "classification_loss": {"class_path": "modules.losses.CrossEntropyLoss"},
    "contrast": None,
    "groups": {"head_fraction": 0.3, "tail_fraction": 0.3},
}


def made_level(name: str, least: float, rows: int, right: int, estimated: float | None) -> dict[str, Any]:
    """A level of applicability, each of whose rows is another sample."""
    means = {"accuracy": right / rows if rows else None, "estimated": estimated}
    return {"level": name, "at_least": least, "rows": rows, "samples": rows, "right": right, **means}


def made_learning() -> LearningCurve:
    """A loss that falls and accuracies that rise, of which the last epoch but one was kept."""
    epochs = numpy.arange(40)
    rising = 1 - 0.8 * 0.9**epochs
    values = {name: (epochs, level * rising) for name, level in zip(ACCURACIES, (0.8, 0.9, 0.8, 0.7), strict=True)}
    return LearningCurve({LOSS: (epochs, 3 * 0.9**epochs), **values}, 38)


def made_curve() -> DecisionCurve:
    """Head and tail accuracies that add up to 1.4, and all points on the line."""
    strengths = tuple(
        DecisionPoint(f"{step / 10:g}", 0.6 + step / 60, 0.8 - step / 60, 0.7 - (step - 5) ** 2 / 1000)
        for step in range(16)
    )
    names = ("current", "at_prior", *OBJECTIVES)
    points = tuple(replace(strengths[3 * place], name=name) for place, name in enumerate(names[:5]))
    return DecisionCurve(strengths, (*points, replace(strengths[14], name=names[5])))


def made_baseline(test: EvaluatedSamples, num_classes: int, training_rows: int) -> FittedBaseline:
    """Predictions of which every fifth is the next class."""
    wrong = numpy.arange(len(test)) % 5 == 0
    predicted = numpy.where(wrong, (test.codes + 1) % num_classes, test.codes)
    return FittedBaseline("Morgan counts", predicted, training_rows, training_rows, 1)


def made_coverage(test: EvaluatedSamples, counts: NDArray[Any]) -> SetCoverage:
    """Sets of the label and the class after it, but for every tenth sample, whose set is empty."""
    members = numpy.zeros((len(test), len(counts)), dtype=bool)
    full = numpy.flatnonzero(numpy.arange(len(test)) % 10)
    for step in (0, 1):
        members[full, (test.codes[full] + step) % len(counts)] = True
    return set_coverage(members, test.codes, test.total, counts)


def made_report(
    num_classes: int, num_samples: int, folder: Path, reclusters: int = 6, points: int = POINTS
) -> ReportData:
    """A report of a long-tailed made run, a fifth of whose samples are for testing.

    Args:
        num_classes: Number of classes C.
        num_samples: Training and test samples, about.
        folder: The run's.
        reclusters: Of which there are class means and weights.
        points: Of the map.
    """
    shares = 1 / numpy.arange(1, num_classes + 1) ** 0.8
    counts = numpy.maximum(2, (0.8 * num_samples * shares / shares.sum()).astype(int))
    tested = numpy.maximum(1, counts // 4)
    codes = numpy.arange(num_classes)
    training = made_samples(numpy.repeat(codes, counts), TRAINING_EMBEDDED, num_classes, 2)
    test = made_samples(numpy.repeat(codes, tested), TEST_EVALUATED, num_classes, 3)
    return assemble(
        made_run(counts, folder, reclusters),
        training,
        test,
        groups=class_groups(counts.tolist(), 0.3, 0.3),
        split_sizes={
            "train": (int(counts.sum()), int(counts.sum())),
            "validation": (0, 0),
            "test": (int(tested.sum()), int(tested.sum())),
        },
        table_size=(int(counts.sum() + tested.sum()), int(counts.sum() + tested.sum())),
        texts={"train": made_texts, "test": made_texts},
        points=points,
        curve=made_curve(),
        baseline=made_baseline(test, num_classes, int(counts.sum())),
        coverage=made_coverage(test, counts),
    )
