"""The loop of inference, and the scores that it gives."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext

import torch

from datamodules.batch import Batch
from modules.drug_classifier import DrugClassifier
from modules.evaluation.prediction import Prediction
from modules.evaluation.split_scores import ScoreCollector, SplitScores


def infer(
    model: DrugClassifier,
    batches: Iterable[Batch],
    device: torch.device | None = None,
    precision: Callable[[], AbstractContextManager[None]] = nullcontext,
) -> Iterator[tuple[Batch, Prediction]]:
    """Predict batches one at a time, without gradients.

    The model is in evaluation mode during each forward pass; the previous mode of each module is restored afterwards.

    Args:
        model: A built model.
        batches: Batches without augmentation.
        device: Device to move batches to; the model's device if None.
        precision: Creates the context of a forward pass, such as that of a trainer's precision plugin.

    Yields:
        Each batch, on the device, and its prediction.
    """
    device = device or model.device
    for number, batch in enumerate(batches):
        batch = batch.to(device)
        modes = {module: module.training for module in model.modules()}
        model.eval()
        try:
            with torch.no_grad(), precision():
                prediction = model.predict_step(batch, number)
        finally:
            for module, training in modes.items():
                module.training = training
        yield batch, prediction


def infer_scores(
    model: DrugClassifier,
    batches: Iterable[Batch],
    precision: Callable[[], AbstractContextManager[None]] = nullcontext,
) -> SplitScores:
    """Compute the scores of samples on this process.

    Args:
        model: A built model.
        batches: Batches with labels, without augmentation.
        precision: As of `infer`.
    """
    assert model.task is not None
    collector = ScoreCollector(model.task.num_classes, model.task.is_multilabel)
    for batch, prediction in infer(model, batches, precision=precision):
        collector.add(batch, prediction.logits, prediction.at_prior)
    return collector.take(model.device)
