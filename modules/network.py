"""Layers of the model: encoder, projection and classification head."""

from __future__ import annotations

import copy
from collections.abc import Collection
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from base.errors import InputError
from datamodules.batch import Batch
from datamodules.drug_task import DrugTask
from datamodules.tables.columns import INPUTS
from modules.encoders import Encoder
from modules.heads.classifier_head import ClassifierHead, ClassScales
from modules.heads.experts import Experts
from modules.heads.head import HeadSettings, make_head
from modules.heads.perceptron import perceptron

Part = Literal["encoder", "projection", "classifier"]


class Network(nn.Module):
    """Encoder, projection for the contrastive loss, and classification head.

    Attributes:
        encoder: Maps a batch to embeddings, (B, d).
        projection: Maps embeddings to projections, (B, d'); created by `build`.
        classifier: Maps embeddings to logits, (B, C); created by `build`.
        frozen: Parts that do not train; changed by `freeze`.
    """

    projection: nn.Module
    classifier: ClassifierHead | Experts

    def __init__(self, encoder: Encoder, head: HeadSettings, projection_dims: list[int] | None = None) -> None:
        """Create the network; `build` creates its layers.

        Args:
            encoder: Computes embeddings.
            head: Settings of the classification head.
            projection_dims: Layer sizes of the projection; None for no projection.
        """
        super().__init__()
        self.encoder, self.head, self.projection_dims = encoder, head, projection_dims
        self.frozen: frozenset[Part] = frozenset()
        self._fixed: list[nn.Parameter] = []

    def build(self, task: DrugTask) -> None:
        """Create the layers, once, before the first forward pass.

        Args:
            task: Description of the data.

        Raises:
            InputError: If the encoder cannot read the samples.
        """
        self.encoder.build(task)
        if INPUTS[task.input].sequence is not None and not self.encoder.reads_proteins:
            raise InputError(
                f"model.encoder: expected an encoder of proteins for input {task.input}, such as a Fusion with "
                "modules.encoders.ProteinCNN (recommended/drug_protein.yaml), got "
                f"{type(self.encoder).__name__} without one."
            )
        size = self.encoder.output_dim
        self.projection = perceptron([size, *self.projection_dims]) if self.projection_dims else nn.Identity()
        self.classifier = make_head(self.head, self.encoder.part_dims, task.num_classes)

    @property
    def projection_dim(self) -> int:
        """Size d' of projections."""
        return self.projection_dims[-1] if self.projection_dims else self.encoder.output_dim

    @property
    def normalizes_batches(self) -> bool:
        """Whether a layer normalizes over the samples that one process has in a batch."""
        # Synchronized normalization has the samples of all processes.
        return any(
            isinstance(module, _BatchNorm) and not isinstance(module, nn.SyncBatchNorm) for module in self.modules()
        )

    def check_batches(self, batch_size: int, smallest: int) -> None:
        """Check that batch normalization has samples enough in every training batch.

        Args:
            batch_size: Samples of a batch, as set.
            smallest: Samples of the smallest batch of any process.

        Raises:
            InputError: If the network normalizes over batches and one has less than two samples.
        """
        if self.normalizes_batches and smallest < 2:
            raise InputError(
                "data.batch_size: expected a size that leaves two or more training samples in every batch, since the "
                f"model has batch normalization, got {batch_size}, which leaves {smallest}."
            )

    def forward(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Compute the embeddings, (B, d), and logits, (B, C), of a batch."""
        embeddings = self.encoder(batch)
        return embeddings, self.classifier(embeddings)

    def layers_to_compile(self) -> list[nn.Module]:
        """Parts of the encoder that gain from compilation, see `Encoder.layers_to_compile`."""
        return self.encoder.layers_to_compile()

    def training_embeddings(self, views: list[Batch]) -> list[Tensor]:
        """Compute the embeddings of each view for training.

        Args:
            views: V batches of the same B samples.

        Returns:
            V tensors (B, d).
        """
        return [self.encoder(view) for view in views]

    def training_logits(self, embeddings: Tensor) -> list[Tensor]:
        """Compute the logits for training.

        Args:
            embeddings: Embeddings, (B, d).

        Returns:
            Logits of each expert, (B, C).
        """
        return self.classifier.training_outputs(embeddings, scaled="classifier" in self.frozen)

    def freeze(self, parts: Collection[Part]) -> None:
        """Let exactly these parts not train, while gradients pass through them; others train again.

        A frozen part is in evaluation mode, so that it has no dropout and its statistics stay. In a frozen classifier,
        class factors still train.

        Args:
            parts: Parts to freeze.
        """
        for parameter in self._fixed:
            parameter.requires_grad_(True)
        for part in self.frozen.symmetric_difference(parts):
            self._parts[part].train(part not in parts)
        self.frozen = frozenset(parts)
        frozen = [module for module in self.modules_of(parts) if not isinstance(module, ClassScales)]
        # An encoder may have parameters that never train, which must not begin to when it is no longer frozen.
        owned = [parameter for module in frozen for parameter in module.parameters(recurse=False)]
        self._fixed = [parameter for parameter in owned if parameter.requires_grad]
        for parameter in self._fixed:
            parameter.requires_grad_(False)

    def reset(self, parts: Collection[Part], seed: int) -> None:
        """Reinitialize the weights of parts of the network, identically on all processes.

        Args:
            parts: Parts to reinitialize.
            seed: Random seed of the new weights.

        Raises:
            InputError: As `check_reset`.
        """
        self.check_reset(parts)
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            for module in self.modules_of(parts):
                reset = getattr(module, "reset_parameters", None)
                if callable(reset):
                    reset()

    def check_reset(self, parts: Collection[Part]) -> None:
        """Check that parts of the network can be reinitialized.

        Args:
            parts: Parts to reinitialize.

        Raises:
            InputError: If a layer has parameters of its own but no method `reset_parameters`.
        """
        for module in self.modules_of(parts):
            if next(module.parameters(recurse=False), None) is not None and not hasattr(module, "reset_parameters"):
                raise InputError(
                    "stages.reset: expected layers with a method reset_parameters, which draws new weights, got "
                    f"{type(module).__name__} without it."
                )

    def modules_of(self, parts: Collection[Part]) -> list[nn.Module]:
        """All modules of the given parts, in the order encoder, projection, classifier."""
        return [module for part, whole in self._parts.items() if part in parts for module in whole.modules()]

    @property
    def _parts(self) -> dict[Part, nn.Module]:
        return {"encoder": self.encoder, "projection": self.projection, "classifier": self.classifier}

    @torch.no_grad()
    def logits(self, batch: Batch) -> Tensor:
        """Compute the logits of a batch, (B, C), in evaluation mode and without gradients."""
        self.eval()
        logits: Tensor = self(batch)[1]
        return logits

    def frozen_copy(self) -> Network:
        """Copy the network, in evaluation mode and with parameters that do not train."""
        return copy.deepcopy(self).requires_grad_(False).eval()
