"""Ensembles of several folds: files, metrics, and going on after an interruption."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy
import polars
import pytest
import torch
import yaml
from sklearn.metrics import accuracy_score, recall_score

import tailmol
from base.errors import InputError
from modules.evaluation.prediction_evidence import load_evidence
from modules.evaluation.split_scores import SplitScores, scores_path
from modules.unit_embeddings import unit_embeddings
from reports.analysis.baseline_fit import fit_baseline
from reports.report_data import collect
from reports.run_data import set_up_data
from reports.run_files import read_run
from tests.lightning_app.command import TINY, in_this_process, succeed
from tests.workflows.uneven_table import uneven_table
from workflows.fit import fit
from workflows.run_folder import how_to_go_on

SHORT = [*TINY, "--tracking.wandb=disabled", "--config=encoder/fingerprint.yaml", "--config=method/cross_entropy.yaml"]
SHORT += ["--trainer.max_epochs=2", "--folds=3"]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("folds")
    source = uneven_table(folder)
    options = [*SHORT, "--data.source", str(source), f"--run.root={folder}", "--data.batch_size=8", "--report=true"]
    return fit(options, show_progress=False).folder


def test_every_row_is_tested_by_the_member_that_was_not_trained_on_it(run: Path) -> None:
    written = json.loads((run / "test_metrics.json").read_text())
    scores = SplitScores.load(scores_path(run / "checkpoints" / "best.ckpt"), 3)
    # The ring is trained on by every member, so none tests it.
    assert scores.rows.tolist() == list(range(36))
    assert scores.labels.tolist() == [1] * 24 + [0] * 12
    tested: list[int] = []
    for fold in range(3):
        member = run / "folds" / str(fold)
        splits = polars.read_csv(member / "splits.csv").filter(split="test")
        rows = (splits["row"] - 1).to_list()
        own = SplitScores.load(scores_path(member / "checkpoints" / "best.ckpt"), 3)
        assert own.rows.tolist() == rows
        torch.testing.assert_close(scores.logits[rows], own.logits)
        found = tailmol.load(member).predict([polars.read_csv(table_of(run))["smiles"][row] for row in rows])
        classes = numpy.array(["amine", "ether", "ring"])
        assert found["predicted_label"].to_list() == classes[own.logits.argmax(dim=1).numpy()].tolist()
        tested += rows
        listed = polars.read_csv(run / "splits.csv")
        assert (listed.filter(fold=fold)["row"] - 1).to_list() == rows
    assert set(listed["split"]) == {"train"}
    assert listed["fold"].null_count() == 1
    assert sorted(tested) == scores.rows.tolist()
    predicted, labels = scores.logits.argmax(dim=1).numpy(), scores.labels.numpy()
    assert written["test/rows"] == 36
    assert written["test/accuracy"] == pytest.approx(accuracy_score(labels, predicted))
    recall = recall_score(labels, predicted, average=None, labels=[0, 1])
    assert [written["test/recall/amine"], written["test/recall/ether"]] == pytest.approx(recall.tolist())
    assert written["test/recall/ring"] is None
    assert written["test/balanced_accuracy"] == pytest.approx(recall.mean())


def test_the_evidence_is_of_all_rows_and_the_estimate_of_out_of_fold_predictions(run: Path) -> None:
    evidence = load_evidence(run / "checkpoints" / "best.ckpt")
    assert evidence is not None
    smiles = polars.read_csv(table_of(run))["smiles"].to_list()
    assert evidence.samples.names == smiles
    # No sample is compared with itself, as the member that tested it was not trained on it.
    assert evidence.unseen.rows.tolist() == list(range(36))
    first = tailmol.load(run / "folds" / "0")
    embeddings = unit_embeddings(torch.from_numpy(first.embed(smiles))).numpy()
    numpy.testing.assert_allclose(evidence.samples.embeddings.astype(numpy.float32), embeddings, atol=2e-3)
    member = load_evidence(run / "folds" / "2" / "checkpoints" / "best.ckpt")
    assert member is not None
    own = evidence.unseen.of_rows(member.unseen.rows)
    numpy.testing.assert_array_equal(own.neighbors.cosine, member.unseen.neighbors.cosine)
    assert not set(member.samples.names) & {smiles[row] for row in member.unseen.rows}
    levels = json.loads((run / "accuracy_by_applicability.json").read_text())["levels"]
    assert sum(level["samples"] for level in levels) == 36
    written = json.loads((run / "test_metrics.json").read_text())
    tested = polars.read_csv(run / "test_predictions.csv")
    assert sum(level["right"] for level in levels) == (tested["predicted_label"] == tested["true_label"]).sum()
    assert written["test/rows"] == 36


def table_of(run: Path) -> Path:
    return run.parent.parent / "drugs.csv"


def test_the_ensemble_predicts_the_mean_of_its_members(run: Path) -> None:
    drugs = ["CCCCCOC", "CCN", "c1ccccc1C"]
    model = tailmol.load(run)
    columns = [f"p/{name}" for name in model.classes]
    members = [tailmol.load(run / "folds" / str(fold)).predict(drugs).select(columns).to_numpy() for fold in range(3)]
    mean = numpy.exp(numpy.log(members).mean(axis=0))
    found = model.predict(drugs).select(columns).to_numpy()
    numpy.testing.assert_allclose(found, mean / mean.sum(axis=1, keepdims=True), rtol=1e-4)
    assert model.settings["model"]["members"] == 3
    assert model.settings["data"]["folds"] == 3
    assert model.settings["data"]["fold"] is None
    assert model.evidence is not None


def test_the_report_shows_the_out_of_fold_recall(run: Path) -> None:
    written = json.loads((run / "test_metrics.json").read_text())
    data = collect(read_run(run))
    recall = dict(zip(data.scores.names, data.scores.recall.tolist(), strict=True))
    assert recall["ether"] == pytest.approx(written["test/recall/ether"])
    assert recall["amine"] == pytest.approx(written["test/recall/amine"])
    assert len(data.test) == 36
    assert data.baseline is not None
    listed = polars.read_csv(run / "splits.csv")
    trained = [polars.read_csv(run / "folds" / str(fold) / "splits.csv").filter(split="train") for fold in range(3)]
    assert data.baseline.fitted.fits == 3
    assert data.baseline.fitted.fitted_rows == sum(map(len, trained))
    whole = set_up_data(read_run(run))
    for fold, own in enumerate(trained):
        tested = listed.filter(fold=fold)["row"].to_numpy() - 1
        alone = fit_baseline(whole, tested, [((own["row"] - 1).to_numpy(), numpy.arange(len(tested)))])
        predicted = dict(zip(data.test.rows.tolist(), data.baseline.fitted.predicted.tolist(), strict=True))
        assert [predicted[row] for row in tested.tolist()] == alone.predicted.tolist()
    assert (run / "report.html").is_file()


@pytest.mark.slow
def test_a_run_goes_on_with_the_member_that_was_cut_off(run: Path, tmp_path: Path) -> None:
    source = table_of(run)
    again = tmp_path / run.parent.name / run.name
    shutil.copytree(run, again)
    shutil.rmtree(again / "checkpoints")
    (again / "test_metrics.json").unlink()
    # The second member lost its test, the third had no checkpoint yet.
    (again / "folds" / "1" / "test_metrics.json").unlink()
    shutil.rmtree(again / "folds" / "2" / "checkpoints")
    (again / "folds" / "2" / "test_metrics.json").unlink()
    untouched = (again / "folds" / "0" / "checkpoints" / "best.ckpt").stat().st_mtime_ns
    options = [*SHORT, "--data.source", str(source), f"--run.root={tmp_path}", "--data.batch_size=8"]
    result = fit([*options, f"--run.version={run.name}", "--report=true"], show_progress=False)
    assert result.folder == again
    assert result.metrics == json.loads((run / "test_metrics.json").read_text())
    assert (again / "folds" / "0" / "checkpoints" / "best.ckpt").stat().st_mtime_ns == untouched
    with pytest.raises(InputError, match=r"run\.version: expected the settings that the run in .* was started with"):
        fit([*options, f"--run.version={run.name}", "--trainer.max_epochs=3"], show_progress=False)


@pytest.fixture
def moved(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the finished members and their table in the current folder, as of a command that named it there."""
    again = Path(shutil.copytree(run, tmp_path / run.parent.name / run.name))
    shutil.rmtree(again / "checkpoints")
    (again / "test_metrics.json").unlink()
    shutil.copy(table_of(run), tmp_path / "drugs.csv")
    plan = (again / "folds.yaml").read_text().replace(str(table_of(run)), "drugs.csv")
    (again / "folds.yaml").write_text(plan)
    monkeypatch.chdir(tmp_path)
    return again


JOIN = [*SHORT, "--data.source=drugs.csv", "--run.root=.", "--run.version=version_0", "--data.batch_size=8"]
JOIN += ["--report=true"]


def test_finished_members_are_joined_with_the_table_and_the_tracking_of_the_command(run: Path, moved: Path) -> None:
    options = [*JOIN, "--data.cache_folder=cache", "--tracking.project=other"]
    assert fit(options, show_progress=False).metrics == json.loads((run / "test_metrics.json").read_text())
    settings = yaml.safe_load((moved / "config.yaml").read_text())
    assert settings["data"]["source"] == str(Path("drugs.csv").resolve())
    assert any(Path("cache").iterdir())
    name = f"{moved.parent.name} {moved.name}"
    assert [settings["tracking"][key] for key in ("project", "name", "group")] == ["other", name, name]


@pytest.mark.parametrize("change", ["appended", "reversed", "exchanged", "renamed"])
def test_members_that_were_trained_on_another_table_are_not_joined(change: str, moved: Path) -> None:
    header, *lines = Path("drugs.csv").read_text().splitlines()
    # Two ethers in exchanged places leave the labels and the folds of all rows as they are.
    changed = {
        "appended": [*lines, *(f"{'C' * size}N,amine" for size in range(13, 20))],
        "reversed": lines[::-1],
        "exchanged": [lines[1], lines[0], *lines[2:]],
        "renamed": [line.replace("ring", "rings") for line in lines],
    }
    Path("drugs.csv").write_text("\n".join([header, *changed[change]]) + "\n")
    with pytest.raises(
        InputError, match=r"data\.source: expected the table that .* was trained on, got another one in"
    ):
        fit(JOIN, show_progress=False)
    assert not (moved / "checkpoints").exists()


@pytest.mark.parametrize("command", ["test", "validate"])
def test_the_rows_of_the_folds_do_not_test_the_ensemble(
    run: Path, command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(run)
    options = ["--ckpt_path", str(run / "checkpoints/best.ckpt"), "--tracking.wandb=disabled"]
    assert in_this_process(monkeypatch, command, *options) == 2
    assert "data.source: expected a table that the ensemble was not trained on" in capsys.readouterr().err
    assert in_this_process(monkeypatch, command, *options, "--data.split=all") == 0


@pytest.mark.slow
def test_kept_test_rows_test_the_ensemble(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    options = [*SHORT, "--data.source", str(table_of(run)), "--data.batch_size=8", "--data.keep_test=true"]
    result = fit(options, show_progress=False)
    assert result.metrics["test/rows"] == 7
    assert not result.out_of_fold
    listed = polars.read_csv(result.folder / "splits.csv")
    assert listed.filter(split="test")["fold"].null_count() == 7
    model = tailmol.load(result.folder)
    given = ["--ckpt_path", str(result.best_checkpoint), "--tracking.wandb=disabled", "--run.root=tests"]
    assert in_this_process(monkeypatch, "test", *given) == 0
    (written,) = Path("tests").glob("*/*/test_metrics.json")
    assert json.loads(written.read_text()) == pytest.approx(result.metrics)
    assert model.settings["model"]["members"] == 3


def test_a_resumed_run_is_no_ensemble(run: Path) -> None:
    last = run / "folds" / "0" / "checkpoints" / "last.ckpt"
    with pytest.raises(InputError, match=r"folds: expected null for a resumed run and in a search, got 3"):
        fit(["--ckpt_path", str(last), "--folds=3"], show_progress=False)


@pytest.mark.parametrize(
    ("folds", "expected"), [("1", "2 or more, or null"), ("two", "an integer or null"), ("2.5", "an integer or null")]
)
def test_folds_that_are_no_number_above_one_are_refused(folds: str, expected: str) -> None:
    with pytest.raises(InputError, match=rf"^folds: expected {expected}, got '?{re.escape(folds)}'?\.$"):
        fit([*SHORT, f"--folds={folds}"])


@pytest.mark.slow
def test_members_can_be_trained_by_several_processes(
    run: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    options = [*SHORT, "--data.source", str(table_of(run)), f"--run.root={tmp_path}", "--data.batch_size=8"]
    options += ["--run.version=together", "--report=true"]
    with caplog.at_level("INFO", "tailmol"):
        assert not fit([*options, "--only_folds=[2,0]"], show_progress=False).metrics
    assert "the ensemble still needs the folds 1." in caplog.text
    result = fit([*options, "--only_folds=1"], show_progress=False)
    assert result.out_of_fold
    assert result.metrics == json.loads((run / "test_metrics.json").read_text())
    with pytest.raises(InputError, match=r"only_folds: expected numbers from 0 to 2, got 3"):
        fit([*options, "--only_folds=3"])


def test_a_refused_table_leaves_no_folder(tmp_path: Path) -> None:
    source = tmp_path / "drugs.csv"
    source.write_text("smiles,label\nC,a\nCC,a\nCCC,a\n")
    with pytest.raises(InputError):
        fit([*SHORT, "--data.source", str(source), f"--run.root={tmp_path / 'runs'}"], show_progress=False)
    assert not (tmp_path / "runs").exists()


def test_what_a_stopped_run_says_is_the_command_that_goes_on(run: Path) -> None:
    advice = how_to_go_on("lightning", ["--folds", "3"], run)
    assert advice == "to go on: lightning fit --folds 3 --run.version version_0"
    assert how_to_go_on("lightning", ["--run.version=v"], run) == "to go on: lightning fit --run.version=v"


@pytest.mark.slow
def test_two_processes_train_the_members_together(run: Path, tmp_path: Path) -> None:
    options = [*SHORT, "--data.source", str(table_of(run)), "--data.batch_size=8"]
    succeed(tmp_path, "fit", *options, "--trainer.devices=2", "--trainer.strategy=ddp")
    (written,) = tmp_path.glob("runs/*/*/test_metrics.json")
    metrics = json.loads(written.read_text())
    assert metrics["test/rows"] == 36
    scores = SplitScores.load(scores_path(written.parent / "checkpoints" / "best.ckpt"), 3)
    assert metrics["test/accuracy"] == pytest.approx(
        float((scores.logits.argmax(dim=1) == scores.labels).float().mean())
    )
