"""What a recluster found, and where it is told."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning
import polars
import torch
from lightning.pytorch.loggers import WandbLogger
from torch import Tensor

from base.atomic_file import write_csv
from modules.drug_classifier import DrugClassifier
from modules.evaluation.class_means_file import ClassMeans, write_class_means
from modules.subclusters import Subclusters
from reports.wandb_panels import log_recluster_panels

_log = logging.getLogger("tailmol")


@dataclass(frozen=True)
class ReclusterResult:
    """What a recluster found.

    Attributes:
        subclusters: Of the samples that were clustered.
        per_class: Sub-clusters of each class, int64 (C,).
        temperatures: fp32 (C,).
        class_distance: From each class to its nearest rival, fp32 (C,).
        subcluster_distance: The same between sub-clusters, fp32 (C,).
        difficulty: What the weights follow from, larger for a harder class, fp32 (C,).
        weights: fp32 (C,).
        moved: Share of samples that left their sub-cluster; NaN the first time.
    """

    subclusters: Subclusters
    per_class: Tensor
    temperatures: Tensor
    class_distance: Tensor
    subcluster_distance: Tensor
    difficulty: Tensor
    weights: Tensor
    moved: float


def report_recluster(
    trainer: lightning.Trainer,
    model: DrugClassifier,
    found: ReclusterResult,
    history: list[dict[str, Any]],
    embedding_seconds: float,
    seconds: float,
) -> None:
    """Write a recluster to the log, the loggers, `class_weights.csv` and a file of class means.

    Args:
        trainer: Names folder, epoch and loggers.
        model: Names classes and recalls.
        found: What the recluster found.
        history: The rows of `class_weights.csv` so far; those of this recluster are added.
        embedding_seconds: How long the embedding took.
        seconds: How long all of it took.
    """
    assert model.task is not None
    epoch, sizes, weights = trainer.current_epoch, torch.bincount(found.subclusters.ids), found.weights
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
    moved = "" if math.isnan(found.moved) else f"; {found.moved:.1%} of the samples of divided classes moved"
    _log.info(
        f"Epoch {epoch}: {len(sizes):,} sub-clusters of {sizes.min()} to {sizes.max()} samples{moved}; "
        f"{_describe_weights(found, model)}; {seconds:.1f} s."
    )
    columns = {
        "subclusters": found.per_class,
        "temperature": found.temperatures,
        "class_distance": found.class_distance,
        "subcluster_distance": found.subcluster_distance,
        "difficulty": found.difficulty,
        "weight": weights,
    }
    rows = zip(*(column.tolist() for column in columns.values()), strict=True)
    for name, count, row in zip(model.task.classes, model.class_counts.tolist(), rows, strict=True):
        start = {"epoch": epoch, "class": name, "training_samples": count}
        history.append(start | dict(zip(columns, row, strict=True)))
    for logger in trainer.loggers:
        per_class = {}
        if isinstance(logger, WandbLogger):
            pairs = zip(model.task.classes, weights.tolist(), strict=True)
            per_class = {f"class_weight/{name}": weight for name, weight in pairs}
        logger.log_metrics(values | per_class | {"epoch": float(epoch)}, step=trainer.global_step)
    if trainer.is_global_zero:
        folder = Path(trainer.default_root_dir)
        write_csv(polars.DataFrame(history), folder / "class_weights.csv")
        means = class_means(found.subclusters, len(weights), epoch)
        write_class_means(means, folder)
        listed = {"training_samples": model.class_counts.tolist()} | {
            name: column.tolist() for name, column in columns.items()
        }
        log_recluster_panels(trainer.loggers, means, model.task.classes, listed, trainer.global_step)


def class_means(subclusters: Subclusters, num_classes: int, epoch: int) -> ClassMeans:
    """Where the classes lie: of the samples that were clustered, the mean of a class's sub-clusters by their sizes.

    Args:
        subclusters: What was found.
        num_classes: Number of classes C; the mean of one without samples is 0.
        epoch: Before which the recluster was.
    """
    class_of, centroids = subclusters.class_of.cpu(), subclusters.centroids.float().cpu()
    sizes = torch.bincount(subclusters.ids, minlength=len(class_of)).cpu()
    samples = torch.zeros(num_classes, dtype=torch.int64).index_add_(0, class_of, sizes)
    sums = torch.zeros(num_classes, centroids.shape[1]).index_add_(0, class_of, centroids * sizes.unsqueeze(1))
    return ClassMeans(epoch, (sums / samples.clamp(min=1).unsqueeze(1)).numpy(), samples.numpy())


def _describe_weights(found: ReclusterResult, model: DrugClassifier) -> str:
    """The heaviest and the lightest class, each with its recall at the last validation."""
    assert model.task is not None
    weights = found.weights.cpu()
    present = (weights > 0).nonzero().squeeze(1)
    order = present[weights[present].argsort(descending=True, stable=True)].tolist()
    if float(weights[order[0]]) == float(weights[order[-1]]):
        return "all classes weigh alike"
    texts = []
    for kind, code in (("heaviest", order[0]), ("lightest", order[-1])):
        recall = float("nan") if model.validation_recall is None else float(model.validation_recall[code])
        shown = "" if math.isnan(recall) else f", validation recall {recall:.2f}"
        texts.append(f"{kind} class {model.task.classes[code]} (weight {float(weights[code]):.3g}{shown})")
    return ", ".join(texts)
