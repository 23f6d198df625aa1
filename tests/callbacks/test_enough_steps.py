"""A run that would end before its first validation is refused before its first step."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning
import pytest
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import Tensor, ones
from torch.utils.data import DataLoader

from base.errors import InputError
from callbacks.enough_steps import EnoughSteps
from tests.callbacks.test_last_checkpoint import Line


class ValidatedLine(Line):
    """Counts its validations."""

    def __init__(self) -> None:
        """As `Line`."""
        super().__init__()
        self.validations = 0

    def validation_step(self, batch: Tensor) -> None:
        """Nothing."""

    def on_validation_end(self) -> None:
        """Count."""
        self.validations += 1


def fitted(folder: Path, kept: str = "", **settings: Any) -> ValidatedLine:
    """The model after a fit on ten batches an epoch, of a run that has kept a checkpoint before or not."""
    best = ModelCheckpoint(folder)
    best.best_model_path = kept
    trainer = lightning.Trainer(
        accelerator="cpu", devices=1, default_root_dir=folder, logger=False, enable_progress_bar=False,
        enable_model_summary=False, num_sanity_val_steps=0, callbacks=[EnoughSteps(), best], **settings,
    )  # fmt: skip
    model = ValidatedLine()
    loader: DataLoader[Tensor] = DataLoader(ones(10, 1))  # type: ignore[arg-type]
    trainer.fit(model, loader, loader)
    return model


@pytest.mark.parametrize(
    ("settings", "least"),
    [
        ({}, 10),
        ({"limit_train_batches": 0.5}, 5),
        # Steps end with batches 4, 8 and 10.
        ({"accumulate_grad_batches": 4}, 3),
        ({"accumulate_grad_batches": 4, "val_check_interval": 6}, 2),
        ({"check_val_every_n_epoch": 2}, 20),
        ({"check_val_every_n_epoch": 2, "val_check_interval": 0.3}, 13),
        ({"check_val_every_n_epoch": None, "val_check_interval": 23, "accumulate_grad_batches": 4}, 7),
    ],
)
def test_the_least_number_of_steps_is_that_of_the_first_validation(
    settings: dict[str, Any], least: int, tmp_path: Path
) -> None:
    assert fitted(tmp_path / "enough", max_steps=least, **settings).validations == 1
    message = rf"trainer\.max_steps: expected at least {least}, .*, got {least - 1}\."
    with pytest.raises(InputError, match=message):
        fitted(tmp_path / "too few", max_steps=least - 1, **settings)


@pytest.mark.parametrize(
    "settings",
    [
        {"max_steps": 2, "fast_dev_run": True},
        {"max_steps": 2, "val_check_interval": "00:00:01:00", "check_val_every_n_epoch": None},
        {"max_steps": 2, "kept": "best.ckpt"},
        {"max_epochs": 1},
    ],
)
def test_other_lengths_are_accepted(settings: dict[str, Any], tmp_path: Path) -> None:
    assert fitted(tmp_path, **settings).global_step > 0
