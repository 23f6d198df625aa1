"""Checkpoint files that survive kills, crashes and full disks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins.io import TorchCheckpointIO

from base.atomic_file import write_binary


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes checkpoints beside their target.

    Lightning writes them into the folder for temporary files. A move from there to another file system is not atomic.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Write a checkpoint.

        Args:
            checkpoint: State of model and trainer.
            path: Path of the file, or a URL that fsspec knows.
            storage_options: Not supported.

        Raises:
            DiskFullError: If no space is left; an existing file is unchanged.
            TypeError: If `storage_options` is given.
        """
        if storage_options is not None or "://" in str(path):
            super().save_checkpoint(checkpoint, path, storage_options)
            return
        write_binary(Path(path), lambda file: torch.save(checkpoint, file))
