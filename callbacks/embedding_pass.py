"""A pass over the training set without augmentation, shared by all processes."""

from __future__ import annotations

from typing import Any, cast

import lightning
import numpy
import torch
from numpy.typing import NDArray
from torch import Tensor

from datamodules.drug_datamodule import DrugDataModule
from datamodules.molecule_batch import MoleculeBatch
from modules.drug_classifier import DrugClassifier
from modules.processes import gather_rows


def embed_training_set(
    trainer: lightning.Trainer, model: DrugClassifier, rows: NDArray[Any] | None = None
) -> tuple[Tensor, Tensor]:
    """Embeddings and labels of training samples, in order, on every process.

    Each process embeds its share, without augmentation; shares may differ in size.

    Args:
        trainer: Its data module is a `DrugDataModule`.
        model: Embeds; its mode is as before afterwards.
        rows: Training samples, ascending; all if None.

    Returns:
        (S, d) float32 embeddings and (S,) int64 labels, on the model's device.

    Raises:
        RuntimeError: If a sample was embedded more than once or not at all.
    """
    from tqdm import tqdm

    data = cast(DrugDataModule, trainer.datamodule)  # type: ignore[attr-defined]
    expected = numpy.arange(len(data.records.rows["train"])) if rows is None else rows
    was_training = model.training
    if trainer.world_size > 1:
        # Batch norm's statistics differ between processes until the next validation.
        for buffer in model.buffers():
            torch.distributed.broadcast(buffer, 0)
    model.eval()
    found: list[tuple[Tensor, Tensor, Tensor]] = []
    # None: no bar where there is no terminal.
    quiet = None if trainer.is_global_zero else True
    loader = tqdm(data.train_embedding_dataloader(rows), desc="Embedding", delay=2, leave=False, disable=quiet)
    with torch.no_grad(), trainer.precision_plugin.forward_context():
        for batch in loader:
            batch = cast(MoleculeBatch, trainer.strategy.batch_to_device(batch))
            found.append((batch.sample_index, model.network.encoder(batch).float(), batch.labels))
    model.train(was_training)
    index, embeddings, labels = (torch.cat(column) for column in zip(*found, strict=True))
    index, embeddings, labels = (gather_rows(column) for column in (index, embeddings, labels))
    order = index.argsort()
    if not numpy.array_equal(index[order].cpu().numpy(), expected):
        raise RuntimeError(f"Expected to embed each of {len(expected)} training samples once, got {len(index)} rows.")
    return embeddings[order], labels[order]
