"""`lightning predict`: tables in chunks, one molecule, and checkpoints from before there was evidence."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy
import polars
import pytest
import torch
from polars.testing import assert_frame_equal

import tailmol
from tests.datamodules.example_smiles import INN_STEMS
from tests.lightning_app.command import TINY, in_this_process, succeed, succeed_here

pytestmark = pytest.mark.slow

OPTIONS = (*TINY, "--config=encoder/fingerprint.yaml", "--trainer.max_epochs=2", "--recluster.start_epoch=1")
ON_CPU = ("--trainer.accelerator=cpu", "--trainer.devices=1")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The best checkpoint of a short run on the bundled drugs."""
    folder = tmp_path_factory.mktemp("trained")
    succeed_here(folder, "fit", *OPTIONS, "--tracking.wandb=disabled", "--neighbors.number=0")
    return folder / "runs/inn_stems/version_0/checkpoints/best.ckpt"


def write_table(path: Path, rows: int = 150) -> None:
    """Bundled drugs among which each seventh row cannot be read."""
    smiles = ["C1CC(" if row % 7 == 3 else INN_STEMS[row] for row in range(rows)]
    polars.DataFrame({"smiles": smiles, "row": list(range(rows))}).write_csv(path)


def predict(monkeypatch: pytest.MonkeyPatch, checkpoint: Path, *options: str) -> int:
    return in_this_process(monkeypatch, "predict", f"--ckpt_path={checkpoint}", *options)


def test_training_fits_a_temperature_and_reports_both_likelihoods(checkpoint: Path) -> None:
    state = torch.load(checkpoint, weights_only=True)
    assert float(state["state_dict"]["decision.calibration.temperature"]) != 1.0
    metrics = json.loads((checkpoint.parents[1] / "test_metrics.json").read_text())
    assert 0 < metrics["test/calibrated_nll"] < metrics["test/nll"]
    logged = polars.read_csv(checkpoint.parents[1] / "metrics.csv").drop_nulls("val/nll")
    assert (logged["val/calibrated_nll"] <= logged["val/nll"] + 1e-6).all()


def test_chunks_and_processes_give_the_same_file(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_table(tmp_path / "new.csv")
    options = (*ON_CPU, "--data.source=new.csv", "--data.evaluation_batch_size=16")
    assert predict(monkeypatch, checkpoint, *options, "--output=whole.csv") == 0
    assert "150 rows written to whole.csv; 21 of them could not be used" in capsys.readouterr().out
    assert predict(monkeypatch, checkpoint, *options, "--output=chunked.csv", "--chunk_rows=40") == 0
    expected = (tmp_path / "whole.csv").read_bytes()
    assert (tmp_path / "chunked.csv").read_bytes() == expected
    out = polars.read_csv(tmp_path / "whole.csv")
    assert out["row"].to_list() == list(range(150))
    assert out.filter(out["reason"].is_null())["applicability"].is_between(0, 1).all()
    processes = ("--trainer.accelerator=cpu", "--trainer.devices=2", "--trainer.strategy=ddp", *options[2:])
    text = succeed(
        tmp_path, "predict", f"--ckpt_path={checkpoint}", *processes, "--output=shared.csv", "--chunk_rows=32"
    )
    assert text.count("150 rows written to shared.csv; 21 of them could not be used") == 1
    # Another number of threads adds in another order.
    assert_frame_equal(polars.read_csv(tmp_path / "shared.csv"), out, check_exact=False, abs_tol=1e-5)
    assert list(tmp_path.glob(".*")) == []


def test_sets_come_from_the_scores_beside_the_checkpoint(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_table(tmp_path / "new.csv")
    options = (*ON_CPU, "--data.source=new.csv", "--output=out.csv", "--coverage=0.9")
    assert predict(monkeypatch, checkpoint, *options) == 0
    out = polars.read_csv(tmp_path / "out.csv")
    assert out.filter(polars.col("reason").is_null())["set_size"].min() is not None
    frame = tailmol.load(checkpoint).predict(out["smiles"].head(20).to_list(), coverage=0.9)
    assert frame["set_size"].to_list() == out["set_size"].head(20).to_list()
    capsys.readouterr()
    assert predict(monkeypatch, checkpoint, "--smiles=CCO", "--coverage=0.5") == 0
    assert "50% set" in capsys.readouterr().out
    assert predict(monkeypatch, checkpoint, "--smiles=CCO", "--coverage=90") == 2
    assert "coverage: expected a number above 0 and below 1" in capsys.readouterr().err
    moved = tmp_path / "best.ckpt"
    shutil.copyfile(checkpoint, moved)
    assert predict(monkeypatch, moved, "--smiles=CCO", "--coverage=0.9") == 2
    assert "scores: expected the file" in capsys.readouterr().err


def test_too_few_samples_for_a_coverage_give_a_warning(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    number = len(numpy.load(checkpoint.parent / "best.scores.npz")["labels"])
    for coverage, warned in ((number / (number + 1), False), ((number + 1) / (number + 2), True)):
        caplog.clear()
        assert predict(monkeypatch, checkpoint, "--smiles=CCO", f"--coverage={coverage}") == 0
        few = f"coverage: expected {number + 1} labels or more that training did not see for sets of {coverage:g}"
        assert (f"{few}, got {number}; every set holds all labels with " in caplog.text) == warned


def test_a_page_shows_predictions_but_no_columns_of_the_table(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_table(tmp_path / "new.csv", rows=10)
    table = polars.read_csv("new.csv")
    table.with_columns(nearest_9=polars.lit("drug"), set_size=polars.lit(1)).write_csv("new.csv")
    options = (*ON_CPU, "--data.source=new.csv", "--output=out.csv", "--html=page.html")
    assert predict(monkeypatch, checkpoint, *options) == 0
    cards = (tmp_path / "page.html").read_text().split('<article class="card">')[1:]
    assert len(cards) == 10
    assert "no prediction" in cards[3]
    probabilities = polars.read_csv("out.csv")["calibrated_probability"].to_list()
    assert any(probability is not None and probability < 0.99 for probability in probabilities)
    for card, probability in zip(cards, probabilities, strict=True):
        if probability is not None and probability < 0.99:
            assert f"probability {probability:.2f}" in card
    assert cards[0].count("<figure>") == 3
    # The drug itself and its neighbors.
    assert cards[0].count("<svg") == 4
    assert "set of labels" not in cards[0]
    assert "--data.id_column names it." in capsys.readouterr().out
    table.with_columns(Drug=polars.lit("A drug")).write_csv("new.csv")
    assert predict(monkeypatch, checkpoint, *options, "--data.id_column=Drug") == 0
    assert "--data.id_column" not in capsys.readouterr().out
    assert "1. A drug: " in (tmp_path / "page.html").read_text()


def test_one_molecule_on_the_terminal(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert predict(monkeypatch, checkpoint, "--smiles=CCO") == 0
    shown = capsys.readouterr().out
    for name in ("label", "probability", "calibrated", "most probable", "nearest 1", "applicability"):
        assert name in shown
    assert list(tmp_path.iterdir()) == []
    assert predict(monkeypatch, checkpoint, "--smiles=CCO", "--json", "--top=2") == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["label_1"] == answer["predicted_label"]
    assert "label_3" not in answer
    (tmp_path / "one.csv").write_text("smiles\nCCO\n")
    assert predict(monkeypatch, checkpoint, *ON_CPU, "--data.source=one.csv", "--output=one.parquet") == 0
    row = polars.read_parquet("one.parquet").row(0, named=True)
    for name in ("predicted_label", "nearest_1", "nearest_1_label", "applicability_level"):
        assert row[name] == answer[name]
    assert row["calibrated_probability"] == pytest.approx(answer["calibrated_probability"])


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--smiles=C1CC("], "smiles: 'C1CC(' cannot be used: SMILES that RDKit cannot read."),
        (["--smiles="], "smiles: '' cannot be used: empty SMILES."),
        (["--smiles=C>>CC"], "smiles: expected smiles for input molecule, got 'C>>CC'."),
        ([], "output: expected either --output or --smiles, got neither."),
        (["--smiles=C", "--output=o.csv"], "output: expected either --output or --smiles, got both."),
        (["--smiles=C", "--top=100"], "top: expected 1 to 73, the number of classes, got 100."),
        (["--output=o.csv", "--chunk_rows=0"], "chunk_rows: expected 1 or more, got 0."),
        (["--output=o.csv"], "data.source: expected a table of new samples, got none."),
    ],
)
def test_what_is_refused_in_one_sentence(
    checkpoint: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
    sentence: str,
) -> None:
    assert predict(monkeypatch, checkpoint, *options) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith(f"lightning: error: {sentence}")


def test_an_output_that_cannot_be_written_is_refused_before_predicting(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("lightning.pytorch.Trainer.predict", lambda *given, **settings: pytest.fail("has predicted"))
    write_table(tmp_path / "new.csv")
    (tmp_path / "link.csv").symlink_to("new.csv")
    (tmp_path / "folder.csv").mkdir()
    for output, sentence in (
        ("folder.csv", "expected a file, got folder.csv, which is a folder."),
        ("./link.csv", "expected a new file, got link.csv, which is another file of this command."),
        ("new.csv/out.csv", "expected a folder that can be written, got new.csv ("),
        # Not even the root user may write here.
        ("/proc/out.csv", "expected a folder that can be written, got /proc ("),
        ("/proc/new/out.csv", "expected a folder that can be written, got /proc/new ("),
    ):
        assert predict(monkeypatch, checkpoint, "--data.source=new.csv", f"--output={output}") == 2
        assert f"lightning: error: output: {sentence}" in capsys.readouterr().err
    (tmp_path / "costs.csv").write_text("")
    for given, sentence in (
        (("--html=out.csv", "--output=out.csv"), "html: expected a new file, got out.csv, which is another file"),
        (("--html=folder.csv", "--output=out.csv"), "html: expected a file, got folder.csv, which is a folder."),
        (("--costs=costs.csv", "--output=costs.csv"), "output: expected a new file, got costs.csv, which is another"),
    ):
        assert predict(monkeypatch, checkpoint, "--data.source=new.csv", *given) == 2
        assert f"lightning: error: {sentence}" in capsys.readouterr().err
    (tmp_path / "costs.csv").unlink()
    monkeypatch.setenv("HOME", str(tmp_path))
    assert predict(monkeypatch, checkpoint, "--data.source=~/new.csv", "--output=new.csv") == 2
    assert "output: expected a new file, got new.csv, which is another file of this command." in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder.csv", "link.csv", "new.csv"]


def test_the_folder_of_the_output_is_made(checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_table(tmp_path / "new.csv", rows=5)
    options = (*ON_CPU, "--data.source=new.csv", "--output=new/folder/out.csv")
    assert predict(monkeypatch, checkpoint, *options) == 0
    assert [path.name for path in (tmp_path / "new/folder").iterdir()] == ["out.csv"]


def test_a_checkpoint_without_evidence_still_predicts(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    old: dict[str, Any] = torch.load(checkpoint, weights_only=True)
    torch.save(old, tmp_path / "old.ckpt")
    write_table(tmp_path / "new.csv", 20)
    options = (*ON_CPU, "--data.source=new.csv", "--output=out.csv")
    assert predict(monkeypatch, tmp_path / "old.ckpt", *options) == 0
    assert "There is no old.evidence.npz" in capsys.readouterr().err.replace(f"{tmp_path}/", "")
    out = polars.read_csv("out.csv")
    assert "nearest_1" not in out.columns
    assert predict(monkeypatch, tmp_path / "old.ckpt", "--smiles=CCO") == 0

    shutil.copy(checkpoint.with_suffix(".evidence.npz"), tmp_path / "old.evidence.npz")
    assert predict(monkeypatch, tmp_path / "old.ckpt", *options) == 0
    assert "nearest_1" in polars.read_csv("out.csv").columns
    old["state_dict"][next(name for name in old["state_dict"] if name.startswith("network.encoder."))] += 1
    torch.save(old, tmp_path / "old.ckpt")
    capsys.readouterr()
    assert predict(monkeypatch, tmp_path / "old.ckpt", *options) == 0
    assert "belongs to other weights than" in capsys.readouterr().err
    assert "nearest_1" not in polars.read_csv("out.csv").columns


def test_a_reaction_on_the_terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    rows = [f"{'C' * (row % 5 + 1)}O,{'N' if row % 2 else 'CC'}C{'C' * (row // 2)},{row % 2}" for row in range(60)]
    (tmp_path / "reactions.csv").write_text("\n".join(["reactants,product,label", *rows]))
    fit = ("--data.source=reactions.csv", "--data.input=reaction", *OPTIONS, "--tracking.wandb=disabled")
    assert in_this_process(monkeypatch, "fit", *fit) == 0
    best = tmp_path / "runs/reactions/version_0/checkpoints/best.ckpt"
    assert predict(monkeypatch, best, "--smiles=CCO>>CCN") == 0
    assert ">>" in capsys.readouterr().out.split("nearest 1")[1]
    assert predict(monkeypatch, best, "--smiles=CCO") == 2
    assert "expected reactants >> product for input reaction, got 'CCO'" in capsys.readouterr().err
