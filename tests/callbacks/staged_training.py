"""Training with stages, on the bundled drugs, for the tests of stages."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lightning
import torch
from torch import Tensor

from callbacks.training_stages import TrainingStages
from datamodules.drug_datamodule import DrugDataModule
from modules.drug_classifier import DrugClassifier
from modules.encoders import FingerprintMLP
from modules.losses import CrossEntropyLoss
from modules.network import Part
from modules.training.stages import Stage
from tests.callbacks.quiet_trainer import quiet_trainer

ALL: list[Part] = ["encoder", "projection", "classifier"]
SETTINGS = {
    "encoder": {"class_path": "modules.encoders.FingerprintMLP", "init_args": {"hidden_dims": [16]}},
    "classification_loss": {"class_path": "modules.losses.CrossEntropyLoss"},
}


class KeepWeights(lightning.Callback):
    """The model's state at the start of each epoch, after the callbacks before this one."""

    def __init__(self) -> None:
        """Start with none."""
        self.states: list[dict[str, Tensor]] = []

    def on_train_epoch_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Copy."""
        parameters = pl_module.network.state_dict()  # type: ignore[union-attr]
        self.states.append({name: value.clone() for name, value in parameters.items()})


def train(
    folder: Path,
    stages: list[Stage],
    epochs: int,
    settings: dict[str, Any] | None = None,
    others: Sequence[lightning.Callback] = (),
    **fit: Any,
) -> tuple[DrugClassifier, KeepWeights, TrainingStages]:
    """A few epochs of a small model."""
    lightning.seed_everything(0, verbose=False)
    kept, callback = KeepWeights(), TrainingStages(stages)
    model = DrugClassifier(FingerprintMLP([16]), CrossEntropyLoss(), **(settings or {}))
    model.run_config = {"model": SETTINGS}
    trainer = quiet_trainer(folder, epochs, callback, kept, *others)
    trainer.fit(model, datamodule=DrugDataModule(batch_size=128, fingerprint_size=256), weights_only=True, **fit)
    trainer.save_checkpoint(folder / f"{epochs}.ckpt")
    return model, kept, callback


def assert_equal_states(one: DrugClassifier, other: DrugClassifier) -> None:
    for name, value in one.network.state_dict().items():
        torch.testing.assert_close(other.network.state_dict()[name], value, msg=name)
