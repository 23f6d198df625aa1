"""Training objective: the losses of a training step and their schedule."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from base.errors import InputError
from base.ranges import check_range, check_whole
from datamodules.batch import Batch
from datamodules.drug_task import DrugTask
from modules.class_state import ClassState
from modules.heads.experts import diversity
from modules.losses import ClassificationLoss, ContrastiveLoss, LabelContrastiveLoss
from modules.losses.classification.class_priors import normalized_weights, prior_slope
from modules.losses.classification.class_weighting import ClassWeighting
from modules.losses.contrastive.contrastive_terms import WHOLE, Share
from modules.losses.multilabel.multilabel_loss import MultilabelLoss
from modules.network import Network
from modules.processes import add_shares, gather_rows, rank_and_world_size, row_counts, sum_over_processes
from modules.seeding import seed_device
from modules.training.contrast import Contrast
from modules.training.distillation import Distillation
from modules.training.mixing import Mixup
from modules.training.views import make_views


@dataclass(frozen=True)
class StepLosses:
    """Losses and outputs of a training step.

    Attributes:
        losses: Weighted losses by name, fp32 scalars.
        embeddings: Embeddings of the first view, detached, (B, d).
        logits: Mean logits of the first view, detached, (B, C); None in epochs without the classification loss.
    """

    losses: dict[str, Tensor]
    embeddings: Tensor
    logits: Tensor | None

    @property
    def total(self) -> Tensor:
        """Sum of the losses, which is minimized."""
        return torch.stack(list(self.losses.values())).sum()


class Objective(nn.Module):
    """Sum of the classification loss, the contrastive loss and the distillation of the current stage.

    Attributes:
        weighting: Class weighting of the current stage, which multiplies the class weights; None without.
        distillation: Distillation of the current stage; None without.
        teacher: Computes the teacher's logits of a batch, (B, C), for `distillation`.
    """

    def __init__(
        self,
        classification_loss: ClassificationLoss,
        contrast: Contrast | None = None,
        mixing: Mixup | None = None,
        classification_start_epoch: int = 0,
        expert_diversity: float = 0.0,
    ) -> None:
        """Create the objective.

        Args:
            classification_loss: Loss of the logits.
            contrast: Contrast of views; none if None.
            mixing: Mixes samples for the classification loss; none if None.
            classification_start_epoch: First epoch with the classification loss.
            expert_diversity: Factor of the experts' mean divergence, which is subtracted from the classification loss.

        Raises:
            ValueError: If `classification_start_epoch` is negative.
        """
        super().__init__()
        check_whole("model.classification_start_epoch", classification_start_epoch, 0)
        check_range("expert_diversity", expert_diversity, 0)
        self.classification_loss, self.mixing, self.contrast = classification_loss, mixing, contrast
        # Losses may have parameters, so they must be registered as submodules.
        self.contrastive = None if contrast is None else contrast.loss
        self.warmup_contrastive = None if contrast is None else contrast.warmup
        self.classification_start_epoch, self.expert_diversity = classification_start_epoch, expert_diversity
        self.weighting: ClassWeighting | None = None
        self.distillation: Distillation | None = None
        self.teacher: Callable[[Batch], Tensor] | None = None

    def build(self, class_counts: Tensor, projection_dim: int) -> None:
        """Create the parameters and buffers of the losses, whose sizes depend on the data.

        Args:
            class_counts: Training samples of each class, int64 (C,).
            projection_dim: Size d' of projections.
        """
        for loss in (self.contrastive, self.warmup_contrastive):
            if loss is not None:
                loss.build(class_counts, projection_dim)

    def prepare_labels(self, task: DrugTask) -> None:
        """Check that the losses are for the kind of labels, and tell them what is known of several.

        Args:
            task: Description of the data.

        Raises:
            InputError: If a loss is for the other kind.
        """
        loss = self.classification_loss
        if not task.is_multilabel and isinstance(loss, MultilabelLoss):
            raise InputError(
                "model.classification_loss: expected a loss for single labels with data.labels single, got "
                f"{type(loss).__name__}."
            )
        if not task.is_multilabel:
            return
        if not isinstance(loss, MultilabelLoss):
            raise InputError(
                "model.classification_loss: expected a loss for several labels with data.labels multi, such as "
                f"modules.losses.BinaryCrossEntropyLoss (--config multilabel/default.yaml), got {type(loss).__name__}."
            )
        for one in (self.contrastive, self.warmup_contrastive):
            if one is not None and not isinstance(one, LabelContrastiveLoss):
                raise InputError(
                    "model.contrast: expected modules.losses.LabelContrastiveLoss, or null, with data.labels multi, "
                    f"got {type(one).__name__}."
                )
        if self.expert_diversity:
            raise InputError(
                f"model.head.expert_diversity: expected 0 with data.labels multi, got {self.expert_diversity:g}."
            )
        if self.mixing is not None:
            raise InputError(f"model.mixing: expected null with data.labels multi, got {type(self.mixing).__name__}.")
        loss.build(torch.tensor(task.known_counts))

    def forward(self, batch: Batch, network: Network, state: ClassState, epoch: int, shared_seed: int) -> StepLosses:
        """Compute the losses of a training step.

        Args:
            batch: Batch of B samples.
            network: Network to train.
            state: Class weights, class temperatures and sub-clusters.
            epoch: Current epoch, counted from 0.
            shared_seed: Random seed of draws that must be identical on all processes.

        Returns:
            The losses, and the embeddings and logits of the first view.

        Raises:
            ValueError: If there is no loss in this epoch.
        """
        contrastive = self.current_contrastive(network, state)
        embeddings = network.training_embeddings(self.views(batch, contrastive is not None))
        losses: dict[str, Tensor] = {}
        logits = None
        if epoch >= self.classification_start_epoch:
            shares = None if contrastive is None else contrastive.classification_shares(batch.labels, len(embeddings))
            self.classification_loss.set_epoch(epoch)
            logits, losses["classification"] = self._classify(embeddings[0], batch.labels, network, state, shares)
            if self.distillation is not None and self.teacher is not None:
                weight = self.distillation.weight
                losses["classification"] = (1 - weight) * losses["classification"]
                losses["distillation"] = weight * self.distillation.divergence(logits, self.teacher(batch))
        if contrastive is not None:
            losses["contrastive"] = self._contrast(contrastive, batch, embeddings, network, state, shared_seed)
        if not losses:
            raise ValueError(
                f"model.classification_start_epoch: expected a loss in every epoch, got none in epoch {epoch}; set "
                "model.contrast.warmup or start the classification in epoch 0."
            )
        return StepLosses(losses, embeddings[0].detach(), None if logits is None else logits.detach())

    def views(self, batch: Batch, contrasted: bool) -> list[Batch]:
        """Augment a batch for training.

        Args:
            batch: Batch of B samples.
            contrasted: Whether this step has a contrastive loss.

        Returns:
            Two views with a contrastive loss and one without; the batch itself if the model has no contrast.
        """
        if self.contrast is None:
            return [batch]
        probabilities = self.contrast.view_probabilities if contrasted else self.contrast.view_probabilities[:1]
        return make_views(batch, probabilities)

    def current_contrastive(self, network: Network, state: ClassState) -> ContrastiveLoss | None:
        """Contrastive loss of the next step; None if there is none yet or the encoder is frozen."""
        if self.contrast is None or "encoder" in network.frozen:
            return None
        return self.contrast.current_loss(state.reclustered)

    @property
    def has_unused_parameters(self) -> bool:
        """Whether some training steps leave parameters of losses, projection or classifier without a gradient.

        DDP must then search for unused parameters.
        """
        used = [] if self.contrast is None else [self.contrast.current_loss(found) for found in (False, True)]
        # Only a loss that overrides `build` can have parameters.
        losses = (self.contrastive, self.warmup_contrastive)
        trained = [loss for loss in losses if loss is not None and type(loss).build is not ContrastiveLoss.build]
        projected = self.contrast is not None and bool(self.contrast.projection_dims)
        return (
            self.classification_start_epoch > 0
            or (projected and None in used)
            or any(loss is not other for loss in trained for other in used)
        )

    def class_weights(self, state: ClassState) -> Tensor:
        """Class weights of the classification loss, fp32 (C,)."""
        return state.weights * self._stage_weights(state.counts)

    def removed_prior(self, class_counts: Tensor, shares: Tensor) -> float:
        """Strength of the prior that the loss, weights by class counts and sampling remove from the logits.

        Weights w_c make a loss learn the class frequencies ``n_c w_c``. Those of reclusters do not follow the counts.

        Args:
            class_counts: Training samples of each class, (C,).
            shares: Share of each class in the samples that are drawn, fp32 (C,).
        """
        weights, offsets = self.classification_loss.weights_and_offsets(self._stage_weights(class_counts), class_counts)
        return (
            self.classification_loss.removed_prior + 1 - prior_slope((weights * shares).log() - offsets, class_counts)
        )

    def _stage_weights(self, class_counts: Tensor) -> Tensor:
        if self.weighting is None:
            return torch.ones_like(class_counts, dtype=torch.float32)
        return normalized_weights(self.weighting.weights(class_counts.float().clamp(min=1)), class_counts)

    def _classify(
        self, embeddings: Tensor, labels: Tensor, network: Network, state: ClassState, shares: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Mean logits of the experts, (B, C), and the classification loss with sample weights `shares`, (B,)."""
        weights, portions = self.class_weights(state), None
        if self.mixing is not None:
            mixed = self.mixing.mix(embeddings, labels, state.counts)
            embeddings, portions = mixed.embeddings, torch.cat([mixed.label_shares, 1 - mixed.label_shares])
            labels = torch.cat([labels, labels[mixed.partners]])
            shares = None if shares is None else torch.cat([shares, shares])
        kept: Tensor | float = 1.0
        if shares is not None:
            # The loss is a mean with weights of classes times shares; this factor makes it the mean of shared losses.
            # Like the loss, it is 0 if all weights are.
            every = torch.ones_like(shares) if portions is None else portions
            own = every * self.classification_loss.weights_and_offsets(weights, state.counts)[0][labels]
            kept, portions = ((own * shares).sum() / own.sum()).nan_to_num(), every * shares
        outputs = network.training_logits(embeddings)
        times = 1 if self.mixing is None else 2
        fixed = labels, weights, state.counts, torch.cat([embeddings] * times), portions
        values = [self.classification_loss(torch.cat([output] * times), *fixed) for output in outputs]
        loss = kept * torch.stack(values).mean()
        if len(outputs) > 1:
            loss = loss - self.expert_diversity * diversity(outputs)
        return torch.stack(outputs).mean(dim=0), loss

    def _contrast(
        self,
        loss: ContrastiveLoss,
        batch: Batch,
        embeddings: list[Tensor],
        network: Network,
        state: ClassState,
        shared_seed: int,
    ) -> Tensor:
        """Weighted contrastive loss of the batch or, with `over_processes`, of the batches of all processes.

        Each process contrasts its own anchors with the samples of all.
        """
        assert self.contrast is not None
        projections = torch.stack([network.projection(embedding) for embedding in embeddings], dim=1)
        given = batch.sample_index, batch.labels, embeddings[0]
        several = batch.labels.ndim == 2
        # Columns of labels, then of sub-clusters, so that both are gathered at once; of several, all are 0, 1 or -1.
        if several:
            groups = torch.cat([batch.labels.to(torch.int8), state.subcluster_members(*given).to(torch.int8)], dim=1)
        else:
            groups = torch.stack([batch.labels, state.subclusters_of(*given)], dim=1)
        rank, processes = rank_and_world_size()
        joint = processes > 1 and self.contrast.over_processes
        share = WHOLE
        if joint:
            seed_device(shared_seed, batch.labels.device)
            counts = row_counts(groups)
            share = Share(sum(counts[:rank]), sum(counts[: rank + 1]), sum_over_processes)
            # Gradients are summed over the processes in fp32.
            projections, groups = gather_rows(projections.float(), counts), gather_rows(groups, counts)
        if several:
            number = batch.labels.shape[1]
            members = groups[:, number:] == 1
            value: Tensor = loss(projections, groups[:, :number], members, state.temperatures, share)
        else:
            value = loss(projections, groups[:, 0], groups[:, 1], state.temperatures, share)
        return self.contrast.weight * (add_shares(value) if joint else value)
