"""The LightningModule that wires encoder, contrastive loss and re-weighted cross-entropy."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, cast

import lightning
import numpy
import torch
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn

from base.errors import InputError
from datamodules.batch import Batch
from datamodules.drug_task import DrugTask
from modules.distillation import Distillation
from modules.encoders import Encoder
from modules.evaluation.calibration import LogLosses, TemperatureScaling
from modules.evaluation.logit_correction import LogitCorrection, TauNormalisation
from modules.evaluation.prediction import Prediction
from modules.evaluation.tail_metrics import TailMetrics, check_fractions
from modules.heads.classifier_head import ClassifierHead
from modules.heads.experts import Experts, diversity
from modules.heads.perceptron import perceptron
from modules.losses import ClassificationLoss, ContrastiveLoss
from modules.mixing import Mixup
from modules.processes import gather_rows, rank_and_world_size
from modules.subclusters import nearest_subclusters
from modules.views import make_view

NEVER = -1e4
"""Score of a class that cannot be predicted; its probability is 0 in every precision."""

SUBCLUSTER_BUFFERS = ("subcluster_ids", "subcluster_centroids", "subcluster_classes")


class DrugClassifier(lightning.LightningModule):
    """Classifies drugs of long-tailed classes (Su, Li, Wang 2025, arXiv 2504.04647).

    Layers and buffers are made when the data are known: from the trainer's data module, or from a checkpoint. The
    buffers hold what the last recluster found and are saved with the weights: `class_temperatures` (C,),
    `class_weights` (C,), and `subcluster_ids` (S,) of the samples that were clustered, empty before. These are all N
    training samples, unless `subcluster_centroids` (K, d) and `subcluster_classes` (K,) are there; then a sample
    belongs to the nearest sub-cluster of its class.

    Attributes:
        task: The data that the model was built for; None before.
        calibration: Calibrates the probabilities; fitted at each validation while training.
        run_config: Settings to save in checkpoints, as plain types.
        encoder_frozen: Whether only the classifier trains now.
        teacher: Gives the logits, (B, C), that `distillation` learns from; None before there is a teacher.
        validation_recall: Of each class at the last validation, (C,), NaN without samples; None before.
    """

    encoder: Encoder
    subcluster_ids: Tensor
    subcluster_centroids: Tensor
    subcluster_classes: Tensor
    class_temperatures: Tensor
    class_weights: Tensor
    class_counts: Tensor
    logit_scale: Tensor
    logit_offset: Tensor

    def __init__(
        self,
        encoder: Encoder,
        classification_loss: ClassificationLoss,
        contrastive: ContrastiveLoss | None = None,
        warmup_contrastive: ContrastiveLoss | None = None,
        contrastive_weight: float = 1.0,
        contrast_over_processes: bool = True,
        classification_start_epoch: int = 0,
        view_probabilities: tuple[float, float] | None = None,
        projection_dims: list[int] | None = None,
        classifier_dims: list[int] | None = None,
        cosine_scale: float | None = None,
        class_scales: bool = False,
        experts: int = 1,
        expert_diversity: float = 0.2,
        mixing: Mixup | None = None,
        correction: LogitCorrection | None = None,
        distillation: Distillation | None = None,
        dropout: float = 0.0,
        head_fraction: float = 0.3,
        tail_fraction: float = 0.3,
        optimizer: OptimizerCallable = torch.optim.Adam,
        lr_scheduler: LRSchedulerCallable | None = None,
    ) -> None:
        """Keep the settings.

        Args:
            encoder: Embeds samples.
            classification_loss: The classification loss.
            contrastive: The contrastive loss; none if null. A loss over sub-clusters starts after the first recluster.
            warmup_contrastive: What takes the place of a contrastive loss over sub-clusters before the first recluster;
                nothing if null.
            contrastive_weight: What the contrastive loss is multiplied by; 0 leaves it out.
            contrast_over_processes: Whether the batches of all processes are contrasted with each other, each time on
                every process; false contrasts each batch by itself.
            classification_start_epoch: First epoch with the classification loss.
            view_probabilities: Shares of edges and fingerprint entries that the first and the second view drop; null
                trains on the samples as they are.
            projection_dims: Layer sizes between embedding and contrastive loss; null contrasts the embedding itself.
            classifier_dims: Sizes of the classifier's hidden layers; null makes it linear.
            cosine_scale: Makes the classifier's outputs this number times the cosine with a vector for each class; null
                makes them linear.
            class_scales: Multiplies each class's output by a factor, which alone trains in the second stage of
                `retrain_classifier`.
            experts: Number of classifiers, whose mean decides.
            expert_diversity: What the experts' mean divergence is multiplied by and taken off the classification loss.
            mixing: Makes mixtures of samples for the classification loss; none if null.
            correction: Corrects the scores outside training, by what is best on the validation split; none if null.
            distillation: How the model learns from the teacher that `distill` gives it; not at all if null.
            dropout: Share of the classifier's hidden units that training leaves out.
            head_fraction: Share of the classes that are head classes.
            tail_fraction: Share of the classes that are tail classes.
            optimizer: Makes the optimiser.
            lr_scheduler: Makes the learning-rate schedule, stepped once an epoch; none if null.

        Raises:
            ValueError: If a contrastive loss is given without two views, or a number is out of range.
        """
        super().__init__()
        if (contrastive or warmup_contrastive) and contrastive_weight > 0 and view_probabilities is None:
            raise ValueError("view_probabilities: a contrastive loss needs two numbers, one for each view; got null.")
        if contrastive_weight < 0 or classification_start_epoch < 0:
            raise ValueError(
                "contrastive_weight and classification_start_epoch: expected 0 or more, "
                f"got {contrastive_weight} and {classification_start_epoch}."
            )
        if experts < 1 or expert_diversity < 0:
            raise ValueError(
                f"experts and expert_diversity: expected 1 or more and 0 or more, got {experts} and {expert_diversity}."
            )
        if mixing is not None and distillation is not None:
            raise ValueError("mixing and distillation: a teacher has no answer for mixtures; expected one to be null.")
        if cosine_scale is not None and not cosine_scale > 0:
            raise ValueError(f"cosine_scale: expected a number above 0, got {cosine_scale}.")
        if not all(0 <= share < 1 for share in (dropout, *(view_probabilities or ()))):
            raise ValueError(
                "dropout and view_probabilities: expected numbers from 0 to below 1, "
                f"got {dropout} and {view_probabilities}."
            )
        if isinstance(correction, TauNormalisation) and (experts > 1 or cosine_scale is not None or class_scales):
            raise ValueError(
                "correction: TauNormalisation needs one linear classifier, so no experts, cosine_scale or class_scales."
            )
        check_fractions(head_fraction, tail_fraction)
        self.encoder = encoder
        self.classification_loss = classification_loss
        self.contrastive, self.warmup_contrastive = contrastive, warmup_contrastive
        self.contrastive_weight, self.contrast_over_processes = contrastive_weight, contrast_over_processes
        self.classification_start_epoch = classification_start_epoch
        self.view_probabilities = view_probabilities
        self.projection_dims, self.classifier_dims = projection_dims or [], classifier_dims or []
        self.cosine_scale, self.class_scales, self.dropout = cosine_scale, class_scales, dropout
        self.experts, self.expert_diversity = experts, expert_diversity
        self.mixing, self.correction, self.distillation = mixing, correction, distillation
        self.head_fraction, self.tail_fraction = head_fraction, tail_fraction
        self.make_optimizer, self.make_lr_scheduler = optimizer, lr_scheduler
        self.task: DrugTask | None = None
        self.run_config: dict[str, Any] | None = None
        self.encoder_frozen = False
        self.teacher: Callable[[Batch], Tensor] | None = None
        self.validation_recall: Tensor | None = None
        self._validation_logits: list[tuple[Tensor, Tensor]] = []

    def configure_model(self) -> None:
        """Make layers and buffers for the trainer's data, unless a checkpoint did."""
        if self.task is None:
            self.build(self.trainer.datamodule.task)  # type: ignore[attr-defined]

    def build(self, task: DrugTask) -> None:
        """Make layers and buffers.

        Args:
            task: The data to classify.

        Raises:
            InputError: If the encoder cannot see a part of the samples.
        """
        self.task = task
        self.encoder.build(task)
        if task.input == "drug_protein" and not self.encoder.reads_proteins:
            raise InputError(
                "model.encoder: drug_protein data need an encoder of proteins; put modules.encoders.ProteinCNN beside "
                "the others, as data/sbap.yaml does."
            )
        size = self.encoder.output_dim
        self.projection = perceptron([size, *self.projection_dims]) if self.projection_dims else nn.Identity()

        def make_head() -> ClassifierHead:
            sizes = [size, *self.classifier_dims]
            return ClassifierHead(sizes, task.num_classes, self.dropout, self.cosine_scale, self.class_scales)

        self.classifier = make_head() if self.experts == 1 else Experts(self.experts, make_head)
        counts = torch.tensor(task.class_counts)
        for loss in (self.contrastive, self.warmup_contrastive):
            if loss is not None:
                loss.build(counts, self.projection_dims[-1] if self.projection_dims else size)
        self.register_buffer("class_counts", counts, persistent=False)
        self.register_buffer("class_weights", torch.zeros(task.num_classes))
        self.register_buffer("class_temperatures", torch.zeros(task.num_classes))
        if self.correction is not None:
            self.register_buffer("logit_scale", torch.ones(task.num_classes))
            self.register_buffer("logit_offset", torch.zeros(task.num_classes))
        self.calibration = TemperatureScaling(counts)
        for name in SUBCLUSTER_BUFFERS:
            self.register_buffer(name, None)
        self.forget_subclusters()
        # These are the same on all processes, and too large to be sent at every step.
        self._ddp_params_and_buffers_to_ignore = list(SUBCLUSTER_BUFFERS)
        fractions = (self.head_fraction, self.tail_fraction)
        self.validation_metrics = TailMetrics(counts, *fractions)
        self.test_metrics = TailMetrics(counts, *fractions)
        self.log_losses = LogLosses()

    def forget_subclusters(self) -> None:
        """Go back to where there are no sub-clusters yet, and all classes weigh alike."""
        device, present = self.class_counts.device, self.class_counts > 0
        self.class_weights.copy_(present / present.sum())
        self.class_temperatures.fill_(self.temperature)
        self.subcluster_ids = torch.zeros(0, dtype=torch.int64, device=device)
        self.subcluster_centroids = torch.zeros(0, self.encoder.output_dim, device=device)
        self.subcluster_classes = torch.zeros(0, dtype=torch.int64, device=device)

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """The optimiser and, where there is one, its schedule."""
        optimizer = self.make_optimizer(self.parameters())
        if self.make_lr_scheduler is None:
            return optimizer
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": self.make_lr_scheduler(optimizer)}}

    def forward(self, batch: Batch) -> Tensor:
        """Class scores, (B, C), of samples as they are; a class without training samples is never predicted."""
        return self._correct(self.classifier(self.encoder(batch)))

    def _correct(self, logits: Tensor) -> Tensor:
        """Scores, (B, C), from the classifier's outputs."""
        if self.correction is not None:
            logits = self.logit_scale * logits.float() + self.logit_offset
        return logits.masked_fill(self.class_counts == 0, NEVER)

    def _probabilities(self, logits: Tensor) -> Tensor:
        return self.classification_loss.probabilities(logits, self.class_counts)

    def _uncertainty(self, logits: Tensor) -> Tensor | None:
        return self.classification_loss.uncertainty(logits, self.class_counts)

    def embed(self, batch: Batch) -> Tensor:
        """Embeddings, (B, d), of samples as they are."""
        return cast(Tensor, self.encoder(batch))

    @property
    def temperature(self) -> float:
        """Temperature of the contrastive loss, and of a class that is one sub-cluster."""
        return 0.1 if self.contrastive is None else self.contrastive.temperature

    @property
    def has_unused_parameters(self) -> bool:
        """Whether a step of some epoch leaves parameters of the model or its losses out."""
        first = self.contrastive
        if first is not None and first.needs_subclusters:
            first = self.warmup_contrastive
        used = [None] if self.contrastive_weight == 0 else [first, self.contrastive]
        losses = [loss for loss in (self.contrastive, self.warmup_contrastive) if loss is not None]
        # Those that make something of their own when they are built.
        trained = [loss for loss in losses if type(loss).build is not ContrastiveLoss.build]
        projected_at_times = bool(self.projection_dims) and None in used
        return (
            self.classification_start_epoch > 0
            or projected_at_times
            or any(loss is not other for loss in trained for other in used)
        )

    @property
    def reclustered(self) -> bool:
        """Whether sub-clusters have been found."""
        return len(self.subcluster_ids) > 0

    def on_train_batch_start(self, batch: Batch, batch_index: int) -> None:
        """Seed each step by its number, so that a resumed run draws what it would have drawn."""
        self._seed_step(batch_index, self.global_rank)

    def _seed_step(self, batch_index: int, *more: int) -> None:
        step = [int(os.environ.get("PL_GLOBAL_SEED", 0)), self.current_epoch, batch_index, *more]
        torch.manual_seed(int(numpy.random.SeedSequence(step).generate_state(1)[0]))

    def training_step(self, batch: Batch, batch_index: int) -> dict[str, Tensor]:
        """Sum of the weighted contrastive loss and the classification loss, as far as the schedule has them.

        Returns:
            The `loss`; for callbacks the `embeddings` (B, d) of the first view and, if classified, its `logits` (B, C).
        """
        assert self.task is not None
        contrastive = self._current_contrastive()
        classify = self.current_epoch >= self.classification_start_epoch
        probabilities = self.view_probabilities or ()
        drops = probabilities if contrastive else probabilities[:1]
        views = [make_view(batch, drop) for drop in drops] or [batch]
        if self.encoder_frozen:
            self.encoder.eval()
        with torch.set_grad_enabled(not self.encoder_frozen):
            embeddings = [self.encoder(view) for view in views]
        losses: dict[str, Tensor] = {}
        outputs = {"embeddings": embeddings[0].detach()}
        if classify:
            shares = None if contrastive is None else contrastive.classification_shares(batch.labels, len(views))
            logits, losses["classification"] = self._classify(embeddings[0], batch.labels, shares)
            outputs["logits"] = logits.detach()
            if self.distillation is not None and self.teacher is not None:
                weight, divergence = self.distillation.weight, self.distillation.divergence(logits, self.teacher(batch))
                losses["classification"] = (1 - weight) * losses["classification"]
                losses["distillation"] = weight * divergence
        if contrastive is not None:
            projections = torch.stack([self.projection(embedding) for embedding in embeddings], dim=1)
            groups = torch.stack([batch.labels, self._subclusters(batch, embeddings[0])], dim=1)
            if rank_and_world_size()[1] > 1 and self.contrast_over_processes:
                # A loss that draws at random must draw alike everywhere.
                self._seed_step(batch_index)
                projections, groups = gather_rows(projections), gather_rows(groups)
            value = contrastive(projections, groups[:, 0], groups[:, 1], self.class_temperatures)
            losses["contrastive"] = self.contrastive_weight * value
        if not losses:
            raise ValueError(
                f"classification_start_epoch: epoch {self.current_epoch} has no loss to train on; give a "
                "warmup_contrastive loss or start the classification at epoch 0."
            )
        loss = torch.stack(list(losses.values())).sum()
        for name, value in {**losses, "loss": loss}.items():
            shown = name == "loss"
            self.log(
                f"train/{name}",
                value.detach(),
                shown,
                on_step=False,
                on_epoch=True,
                sync_dist=True,
                batch_size=len(batch),
            )
        return {"loss": loss, **outputs}

    def validation_step(self, batch: Batch, batch_index: int) -> None:
        """Keep the logits of a batch until correction and calibration are chosen."""
        self._validation_logits.append((self.classifier(self.encoder(batch)).float(), batch.labels))

    def on_validation_epoch_end(self) -> None:
        """Choose the correction, if there is one, and the calibration in training; log the validation metrics."""
        # A process may have no validation sample.
        device, classes = self.class_counts.device, len(self.class_counts)
        none = torch.zeros(0, classes, device=device), torch.zeros(0, dtype=torch.int64, device=device)
        own = [torch.cat(column) for column in zip(none, *self._validation_logits, strict=True)]
        self._validation_logits = []
        logits, labels = (gather_rows(column) for column in own)
        if not bool(logits.isfinite().all()):
            raise InputError(
                f"Epoch {self.current_epoch}: the scores of validation samples are NaN or infinite; try a lower "
                "model.optimizer.lr."
            )
        fitting = self.trainer.state.fn == TrainerFn.FITTING
        if fitting and self.correction is not None:
            strength, scale, offset = self.correction.choose(logits, labels, self.class_counts, self.classifier)
            self.logit_scale.copy_(scale)
            self.logit_offset.copy_(offset)
            self.log("val/correction_strength", strength)
        if fitting:
            self.calibration.fit(self._probabilities(self._correct(logits)), labels)
        self._count(self.validation_metrics, self._correct(own[0]), own[1])
        self._log_metrics("val", self.validation_metrics)

    def test_step(self, batch: Batch, batch_index: int) -> None:
        """Count a batch into the test metrics."""
        self._count(self.test_metrics, self(batch), batch.labels)

    def on_test_epoch_end(self) -> None:
        """Log the test metrics."""
        self._log_metrics("test", self.test_metrics)

    def predict_step(self, batch: Batch, batch_index: int) -> Prediction:
        """What is known of the samples of a batch."""
        embeddings = self.embed(batch)
        logits = self._correct(self.classifier(embeddings))
        probabilities = self._probabilities(logits)
        calibrated = self.calibration(probabilities)
        return Prediction(batch.sample_index, probabilities, calibrated, self._uncertainty(logits), embeddings)

    @property
    def has_uncertainty(self) -> bool:
        """Whether predictions have an uncertainty."""
        return self._uncertainty(torch.zeros(1, len(self.class_counts), device=self.class_counts.device)) is not None

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add what is needed to build the model and to read new data."""
        assert self.task is not None
        checkpoint["drug_task"] = self.task.to_dict()
        checkpoint["run_config"] = self.run_config

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Build the model that was saved, if it is not built yet.

        Raises:
            InputError: If the checkpoint was trained on other classes, counts or features than the model was built for.
        """
        saved = DrugTask.from_dict(checkpoint["drug_task"])
        if self.task is None:
            self.build(saved)
        elif self.task != saved:
            raise InputError(
                f"ckpt_path: the checkpoint was trained on {saved.num_training_samples} samples of "
                f"{saved.num_classes} classes, the data have {self.task.num_training_samples} of "
                f"{self.task.num_classes}, or their classes, counts or features differ; expected the same data."
            )
        # Checkpoints from before there was calibration are loaded as not calibrated.
        checkpoint["state_dict"].setdefault("calibration.temperature", torch.ones(()))
        for name in SUBCLUSTER_BUFFERS:
            setattr(self, name, torch.zeros_like(checkpoint["state_dict"][name], device=self.class_counts.device))

    def _classify(self, embeddings: Tensor, labels: Tensor, shares: Tensor | None) -> tuple[Tensor, Tensor]:
        """Logits, (B, C), and the classification loss, of mixtures if there are any, and of its `shares` (B,)."""
        self.classification_loss.set_epoch(self.current_epoch)
        kept = 1.0 if shares is None else shares.mean()
        if self.mixing is not None:
            mixed = self.mixing.mix(embeddings, labels, self.class_counts)
            both = torch.cat([mixed.label_shares, 1 - mixed.label_shares])
            embeddings, shares = mixed.embeddings, both if shares is None else both * torch.cat([shares, shares])
            labels = torch.cat([labels, labels[mixed.partners]])
        outputs = self.classifier.training_outputs(embeddings, self.encoder_frozen)
        times = 1 if self.mixing is None else 2
        fixed = labels, self.class_weights, self.class_counts, torch.cat([embeddings] * times), shares
        values = [self.classification_loss(torch.cat([output] * times), *fixed) for output in outputs]
        loss = kept * torch.stack(values).mean()
        if len(outputs) > 1:
            loss = loss - self.expert_diversity * diversity(outputs)
        return torch.stack(outputs).mean(dim=0), loss

    def _subclusters(self, batch: Batch, embeddings: Tensor) -> Tensor:
        """Sub-cluster of each sample, (B,); 0 for all before the first recluster."""
        if not self.reclustered:
            return torch.zeros_like(batch.labels)
        if len(self.subcluster_centroids) == 0:
            return self.subcluster_ids[batch.sample_index]
        return nearest_subclusters(embeddings, batch.labels, self.subcluster_centroids, self.subcluster_classes)

    def _current_contrastive(self) -> ContrastiveLoss | None:
        if self.contrastive_weight == 0 or self.encoder_frozen:
            return None
        if self.contrastive is not None and self.contrastive.needs_subclusters and not self.reclustered:
            return self.warmup_contrastive
        return self.contrastive

    def _count(self, metrics: TailMetrics, logits: Tensor, labels: Tensor) -> None:
        probabilities = self._probabilities(logits)
        metrics.update(probabilities, labels)
        self.log_losses.update(probabilities, labels, self.calibration)

    def _log_metrics(self, stage: str, metrics: TailMetrics) -> None:
        assert self.task is not None
        values = {**metrics.compute(), **self.log_losses.compute()}
        recall = values.pop("recall")
        if stage == "val":
            self.validation_recall = recall
        else:
            values |= {f"recall/{name}": recall[code] for code, name in enumerate(self.task.classes)}
        metrics.reset()
        self.log_losses.reset()
        for name, value in values.items():
            self.log(f"{stage}/{name}", value, prog_bar=name == "balanced_accuracy")
