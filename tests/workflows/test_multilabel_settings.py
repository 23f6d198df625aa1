"""Settings of runs on rows with several labels: what comes with them, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from base.errors import InputError
from tests.lightning_app.command import in_this_process
from tests.workflows.multilabel_tables import (
    COLUMNS,
    NAMES,
    options,
    with_columns,
)
from workflows.fit import fit


def test_the_settings_for_several_labels_come_with_the_kind_of_labels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with_columns(tmp_path)
    given = ("--data.source=drugs.csv", "--data.labels=multi", COLUMNS)
    assert in_this_process(monkeypatch, "fit", *given, "--print_config") == 0
    settings = yaml.safe_load(capsys.readouterr().out)
    assert settings["model"]["classification_loss"]["class_path"] == "modules.losses.BinaryCrossEntropyLoss"
    assert settings["decision"]["objective"] == "macro_f1"
    assert settings["early_stopping"]["monitor"] == "val/average_precision"
    assert settings["data"]["fingerprint_kinds"] == ["morgan", "path", "atom_pair"]
    assert settings["data"]["label_column"] == NAMES
    assert settings["model"]["encoder"]["class_path"] == "modules.encoders.FingerprintMLP"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            [COLUMNS, "--model.classification_loss=modules.losses.CrossEntropyLoss"],
            r"model\.classification_loss: expected a loss for several ",
        ),
        (
            [
                *("--data.labels=single", "--data.label_column=amine", "--data.max_rejected=1"),
                "--model.classification_loss=modules.losses.AsymmetricLoss",
            ],
            r"model\.classification_loss: expected a loss for single labels with data\.labels single, got Asym",
        ),
        (["--data.labels=single", COLUMNS], r"data\.label_column: expected one column with data\.labels single, got "),
        (
            [COLUMNS, "--decision.objective=head_kept"],
            r"decision\.objective: expected .* or recall with several labels a sample, ",
        ),
        ([COLUMNS, "--decision.objective=recall"], r"decision\.classes: expected labels of the model's .*, got none\."),
        ([COLUMNS, "--model.head.experts=3"], r"model\.head\.expert_diversity: expected 0 with data\.labels multi, "),
        ([COLUMNS, "--neighbors.number=5"], r"neighbors\.number: expected 0 with data\.labels multi, got 5\."),
        ([COLUMNS, "--forest.trees=5"], r"forest\.trees: expected 0 with data\.labels multi, got 5\."),
        ([COLUMNS, "--data.split=standard"], r"data\.split: expected random, scaffold, cold, file or all with "),
        ([COLUMNS, "--data.imbalance=5"], r"data\.imbalance: expected null with data\.labels multi, got 5\."),
        ([COLUMNS, "--data.label_thresholds=[1]"], r"data\.label_thresholds: expected null with data\.labels multi"),
    ],
)
def test_settings_for_single_labels_are_refused(given: list[str], message: str, tmp_path: Path) -> None:
    with_columns(tmp_path)
    with pytest.raises(InputError, match=f"^{message}") as refused:
        fit([*options(tmp_path), *given], show_progress=False)
    told = str(refused.value)
    assert told.endswith(".")
    assert "\n" not in told
    assert not list(tmp_path.glob("runs/*/*/checkpoints/*"))


@pytest.mark.parametrize(
    ("name", "made"),
    [
        ("correction", "modules.evaluation.logit_correction.PriorCorrection"),
        ("distillation", "modules.training.distillation.Distillation"),
    ],
)
def test_stages_for_single_labels_are_refused(name: str, made: str, tmp_path: Path) -> None:
    with_columns(tmp_path)
    stage = {"start_epoch": 1, name: {"class_path": made}}
    (tmp_path / "stages.yaml").write_text(yaml.safe_dump({"stages": [stage]}))
    given = (f"--config={tmp_path / 'stages.yaml'}", COLUMNS)
    message = rf"^stages\.{name}: expected null with data\.labels multi, got \w+, which needs classes that exclude each"
    with pytest.raises(InputError, match=message):
        fit(options(tmp_path, *given), show_progress=False)


def test_a_wrong_name_among_the_columns_of_labels_is_told_before_anything_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with_columns(tmp_path)
    given = ("--data.source=drugs.csv", "--data.labels=multi", "--data.label_column=[amine, rings]")
    assert in_this_process(monkeypatch, "fit", *given) == 2
    told = capsys.readouterr().err
    expected = "data.label_column: expected a column of drugs.csv (smiles, amine, ether, ring), got 'rings'."
    assert told == f"lightning: error: {expected}\n"
    assert not (tmp_path / "runs").exists()
