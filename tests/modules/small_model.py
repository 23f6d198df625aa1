"""A small model and a batch for it."""

from __future__ import annotations

from typing import Any

import torch

from datamodules.batch import Batch, FingerprintBatch
from datamodules.chemistry.molecule_features import FeatureSettings
from datamodules.drug_task import DrugTask
from modules.drug_classifier import DrugClassifier
from modules.encoders import FingerprintMLP
from modules.losses import ContrastiveLoss, CrossEntropyLoss
from modules.objective import StepLosses
from modules.training.contrast import Contrast

TASK = DrugTask("molecule", ("a", "b", "c"), (20, 6, 0), FeatureSettings(2, 64))
VIEWS = (0.1, 0.1)


def make_model(**settings: Any) -> DrugClassifier:
    """A small model built for `TASK`."""
    torch.manual_seed(0)
    model = DrugClassifier(FingerprintMLP([8]), **{"classification_loss": CrossEntropyLoss(), **settings})
    model.build(TASK)
    return model


def contrast(loss: ContrastiveLoss, warmup: ContrastiveLoss | None = None, **settings: Any) -> Contrast:
    """Contrast of views that drop a tenth of the features."""
    return Contrast(loss, warmup, **{"view_probabilities": VIEWS, **settings})


def make_batch(size: int = 6) -> Batch:
    """Samples of four fingerprint bins each and no graphs."""
    generator = torch.Generator().manual_seed(1)
    fingerprints = FingerprintBatch(
        molecule=torch.arange(size).repeat_interleave(4),
        bin=torch.randint(64, (4 * size,), generator=generator),
        count=torch.ones(4 * size),
        shape=(size, 64),
    )
    return Batch(torch.arange(size), torch.arange(size) % 2, fingerprints=fingerprints)


def step(model: DrugClassifier, batch: Batch, epoch: int = 0) -> StepLosses:
    """One training step at an epoch."""
    found: StepLosses = model.objective(batch, model.network, model.class_state, epoch, 0)
    return found
