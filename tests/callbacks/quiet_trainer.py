"""The trainer of the tests of callbacks."""

from __future__ import annotations

from pathlib import Path

import lightning


def quiet_trainer(folder: Path, epochs: int, *callbacks: lightning.Callback) -> lightning.Trainer:
    """Trains on the CPU, validates nothing, and writes and prints nothing by itself."""
    return lightning.Trainer(
        default_root_dir=folder,
        max_epochs=epochs,
        accelerator="cpu",
        devices=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        limit_val_batches=0,
        use_distributed_sampler=False,
        callbacks=list(callbacks),
    )
