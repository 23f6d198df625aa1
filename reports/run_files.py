"""The files of a run: settings, times, class weights and class means of its reclusters, and rejected rows."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any

import polars
from numpy.typing import NDArray

from base.errors import InputError
from datamodules.drug_task import DrugTask
from modules.evaluation.class_means_file import CLASS_MEANS, ClassMeans, read_class_means
from modules.run_layout import (
    BEST,
    CHECKPOINTS,
    TEST_METRICS,
    TEST_PREDICTIONS,
    best_checkpoint,
    final_checkpoint,
    folder_of,
    is_best,
)
from reports.analysis.learning_curves import LearningCurve, read_curve

if TYPE_CHECKING:
    from modules.checkpoint_file import Checkpoint

REJECTED_SHOWN = 200
"""Largest number of rejected rows to read."""


@dataclass(frozen=True)
class ClassWeights:
    """The class weights of R reclusters.

    Attributes:
        epochs: int64 (R,), epoch of each recluster.
        weights: float64 (R, C), weight of each class.
    """

    epochs: NDArray[Any]
    weights: NDArray[Any]


@dataclass(frozen=True)
class Times:
    """Durations of the phases of a run in seconds; None if unknown.

    Attributes:
        epochs: Number of logged training epochs.
        reclusters: Number of logged reclusters.
        recluster: Duration of all reclusters.
        embedding: The part of it that was spent on embedding the training set.
        total: Duration of training and testing, from the modification times of the run's files.
    """

    epochs: int
    reclusters: int
    recluster: float | None
    embedding: float | None
    total: float | None


@dataclass(frozen=True)
class Rejected:
    """Rows of the table that could not be used.

    Attributes:
        total: Number of rejected rows.
        columns: Column names of `rejected.csv`.
        rows: The first `REJECTED_SHOWN` rows, as text.
    """

    total: int
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class RunFiles:
    """The contents of a run's folder.

    Attributes:
        folder: Folder of the run.
        checkpoint: The checkpoint to report on.
        settings: Settings of the run, as plain types.
        task: Classes and features that the model was trained on.
        weights: Class weights of the reclusters; None without reclusters.
        class_means: Class means of each recluster, by epoch.
        times: Durations of the phases.
        rejected: Rows of the table that could not be used.
        metrics: Test metrics from `test_metrics.json`, by name; empty without that file.
        objective: Objective that chose the decision of the checkpoint.
        tested_objective: Objective of the decision that `metrics` and `predictions` are of, if another one was chosen
            since; None if they are of the decision of the checkpoint.
        final: Checkpoint of the refit of the run; None without a refit.
        curves: Learning curves of the run, or of each member of an ensemble; empty without `metrics.csv`.
        predictions: `test_predictions.csv`; None without that file.
        levels: Accuracy on each level of applicability, see `accuracy_by_level`; empty without the file of them, and
            if another decision was chosen since.
    """

    folder: Path
    checkpoint: Path
    settings: dict[str, Any]
    task: DrugTask
    weights: ClassWeights | None
    class_means: tuple[ClassMeans, ...]
    times: Times
    rejected: Rejected
    metrics: dict[str, float | None]
    objective: str = "as_trained"
    tested_objective: str | None = None
    final: Path | None = None
    curves: tuple[LearningCurve, ...] = ()
    predictions: polars.DataFrame | None = None
    levels: tuple[dict[str, Any], ...] = ()

    @property
    def name(self) -> str:
        """The last two parts of the folder's path, such as `hiv/version_0`."""
        return "/".join(self.folder.resolve().parts[-2:])

    @property
    def quoted(self) -> str:
        """The folder's path as one word of a shell command."""
        return quote(str(self.folder))


def read_run(path: Path) -> RunFiles:
    """Read the files of a run.

    Args:
        path: Folder of a run, whose best checkpoint is taken, or one of its checkpoints.

    Raises:
        InputError: If there is no such path, or it has no valid checkpoint.
    """
    from modules.checkpoint_file import read_checkpoint
    from modules.level_accuracy import LEVELS_FILE

    if not path.exists():
        raise InputError(f"RUN: expected the folder of a run or a checkpoint, got {str(path)!r}, which does not exist.")
    checkpoint = best_checkpoint(path) if path.is_dir() else path
    if not checkpoint.is_file():
        raise InputError(f"RUN: expected a folder with checkpoints/best.ckpt, got {str(path)!r}.")
    folder = path if path.is_dir() else folder_of(checkpoint) or checkpoint.resolve().parent
    saved = read_checkpoint(checkpoint, "RUN")
    if saved.is_refit:
        raise InputError(
            f"RUN: expected a checkpoint that was tested, got {checkpoint}, which was trained on all rows; best.ckpt "
            "beside it was tested."
        )
    for section in ("model", "data"):
        if not isinstance(saved.settings.get(section), dict):
            raise InputError(f"RUN: expected settings of {section} in {checkpoint}, got none.")
    tested = _tested_objective(saved)
    metrics_file, levels_file = folder / TEST_METRICS, folder / LEVELS_FILE
    # Accuracies by level are those of the decision and the checkpoint that were tested.
    has_levels = tested is None and is_best(checkpoint, folder) and levels_file.is_file()
    return RunFiles(
        folder=folder,
        checkpoint=checkpoint,
        settings=saved.settings,
        task=saved.task,
        weights=read_class_weights(folder / "class_weights.csv", saved.task.classes),
        class_means=read_class_means(folder, saved.task.num_classes),
        times=read_times(folder),
        rejected=read_rejected(folder / "rejected.csv"),
        metrics=json.loads(metrics_file.read_text()) if metrics_file.is_file() else {},
        objective=str(saved.decision.get("objective", "as_trained")),
        tested_objective=tested,
        final=final_checkpoint(checkpoint),
        curves=_read_curves(folder, saved),
        predictions=_read_predictions(folder / TEST_PREDICTIONS),
        levels=tuple(json.loads(levels_file.read_text())["levels"]) if has_levels else (),
    )


def _tested_objective(saved: Checkpoint) -> str | None:
    """Objective of the decision of the test, which is that of the settings, if the checkpoint has another decision."""
    from modules.decisions.settings import DecisionSettings

    settings = {**asdict(DecisionSettings()), **(saved.settings.get("decision") or {})}
    # A member of an ensemble is tested before its decision is chosen.
    return str(settings["objective"]) if saved.decision not in ({}, settings) else None


def _read_curves(folder: Path, saved: Checkpoint) -> tuple[LearningCurve, ...]:
    from modules.checkpoint_file import read_checkpoint

    own = read_curve(folder / "metrics.csv", saved.epoch)
    if own is not None:
        return (own,)
    members = sorted(folder.glob(f"folds/*/{CHECKPOINTS}/{BEST}"), key=lambda path: (len(str(path)), path))
    found = (read_curve(one.parents[1] / "metrics.csv", read_checkpoint(one, "RUN").epoch) for one in members)
    return tuple(curve for curve in found if curve is not None)


def _read_predictions(path: Path) -> polars.DataFrame | None:
    """`test_predictions.csv`, of which all but the numbers is text; None without that file."""
    if not path.is_file():
        return None
    numbers = {"row": polars.Int64, "probability": polars.Float64, "calibrated_probability": polars.Float64}
    frame = polars.read_csv(path, infer_schema=False)
    # Predictions of several labels have a column of probabilities for each label instead.
    return frame.with_columns(polars.col(name).cast(kind) for name, kind in numbers.items() if name in frame.columns)


def read_class_weights(path: Path, classes: tuple[str, ...]) -> ClassWeights | None:
    """Read `class_weights.csv`.

    Args:
        path: The file.
        classes: C labels, in the order of the class codes.

    Returns:
        The weights; None without the file.

    Raises:
        InputError: If the file has other classes.
    """
    if not path.is_file():
        return None
    frame = polars.read_csv(path, schema_overrides={"class": polars.String, "weight": polars.Float64})
    epochs = frame["epoch"].unique(maintain_order=True).to_numpy()
    if len(frame) != len(epochs) * len(classes) or frame["class"].head(len(classes)).to_list() != list(classes):
        raise InputError(f"RUN: expected the classes of the checkpoint in {path}, got others.")
    return ClassWeights(epochs, frame["weight"].to_numpy().reshape(len(epochs), len(classes)))


def read_times(folder: Path) -> Times:
    """Durations of the phases of a run, from `metrics.csv` and the modification times of files."""
    frame = polars.DataFrame()
    if (folder / "metrics.csv").is_file():
        frame = polars.read_csv(folder / "metrics.csv", infer_schema_length=None)

    def column(name: str) -> polars.Series:
        found = frame[name] if name in frame.columns else polars.Series(name, [], polars.Float64)
        return found.drop_nulls().cast(polars.Float64)

    seconds, embedding = column("recluster/seconds"), column("recluster/embedding_seconds")
    trained = frame.filter(polars.col("train/loss").is_not_null()) if "train/loss" in frame.columns else frame[:0]
    total = _total_time(folder, float(seconds.sum()))
    return Times(
        epochs=trained["epoch"].n_unique() if len(trained) else 0,
        reclusters=len(seconds),
        recluster=float(seconds.sum()) if len(seconds) else None,
        embedding=float(embedding.sum()) if len(embedding) else None,
        total=total,
    )


def _total_time(folder: Path, least: float) -> float | None:
    """Seconds from `splits.csv`, the first file of a run, to `metrics.csv`, the last one.

    None where the modification times do not belong to one uninterrupted run: after resuming, which writes `splits.csv`
    again, and in a copy of the folder.
    """
    first, last = folder / "splits.csv", folder / "metrics.csv"
    if not (first.is_file() and last.is_file()):
        return None
    start = first.stat().st_mtime
    between = [*folder.glob(f"{CLASS_MEANS}/*.npz"), *folder.glob(f"{CHECKPOINTS}/{BEST}")]
    total = last.stat().st_mtime - start
    return total if total > least and all(path.stat().st_mtime >= start for path in between) else None


def read_rejected(path: Path) -> Rejected:
    """The first rows of `rejected.csv` and their number; none without that file."""
    if not path.is_file():
        return Rejected(0, (), ())
    frame = polars.read_csv(path, infer_schema=False)
    shown = frame.head(REJECTED_SHOWN).fill_null("")
    return Rejected(len(frame), tuple(frame.columns), tuple(shown.rows()))
