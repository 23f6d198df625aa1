"""The help of the command and of its subcommands: short, and true of the settings that there are."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest
import yaml

from datamodules.drug_datamodule import DrugDataModule
from lightning_app.cli import SUBCOMMANDS
from lightning_app.embed import EmbedCLI
from lightning_app.predict import PredictCLI
from tests.lightning_app.command import in_this_process
from workflows.drug_cli import DrugCLI
from workflows.evaluate import EvaluateCLI, ValidateCLI
from workflows.fit_cli import FitCLI
from workflows.prepare import PrepareCLI

CLASSES: dict[str, type[DrugCLI]] = {
    cls.subcommand_name: cls for cls in (FitCLI, ValidateCLI, EvaluateCLI, PredictCLI, EmbedCLI, PrepareCLI)
}


def test_help_imports_nothing_slow_and_names_every_subcommand(tmp_path: Path) -> None:
    script = (
        "import sys; before = set(sys.modules)\n"
        "from lightning_app.cli import main\n"
        "sys.argv = ['/somewhere/tailmol', '--help']\n"
        "main()\n"
        "print(*{name.split('.')[0] for name in set(sys.modules) - before} - set(sys.stdlib_module_names))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    text = done.stdout
    assert text.startswith("usage: tailmol <subcommand> [options]")
    assert all(f"  {name} " in text for name in SUBCOMMANDS)
    assert max(len(line) for line in text.splitlines()) <= 80
    assert set(text.splitlines()[-1].split()) == {"base", "lightning_app", "workflows"}


@pytest.mark.parametrize("name", sorted(SUBCOMMANDS))
def test_help_fits_a_narrow_terminal(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert in_this_process(monkeypatch, name, "--help") == 0
    text = capsys.readouterr().out
    assert f"lightning {name}" in text
    assert max(len(line) for line in text.splitlines()) <= 80


@pytest.mark.parametrize("name", sorted(SUBCOMMANDS))
def test_help_has_the_name_that_was_called(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert in_this_process(monkeypatch, name, "--help", command="tailmol") == 0
    text = capsys.readouterr().out
    assert f"usage: tailmol {name}" in text
    assert f"lightning {name}" not in text


def test_help_of_fit_begins_with_what_is_changed_most(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert in_this_process(monkeypatch, "fit", "--help") == 0
    text = capsys.readouterr().out
    names = ("--config", "--data.source", "--model.encoder", "--recluster.start_epoch", "--trainer.max_epochs")
    places = [text.index(f"\n  {name} ") if name != "--config" else text.index(name) for name in names]
    assert places == sorted(places)
    settings = set(re.findall(r"^  (--[\w.]+) (?!CONFIG)", text, re.MULTILINE))
    assert 25 <= len({name for name in settings if not name.endswith(".help")}) <= 35
    assert "To list all settings: lightning fit --help all." in text
    assert "\n  --recluster.start_epoch 5 " in text


def test_help_shows_the_rest_where_it_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert in_this_process(monkeypatch, "fit", "--help", "all") == 0
    text = capsys.readouterr().out
    assert all(f"  --{name} " in text for name in ("model.groups.head_fraction", "trainer.gradient_clip_val", "stages"))


@pytest.mark.parametrize("subcommand", CLASSES)
def test_every_subcommand_has_a_short_help_of_settings_that_exist(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], subcommand: str
) -> None:
    assert in_this_process(monkeypatch, subcommand, "--help") == 0
    text = capsys.readouterr().out
    assert text.startswith(f"usage: lightning {subcommand} [options]")
    assert len(text.splitlines()) <= 70
    assert max(len(line) for line in text.splitlines()) <= 80
    assert in_this_process(monkeypatch, subcommand, "--help", "all") == 0
    everything = capsys.readouterr().out
    names = [name for texts in CLASSES[subcommand].common_settings.values() for name in texts]
    assert "data.source" in names
    for name in (*names, "trust"):
        assert text.count(f"\n  --{name} ") == 1, name
        assert f"\n  --{name} " in everything, name


def test_help_of_fit_shows_the_values_of_a_run_on_a_table_of_ones_own(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert in_this_process(monkeypatch, "fit", "--print_config", "--data.source=new.csv") == 0
    settings = yaml.safe_load(capsys.readouterr().out)
    assert in_this_process(monkeypatch, "fit", "--help") == 0
    shown = dict(re.findall(r"^  --([\w.]+) (\S+) ", capsys.readouterr().out, re.MULTILINE))
    assert shown.pop("data.source") == "inn_stems"
    for name in {name for texts in FitCLI.common_settings.values() for name in texts} - {"data.source"}:
        section, _, argument = name.partition(".")
        value = settings[section][argument] if argument else settings.get(section)
        value = value["class_path"].rpartition(".")[2] if isinstance(value, dict) else value
        assert yaml.safe_load(shown[name]) == value, name


def test_help_does_not_give_values_that_come_from_the_checkpoint(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert in_this_process(monkeypatch, "predict", "--help") == 0
    text = capsys.readouterr().out
    for option in ("--data.source VALUE", "--data.evaluation_batch_size VALUE", "--output null", "--neighbors 3"):
        assert f"\n  {option} " in text


@pytest.mark.parametrize("name", ["input", "labels", "split"])
def test_help_of_fit_names_the_choices(name: str) -> None:
    parameter = inspect.signature(DrugDataModule, eval_str=True).parameters[name]
    text = FitCLI.common_settings["Data"][f"data.{name}"]
    # The split of all rows leaves none to train on.
    assert set(get_args(parameter.annotation)) - {parameter.default, "all"} <= set(re.findall(r"\w+", text))
