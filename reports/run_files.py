"""What a run's folder says: settings, times, class weights and class means of its reclusters, rejected rows."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars
from numpy.typing import NDArray

from base.errors import InputError
from datamodules.drug_task import DrugTask
from modules.evaluation.class_means_file import CLASS_MEANS, ClassMeans, read_class_means

REJECTED_SHOWN = 200


@dataclass(frozen=True)
class ClassWeights:
    """The class weights of R reclusters.

    Attributes:
        epochs: int64 (R,).
        weights: float64 (R, C).
    """

    epochs: NDArray[Any]
    weights: NDArray[Any]


@dataclass(frozen=True)
class Times:
    """How long the phases of a run took, in seconds; None where the folder does not say.

    Attributes:
        epochs: Training epochs that were logged.
        reclusters: Reclusters that were logged.
        recluster: All reclusters together.
        embedding: The part of these that embedded the training set.
        whole: Training and test, by the times of the run's files.
    """

    epochs: int
    reclusters: int
    recluster: float | None
    embedding: float | None
    whole: float | None


@dataclass(frozen=True)
class Rejected:
    """Rows that could not be used.

    Attributes:
        total: How many.
        columns: Of `rejected.csv`.
        rows: The first `REJECTED_SHOWN`, as text.
    """

    total: int
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class RunFiles:
    """What was read from a run's folder.

    Attributes:
        folder: The run's.
        checkpoint: What is reported on.
        settings: Of the run, as plain types.
        task: What the model knows of its data.
        weights: Of the reclusters; None without any.
        class_means: Of each recluster, by epoch.
        times: Of the phases.
        rejected: Rows that could not be used.
        test_metrics: `test_metrics.json`; empty where there is none.
    """

    folder: Path
    checkpoint: Path
    settings: dict[str, Any]
    task: DrugTask
    weights: ClassWeights | None
    class_means: tuple[ClassMeans, ...]
    times: Times
    rejected: Rejected
    test_metrics: dict[str, float | None]

    @property
    def name(self) -> str:
        """The last two parts of the folder's path."""
        return "/".join(self.folder.resolve().parts[-2:])


def read_run(path: Path) -> RunFiles:
    """Read what a run wrote.

    Args:
        path: A run's folder, or one of its checkpoints; of a folder the best checkpoint is taken.

    Raises:
        InputError: If there is no such path, or no whole checkpoint in it.
    """
    from modules.checkpoint_file import read_checkpoint

    if not path.exists():
        raise InputError(f"RUN: there is no '{path}'; expected the folder of a run, or a checkpoint.")
    checkpoint = path / "checkpoints" / "best.ckpt" if path.is_dir() else path
    if not checkpoint.is_file():
        raise InputError(f"RUN: {path} has no checkpoints/best.ckpt; expected the folder of a run that was validated.")
    parent = checkpoint.resolve().parent
    folder = path if path.is_dir() else parent.parent if parent.name == "checkpoints" else parent
    saved = read_checkpoint(checkpoint)
    metrics = folder / "test_metrics.json"
    return RunFiles(
        folder=folder,
        checkpoint=checkpoint,
        settings=saved.settings,
        task=saved.task,
        weights=read_class_weights(folder / "class_weights.csv", saved.task.classes),
        class_means=read_class_means(folder, saved.task.num_classes),
        times=read_times(folder),
        rejected=read_rejected(folder / "rejected.csv"),
        test_metrics=json.loads(metrics.read_text()) if metrics.is_file() else {},
    )


def read_class_weights(path: Path, classes: tuple[str, ...]) -> ClassWeights | None:
    """Read `class_weights.csv`.

    Args:
        path: The file; it need not be there.
        classes: C labels, in the order of the class codes.

    Raises:
        InputError: If the file is of other classes.
    """
    if not path.is_file():
        return None
    frame = polars.read_csv(path, schema_overrides={"class": polars.String, "weight": polars.Float64})
    epochs = frame["epoch"].unique(maintain_order=True).to_numpy()
    if len(frame) != len(epochs) * len(classes) or frame["class"].head(len(classes)).to_list() != list(classes):
        raise InputError(f"RUN: {path} is of other classes than the checkpoint; expected files of one run.")
    return ClassWeights(epochs, frame["weight"].to_numpy().reshape(len(epochs), len(classes)))


def read_times(folder: Path) -> Times:
    """How long the phases took, from `metrics.csv` and the times of files."""
    frame = polars.DataFrame()
    if (folder / "metrics.csv").is_file():
        frame = polars.read_csv(folder / "metrics.csv", infer_schema_length=None)

    def column(name: str) -> polars.Series:
        found = frame[name] if name in frame.columns else polars.Series(name, [], polars.Float64)
        return found.drop_nulls().cast(polars.Float64)

    seconds, embedding = column("recluster/seconds"), column("recluster/embedding_seconds")
    trained = frame.filter(polars.col("train/loss").is_not_null()) if "train/loss" in frame.columns else frame[:0]
    whole = _whole_time(folder, float(seconds.sum()))
    return Times(
        epochs=trained["epoch"].n_unique() if len(trained) else 0,
        reclusters=len(seconds),
        recluster=float(seconds.sum()) if len(seconds) else None,
        embedding=float(embedding.sum()) if len(embedding) else None,
        whole=whole,
    )


def _whole_time(folder: Path, least: float) -> float | None:
    """Seconds from `splits.csv`, which a run writes first, to `metrics.csv`, which it writes last.

    None where file times cannot be the run's: of a resumed run, which writes `splits.csv` again, and of a copy.
    """
    first, last = folder / "splits.csv", folder / "metrics.csv"
    if not (first.is_file() and last.is_file()):
        return None
    start = first.stat().st_mtime
    between = [*folder.glob(f"{CLASS_MEANS}/*.npz"), *folder.glob("checkpoints/best.ckpt")]
    whole = last.stat().st_mtime - start
    return whole if whole > least and all(path.stat().st_mtime >= start for path in between) else None


def read_rejected(path: Path) -> Rejected:
    """The first rows of `rejected.csv`, which need not be there, and how many it has."""
    if not path.is_file():
        return Rejected(0, (), ())
    frame = polars.read_csv(path, infer_schema=False)
    shown = frame.head(REJECTED_SHOWN).fill_null("")
    return Rejected(len(frame), tuple(frame.columns), tuple(shown.rows()))
