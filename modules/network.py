"""The layers of the model: encoder, projection and classification head."""

from __future__ import annotations

import copy
from collections.abc import Collection
from typing import Literal

import torch
from torch import Tensor, nn

from base.errors import InputError
from datamodules.batch import Batch
from datamodules.drug_task import DrugTask
from modules.encoders import Encoder
from modules.heads.classifier_head import ClassifierHead
from modules.heads.experts import Experts
from modules.heads.head import HeadSettings, make_head
from modules.heads.perceptron import perceptron

Part = Literal["encoder", "projection", "classifier"]


class Network(nn.Module):
    """Embeds samples, projects embeddings for the contrastive loss, and scores the classes.

    Attributes:
        encoder: From a batch to embeddings (B, d).
        projection: From embeddings to what the contrastive loss compares, (B, d').
        classifier: From embeddings to logits (B, C).
        frozen: Parts that do not train now.
    """

    projection: nn.Module
    classifier: ClassifierHead | Experts

    def __init__(self, encoder: Encoder, head: HeadSettings, projection_dims: list[int] | None = None) -> None:
        """Create the network without layers.

        Args:
            encoder: Embeds samples.
            head: Layers from an embedding to the logits.
            projection_dims: Layer sizes between embedding and contrastive loss; None compares embeddings.
        """
        super().__init__()
        self.encoder, self.head, self.projection_dims = encoder, head, projection_dims
        self.frozen: frozenset[Part] = frozenset()

    def build(self, task: DrugTask) -> None:
        """Build the layers, once, before the first forward pass.

        Args:
            task: The data to classify.

        Raises:
            InputError: If the encoder cannot read a part of the samples.
        """
        self.encoder.build(task)
        if task.input == "drug_protein" and not self.encoder.reads_proteins:
            raise InputError(
                "model.encoder: drug_protein data need an encoder of proteins; put modules.encoders.ProteinCNN beside "
                "the others, as recommended/sbap.yaml does."
            )
        size = self.encoder.output_dim
        self.projection = perceptron([size, *self.projection_dims]) if self.projection_dims else nn.Identity()
        self.classifier = make_head(self.head, size, task.num_classes)

    @property
    def projection_dim(self) -> int:
        """Size d' of a projection."""
        return self.projection_dims[-1] if self.projection_dims else self.encoder.output_dim

    def forward(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Embeddings, (B, d), and logits, (B, C), of a batch."""
        embeddings = self.encoder(batch)
        return embeddings, self.classifier(embeddings)

    def training_embeddings(self, views: list[Batch]) -> list[Tensor]:
        """Embeddings, (B, d), of each view; without gradients and in evaluation mode where the encoder is frozen."""
        frozen = "encoder" in self.frozen
        if frozen:
            self.encoder.eval()
        with torch.set_grad_enabled(not frozen):
            return [self.encoder(view) for view in views]

    def training_logits(self, embeddings: Tensor) -> list[Tensor]:
        """Logits to train on, (B, C), one for each expert."""
        return self.classifier.training_outputs(embeddings, scales_only="classifier" in self.frozen)

    def reset(self, parts: Collection[Part], seed: int) -> None:
        """Initialize the weights of some parts again, equally on every process.

        Args:
            parts: Which parts.
            seed: Random seed of the new weights.
        """
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            for module in self.modules_of(parts):
                reset = getattr(module, "reset_parameters", None)
                if callable(reset):
                    reset()

    def modules_of(self, parts: Collection[Part]) -> list[nn.Module]:
        """All modules of some parts, in the order encoder, projection, classifier."""
        named: dict[Part, nn.Module] = {
            "encoder": self.encoder,
            "projection": self.projection,
            "classifier": self.classifier,
        }
        return [module for part, whole in named.items() if part in parts for module in whole.modules()]

    @torch.no_grad()
    def logits(self, batch: Batch) -> Tensor:
        """Logits, (B, C), of a batch in evaluation mode, without gradients."""
        self.eval()
        logits: Tensor = self(batch)[1]
        return logits

    def frozen_copy(self) -> Network:
        """A copy in evaluation mode whose weights do not train."""
        return copy.deepcopy(self).requires_grad_(False).eval()
