"""Checkpoints are whole or not there."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import torch
from lightning.fabric.plugins.io import TorchCheckpointIO

from workflows.checkpoint_io import AtomicCheckpointIO
from workflows.run_folder import RunFolder
from workflows.run_trainer import RunTrainer


def test_a_checkpoint_is_written_beside_its_target_and_read_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Lightning would write here first.
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "none"))
    path, places = tmp_path / "new/checkpoints/last.ckpt", list[Path]()
    save = torch.save

    def note(checkpoint: dict[str, Any], file: io.BufferedWriter) -> None:
        places.append(Path(file.name).parent)
        save(checkpoint, file)

    with patch("torch.save", note):
        AtomicCheckpointIO().save_checkpoint({"epoch": 3, "weight": torch.arange(5)}, path)
    assert places == [path.parent]
    assert list(path.parent.iterdir()) == [path]
    found = AtomicCheckpointIO().load_checkpoint(path, weights_only=True)
    assert found["epoch"] == 3
    assert found["weight"].tolist() == [0, 1, 2, 3, 4]


def test_a_url_is_left_to_fsspec() -> None:
    AtomicCheckpointIO().save_checkpoint({"epoch": 3}, "memory://run/last.ckpt")
    assert AtomicCheckpointIO().load_checkpoint("memory://run/last.ckpt", weights_only=True) == {"epoch": 3}


def test_the_trainer_uses_it_unless_another_one_is_given(tmp_path: Path) -> None:
    class Other(TorchCheckpointIO):
        pass

    def used(plugins: Any) -> type:
        settings = {"accelerator": "cpu", "logger": False, "enable_checkpointing": False, "plugins": plugins}
        return type(RunTrainer(lambda: RunFolder(tmp_path), **settings).strategy.checkpoint_io)

    assert used(None) is AtomicCheckpointIO
    assert used([]) is AtomicCheckpointIO
    assert used(Other()) is Other
