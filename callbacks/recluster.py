"""Sub-clusters, class temperatures and class weights, found anew at epoch boundaries."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import Any, cast

import lightning
import polars
import torch
from lightning.pytorch.loggers import WandbLogger
from torch import Tensor

from datamodules.atomic_file import write_csv
from datamodules.drug_datamodule import DrugDataModule
from modules.class_distances import class_distances, class_temperatures, distance_weights, subcluster_distances
from modules.drug_classifier import DrugClassifier
from modules.spherical_kmeans import Backend
from modules.subclusters import Method, share_moved, subcluster, subclusters_per_class

_log = logging.getLogger("tailmol")


class Recluster(lightning.Callback):
    """Before some epochs, embeds the training set and refills the model's sub-clusters, temperatures and weights.

    The training set is embedded without augmentation, each sample once, shared out over the processes; the first
    process clusters and sends the result to the others.
    """

    def __init__(
        self,
        start_epoch: int | None = 10,
        every_n_epochs: int = 10,
        method: Method = "bounded",
        min_size: int = 10,
        strength: float = 1.0,
        seed: int = 0,
        backend: Backend = "auto",
    ) -> None:
        """Keep the settings.

        Args:
            start_epoch: First epoch to recluster before; null never does.
            every_n_epochs: Epochs from one recluster to the next.
            method: kmeans: as the paper's code; bounded: no sub-cluster larger than the size bound.
            min_size: Least size bound of a sub-cluster; the bound is the smallest class if that is larger.
            strength: How much the distances between classes decide the class weights; 0 weighs all alike.
            seed: Of the clustering.
            backend: What runs kmeans: faiss; torch, on the model's device; auto: faiss unless only torch can use the
                device. bounded runs in torch.

        Raises:
            ValueError: If an epoch is out of range.
        """
        if (start_epoch is not None and start_epoch < 0) or every_n_epochs < 1:
            raise ValueError(
                "start_epoch and every_n_epochs: expected 0 or more and 1 or more, "
                f"got {start_epoch} and {every_n_epochs}."
            )
        self.start_epoch, self.every_n_epochs = start_epoch, every_n_epochs
        self.method, self.min_size, self.strength = method, min_size, strength
        self.seed, self.backend = seed, backend
        self.history: list[dict[str, Any]] = []

    def state_dict(self) -> dict[str, Any]:
        """The class weights found so far, for the checkpoint."""
        return {"history": self.history}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up the class weights found before a run was resumed."""
        self.history = list(state_dict["history"])

    def on_train_epoch_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Recluster if this epoch is due."""
        if self.start_epoch is None or trainer.current_epoch < self.start_epoch:
            return
        if (trainer.current_epoch - self.start_epoch) % self.every_n_epochs == 0:
            assert isinstance(pl_module, DrugClassifier)
            self.recluster(trainer, pl_module)

    def recluster(self, trainer: lightning.Trainer, model: DrugClassifier) -> None:
        """Embed, cluster, measure distances, and fill the model's buffers.

        Args:
            trainer: Runs the model; its data module is a `DrugDataModule`.
            model: Whose buffers are filled.

        Raises:
            ValueError: If an embedding is not finite; the message names the classes.
        """
        start = time.perf_counter()
        embeddings, labels = embed_training_set(trainer, model)
        embedded = time.perf_counter()
        found = self._find(embeddings, labels, model) if trainer.is_global_zero else None
        found = cast("dict[str, Tensor]", trainer.strategy.broadcast(found))
        for name in ("subcluster_ids", "class_temperatures", "class_weights"):
            getattr(model, name).copy_(found[name])
        self._report(trainer, model, found, embedded - start, time.perf_counter() - start)

    def _find(self, embeddings: Tensor, labels: Tensor, model: DrugClassifier) -> dict[str, Tensor]:
        num_classes = model.class_counts.shape[0]
        previous = model.subcluster_ids if model.reclustered else None
        result = subcluster(
            embeddings, labels, num_classes, self.min_size, self.method, self.seed, previous, self.backend
        )
        moved = float("nan") if previous is None else share_moved(previous, result.ids, result.class_of)
        per_class = subclusters_per_class(result.class_of, num_classes)
        distances = class_distances(embeddings, labels, num_classes)
        own_subcluster_distances = subcluster_distances(result.centroids, result.class_of, num_classes)
        found = {
            "subcluster_ids": result.ids,
            "class_temperatures": class_temperatures(embeddings, labels, per_class, model.temperature),
            "class_weights": distance_weights(distances, own_subcluster_distances, self.strength),
            "class_distance": distances,
            "subcluster_distance": own_subcluster_distances,
            "subclusters": per_class,
            "sizes": torch.bincount(result.ids),
            "moved": torch.tensor(moved),
        }
        return {name: value.cpu() for name, value in found.items()}

    def _report(
        self,
        trainer: lightning.Trainer,
        model: DrugClassifier,
        found: dict[str, Tensor],
        embedding_seconds: float,
        seconds: float,
    ) -> None:
        assert model.task is not None
        epoch, sizes, weights = trainer.current_epoch, found["sizes"], found["class_weights"]
        distances = found["class_distance"][torch.isfinite(found["class_distance"])]
        present = weights[weights > 0]
        values = {
            "recluster/subclusters": float(len(sizes)),
            "recluster/smallest": float(sizes.min()),
            "recluster/largest": float(sizes.max()),
            "recluster/class_distance_mean": float(distances.mean()) if len(distances) else float("nan"),
            "recluster/moved": float(found["moved"]),
            "recluster/weight_ratio": float(present.max() / present.min()),
            "recluster/embedding_seconds": embedding_seconds,
            "recluster/seconds": seconds,
        }
        moved = "" if found["moved"].isnan() else f"; {found['moved']:.1%} of the samples of divided classes moved"
        _log.info(
            f"Epoch {epoch}: {len(sizes):,} sub-clusters of {sizes.min()} to {sizes.max()} samples{moved}; class "
            f"weights {present.min():.2g} to {present.max():.2g}; {seconds:.1f} s."
        )
        for code, name in enumerate(model.task.classes):
            row = {"epoch": epoch, "class": name, "training_samples": int(model.class_counts[code])}
            columns = {
                "subclusters": "subclusters",
                "temperature": "class_temperatures",
                "class_distance": "class_distance",
                "subcluster_distance": "subcluster_distance",
                "weight": "class_weights",
            }
            self.history.append(row | {name: found[column][code].item() for name, column in columns.items()})
        for logger in trainer.loggers:
            per_class = {}
            if isinstance(logger, WandbLogger):
                pairs = zip(model.task.classes, weights.tolist(), strict=True)
                per_class = {f"class_weight/{name}": weight for name, weight in pairs}
            logger.log_metrics(values | per_class | {"epoch": float(epoch)}, step=trainer.global_step)
        if trainer.is_global_zero:
            write_csv(polars.DataFrame(self.history), Path(trainer.default_root_dir) / "class_weights.csv")


def embed_training_set(trainer: lightning.Trainer, model: DrugClassifier) -> tuple[Tensor, Tensor]:
    """Embeddings and labels of all training samples, in order, on every process.

    Each process embeds its share; shares may differ in size.

    Args:
        trainer: Its data module is a `DrugDataModule`.
        model: Embeds; its mode is as before afterwards.

    Returns:
        (N, d) float32 embeddings and (N,) int64 labels, on the model's device.

    Raises:
        RuntimeError: If a sample was embedded more than once or not at all.
    """
    from tqdm import tqdm

    data = cast(DrugDataModule, trainer.datamodule)  # type: ignore[attr-defined]
    was_training = model.training
    if trainer.world_size > 1:
        # Batch norm's statistics differ between processes until the next validation.
        for buffer in model.buffers():
            torch.distributed.broadcast(buffer, 0)
    model.eval()
    rows: list[tuple[Tensor, Tensor, Tensor]] = []
    # None: no bar where there is no terminal.
    quiet = None if trainer.is_global_zero else True
    loader = tqdm(data.train_embedding_dataloader(), desc="Embedding", delay=2, leave=False, disable=quiet)
    with torch.no_grad(), trainer.precision_plugin.forward_context():
        for batch in loader:
            batch = trainer.strategy.batch_to_device(batch)
            rows.append((batch.sample_index, model.embed(batch).float(), batch.labels))
    model.train(was_training)
    index, embeddings, labels = (torch.cat(column) for column in zip(*rows, strict=True))
    index, embeddings, labels = _gather_rows(trainer, index, embeddings, labels)
    size = len(model.subcluster_ids)
    if not torch.equal(torch.bincount(index, minlength=size), torch.ones(size, dtype=torch.int64, device=index.device)):
        raise RuntimeError(f"Expected to embed each of {size} training samples once, got {len(index)} embeddings.")
    order = index.argsort()
    return embeddings[order], labels[order]


def _gather_rows(trainer: lightning.Trainer, *columns: Tensor) -> tuple[Tensor, ...]:
    """The rows of all processes, whose shares may differ in size."""
    if trainer.world_size == 1:
        return columns
    # all_gather needs equal shapes, so shares are padded to the largest.
    sizes = trainer.strategy.all_gather(torch.tensor(len(columns[0]), device=columns[0].device)).flatten().tolist()
    gathered = []
    for column in columns:
        padded = column.new_zeros(max(sizes), *column.shape[1:])
        padded[: len(column)] = column
        shares = trainer.strategy.all_gather(padded)
        gathered.append(torch.cat([share[:size] for share, size in zip(shares, sizes, strict=True)]))
    return tuple(gathered)
