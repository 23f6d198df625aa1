"""What begins anew at a second stage of training."""

from __future__ import annotations

import os
from collections.abc import Iterable

import lightning
import torch
from lightning.pytorch.callbacks import EarlyStopping
from torch import nn

from modules.drug_classifier import DrugClassifier


def restart_schedule(trainer: lightning.Trainer, model: DrugClassifier) -> None:
    """Start the learning rate and the patience of early stopping again.

    Args:
        trainer: It trains.
        model: What it trains.
    """
    for optimizer in trainer.optimizers:
        for group in optimizer.param_groups:
            group["lr"] = group.get("initial_lr", group["lr"])
    if model.make_lr_scheduler is not None:
        for config, optimizer in zip(trainer.lr_scheduler_configs, trainer.optimizers, strict=True):
            config.scheduler = model.make_lr_scheduler(optimizer)
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        if isinstance(callback, EarlyStopping):
            callback.wait_count = 0


def reset_layers(trainer: lightning.Trainer, parts: Iterable[nn.Module], start_epoch: int) -> None:
    """Draw the weights of layers again, and forget what the optimiser knows of them.

    The weights are the same on every process and in a run that is resumed.

    Args:
        trainer: It trains.
        parts: Modules all of whose layers begin anew.
        start_epoch: When the stage begins, for the seed.
    """
    layers = list(parts)
    with torch.random.fork_rng():
        torch.manual_seed(int(os.environ.get("PL_GLOBAL_SEED", 0)) + start_epoch)
        for part in layers:
            for layer in part.modules():
                reset = getattr(layer, "reset_parameters", None)
                if callable(reset):
                    reset()
    for optimizer in trainer.optimizers:
        for part in layers:
            for parameter in part.parameters():
                optimizer.state.pop(parameter, None)
