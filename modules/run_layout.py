"""Where the files of a run lie in its folder."""

from __future__ import annotations

from pathlib import Path

CHECKPOINTS = "checkpoints"
"""Folder in that of a run with its checkpoints."""

BEST, LAST, FINAL = "best.ckpt", "last.ckpt", "final.ckpt"
"""Checkpoints: with the best validation metric, of the latest step, and of the refit."""

TEST_METRICS = "test_metrics.json"
"""File with the test metrics of the best checkpoint."""

TEST_PREDICTIONS = "test_predictions.csv"
"""File with the samples that `test_metrics.json` is about."""

OUT_OF_FOLD_PREDICTIONS = "out_of_fold_predictions.csv"
"""File of an ensemble whose test samples are in no fold, with the samples of the folds."""

CARD = "model_card.md"
"""File with the model card, which is about the best checkpoint."""

COMPARISON = "comparison.json"
"""File with how the tested decision compares with a baseline, which the report of the run has found."""


def best_checkpoint(folder: Path) -> Path:
    """Path of the best checkpoint in the folder of a run."""
    return folder / CHECKPOINTS / BEST


def last_checkpoint(folder: Path) -> Path:
    """Path of the checkpoint in the folder of a run from which its training goes on."""
    return folder / CHECKPOINTS / LAST


def final_checkpoint(best: Path) -> Path | None:
    """The checkpoint of the refit beside the best one of a run; None without a refit.

    Args:
        best: The best checkpoint.
    """
    final = best.with_name(FINAL)
    return final if best.name == BEST and final.is_file() else None


def folder_of(checkpoint: Path) -> Path | None:
    """The folder of the run that a checkpoint belongs to; None if the file lies in no folder `checkpoints`.

    Args:
        checkpoint: A checkpoint, or a link to one.
    """
    place = checkpoint.resolve().parent
    return place.parent if place.name == CHECKPOINTS else None


def is_best(checkpoint: Path, folder: Path) -> bool:
    """Whether a checkpoint is the best one in the folder of a run, which test metrics and model card are about."""
    return checkpoint.resolve() == best_checkpoint(folder).resolve()
