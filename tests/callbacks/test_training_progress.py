from __future__ import annotations

import io
from types import SimpleNamespace
from typing import Any, cast

import lightning
import pytest
import torch
from rich.console import Console

from callbacks import training_progress
from callbacks.training_progress import TrainingProgress


def trainer(epoch: int, step: int, **metrics: float) -> lightning.Trainer:
    """As far as the callback looks."""
    values = {name.replace("__", "/"): torch.tensor(value) for name, value in metrics.items()}
    given = {"current_epoch": epoch, "global_step": step, "max_epochs": 4, "callback_metrics": values}
    return cast(lightning.Trainer, SimpleNamespace(**given, estimated_stepping_batches=40))


def shown(terminal: bool, monkeypatch: pytest.MonkeyPatch) -> str:
    """What is written over a few steps."""
    monkeypatch.setattr(training_progress, "_SECONDS_BETWEEN_UPDATES", -1.0)
    text = io.StringIO()
    progress = TrainingProgress(Console(file=text, force_terminal=terminal, width=120))
    model: Any = None
    progress.on_train_start(trainer(0, 0), model)
    progress.on_train_batch_end(trainer(2, 30, val__balanced_accuracy=0.875), model, {"loss": 1.5}, None, 0)
    progress.on_train_end(trainer(4, 40), model)
    return text.getvalue()


def test_the_line_has_epoch_loss_accuracy_and_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    text = shown(True, monkeypatch)
    assert "epoch 3/4" in text
    assert "loss 1.500  balanced accuracy 0.875" in text
    assert "left" in text


def test_nothing_is_written_to_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    assert shown(False, monkeypatch) == ""
