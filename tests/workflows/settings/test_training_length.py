"""Trainings that would not end, or would end without a checkpoint, are refused before their first step."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from base.errors import InputError
from tests.lightning_app.command import TINY
from workflows.fit import fit
from workflows.settings.training_length import check_training_length

USUAL: dict[str, Any] = {"max_epochs": 40, "max_steps": -1, "max_time": None}
USUAL |= {"limit_val_batches": None, "check_val_every_n_epoch": 1}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"max_steps": 9}, r"trainer\.max_steps: expected -1 with folds, .*, got 9\."),
        ({"max_time": "00:01:00:00"}, r"trainer\.max_time: expected null with folds, .*, got 00:01:00:00\."),
        ({"max_epochs": -1}, r"trainer\.max_epochs: expected 1 or more with folds, .*, got -1\."),
        ({"max_epochs": None}, r"trainer\.max_epochs: expected 1 or more with folds, .*, got null\."),
    ],
)
def test_models_of_folds_are_trained_for_all_epochs(given: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        check_training_length({**USUAL, **given}, leaves_out_fold=True, refit=False)
    # Early stopping, or a limit, ends the training of a single model.
    check_training_length({**USUAL, **given}, leaves_out_fold=False, refit=False)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"limit_val_batches": 0}, r"trainer\.limit_val_batches: expected more than 0, .*, got 0\."),
        ({"check_val_every_n_epoch": 41}, r"trainer\.check_val_every_n_epoch: expected at most 40, .*, got 41\."),
    ],
)
def test_a_single_model_needs_a_validated_epoch(given: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        check_training_length({**USUAL, **given}, leaves_out_fold=False, refit=False)


@pytest.mark.parametrize("given", [{"check_val_every_n_epoch": 40}, {"check_val_every_n_epoch": None}, {}])
def test_other_lengths_are_accepted(given: dict[str, Any]) -> None:
    for leaves_out_fold, refit in ((False, False), (False, True), (True, False)):
        check_training_length({**USUAL, **given}, leaves_out_fold, refit)
    limited = {**USUAL, "max_epochs": -1, "max_steps": 9}
    check_training_length(limited, leaves_out_fold=False, refit=True)


@pytest.mark.parametrize(
    "options", [["--folds=3", "--trainer.max_steps=9"], ["--data.folds=3", "--data.fold=1", "--trainer.max_epochs=-1"]]
)
def test_an_ensemble_is_refused_before_it_has_a_folder(options: list[str], tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"trainer\.max_(steps|epochs): expected .* with folds"):
        fit([*TINY, "--tracking.wandb=disabled", *options, f"--run.root={tmp_path / 'runs'}"], show_progress=False)
    assert not (tmp_path / "runs").exists()
