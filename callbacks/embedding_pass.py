"""Embeddings of the training and validation set without augmentation, gathered on all processes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast

import lightning
import numpy
import torch
from numpy.typing import NDArray
from torch import Tensor

from datamodules.batch import Batch
from datamodules.drug_datamodule import DrugDataModule
from modules.drug_classifier import DrugClassifier
from modules.inference import infer
from modules.processes import gather_rows


def embed_training_set(
    trainer: lightning.Trainer, model: DrugClassifier, rows: NDArray[Any] | None = None
) -> tuple[Tensor, Tensor]:
    """Embed training samples without augmentation and gather them, in order, on every process.

    Each process embeds a part of the samples; the parts may differ in size.

    Args:
        trainer: A trainer whose data module is a `DrugDataModule`.
        model: The model; its training mode is restored afterwards.
        rows: Indices of training samples, ascending; None embeds all.

    Returns:
        (S, d) float32 embeddings and (S,) int64 labels, on the model's device.

    Raises:
        RuntimeError: If a sample was embedded more than once or not at all.
    """
    from tqdm import tqdm

    data = cast(DrugDataModule, trainer.datamodule)  # type: ignore[attr-defined]
    expected = numpy.arange(len(data.records.rows["train"])) if rows is None else rows
    if trainer.world_size > 1:
        # The statistics of batch normalization differ between processes until the next validation.
        for buffer in model.buffers():
            torch.distributed.broadcast(buffer, 0)
    # None: tqdm shows the bar only on a terminal.
    quiet = None if trainer.is_global_zero else True
    loader = tqdm(data.train_embedding_dataloader(rows), desc="Embedding", delay=2, leave=False, disable=quiet)
    index, embeddings, labels = (gather_rows(column) for column in _embed(trainer, model, loader))
    order = index.argsort()
    if not numpy.array_equal(index[order].cpu().numpy(), expected):
        raise RuntimeError(
            f"Expected each of {len(expected)} training samples to be embedded once, got {len(index)} rows."
        )
    return embeddings[order], labels[order]


def embed_validation_set(trainer: lightning.Trainer, model: DrugClassifier) -> Tensor:
    """Embed the validation samples and gather them, in any order, on every process.

    Args:
        trainer: A trainer whose data module is a `DrugDataModule`.
        model: The model; its training mode is restored afterwards.

    Returns:
        (S, d) float32 embeddings, on the model's device.
    """
    data = cast(DrugDataModule, trainer.datamodule)  # type: ignore[attr-defined]
    return gather_rows(_embed(trainer, model, data.val_dataloader())[1])


def _embed(
    trainer: lightning.Trainer, model: DrugClassifier, batches: Iterable[Batch]
) -> tuple[Tensor, Tensor, Tensor]:
    """Sample indices, float32 embeddings and labels of the samples of this process."""
    found = [
        (batch.sample_index, prediction.embeddings.float(), batch.labels)
        for batch, prediction in infer(model, batches, model.device, trainer.precision_plugin.forward_context)
    ]
    index, embeddings, labels = (torch.cat(column) for column in zip(*found, strict=True))
    return index, embeddings, labels
