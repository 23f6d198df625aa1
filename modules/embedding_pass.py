"""Embeddings and scores of a split without augmentation, gathered on all processes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy
import torch
from numpy.typing import NDArray
from torch import Tensor

from datamodules.batch import Batch
from datamodules.drug_datamodule import DrugDataModule
from modules.drug_classifier import DrugClassifier
from modules.evaluation.split_scores import SplitScores, joined, no_scores
from modules.inference import infer, infer_scores
from modules.processes import broadcast_from_first, gather_rows, rank_and_world_size

Precision = Callable[[], AbstractContextManager[None]]


def embed_training_set(
    model: DrugClassifier, data: DrugDataModule, rows: NDArray[Any] | None = None, precision: Precision = nullcontext
) -> tuple[Tensor, Tensor]:
    """Embed training samples without augmentation and gather them, in order, on every process.

    Each process embeds a part of the samples; the parts may differ in size.

    Args:
        model: The model; its training mode is restored afterwards.
        data: The data module, set up.
        rows: Indices of training samples, ascending; None embeds all.
        precision: Creates the context of a forward pass, as for `infer`.

    Returns:
        (S, d) float32 embeddings and (S,) int64 labels, on the model's device.

    Raises:
        RuntimeError: If a sample was embedded more than once or not at all.
    """
    from tqdm import tqdm

    expected = numpy.arange(len(data.records.rows["train"])) if rows is None else rows
    # The statistics of batch normalization differ between processes until the next validation.
    for buffer in model.buffers():
        broadcast_from_first(buffer)
    # None: tqdm shows the bar only on a terminal.
    quiet = None if rank_and_world_size()[0] == 0 else True
    loader = tqdm(data.train_embedding_dataloader(rows), desc="Embedding", delay=2, leave=False, disable=quiet)
    index, embeddings, labels = (gather_rows(column) for column in _embed(model, loader, precision))
    order = index.argsort()
    if not numpy.array_equal(index[order].cpu().numpy(), expected):
        raise RuntimeError(
            f"Expected each of {len(expected)} training samples to be embedded once, got {len(index)} rows."
        )
    return embeddings[order], labels[order]


def score_validation_set(
    model: DrugClassifier, data: DrugDataModule, precision: Precision = nullcontext
) -> SplitScores:
    """Compute the scores of the validation samples and gather them, in order of their rows, on every process.

    Args:
        model: The model; its training mode is restored afterwards.
        data: The data module, set up.
        precision: Creates the context of a forward pass, as for `infer`.
    """
    refusal = "ckpt_path: expected a model with finite scores, got NaN or infinite ones of validation samples."
    return infer_scores(model, data.val_dataloader(), precision).of_all_processes().in_order().finite(refusal)


def score_and_embed(
    model: DrugClassifier, batches: Iterable[Batch], precision: Precision = nullcontext
) -> tuple[SplitScores, Tensor]:
    """Compute scores and embeddings of the samples of a split, and gather them, in order of their rows.

    Args:
        model: The model; its training mode is restored afterwards.
        batches: Batches of this process, with the row of the table as `sample_index`.
        precision: Creates the context of a forward pass, as for `infer`.

    Returns:
        Scores of S samples, and their embeddings, (S, d) float32, on the model's device.
    """
    assert model.task is not None
    scores = [no_scores(model.task.num_classes, model.task.is_multilabel, model.device)]
    embeddings = [torch.zeros(0, model.network.encoder.output_dim, device=model.device)]
    for batch, found in infer(model, batches, precision=precision):
        scores.append(SplitScores(batch.sample_index, batch.labels, found.logits.float(), found.at_prior))
        embeddings.append(found.embeddings.float())
    whole, embedded = joined(scores).of_all_processes(), gather_rows(torch.cat(embeddings))
    return whole.in_order(), embedded[whole.rows.argsort(stable=True)]


def _embed(model: DrugClassifier, batches: Iterable[Batch], precision: Precision) -> tuple[Tensor, Tensor, Tensor]:
    """Sample indices, float32 embeddings and labels of the samples of this process."""
    found = [
        (batch.sample_index, prediction.embeddings.float(), batch.labels)
        for batch, prediction in infer(model, batches, precision=precision)
    ]
    index, embeddings, labels = (torch.cat(column) for column in zip(*found, strict=True))
    return index, embeddings, labels
