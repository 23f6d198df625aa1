"""The loop of inference: batches through a model in evaluation mode."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext

import torch

from datamodules.batch import Batch
from modules.drug_classifier import DrugClassifier
from modules.evaluation.prediction import Prediction


def infer(
    model: DrugClassifier,
    batches: Iterable[Batch],
    device: torch.device | None = None,
    precision: Callable[[], AbstractContextManager[None]] = nullcontext,
) -> Iterator[tuple[Batch, Prediction]]:
    """Predict batches one at a time, without gradients.

    The model is in evaluation mode while a batch is computed; afterwards each of its modules has its own mode again.

    Args:
        model: The model, built.
        batches: Samples as they are, without augmentation.
        device: The model's device, to which batches are moved; the current one of the model if None.
        precision: Makes the context of the forward pass, such as that of a trainer's precision plugin.

    Yields:
        Each batch, on the device, and what `DrugClassifier.predict_step` says of it.
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
