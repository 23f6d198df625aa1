"""A teacher and its student, in real training on the embedded drugs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning
import pytest
import torch

from base.errors import InputError
from callbacks.distill import Distill
from datamodules.drug_datamodule import DrugDataModule
from modules.distillation import Distillation
from modules.drug_classifier import DrugClassifier
from modules.encoders import FingerprintMLP
from modules.losses import CrossEntropyLoss
from tests.callbacks.quiet_trainer import quiet_trainer


def train(folder: Path, distill: Distill, epochs: int, fingerprint_size: int = 256, **fit: Any) -> DrugClassifier:
    """A few epochs of a small student."""
    lightning.seed_everything(0, verbose=False)
    model = DrugClassifier(FingerprintMLP([16]), CrossEntropyLoss(), distillation=Distillation(1.0, 1.0))
    trainer = quiet_trainer(folder, epochs, distill)
    data = DrugDataModule(batch_size=128, fingerprint_size=fingerprint_size)
    trainer.fit(model, datamodule=data, weights_only=True, **fit)
    trainer.save_checkpoint(folder / f"{epochs}.ckpt")
    return model


def test_the_first_stage_teaches_a_new_model(tmp_path: Path) -> None:
    teacher = train(tmp_path, Distill(9), 2)
    distill = Distill(2)
    student = train(tmp_path, distill, 4)
    assert distill.layers is not None
    taught = distill.layers.state_dict()
    for name, value in teacher.state_dict().items():
        if name.startswith(("encoder.", "classifier.")):
            assert torch.equal(taught[name], value), name
        if name.endswith("weight"):
            assert not torch.equal(student.state_dict()[name], value), name


def test_a_resumed_student_keeps_its_teacher(tmp_path: Path) -> None:
    whole = train(tmp_path, Distill(1), 3)
    train(tmp_path, Distill(1), 2)
    resumed = train(tmp_path, Distill(1), 3, ckpt_path=tmp_path / "2.ckpt")
    for name, value in whole.state_dict().items():
        torch.testing.assert_close(resumed.state_dict()[name], value, msg=name)


def test_a_given_teacher_teaches_from_the_start_and_must_know_the_classes(tmp_path: Path) -> None:
    teacher = train(tmp_path, Distill(9), 2)
    distill = Distill(teacher="trained.ckpt")
    distill.given = teacher
    student = train(tmp_path, distill, 1)
    assert student.teacher is not None
    assert student.trainer.callback_metrics["train/classification"] == 0
    assert student.trainer.callback_metrics["train/distillation"] > 0
    with pytest.raises(InputError, match=r"distill\.teacher: trained\.ckpt was trained on other classes or features"):
        train(tmp_path, distill, 1, fingerprint_size=512)


def test_settings_that_contradict_are_refused() -> None:
    with pytest.raises(ValueError, match="start_epoch or teacher, not both"):
        Distill(3, "teacher.ckpt")
    with pytest.raises(ValueError, match=r"distill\.start_epoch: expected 1 or more, got 0"):
        Distill(0)
