"""Preparing a table, and data sets that are known by name."""

from __future__ import annotations

import shutil
from pathlib import Path

import polars
import pytest
import yaml

from datamodules.datasets.dataset_catalog import CATALOG
from tests.lightning_app.command import TINY, in_this_process
from workflows.settings.config_files import CONFIGS


def write_hiv(cache: Path, rows: int = 40) -> None:
    """A small file in the place and with the columns of the catalog's hiv."""
    smiles = ["C" * (1 + n // 2) + ("O" if n % 2 else "N") for n in range(rows)]
    frame = polars.DataFrame({"ID": range(rows), "X": smiles, "Y": [n % 2 for n in range(rows)]})
    (cache / "datasets").mkdir(parents=True)
    frame.write_csv(cache / "datasets" / CATALOG["hiv"].file_name, separator="\t")


def test_what_was_prepared_is_not_computed_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    cache = tmp_path / "cache"
    monkeypatch.setenv("TAILMOL_CACHE", str(cache))
    write_hiv(cache)
    assert in_this_process(monkeypatch, "prepare", "--data.source", "hiv") == 0
    assert not (tmp_path / "runs").exists()
    entries = {path: path.stat().st_mtime_ns for path in cache.glob("*/manifest.json")}
    assert len(entries) == 1
    monkeypatch.setattr("datamodules.features.write_parts", None)
    assert in_this_process(monkeypatch, "prepare", "--data.source", "hiv") == 0
    assert {path: path.stat().st_mtime_ns for path in cache.glob("*/manifest.json")} == entries


def test_a_name_alone_brings_the_settings_of_its_data_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TAILMOL_CACHE", str(tmp_path / "cache"))
    write_hiv(tmp_path / "cache")
    small = ("--trainer.max_epochs", "1", "--tracking.wandb", "disabled", "--data.batch_size", "8")
    tiny = [option for option in TINY if "fingerprint" not in option]
    assert in_this_process(monkeypatch, "fit", *tiny, *small, "--data.source", "hiv") == 0
    config = yaml.safe_load((tmp_path / "runs/hiv/version_0/config.yaml").read_text())
    shipped = yaml.safe_load((CONFIGS / "data/hiv.yaml").read_text())
    assert config["data"]["smiles_columns"] == shipped["data"]["smiles_columns"] == ["X"]
    recommended = yaml.safe_load((CONFIGS / "recommended/hiv.yaml").read_text())
    assert list(config["data"]["fingerprint_kinds"]) == recommended["data"]["fingerprint_kinds"]
    assert config["data"]["batch_size"] == 8
    assert config["model"]["encoder"]["class_path"] == recommended["model"]["encoder"]["class_path"]
    assert config["model"]["classification_loss"]["init_args"]["logit_adjustment"] == 1.0
    assert config["model"]["contrast"] is None


def test_a_file_of_that_name_goes_before_the_data_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_hiv(tmp_path / "cache")
    shutil.copy(tmp_path / "cache/datasets" / CATALOG["hiv"].file_name, tmp_path / "hiv")
    monkeypatch.setenv("TAILMOL_CACHE", str(tmp_path / "elsewhere"))
    assert in_this_process(monkeypatch, "prepare", "--data.source", "hiv") == 0


def test_without_a_network_the_file_to_provide_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TAILMOL_CACHE", str(tmp_path / "cache"))

    def refuse(*_: object, **__: object) -> None:
        raise OSError("no network in tests")

    monkeypatch.setattr("socket.getaddrinfo", refuse)
    assert in_this_process(monkeypatch, "prepare", "--data.source", "hiv") == 2
    (error,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("lightning: error")]
    assert str(tmp_path / "cache" / "datasets" / "hiv.tab") in error
