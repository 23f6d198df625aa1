"""A small model and a batch for it."""

from __future__ import annotations

from typing import Any

import torch

from datamodules.chemistry.molecule_features import FeatureSettings
from datamodules.drug_task import DrugTask
from datamodules.molecule_batch import MoleculeBatch
from modules.contrast import Contrast
from modules.drug_classifier import DrugClassifier
from modules.encoders import FingerprintMLP
from modules.losses import ContrastiveLoss, CrossEntropyLoss
from modules.objective import StepLosses

TASK = DrugTask("molecule", ("a", "b", "c"), (20, 6, 0), FeatureSettings(2, 64))
VIEWS = (0.1, 0.1)


def make_model(**settings: Any) -> DrugClassifier:
    """A small model built for `TASK`."""
    torch.manual_seed(0)
    model = DrugClassifier(FingerprintMLP([8]), **{"classification_loss": CrossEntropyLoss(), **settings})
    model.build(TASK)
    return model


def contrast(loss: ContrastiveLoss, warmup: ContrastiveLoss | None = None, **settings: Any) -> Contrast:
    """Contrast of views that drop a tenth."""
    return Contrast(loss, warmup, **{"view_probabilities": VIEWS, **settings})


def make_batch(size: int = 6) -> MoleculeBatch:
    """Samples of four fingerprint entries each and no atoms."""
    generator = torch.Generator().manual_seed(1)
    return MoleculeBatch(
        atom_codes=torch.zeros(0, 10, dtype=torch.uint8),
        bond_codes=torch.zeros(0, dtype=torch.uint8),
        source=torch.zeros(0, dtype=torch.int64),
        target=torch.zeros(0, dtype=torch.int64),
        atoms_per_molecule=torch.zeros(size, dtype=torch.int64),
        fingerprint_molecule=torch.arange(size).repeat_interleave(4),
        fingerprint_bin=torch.randint(64, (4 * size,), generator=generator),
        fingerprint_count=torch.ones(4 * size),
        sample_index=torch.arange(size),
        labels=torch.arange(size) % 2,
        molecules_per_sample=1,
        residue_codes=torch.zeros(0, dtype=torch.uint8),
        residues_per_protein=torch.zeros(0, dtype=torch.int64),
        protein_of_sample=torch.zeros(0, dtype=torch.int64),
    )


def step(model: DrugClassifier, batch: MoleculeBatch, epoch: int = 0) -> StepLosses:
    """One training step at an epoch."""
    found: StepLosses = model.objective(batch, model.network, model.class_state, epoch, 0)
    return found
