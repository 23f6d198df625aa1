"""Recomputes sub-clusters, class temperatures and class weights at epoch boundaries."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Literal, Protocol, cast, runtime_checkable

import lightning
import numpy
import torch
from numpy.typing import NDArray
from torch import Tensor

from base.errors import InputError
from base.ranges import check_whole
from datamodules.batch import Batch
from datamodules.drug_datamodule import DrugDataModule
from datamodules.sampling import draw_per_class, first_of_each
from modules.clustering.running_embeddings import RunningEmbeddings
from modules.clustering.spherical_kmeans import Backend
from modules.drug_classifier import DrugClassifier
from modules.embedding_pass import embed_training_set
from modules.evaluation.training_confusion import TrainingConfusion
from modules.multilabel.label_difficulty import label_overlap
from modules.processes import broadcast_from_first
from modules.reclustering import Difficulty, ReclusterResult, ReclusterSettings, find_subclusters
from modules.subclusters import Method, Subclusters

EmbeddingSource = Literal["fresh", "running"]


@runtime_checkable
class ReclusterListener(Protocol):
    """A callback that receives the result of each recluster."""

    def on_recluster(
        self,
        trainer: lightning.Trainer,
        model: DrugClassifier,
        found: ReclusterResult,
        embedding_seconds: float,
        seconds: float,
    ) -> None:
        """Called after each recluster.

        Args:
            trainer: The trainer.
            model: The model, with the new class state.
            found: The result of the recluster.
            embedding_seconds: Duration of the embedding pass.
            seconds: Duration of the entire recluster.
        """


class Recluster(lightning.Callback):
    """Finds sub-clusters of the training set before some epochs and updates the model's class state.

    The processes of a run share the work, and all of them get the same class state.
    """

    def __init__(
        self,
        start_epoch: int | None = None,
        every_n_epochs: int = 10,
        method: Method = "bounded",
        min_size: int = 10,
        difficulty: Difficulty = "neighbors",
        strength: float = 1.0,
        embeddings: EmbeddingSource = "fresh",
        sample_per_class: int | None = None,
        seed: int = 0,
        backend: Backend = "auto",
    ) -> None:
        """Create the callback.

        Args:
            start_epoch: First epoch that is preceded by a recluster; null disables reclusters.
            every_n_epochs: Number of epochs between reclusters.
            method: kmeans: k-means as in the paper's code; bounded: no sub-cluster exceeds the size bound.
            min_size: Lower limit of the size bound of sub-clusters, which is the size of the smallest class if that is
                larger.
            difficulty: Measure of difficulty that gives a class more weight. distance: distance to the nearest class,
                as in the paper (the same for both of two classes). class_distance: as distance, from class means
                alone. neighbors: fraction of the nearest neighbors of its samples that belong to other classes.
                spread: its width relative to the distance to the nearest class. confusion: fraction of its samples
                that are misclassified in training. neighbors and spread take one row of each sample.
            strength: Influence of the difficulty on the class weights; 0 gives all classes the same weight.
            embeddings: fresh: embeddings from a pass over the training set without augmentation; running: the most
                recent embeddings from training, without a pass.
            sample_per_class: Largest number of samples of each class to cluster; every other sample is assigned to the
                nearest sub-cluster of its class when it is trained on. Difficulties are measured on the clustered
                samples, among which large classes are less dense. null clusters all samples.
            seed: Random seed of the clustering and of the sampled rows.
            backend: Library that runs the method kmeans: faiss; torch, on the model's device; auto: torch on a GPU,
                else faiss. The method bounded always runs in torch.

        Raises:
            ValueError: If a number is out of range.
        """
        check_whole("recluster.start_epoch", start_epoch, 0, optional=True)
        check_whole("recluster.every_n_epochs", every_n_epochs, 1)
        check_whole("recluster.sample_per_class", sample_per_class, 1, optional=True)
        self.start_epoch, self.every_n_epochs = start_epoch, every_n_epochs
        self.settings = ReclusterSettings(method, min_size, difficulty, strength, seed, backend)
        self.embeddings, self.sample_per_class = embeddings, sample_per_class
        self._running: RunningEmbeddings | None = None
        self._confusion: TrainingConfusion | None = None
        self._resumed: Mapping[str, Any] = {}
        self._distinct: Tensor | None = None
        self._known: Tensor | None = None
        self._entry_rows: Tensor | None = None
        self._entry_starts: Tensor | None = None

    @property
    def _samples(self) -> list[int | None]:
        """The settings that determine which samples are clustered."""
        return [self.sample_per_class, self.settings.seed]

    def state_dict(self) -> dict[str, Any]:
        """Embeddings and confusions recorded during training, for the checkpoint."""
        kept = {"running": self._running, "confusion": self._confusion}
        return {"samples": self._samples, **{name: value.state_dict() for name, value in kept.items() if value}}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Store the state of a resumed run until training starts."""
        self._resumed = state_dict

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Prepare the recording of embeddings and confusions.

        Raises:
            InputError: If the samples that are confused would be mixtures.
        """
        model = cast(DrugClassifier, pl_module)
        if self.start_epoch is None:
            return
        if self.settings.difficulty == "confusion" and model.objective.mixing is not None:
            raise InputError(
                "recluster.difficulty: expected distance, class_distance, neighbors or spread with model.mixing, since "
                "the logits of a step are those of mixtures, got confusion."
            )
        self._choose_samples(trainer, model)
        if self._resumed.get("samples", self._samples) != self._samples:
            # The state in the checkpoint is that of other samples.
            self._resumed = {}
            model.class_state.reset()
        self.forget(model)
        if self._running is not None and "running" in self._resumed:
            self._running.load_state_dict(self._resumed["running"])
        if self._confusion is not None and "confusion" in self._resumed:
            self._confusion.load_state_dict(self._resumed["confusion"])

    def forget(self, model: DrugClassifier) -> None:
        """Forget the embeddings and confusions recorded so far, as of an encoder that is reset.

        Args:
            model: The model, in training.
        """
        if self.start_epoch is None:
            return
        if self.embeddings == "running":
            self._running = RunningEmbeddings(self._rows, model.network.encoder.output_dim, model.device)
        if self.settings.difficulty == "confusion":
            self._confusion = TrainingConfusion(len(model.class_state.counts), model.device)

    def _choose_samples(self, trainer: lightning.Trainer, model: DrugClassifier) -> None:
        data = cast(DrugDataModule, trainer.datamodule)  # type: ignore[attr-defined]
        trained = data.records.rows["train"]
        codes = data.records.codes[trained]
        self._known, self._entry_rows, self._entry_starts = None, None, None
        if data.records.is_multilabel:
            self._choose_entries(codes, data.records.samples[trained], model.device)
            return
        self._rows = draw_per_class(codes, self.sample_per_class, self.settings.seed)
        self._labels = torch.from_numpy(codes[self._rows]).to(model.device)
        distinct = first_of_each(codes[self._rows], data.records.samples[trained[self._rows]])
        self._distinct = torch.from_numpy(distinct).to(model.device) if len(distinct) < len(self._rows) else None

    def _choose_entries(self, known: NDArray[Any], same: NDArray[Any], device: torch.device) -> None:
        """Choose samples and, for each, the labels whose sub-clusters it is in.

        Args:
            known: 1 the row has the label, 0 it does not, -1 not known, int8 (N, C).
            same: Equal for rows of the same sample, int64 (N,).
            device: Device of the model.
        """
        if self.settings.difficulty != "neighbors":
            raise InputError(
                f"recluster.difficulty: expected neighbors with data.labels multi, got {self.settings.difficulty}."
            )
        samples, labels = (known == 1).nonzero()
        chosen = draw_per_class(labels, self.sample_per_class, self.settings.seed)
        # Samples without any label are foreign neighbors, too, unless the samples are drawn by label.
        self._rows = numpy.arange(len(known)) if self.sample_per_class is None else numpy.unique(samples[chosen])
        entry_rows = numpy.searchsorted(self._rows, samples[chosen])
        starts = numpy.searchsorted(samples, numpy.arange(len(known)))
        _, first, sample_of = numpy.unique(same[self._rows], return_index=True, return_inverse=True)
        merged = numpy.full((len(first), known.shape[1]), -1, dtype=known.dtype)
        numpy.maximum.at(merged, sample_of.reshape(-1), known[self._rows])
        given = labels[chosen], merged, first, entry_rows, starts
        self._labels, self._known, self._distinct, self._entry_rows, self._entry_starts = (
            torch.from_numpy(values).to(device) for values in given
        )

    def on_train_epoch_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Recluster if it is due before this epoch."""
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
        """Record the embeddings and logits of the training step."""
        if self._running is not None:
            self._running.update(batch.sample_index, outputs["embeddings"])
        if self._confusion is not None and "logits" in outputs:
            self._confusion.update(outputs["logits"], batch.labels)

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Combine what the processes recorded."""
        if self._running is not None:
            self._running.collect()
        if self._confusion is not None:
            self._confusion.end_epoch()

    def recluster(self, trainer: lightning.Trainer, model: DrugClassifier) -> None:
        """Embed and cluster the training set, and update the model's class state.

        Args:
            trainer: A trainer whose data module is a `DrugDataModule`.
            model: The model to update.

        Raises:
            InputError: If an embedding is NaN or infinite.
        """
        start = time.perf_counter()
        if not hasattr(self, "_labels"):
            self._choose_samples(trainer, model)
        embeddings = None if self._running is None else self._running.collect()
        if embeddings is None:
            data = cast(DrugDataModule, trainer.datamodule)  # type: ignore[attr-defined]
            rows = None if self.sample_per_class is None else self._rows
            embeddings, _ = embed_training_set(model, data, rows, trainer.precision_plugin.forward_context)
            if self._running is not None:
                self._running.fill(embeddings)
        embedded = time.perf_counter()
        self._check_finite(embeddings, model, trainer.current_epoch)
        state = model.class_state
        overlap = None
        if self._known is not None:
            overlap = label_overlap(embeddings[self._distinct], self._known, seed=self.settings.seed)
            embeddings = embeddings[self._entry_rows]
        found = find_subclusters(
            embeddings,
            self._labels,
            state.counts,
            self.settings,
            state.temperature,
            state.subcluster_ids if state.reclustered else None,
            None if self._confusion is None else self._confusion.matrix,
            overlap,
            self._distinct,
        )
        # Rounding may differ between processes, but the class state must not.
        clusters = found.subclusters
        shared = Subclusters(*map(broadcast_from_first, (clusters.ids, clusters.class_of, clusters.centroids)))
        temperatures, weights = broadcast_from_first(found.temperatures), broadcast_from_first(found.weights)
        keeps = self.sample_per_class is not None
        state.assign(shared, temperatures, weights, keeps, self._entry_starts)
        for callback in trainer.callbacks:  # type: ignore[attr-defined]
            if isinstance(callback, ReclusterListener):
                callback.on_recluster(trainer, model, found, embedded - start, time.perf_counter() - start)

    def _check_finite(self, embeddings: Tensor, model: DrugClassifier, epoch: int) -> None:
        assert model.task is not None
        if bool(embeddings.sum().isfinite()):
            return
        broken = ~embeddings.isfinite().all(dim=1)
        number = int(broken.sum())
        if self._entry_rows is not None:
            broken = broken[self._entry_rows]
        names = ", ".join(model.task.classes[code] for code in sorted(set(self._labels[broken].tolist())))
        if number:
            of_classes = f" of classes {names}" if names else ""
            raise InputError(
                f"model: expected finite embeddings before epoch {epoch}, got NaN or infinite values for "
                f"{number} training samples{of_classes}; try a lower model.optimizer.lr."
            )
