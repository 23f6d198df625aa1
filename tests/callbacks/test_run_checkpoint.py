"""Checkpoints of a run that is resumed in another folder."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest
import torch

from callbacks.run_checkpoint import RunCheckpoint

SCORE = torch.tensor(0.7)


def saved(folder: Path) -> dict[str, Any]:
    """The state that Lightning saves in the best checkpoint of a folder."""
    best = RunCheckpoint(folder, filename="best", monitor="m", mode="max", enable_version_counter=False)
    path = str(folder / "best.ckpt")
    best.best_model_path = best.kth_best_model_path = path
    best.best_model_score = best.kth_value = SCORE
    best.best_k_models = {path: SCORE}
    return best.state_dict()


def loaded(state: dict[str, Any], folder: Path) -> RunCheckpoint:
    """A callback of a folder after resuming, which must not warn."""
    callback = RunCheckpoint(folder, filename="best", monitor="m", mode="max", enable_version_counter=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        callback.load_state_dict(state)
    return callback


@pytest.mark.parametrize(("copied", "expected"), [(True, "new"), (False, "old")])
def test_the_best_score_is_kept_in_another_folder(tmp_path: Path, copied: bool, expected: str) -> None:
    (tmp_path / "new").mkdir()
    if copied:
        (tmp_path / "new" / "best.ckpt").touch()
    callback = loaded(saved(tmp_path / "old"), tmp_path / "new")
    path = str(tmp_path / expected / "best.ckpt")
    assert (callback.best_model_path, callback.kth_best_model_path, callback.best_k_models) == (
        path,
        path,
        {path: SCORE},
    )
    assert (callback.best_model_score, callback.kth_value) == (SCORE, SCORE)
    assert callback.dirpath == str(tmp_path / "new")


def test_a_run_without_checkpoints_stays_without(tmp_path: Path) -> None:
    callback = RunCheckpoint(tmp_path / "old", filename="last")
    assert loaded(callback.state_dict(), tmp_path / "new").best_model_path == ""
