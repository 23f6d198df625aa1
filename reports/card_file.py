"""The model card in the folder of a run, and what reports have found for it."""

from __future__ import annotations

import json
from pathlib import Path

from base.atomic_file import write_file, write_json
from modules.run_layout import CARD, COMPARISON, is_best
from reports.model_card import model_card
from reports.run_files import RunFiles, read_run


def write_model_card(folder: Path) -> Path:
    """Write the model card of a finished run into its folder, with the comparison of its report if there is one.

    Args:
        folder: Folder of the run.

    Returns:
        The file.

    Raises:
        InputError: If the run cannot be read.
    """
    kept = folder / COMPARISON
    comparison = str(json.loads(kept.read_text())["sentence"]) if kept.is_file() else ""
    text = model_card(read_run(folder), comparison)
    write_file(folder / CARD, lambda path: path.write_text(text, encoding="utf-8"))
    return folder / CARD


def keep_comparison(run: RunFiles, sentence: str) -> None:
    """Write what a report has found into the folder of its run, for the model card.

    The card is about the test of the best checkpoint, so nothing is written for a report of another checkpoint, or of a
    decision that was chosen after the test.

    Args:
        run: The files of the run.
        sentence: How the model compares with a baseline.
    """
    if is_best(run.checkpoint, run.folder) and run.tested_objective is None:
        write_json({"sentence": sentence}, run.folder / COMPARISON)
