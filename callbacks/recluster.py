"""Sub-clusters, class temperatures and class weights, found anew at epoch boundaries."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Literal, cast

import lightning
import torch
from torch import Tensor

from base.errors import InputError
from callbacks.recluster_report import ReclusterResult, report_recluster
from callbacks.training_embeddings import RunningEmbeddings, embed_training_set, sampled_rows
from datamodules.batch import Batch
from datamodules.drug_datamodule import DrugDataModule
from modules.class_difficulty import confusion_rate, difficulty_weights, neighbour_overlap, relative_spread
from modules.class_distances import class_distances, class_temperatures, distance_weights, subcluster_distances
from modules.clustering.spherical_kmeans import Backend
from modules.drug_classifier import DrugClassifier
from modules.evaluation.training_confusion import TrainingConfusion
from modules.processes import broadcast_from_first
from modules.subclusters import Method, share_moved, subcluster, subclusters_per_class

Difficulty = Literal["distance", "class_distance", "neighbours", "spread", "confusion"]
EmbeddingSource = Literal["fresh", "running"]


class Recluster(lightning.Callback):
    """Before some epochs, finds sub-clusters of the training set and refills the model's temperatures and weights.

    The processes of a run share the work, and all of them end with the same buffers.
    """

    def __init__(
        self,
        start_epoch: int | None = 10,
        every_n_epochs: int = 10,
        method: Method = "bounded",
        min_size: int = 10,
        difficulty: Difficulty = "neighbours",
        strength: float = 1.0,
        embeddings: EmbeddingSource = "fresh",
        sample_per_class: int | None = None,
        seed: int = 0,
        backend: Backend = "auto",
    ) -> None:
        """Keep the settings.

        Args:
            start_epoch: First epoch to recluster before; null never does.
            every_n_epochs: Epochs from one recluster to the next.
            method: kmeans: as the paper's code; bounded: no sub-cluster larger than the size bound.
            min_size: Least size bound of a sub-cluster; the bound is the smallest class if that is larger.
            difficulty: What makes a class weigh more. distance: a near rival, as in the paper; equal for two classes.
                class_distance: the same of class means alone.
                neighbours: the share of its samples' nearest neighbours that are of other classes. spread: how wide
                it is beside its distance to the nearest rival. confusion: the share of its samples that training
                takes for others.
            strength: How much the difficulty decides the class weights; 0 weighs all alike.
            embeddings: fresh: a pass over the training set, without augmentation; running: what training computed
                last, without a pass.
            sample_per_class: Cluster at most so many samples of each class, and give every sample to the nearest
                sub-cluster of its class when its batch comes by; null clusters all.
            seed: Of the clustering and the samples.
            backend: What runs kmeans: faiss; torch, on the model's device; auto: torch on a GPU, else faiss. The other
                method runs in torch.

        Raises:
            ValueError: If a number is out of range.
        """
        if (start_epoch is not None and start_epoch < 0) or every_n_epochs < 1:
            raise ValueError(
                "start_epoch and every_n_epochs: expected 0 or more and 1 or more, "
                f"got {start_epoch} and {every_n_epochs}."
            )
        if min_size < 1:
            raise ValueError(f"min_size: expected 1 or more, got {min_size}.")
        if sample_per_class is not None and sample_per_class < 1:
            raise ValueError(f"sample_per_class: expected 1 or more, got {sample_per_class}.")
        self.start_epoch, self.every_n_epochs = start_epoch, every_n_epochs
        self.method, self.min_size = method, min_size
        self.difficulty, self.strength = difficulty, strength
        self.embeddings, self.sample_per_class = embeddings, sample_per_class
        self.seed, self.backend = seed, backend
        self.history: list[dict[str, Any]] = []
        self._running: RunningEmbeddings | None = None
        self._confusion: TrainingConfusion | None = None
        self._resumed: Mapping[str, Any] = {}

    def state_dict(self) -> dict[str, Any]:
        """The class weights found so far and what was kept from training, for the checkpoint."""
        kept = {"running": self._running, "confusion": self._confusion}
        states = {name: value.state_dict() for name, value in kept.items() if value}
        return {"history": self.history, "samples": [self.sample_per_class, self.seed], **states}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up what a run knew that is resumed."""
        self.history = list(state_dict["history"])
        self._resumed = state_dict

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Make room for what is kept from training."""
        model = cast(DrugClassifier, pl_module)
        self._choose_samples(trainer, model)
        if self._resumed.get("samples", [self.sample_per_class, self.seed]) != [self.sample_per_class, self.seed]:
            # What is known of other samples says nothing of these.
            self._resumed = {}
            model.forget_subclusters()
        if self.start_epoch is not None and self.embeddings == "running":
            self._running = RunningEmbeddings(self._rows, model.encoder.output_dim, model.device)
            if "running" in self._resumed:
                self._running.load_state_dict(self._resumed["running"])
        if self.start_epoch is not None and self.difficulty == "confusion":
            self._confusion = TrainingConfusion(len(model.class_counts), model.device)
            if "confusion" in self._resumed:
                self._confusion.load_state_dict(self._resumed["confusion"])

    def _choose_samples(self, trainer: lightning.Trainer, model: DrugClassifier) -> None:
        data = cast(DrugDataModule, trainer.datamodule)  # type: ignore[attr-defined]
        codes = data.records.codes[data.records.rows["train"]]
        self._rows = sampled_rows(codes, self.sample_per_class, self.seed)
        self._labels = torch.from_numpy(codes[self._rows]).to(model.device)

    def on_train_epoch_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Recluster if this epoch is due."""
        if self.start_epoch is None or trainer.current_epoch < self.start_epoch:
            return
        if (trainer.current_epoch - self.start_epoch) % self.every_n_epochs == 0:
            self.recluster(trainer, cast(DrugClassifier, pl_module))

    def on_train_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        outputs: Any,
        batch: Batch,
        batch_idx: int,
    ) -> None:
        """Keep what the training step computed."""
        if self._running is not None:
            self._running.keep(batch.sample_index, outputs["embeddings"])
        if self._confusion is not None and "logits" in outputs:
            self._confusion.count(outputs["logits"], batch.labels)

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Bring together what the processes kept."""
        if self._running is not None:
            self._running.collect()
        if self._confusion is not None:
            self._confusion.end_epoch()

    def recluster(self, trainer: lightning.Trainer, model: DrugClassifier) -> None:
        """Embed, cluster, measure, and fill the model's buffers.

        Args:
            trainer: Runs the model; its data module is a `DrugDataModule`.
            model: Whose buffers are filled.

        Raises:
            InputError: If an embedding is not finite; the message names the classes and the epoch.
        """
        start = time.perf_counter()
        if not hasattr(self, "_labels"):
            self._choose_samples(trainer, model)
        embeddings = None if self._running is None else self._running.collect()
        if embeddings is None:
            embeddings, _ = embed_training_set(trainer, model, None if self.sample_per_class is None else self._rows)
            if self._running is not None:
                self._running.fill(embeddings)
        embedded = time.perf_counter()
        self._check_finite(embeddings, model, trainer.current_epoch)
        found = self._find(embeddings, model)
        buffers = {
            "subcluster_ids": found.subclusters.ids,
            "class_temperatures": found.temperatures,
            "class_weights": found.weights,
        }
        if self.sample_per_class is not None:
            buffers["subcluster_centroids"] = found.subclusters.centroids
            buffers["subcluster_classes"] = found.subclusters.class_of
        for name, value in buffers.items():
            setattr(model, name, broadcast_from_first(value))
        report_recluster(trainer, model, found, self.history, embedded - start, time.perf_counter() - start)

    def _check_finite(self, embeddings: Tensor, model: DrugClassifier, epoch: int) -> None:
        assert model.task is not None
        if bool(embeddings.sum().isfinite()):
            return
        broken = ~embeddings.isfinite().all(dim=1)
        names = ", ".join(model.task.classes[code] for code in sorted(set(self._labels[broken].tolist())))
        if names:
            raise InputError(
                f"Epoch {epoch}: the embeddings of {int(broken.sum())} training samples of classes {names} are NaN or "
                "infinite; try a lower model.optimizer.lr."
            )

    def _find(self, embeddings: Tensor, model: DrugClassifier) -> ReclusterResult:
        labels, counts = self._labels, model.class_counts
        num_classes = len(counts)
        previous = model.subcluster_ids if model.reclustered else None
        result = subcluster(
            embeddings, labels, num_classes, self.min_size, self.method, self.seed, previous, self.backend, shared=True
        )
        per_class = subclusters_per_class(result.class_of, num_classes)
        d = class_distances(embeddings, labels, num_classes)
        d_prime = subcluster_distances(result.centroids, result.class_of, num_classes)
        if self.difficulty in ("distance", "class_distance"):
            second = d_prime if self.difficulty == "distance" else d
            difficulty, weights = -(d + second) / 2, distance_weights(d, second, self.strength)
        else:
            difficulty = self._measure(embeddings, num_classes)
            weights = difficulty_weights(difficulty, self.strength)
        return ReclusterResult(
            result,
            per_class,
            class_temperatures(embeddings, labels, per_class, model.temperature, counts),
            d,
            d_prime,
            difficulty,
            weights,
            float("nan") if previous is None else share_moved(previous, result.ids, result.class_of),
        )

    def _measure(self, embeddings: Tensor, num_classes: int) -> Tensor:
        if self.difficulty == "neighbours":
            return neighbour_overlap(embeddings, self._labels, num_classes, seed=self.seed)
        if self.difficulty == "spread":
            return relative_spread(embeddings, self._labels, num_classes)
        assert self._confusion is not None
        rate = confusion_rate(self._confusion.matrix)
        # A class that was not classified yet is as hard as the others.
        mean = rate.nanmean().nan_to_num(0.0)
        present = torch.bincount(self._labels, minlength=num_classes) > 0
        return torch.where(rate.isnan() & present, mean, rate)
