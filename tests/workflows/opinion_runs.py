"""Short runs of models with second opinions."""

from __future__ import annotations

from pathlib import Path

from datamodules.chemistry.count_fingerprints import FingerprintKind
from datamodules.drug_datamodule import DrugDataModule
from modules.drug_classifier import DrugClassifier
from modules.evaluation.split_scores import SplitScores, scores_path
from tests.lightning_app.command import TINY
from tests.workflows.uneven_table import uneven_table
from workflows.fit import fit

PLAIN = [*TINY, "--tracking.wandb=disabled", "--config=encoder/fingerprint.yaml", "--trainer.max_epochs=1"]
PLAIN += ["--data.fingerprint_kinds=[path, morgan]", "--data.batch_size=8"]
"""Options of a run, without a method."""


def trained_with(folder: Path, *options: str) -> tuple[DrugClassifier, SplitScores, Path]:
    """A model of `method/balanced_opinions.yaml`, the scores that its decision was chosen on, and its folder."""
    words = [*PLAIN, "--config=method/balanced_opinions.yaml", "--neighbors.number=3", "--forest.trees=6"]
    run = fit(
        [*words, "--data.source", str(uneven_table(folder)), f"--run.root={folder}", *options], show_progress=False
    )
    scores = SplitScores.load(scores_path(run.best_checkpoint), 3)
    return DrugClassifier.load_from_checkpoint(run.best_checkpoint), scores, run.folder


def trained_without(folder: Path, *options: str) -> DrugClassifier:
    """A model of another method, or with other options."""
    words = [*PLAIN, *options, "--data.source", str(uneven_table(folder)), f"--run.root={folder}"]
    return DrugClassifier.load_from_checkpoint(fit(words, show_progress=False).best_checkpoint)


def data_of(folder: Path) -> DrugDataModule:
    """All rows of the table of a run, in one split."""
    kinds: tuple[FingerprintKind, ...] = ("path", "morgan")
    data = DrugDataModule(str(folder / "drugs.csv"), split="all", fingerprint_kinds=kinds, fingerprint_size=256)
    data.setup("test")
    return data
