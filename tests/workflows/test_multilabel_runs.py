"""Whole runs on rows with several labels: files, predictions, refits, going on, and refusals."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy
import polars
import pytest
import torch
from polars.testing import assert_frame_equal

import tailmol
from base.errors import InputError
from modules import make_evidence
from modules.checkpoint_file import read_checkpoint
from modules.decisions.objectives import MacroF1
from modules.evaluation.prediction_evidence import load_evidence
from modules.evaluation.split_scores import SplitScores, scores_path
from reports.run_data import set_up_data
from reports.run_files import read_run
from tests.lightning_app.command import in_this_process, succeed
from tests.workflows.multilabel_tables import (
    COLUMNS,
    EVIDENCE,
    NAMES,
    checkpoint,
    entries,
    metrics_of,
    options,
    recomputed,
    shares_of,
    source,
    with_columns,
)
from workflows.fit import fit


@pytest.fixture(scope="module")
def run(multilabel_run: Path) -> Path:
    """A run with a refit, on a table with a column for each label."""
    return multilabel_run


def test_the_written_metrics_are_those_of_the_written_predictions(run: Path) -> None:
    written = polars.read_csv(run / "test_predictions.csv")
    found, expected = metrics_of(run), recomputed(written)
    assert {name: found[name] for name in expected} == pytest.approx(expected, rel=1e-4)
    counts = read_checkpoint(checkpoint(run)).task.class_counts
    groups = {"head": 0, "middle": 1, "tail": 2}
    ranked = sorted(NAMES, key=lambda name: -counts[NAMES.index(name)])
    for group, place in groups.items():
        assert found[f"{group}_average_precision"] == pytest.approx(found[f"average_precision/{ranked[place]}"])
    assert found["rows"] == found["samples"] == len(written)
    assert (found["unseen_rows"], found["unseen_classes"]) == (0, 0)


def test_the_written_labels_are_those_of_the_table(run: Path) -> None:
    table = polars.read_csv(source(run))
    written = polars.read_csv(run / "test_predictions.csv")
    assert written["smiles"].to_list() == table["smiles"].gather(written["row"] - 1).to_list()
    truth = table.select(NAMES).to_numpy()[(written["row"] - 1).to_numpy()]
    assert entries(written["true_labels"]).tolist() == (truth == 1).astype(int).tolist()
    assert entries(written["unknown_labels"]).tolist() == numpy.isnan(truth).astype(int).tolist()
    assert numpy.isnan(truth).any()
    splits = polars.read_csv(run / "splits.csv")
    assert splits.filter(split="test")["row"].to_list() == written["row"].to_list()
    assert splits.filter(split="test")["label"].to_list() == written["true_labels"].to_list()
    task = read_checkpoint(checkpoint(run)).task
    trained = table.select(NAMES)[(splits.filter(split="train")["row"] - 1).to_list()]
    assert task.classes == tuple(NAMES)
    assert task.class_counts == tuple(int(trained[name].sum()) for name in NAMES)
    assert task.known_counts == tuple(int(trained[name].count()) for name in NAMES)


def test_the_thresholds_are_chosen_on_the_validation_scores(run: Path) -> None:
    scores = SplitScores.load(scores_path(checkpoint(run)), 3)
    splits = polars.read_csv(run / "splits.csv")
    assert (scores.rows + 1).tolist() == splits.filter(split="validation")["row"].to_list()
    assert scores.labels.shape == (len(scores.rows), 3)
    decision = tailmol.load(checkpoint(run)).classifier.decision
    again = tailmol.load(checkpoint(run)).classifier.new_decision()
    again.choose(scores, MacroF1(), [])
    assert torch.equal(decision.class_offset, again.class_offset)
    assert bool(decision.class_offset.any())
    torch.testing.assert_close(decision.calibration.temperature, again.calibration.temperature)


def test_command_and_python_predict_the_same(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    smiles = ["CCCCCCN", "C1CC", "C1CC1CCOCC", "CCCCCC"]
    polars.DataFrame({"smiles": smiles}).write_csv("new.csv")
    given = ("--ckpt_path", str(checkpoint(run)), "--trainer.accelerator=cpu")
    assert in_this_process(monkeypatch, "predict", *given, "--data.source=new.csv", "--output=out.csv") == 0
    assert "4 rows written to out.csv; 1 of them could not be used" in capsys.readouterr().out
    written = polars.read_csv("out.csv")
    assert written.columns == ["smiles", "predicted_labels", *(f"p/{name}" for name in NAMES), *EVIDENCE, "reason"]
    assert written["reason"].to_list() == [None, "SMILES that RDKit cannot read in column smiles", None, None]
    assert written["predicted_labels"].is_null().to_list() == [False, True, False, False]
    model = tailmol.load(checkpoint(run))
    assert_frame_equal(model.predict(smiles), written, check_dtypes=False, abs_tol=1e-6)
    best = model.predict(smiles, top=2)
    several = [name for place in (1, 2) for name in (f"label_{place}", f"probability_{place}")]
    assert best.columns == ["smiles", "predicted_labels", *several, *EVIDENCE, "reason"]
    few = model.predict(smiles, neighbors=1)
    assert few.columns == [name for name in written.columns if not name.startswith(("nearest_2", "nearest_3"))]
    assert in_this_process(monkeypatch, "predict", *given, "--data.source=new.csv", "--output=top.csv", "--top=2") == 0
    assert_frame_equal(polars.read_csv("top.csv"), best, check_dtypes=False, abs_tol=1e-6)
    shares = written.select(f"p/{name}" for name in NAMES).row(0)
    assert best.row(0)[2] == NAMES[shares.index(max(shares))]
    assert best.row(0)[3] == pytest.approx(max(shares), abs=1e-6)
    with pytest.raises(InputError, match=r"^top: expected 1 to 3, the number of labels, got 4\.$"):
        model.predict(smiles, top=4)


def test_one_molecule_on_the_terminal(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    given = ("predict", "--ckpt_path", str(checkpoint(run)), "--smiles=CCCCCCN")
    (expected,) = tailmol.load(checkpoint(run)).predict(["CCCCCCN"], top=3).drop("reason").to_dicts()
    assert in_this_process(monkeypatch, *given, "--json") == 0
    assert json.loads(capsys.readouterr().out) == pytest.approx(expected, abs=1e-6)
    assert in_this_process(monkeypatch, *given) == 0
    shown = [line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines()]
    best = ", ".join(f"{expected[f'label_{place}']} {expected[f'probability_{place}']:.3f}" for place in (1, 2, 3))
    texts = [line[1].strip() for line in shown]
    assert texts[:3] == ["CCCCCCN", expected["predicted_labels"], f"probable  {best}"]
    estimate = f"{100 * expected['applicability']:.0f}% of the labels"
    assert texts[3].startswith(f"{expected['applicability_level']}: by estimate, {estimate}")
    similar = f"Tanimoto {expected['nearest_1_tanimoto']:.2f}, cosine {expected['nearest_1_cosine']:.2f}"
    assert f"1      {expected['nearest_1']}, {expected['nearest_1_labels']}, {similar}" in texts


def test_the_nearest_training_samples_come_with_their_labels(run: Path) -> None:
    splits, smiles = polars.read_csv(run / "splits.csv"), polars.read_csv(source(run))["smiles"]
    used, trained = (smiles.gather(own["row"] - 1).to_list() for own in (splits, splits.filter(split="train")))
    labels = dict(zip(used, splits["label"], strict=True))
    for name, known in (("best", trained), ("final", used)):
        evidence = load_evidence(checkpoint(run, name))
        assert evidence is not None
        assert evidence.samples.names == known
        found = tailmol.load(checkpoint(run, name)).predict(known)
        assert set(found["nearest_1_tanimoto"]) == {1.0}
        for place in (1, 2, 3):
            nearest = found[f"nearest_{place}"].to_list()
            assert found[f"nearest_{place}_labels"].to_list() == [labels[one] for one in nearest]
    assert any("; " in one for one in found["nearest_3_labels"])
    assert "none" in set(found["nearest_3_labels"])


def test_the_estimate_is_that_of_the_validation_samples_and_is_tested_on_others(run: Path) -> None:
    evidence, scores = load_evidence(checkpoint(run)), SplitScores.load(scores_path(checkpoint(run)), 3)
    assert evidence is not None
    assert evidence.unseen.rows.tolist() == scores.rows.tolist()
    decision, by_tanimoto = tailmol.load(checkpoint(run)).classifier.decision, evidence.samples.by_tanimoto
    expected = make_evidence.estimate_of(decision, scores, evidence.unseen, by_tanimoto)
    numpy.testing.assert_allclose(evidence.applicability.weights, expected.weights, atol=1e-3)
    written = polars.read_csv(run / "test_predictions.csv")
    levels, shares = json.loads((run / "accuracy_by_applicability.json").read_text())["levels"], shares_of(written)
    assert sum(level["samples"] for level in levels) == int((~numpy.isnan(shares)).sum())
    assert sum(level["right"] for level in levels) == pytest.approx(numpy.nansum(shares))
    found = tailmol.load(checkpoint(run)).predict(written["smiles"].to_list())
    for level in levels:
        own = (found["applicability_level"] == level["level"]).to_numpy() & ~numpy.isnan(shares)
        assert level["samples"] == int(own.sum())
        assert level["right"] == pytest.approx(shares[own].sum())


def test_of_many_training_samples_those_of_rare_labels_are_kept(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(make_evidence, "MOST_TRAINING_SAMPLES", 8)
    model = tailmol.load(checkpoint(run)).classifier
    codes = make_evidence.training_samples(model, set_up_data(read_run(run))).codes
    assert codes.shape == (8, 3)
    assert ((codes == 1).sum(axis=0) >= 2).all()
    assert not (codes == 1).any(axis=1).all()


def test_a_table_with_labels_is_evaluated_in_python_and_by_test(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table, written = polars.read_csv(source(run)), polars.read_csv(run / "test_predictions.csv")
    tested = table[(written["row"] - 1).to_list()]
    model, found = tailmol.load(checkpoint(run)), metrics_of(run)
    evaluated = model.evaluate(tested)
    assert {name: found[name] for name in evaluated} == pytest.approx(evaluated, rel=1e-4)
    assert model.embed(tested["smiles"].to_list()).shape == (len(tested), model.classifier.network.encoder.output_dim)
    # The same numbers from the checkpoint alone, and for a table with other columns.
    monkeypatch.chdir(tmp_path)
    tested.rename({"ring": "cycle"}).write_csv("other.csv")
    given = ("test", "--ckpt_path", str(checkpoint(run)), "--trainer.accelerator=cpu", "--tracking.wandb=disabled")
    assert in_this_process(monkeypatch, *given, f"--data.source={source(run)}", "--run.name=again") == 0
    again = metrics_of(tmp_path / "runs/again/version_0")
    assert again == pytest.approx(found, rel=1e-5)
    others = ["--data.source=other.csv", "--data.label_column=[amine, ether]", "--data.split=all", "--run.name=other"]
    others += ["--data.max_rejected=0.1"]
    assert in_this_process(monkeypatch, *given, *others) == 0
    other = metrics_of(tmp_path / "runs/other/version_0")
    assert other["average_precision/amine"] == pytest.approx(found["average_precision/amine"], rel=1e-5)
    assert other["average_precision/ring"] is None
    assert other["macro_f1"] == pytest.approx((found["f1/amine"] + found["f1/ether"]) / 2, rel=1e-5)


def test_the_refit_predicts_with_its_own_weights_and_the_thresholds_of_best(run: Path) -> None:
    best, final = (read_checkpoint(checkpoint(run, name)) for name in ("best", "final"))
    table = polars.read_csv(source(run))
    assert final.task.class_counts == tuple(int(table[name].sum()) for name in NAMES)
    assert final.task.known_counts == tuple(int(table[name].count()) for name in NAMES)
    model = tailmol.load(run)
    assert model.checkpoint == checkpoint(run, "final")
    offsets = [one.state_dict()["decision.class_offset"] for one in (best, final)]
    assert torch.equal(*offsets)
    trained = tailmol.load(run / "refit" / "checkpoints" / "last.ckpt").classifier
    smiles = table["smiles"].to_list()
    with torch.no_grad():
        logits = trained.network.classifier(torch.from_numpy(model.embed(smiles)))
    chosen = (logits + offsets[0] > 0).int().numpy()
    assert entries(model.predict(smiles)["predicted_labels"]).tolist() == chosen.tolist()


def test_a_resumed_run_trains_on_with_its_labels(run: Path, tmp_path: Path) -> None:
    copied = Path(shutil.copytree(run, tmp_path / "runs" / run.parent.name / run.name))
    given = ["--ckpt_path", str(checkpoint(copied, "last")), "--trainer.max_epochs=3", "--refit=false"]
    assert fit(given, show_progress=False).folder == copied
    assert polars.read_csv(copied / "metrics.csv")["epoch"].max() == 3
    found, expected = metrics_of(copied), recomputed(polars.read_csv(copied / "test_predictions.csv"))
    assert {name: found[name] for name in expected} == pytest.approx(expected, rel=1e-4)


@pytest.mark.slow
def test_two_processes_give_the_metrics_of_one(run: Path, tmp_path: Path) -> None:
    with_columns(tmp_path)
    processes = ("--trainer.devices=2", "--trainer.strategy=ddp")
    # The first process writes the report while the other one waits to train once more.
    succeed(tmp_path, "fit", *options(tmp_path, COLUMNS), *processes, "--refit=true", "--report=true")
    shared = tmp_path / "runs" / run.parent.name / run.name
    assert (shared / "report.html").is_file()
    assert read_checkpoint(checkpoint(shared, "final")).task.class_counts == (
        read_checkpoint(checkpoint(run, "final")).task.class_counts
    )
    found, expected = metrics_of(shared), recomputed(polars.read_csv(shared / "test_predictions.csv"))
    assert {name: found[name] for name in expected} == pytest.approx(expected, rel=1e-4)
    evaluated = tailmol.load(checkpoint(shared)).evaluate(
        polars.read_csv(tmp_path / "drugs.csv")[
            (polars.read_csv(shared / "splits.csv").filter(split="test")["row"] - 1).to_list()
        ]
    )
    assert {name: found[name] for name in evaluated} == pytest.approx(evaluated, rel=1e-4)
    scores = SplitScores.load(scores_path(checkpoint(shared)), 3)
    assert scores.rows.tolist() == SplitScores.load(scores_path(checkpoint(run)), 3).rows.tolist()


def test_sets_of_labels_and_a_page_of_predictions_are_written(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    given = ("--ckpt_path", str(checkpoint(run)), "--trainer.accelerator=cpu")
    where = (f"--data.source={source(run)}", "--output=out.parquet", "--html=page.html")
    assert in_this_process(monkeypatch, "predict", *given, *where, "--coverage=0.8") == 0
    written = polars.read_parquet("out.parquet")
    assert written.columns[-len(EVIDENCE) - 3 :] == ["set", "set_size", *EVIDENCE, "reason"]
    members = [one.split("; ") if one else [] for one in written["set"]]
    assert written["set_size"].to_list() == [len(one) for one in members]
    for row, own in zip(written.iter_rows(named=True), members, strict=True):
        assert own == sorted(own, key=lambda name: -row[f"p/{name}"])
    validation = polars.read_csv(run / "splits.csv").filter(split="validation")["row"] - 1
    table = polars.read_csv(source(run))
    present = [(row, name) for row in validation for name in NAMES if table[name][row] == 1]
    held = sum(name in members[row] for row, name in present) / len(present)
    assert 0.75 <= held < 1
    cards = Path("page.html").read_text().split('<article class="card">')[1:]
    assert len(cards) == min(len(written), 200)
    first = written.row(0, named=True)
    assert f'<h3 class="long">1. {first["predicted_labels"]}</h3>' in cards[0]
    assert f"80% set: {first['set']}" in cards[0]
    assert f"applicability {first['applicability_level']}: estimated" in cards[0]
    sets = tailmol.load(checkpoint(run)).predict(written["smiles"].to_list(), coverage=0.8)["set"]
    assert sets.to_list() == written["set"].to_list()
    capsys.readouterr()
    assert in_this_process(monkeypatch, "predict", *given, f"--smiles={first['smiles']}", "--coverage=0.8") == 0
    assert f"80% set        {first['set'] or 'none, since no label fits'}" in capsys.readouterr().out
