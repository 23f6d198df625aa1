"""Columns that are found by their usual names stand in the settings of a run."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy
import polars
import pytest
import yaml

import tailmol
from tests.lightning_app.command import TINY, in_this_process
from workflows.fit import fit
from workflows.fit_cli import FitCLI

ROWS = "".join(
    f"{'C' * (size + 1)}{end},{kind},m{size}\n" for size in range(12) for end, kind in (("N", "a"), ("O", "b"))
)
SHORT = [*TINY, "--tracking.wandb=disabled", "--config=encoder/fingerprint.yaml", "--trainer.max_epochs=1"]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("drugs.csv").write_text(f"Structure,Y,name\n{ROWS}")
    return tmp_path


def test_the_settings_name_the_columns_that_were_found(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "tailmol"):
        cli = FitCLI(["--data.source=drugs.csv", "--data.id_column=name", *SHORT])
    told = "Columns of drugs.csv that were found by their usual names: smiles_columns ['Structure'], label_column 'Y'."
    assert next(record.getMessage() for record in caplog.records if record.name == "tailmol") == told
    data = cli.plain_settings()["data"]
    assert (data["smiles_columns"], data["label_column"], data["id_column"]) == (["Structure"], "Y", "name")
    caplog.clear()
    with caplog.at_level(logging.INFO, "tailmol"):
        named = ["--data.smiles_columns=Structure", "--data.label_column=Y", "--data.id_column=name"]
        cli = FitCLI(["--data.source=drugs.csv", *named, *SHORT])
    assert "usual names" not in caplog.text
    assert cli.datamodule.columns.smiles == ["Structure"]


def test_a_table_in_the_home_folder_is_found(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(folder))
    Path("elsewhere").mkdir()
    monkeypatch.chdir("elsewhere")
    data = FitCLI(["--data.source=~/drugs.csv", *SHORT]).plain_settings()["data"]
    assert (data["source"], data["smiles_columns"], data["label_column"]) == (
        str(folder / "drugs.csv"),
        ["Structure"],
        "Y",
    )


@pytest.mark.parametrize("name", ["lists.csv", "lists.npz"])
def test_the_settings_name_the_separator_that_was_found(
    folder: Path, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    lists = ["acid, weak|toxic", "none; known", "acid, weak", "toxic"] * 6
    polars.DataFrame({"smiles": [f"{'C' * size}O" for size in range(1, 25)], "groups": lists}).write_csv("lists.csv")
    numpy.savez("lists.npz", features=numpy.eye(24), groups=lists)
    given = [f"--data.source={name}", "--data.labels=multi", "--data.label_column=groups", *SHORT]
    with caplog.at_level(logging.INFO, "tailmol"):
        data = FitCLI([*given, "--data.missing_labels=[none; known]"]).plain_settings()["data"]
    assert data["label_separator"] == "|"
    assert "are separated by '|'; --data.label_separator can name another." in caplog.text
    # A missing cell tells nothing of the lists.
    data = FitCLI([*given, "--data.missing_labels=acid, weak|toxic"]).plain_settings()["data"]
    assert data["label_separator"] == ";"
    assert FitCLI([*given, "--data.label_separator=,"]).plain_settings()["data"]["label_separator"] == ","


def test_a_column_for_each_label_has_no_separator(folder: Path) -> None:
    Path("columns.csv").write_text("smiles,a,b\nCO,1,0\nCCO,0,1\n")
    given = ["--data.source=columns.csv", "--data.labels=multi", "--data.label_column=[a, b]", *SHORT]
    assert FitCLI(given).plain_settings()["data"]["label_separator"] is None


def test_a_separator_that_no_cell_has_is_not_kept(folder: Path) -> None:
    Path("ones.csv").write_text("smiles,groups\nCO,a\nCCO,b\n")
    given = ["--data.source=ones.csv", "--data.labels=multi", "--data.label_column=groups", *SHORT]
    assert FitCLI(given).plain_settings()["data"]["label_separator"] is None


@pytest.mark.slow
def test_a_trained_model_reads_tables_with_other_usual_names(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = fit(["--data.source=drugs.csv", *SHORT], show_progress=False).folder
    saved = yaml.safe_load((run / "config.yaml").read_text())["data"]
    assert (saved["smiles_columns"], saved["label_column"], saved["id_column"]) == (["Structure"], "Y", "name")
    Path("others.csv").write_text(f"smiles,label,id\n{ROWS}")
    checkpoint = ["--ckpt_path", str(run / "checkpoints/best.ckpt"), "--data.source=others.csv"]
    assert in_this_process(monkeypatch, "predict", *checkpoint, "--output=out.csv") == 0
    assert polars.read_csv("out.csv").height == 24
    assert in_this_process(monkeypatch, "test", *checkpoint, "--data.split=all", "--run.name=others") == 0
    assert in_this_process(monkeypatch, "predict", *checkpoint, "--data.smiles_columns=drug", "--output=no.csv") == 2
    model = tailmol.load(run)
    assert model.predict("others.csv").height == 24
    assert model.evaluate("others.csv")["balanced_accuracy"] == model.evaluate("drugs.csv")["balanced_accuracy"]
