"""Reports each recluster to the log, the loggers and the run's folder."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import lightning
import polars
import torch
from lightning.pytorch.loggers import CSVLogger, Logger

from base.atomic_file import write_csv
from modules.drug_classifier import DrugClassifier
from modules.evaluation.class_means_file import ClassMeans, class_means, write_class_means
from modules.reclustering import ReclusterResult

_log = logging.getLogger("tailmol")

Panels = Callable[[Sequence[Logger], ClassMeans, Sequence[str], Mapping[str, Sequence[Any]], int], None]
"""A function that logs panels, given loggers, class means, class names, columns by name and the step."""


class ReclusterReport(lightning.Callback):
    """Reports each recluster to the log, the loggers, `class_weights.csv` and a file of class means.

    Attributes:
        history: The rows of `class_weights.csv` so far.
    """

    def __init__(self, panels: Panels | None = None) -> None:
        """Create the callback.

        Args:
            panels: Logs panels after each recluster, on the first process; None logs no panels.
        """
        self.panels = panels
        self.history: list[dict[str, Any]] = []

    def state_dict(self) -> dict[str, Any]:
        """The history, for the checkpoint."""
        return {"history": self.history}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the history of a resumed run."""
        self.history = list(state_dict["history"])

    def on_recluster(
        self,
        trainer: lightning.Trainer,
        model: DrugClassifier,
        found: ReclusterResult,
        embedding_seconds: float,
        seconds: float,
    ) -> None:
        """Called after each recluster; see `callbacks.recluster.ReclusterListener`."""
        columns = _columns(found)
        self._extend_history(trainer.current_epoch, model, columns)
        _log_line(trainer.current_epoch, model, found, seconds)
        _log_metrics(trainer, model, found, embedding_seconds, seconds)
        if trainer.is_global_zero:
            assert model.task is not None
            folder = Path(trainer.default_root_dir)
            write_csv(polars.DataFrame(self.history), folder / "class_weights.csv")
            means = class_means(found.subclusters, len(found.weights), trainer.current_epoch)
            write_class_means(means, folder)
            if self.panels is not None:
                listed = {"training_samples": model.class_state.counts.tolist(), **columns}
                self.panels(trainer.loggers, means, model.task.classes, listed, trainer.global_step)

    def _extend_history(self, epoch: int, model: DrugClassifier, columns: Mapping[str, Sequence[Any]]) -> None:
        assert model.task is not None
        rows = zip(*columns.values(), strict=True)
        for name, count, row in zip(model.task.classes, model.class_state.counts.tolist(), rows, strict=True):
            start = {"epoch": epoch, "class": name, "training_samples": count}
            self.history.append(start | dict(zip(columns, row, strict=True)))


def _columns(found: ReclusterResult) -> dict[str, list[Any]]:
    """Results of the recluster for each class, by column name."""
    columns = {
        "subclusters": found.per_class,
        "temperature": found.temperatures,
        "class_distance": found.class_distance,
        "subcluster_distance": found.subcluster_distance,
        "difficulty": found.difficulty,
        "weight": found.weights,
    }
    return {name: column.tolist() for name, column in columns.items()}


def _log_line(epoch: int, model: DrugClassifier, found: ReclusterResult, seconds: float) -> None:
    sizes = torch.bincount(found.subclusters.ids)
    least, most = int(sizes.min()), int(sizes.max())
    between = f"{least} to {most}" if least < most else f"{most}"
    moved = (
        "" if math.isnan(found.moved) else f"; {found.moved:.1%} of the samples in divided classes changed sub-cluster"
    )
    _log.info(
        f"Epoch {epoch}: {len(sizes):,} sub-clusters of {between} samples{moved}; "
        f"{_describe_weights(found, model)}; {seconds:.1f} s."
    )


def _log_metrics(
    trainer: lightning.Trainer, model: DrugClassifier, found: ReclusterResult, embedding_seconds: float, seconds: float
) -> None:
    assert model.task is not None
    sizes, weights = torch.bincount(found.subclusters.ids), found.weights
    distances = found.class_distance[torch.isfinite(found.class_distance)]
    present = weights[weights > 0]
    values = {
        "recluster/subclusters": float(len(sizes)),
        "recluster/smallest": float(sizes.min()),
        "recluster/largest": float(sizes.max()),
        "recluster/class_distance_mean": float(distances.mean()) if len(distances) else float("nan"),
        "recluster/moved": found.moved,
        "recluster/weight_ratio": float(present.max() / present.min()),
        "recluster/embedding_seconds": embedding_seconds,
        "recluster/seconds": seconds,
    }
    pairs = zip(model.task.classes, weights.tolist(), strict=True)
    per_class = {f"class_weight/{name}": weight for name, weight in pairs}
    for logger in trainer.loggers:
        # `class_weights.csv` holds them, and `metrics.csv` would get a column for each class.
        own = {} if isinstance(logger, CSVLogger) else per_class
        logger.log_metrics({**values, **own, "epoch": float(trainer.current_epoch)}, step=trainer.global_step)


def _describe_weights(found: ReclusterResult, model: DrugClassifier) -> str:
    """The heaviest and the lightest class, each with its recall at the last validation."""
    assert model.task is not None
    weights = found.weights.cpu()
    present = (weights > 0).nonzero().squeeze(1)
    order = present[weights[present].argsort(descending=True, stable=True)].tolist()
    if float(weights[order[0]]) == float(weights[order[-1]]):
        return "all classes have the same weight"
    texts = []
    for kind, code in (("heaviest", order[0]), ("lightest", order[-1])):
        recall = float("nan") if model.validation_recall is None else float(model.validation_recall[code])
        shown = "" if math.isnan(recall) else f", validation recall {recall:.2f}"
        texts.append(f"{kind} class {model.task.classes[code]} (weight {float(weights[code]):.3g}{shown})")
    return ", ".join(texts)
