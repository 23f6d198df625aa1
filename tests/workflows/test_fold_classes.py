"""Ensembles of folds of which one has all samples of a class."""

from __future__ import annotations

import json
from pathlib import Path

import polars
import pytest

from base.errors import InputError
from modules.evaluation.prediction_evidence import load_evidence
from modules.evaluation.split_scores import SplitScores, scores_path
from modules.run_layout import best_checkpoint
from tests.lightning_app.command import TINY
from workflows.fit import fit

SHORT = [*TINY, "--tracking.wandb=disabled", "--config=encoder/fingerprint.yaml", "--config=method/cross_entropy.yaml"]
SMALL = ("C1CC1", "C1CCC1", "N1CC1", "N1CCC1", "O1CC1", "O1CCC1", "S1CC1", "S1CCC1")
LARGE = ("C1CCCC1", "C1CCCCC1", "N1CCCC1", "N1CCCCC1", "O1CCCC1", "O1CCCCC1", "S1CCCC1", "S1CCCCC1")


def test_more_folds_than_samples_are_refused_before_the_first_is_trained(tmp_path: Path) -> None:
    source = tmp_path / "few.csv"
    source.write_text("smiles,label\n" + "\n".join(f"{'C' * size}O,{'ab'[size % 2]}" for size in range(1, 7)) + "\n")
    options = [*SHORT, "--folds=8", f"--data.source={source}", f"--run.root={tmp_path}"]
    with pytest.raises(InputError, match=r"^folds: expected no more than 6, since others would have no row, got 8"):
        fit(options, show_progress=False)
    assert not list(tmp_path.glob("**/*.ckpt"))


def test_samples_of_a_class_that_only_their_fold_has_are_left_out(tmp_path: Path) -> None:
    lines = [f"{ring}{'C' * size},small" for ring in SMALL for size in (1, 2, 3)]
    lines += [f"{ring}{'C' * size},large" for ring in LARGE for size in (1, 2, 3)]
    # All drugs of the third class share one scaffold.
    lines += [f"c1ccncc1{'C' * size},pyridine" for size in (1, 2, 3)]
    source = tmp_path / "rings.csv"
    source.write_text("\n".join(["smiles,label", *lines]) + "\n")
    options = [*SHORT, "--trainer.max_epochs=2", "--folds=3", "--data.split=scaffold", "--data.batch_size=8"]
    folder = fit([*options, f"--data.source={source}", f"--run.root={tmp_path}"], show_progress=False).folder
    scores = SplitScores.load(scores_path(best_checkpoint(folder)), 3)
    assert scores.rows.tolist() == list(range(48))
    tested = polars.read_csv(folder / "test_predictions.csv")
    assert sorted(tested["row"].to_list()) == list(range(1, 49))
    written = json.loads((folder / "test_metrics.json").read_text())
    assert (written["test/rows"], written["test/unseen_rows"], written["test/unseen_classes"]) == (51, 3, 1)
    assert written["test/recall/pyridine"] is None
    assert written["test/accuracy"] == pytest.approx((tested["predicted_label"] == tested["true_label"]).mean())
    evidence = load_evidence(best_checkpoint(folder))
    assert evidence is not None
    assert evidence.unseen.rows.tolist() == list(range(48))
