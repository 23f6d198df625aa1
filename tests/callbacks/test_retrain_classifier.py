"""The second stage, in real training on the embedded drugs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning
import pytest
import torch
from lightning.pytorch.callbacks import EarlyStopping
from torch import Tensor

from callbacks.retrain_classifier import RetrainClassifier
from datamodules.drug_datamodule import DrugDataModule
from modules.drug_classifier import DrugClassifier
from modules.encoders import FingerprintMLP
from modules.losses import CrossEntropyLoss
from tests.callbacks.quiet_trainer import quiet_trainer


class KeepWeights(lightning.Callback):
    """The model's state at the start of each epoch, after the callbacks before this one."""

    def __init__(self) -> None:
        """Start with none."""
        self.states: list[dict[str, Tensor]] = []

    def on_train_epoch_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Copy."""
        self.states.append({name: value.clone() for name, value in pl_module.state_dict().items()})


def train(
    folder: Path, retrain: RetrainClassifier, epochs: int, class_scales: bool = False, **fit: Any
) -> tuple[DrugClassifier, KeepWeights]:
    """A few epochs of a small model."""
    lightning.seed_everything(0, verbose=False)
    kept = KeepWeights()
    model = DrugClassifier(FingerprintMLP([16]), CrossEntropyLoss(), class_scales=class_scales)
    trainer = quiet_trainer(folder, epochs, retrain, kept)
    trainer.fit(model, datamodule=DrugDataModule(batch_size=128, fingerprint_size=256), weights_only=True, **fit)
    trainer.save_checkpoint(folder / f"{epochs}.ckpt")
    return model, kept


def test_the_encoder_stays_and_the_classifier_starts_anew(tmp_path: Path) -> None:
    model, kept = train(tmp_path, RetrainClassifier(2), 4)
    stage, end = kept.states[2], model.state_dict()
    encoder = [name for name in end if name.startswith("encoder.")]
    assert any(not torch.equal(kept.states[1][name], stage[name]) for name in encoder)
    assert all(torch.equal(stage[name], end[name]) for name in encoder)
    weight = "classifier.0.weight"
    assert not torch.equal(kept.states[3][weight], end[weight])
    # A new layer of 16 inputs starts within 1 / sqrt(16).
    assert stage[weight].abs().max() <= 0.25
    assert not torch.equal(kept.states[1][weight], stage[weight])


def test_a_resumed_second_stage_goes_on(tmp_path: Path) -> None:
    whole, _ = train(tmp_path, RetrainClassifier(1), 3)
    train(tmp_path, RetrainClassifier(1), 2)
    resumed, kept = train(tmp_path, RetrainClassifier(1), 3, ckpt_path=tmp_path / "2.ckpt")
    assert len(kept.states) == 1
    for name, value in whole.state_dict().items():
        torch.testing.assert_close(resumed.state_dict()[name], value, msg=name)


def test_a_finished_run_can_get_a_new_classifier(tmp_path: Path) -> None:
    first, _ = train(tmp_path, RetrainClassifier(), 2)
    later, _ = train(tmp_path, RetrainClassifier(2), 3, ckpt_path=tmp_path / "2.ckpt")
    for name, value in first.state_dict().items():
        assert torch.equal(later.state_dict()[name], value) == (not name.startswith("classifier."))


def test_factors_of_the_classes_train_alone(tmp_path: Path) -> None:
    model, kept = train(tmp_path, RetrainClassifier(1), 3, class_scales=True)
    assert torch.equal(kept.states[1]["classifier.1.weight"], torch.ones(73))
    for name, value in model.state_dict().items():
        assert torch.equal(kept.states[1][name], value) == (name != "classifier.1.weight")


def test_the_learning_rate_starts_again(tmp_path: Path) -> None:
    rates: list[float] = []

    class KeepRate(lightning.Callback):
        def on_train_epoch_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
            rates.append(trainer.optimizers[0].param_groups[0]["lr"])

    model = DrugClassifier(
        FingerprintMLP([16]),
        CrossEntropyLoss(),
        lr_scheduler=lambda optimizer: torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5),
    )
    stopping = EarlyStopping("val/balanced_accuracy", patience=9)
    trainer = lightning.Trainer(
        default_root_dir=tmp_path,
        max_epochs=5,
        accelerator="cpu",
        devices=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        callbacks=[RetrainClassifier(3), KeepRate(), stopping],
    )
    stopping.wait_count = 5
    trainer.fit(model, datamodule=DrugDataModule(batch_size=128, fingerprint_size=256))
    assert rates == pytest.approx([1e-3, 5e-4, 2.5e-4, 1e-3, 5e-4])
    assert stopping.wait_count <= 2


def test_the_setting_is_checked() -> None:
    with pytest.raises(ValueError, match="start_epoch: expected 0 or more, got -1"):
        RetrainClassifier(-1)
