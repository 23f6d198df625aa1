"""Ensembles of several labels, on a table with a column that lists them."""

from __future__ import annotations

import json
import shutil
from itertools import product
from pathlib import Path

import numpy
import polars
import pytest
import torch

import tailmol
from base.errors import InputError
from modules.checkpoint_file import read_checkpoint
from modules.decision_choice import saved_objective
from modules.decisions.objectives import BalancedAccuracy
from modules.decisions.settings import DecisionSettings
from modules.ensemble import NEVER_SEEN
from modules.evaluation.prediction_evidence import load_evidence
from modules.evaluation.split_scores import SplitScores, scores_path
from reports.run_data import set_up_data
from reports.run_files import read_run
from reports.samples.evaluated import decided_folds
from tests.workflows.multilabel_tables import (
    NAMES,
    checkpoint,
    entries,
    metrics_of,
    options,
    recomputed,
    source,
    with_lists,
)
from workflows.decide import decide
from workflows.fit import fit


@pytest.fixture(scope="module")
def folds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An ensemble, on a table with a column that lists the labels."""
    folder = with_lists(tmp_path_factory.mktemp("lists")).parent
    return fit(options(folder, "--data.label_column=groups", "--folds=2"), show_progress=False).folder


def test_the_separator_is_kept_for_tables_that_tell_another_one(folds: Path, tmp_path: Path) -> None:
    assert tailmol.load(folds).settings["data"]["label_separator"] == ";"
    polars.DataFrame({"smiles": ["CCN", "CCOCC"], "groups": ["amine", "ether|ether"]}).write_csv(tmp_path / "other.csv")
    with pytest.raises(InputError, match=r"1 of 2 rows .*label 'ether\|ether' is not a label"):
        tailmol.load(folds).evaluate(tmp_path / "other.csv")


def test_out_of_fold_metrics_are_those_of_the_written_predictions(folds: Path) -> None:
    written = polars.read_csv(folds / "test_predictions.csv")
    table = polars.read_csv(source(folds))
    assert written["row"].to_list() == list(range(1, len(table) + 1))
    assert set(written["split"]) == {"out-of-fold"}
    assert written["true_labels"].to_list() == table["groups"].str.replace_all(";", "; ").to_list()
    assert written["unknown_labels"].null_count() == len(written)
    # The probabilities of each fold are calibrated on the other one, so that they are not ranked as scores are.
    scores = SplitScores.load(scores_path(checkpoint(folds)), 3)
    assert (scores.rows + 1).tolist() == written["row"].to_list()
    found, expected = metrics_of(folds), recomputed(written, scores.logits.numpy())
    assert {name: found[name] for name in expected} == pytest.approx(expected, rel=1e-4)
    for fold in (0, 1):
        # Each row is predicted by the member that was not trained on it, with thresholds of the other fold.
        tested = written.filter(fold=fold)
        splits = polars.read_csv(folds / "folds" / str(fold) / "splits.csv")
        assert splits.filter(split="test")["row"].to_list() == tested["row"].to_list()
        assert not set(splits.filter(split="train")["row"]) & set(tested["row"])


def test_an_ensemble_predicts_with_the_mean_of_its_members(folds: Path) -> None:
    smiles = polars.read_csv(source(folds))["smiles"].head(9).to_list()
    model = tailmol.load(folds)
    logits = []
    for fold in (0, 1):
        member = tailmol.load(folds / "folds" / str(fold))
        with torch.no_grad():
            logits.append(member.classifier.network.classifier(torch.from_numpy(member.embed(smiles))))
    decision = model.classifier.decision
    probabilities = decision.probabilities(torch.stack(logits).mean(dim=0))
    found = model.predict(smiles)
    numpy.testing.assert_allclose(
        found.select(f"p/{name}" for name in NAMES).to_numpy(), decision.calibration(probabilities).numpy(), atol=1e-5
    )
    assert entries(found["predicted_labels"]).tolist() == decision.labels(probabilities).tolist()


def test_the_evidence_is_of_all_rows_and_the_estimate_of_out_of_fold_predictions(folds: Path) -> None:
    table, evidence = polars.read_csv(source(folds)), load_evidence(checkpoint(folds))
    assert evidence is not None
    assert evidence.samples.names == table["smiles"].to_list()
    assert evidence.samples.codes.tolist() == entries(table["groups"].str.replace_all(";", "; ")).tolist()
    assert evidence.unseen.rows.tolist() == list(range(len(table)))
    assert evidence.unseen.neighbors.codes.shape == (len(table), 5, 3)
    found = tailmol.load(folds).predict(table["smiles"].to_list())
    assert set(found["nearest_1_tanimoto"]) == {1.0}
    labels = dict(zip(table["smiles"], table["groups"].str.replace_all(";", "; "), strict=True))
    assert found["nearest_2_labels"].to_list() == [labels[name] for name in found["nearest_2"]]
    assert found["applicability"].is_between(0, 1).all()
    levels = json.loads((folds / "accuracy_by_applicability.json").read_text())["levels"]
    assert sum(level["samples"] for level in levels) == len(table)
    # Each fold gets its decision and its estimate from the other one.
    written = polars.read_csv(folds / "test_predictions.csv")
    predicted, known = entries(written["predicted_labels"]), entries(written["true_labels"])
    right = (predicted * known).sum(axis=1) / predicted.sum(axis=1).clip(min=1)
    # No row of a list is without labels, so that none predicted is never right.
    assert sum(level["right"] for level in levels) == pytest.approx(right.sum())


def test_each_fold_is_decided_by_the_others_for_the_objective_of_the_run(folds: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(folds, tmp_path / "run"))
    decide(run, DecisionSettings("balanced_accuracy"))
    model, saved = tailmol.load(run).classifier, read_checkpoint(checkpoint(run))
    scores, folds_of = SplitScores.load(scores_path(checkpoint(run)), 3), polars.read_csv(run / "test_predictions.csv")
    data = set_up_data(read_run(folds))
    found = decided_folds(model, data, scores, saved_objective(model, saved))
    assert len(found) == 2
    for fold, (decision, own) in enumerate(found):
        assert own.rows.tolist() == (folds_of.filter(fold=fold)["row"] - 1).to_list()
        others = scores.part(~torch.isin(scores.rows, own.rows))
        prior = torch.log((decision.counts + 0.5) / (len(folds_of) - decision.counts + 0.5))
        expected = BalancedAccuracy().thresholds(others.logits, others.labels, prior)
        torch.testing.assert_close(decision.class_offset, -expected)


def test_rows_of_other_labels_are_named(folds: Path) -> None:
    model = tailmol.load(folds)
    rows = {"smiles": ["CCCN", "C1CC1CC", "CCOCC", "CCCC"], "groups": ["amine", "ring", "ether; ring", "amine;new"]}
    with pytest.raises(InputError, match="row 4: label 'new' is not a label of the trained model"):
        model.evaluate(polars.DataFrame(rows))


@pytest.mark.slow
def test_a_member_ranks_no_label_that_it_never_saw(tmp_path: Path) -> None:
    kinds = product(range(2, 12), ("", "N"), ("", "C1CC1"))
    rows = [(f"{ring}{'C' * size}{amine}", amine, ring) for size, amine, ring in kinds]
    cells = [f"{smiles},{int(bool(amine))},{int(bool(ring))},{len(smiles) % 2}" for smiles, amine, ring in rows]
    (tmp_path / "drugs.csv").write_text("\n".join(["smiles,amine,ring,long", *cells]))
    # All rows with a ring have one scaffold, so that one fold has them.
    words = options(tmp_path, "--data.label_column=[amine, ring, long]", "--folds=2", "--data.split=scaffold")
    run = fit(words, show_progress=False).folder
    scores = SplitScores.load(scores_path(checkpoint(run)), 3)
    never_seen = scores.logits[:, 1] == NEVER_SEEN
    assert torch.equal(never_seen, scores.labels[:, 1] == 1)
    assert not bool((scores.logits[:, [0, 2]] == NEVER_SEEN).any())
