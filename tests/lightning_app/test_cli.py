"""The command line as a user meets it: help, errors, settings."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import numpy
import pytest
import yaml
from lightning.pytorch.accelerators import CPUAccelerator, MPSAccelerator

from tests.lightning_app.command import TINY, in_this_process, lightning
from workflows.fit_cli import FitCLI
from workflows.settings.config_files import CONFIGS

# Those of other commands, those that the files of their data sets bring with them, those for several labels a row, and
# those that test_methods.py trains.
NOT_HERE = ("benchmark", "sweep", "recommended", "multilabel", "method")
SHIPPED = sorted(path for path in CONFIGS.rglob("*.yaml") if path.parent.name not in NOT_HERE)


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    grid = str(CONFIGS / "benchmark/quick.yaml")
    assert in_this_process(monkeypatch, "benchmark", "--config", grid, "--dry-run") == 2
    assert "needs the package optuna; install it with: pip install 'tailmol[experiments]'" in capsys.readouterr().err


@pytest.mark.parametrize(("given", "expected"), [(None, "2000"), ("7", "7")])
def test_threads_of_torch_soon_give_up_their_core_unless_the_user_chooses(
    monkeypatch: pytest.MonkeyPatch, given: str | None, expected: str
) -> None:
    monkeypatch.setenv("GOMP_SPINCOUNT", given or "")
    if given is None:
        monkeypatch.delenv("GOMP_SPINCOUNT")
    assert in_this_process(monkeypatch, "--version") == 0
    assert os.environ["GOMP_SPINCOUNT"] == expected


def test_an_unknown_subcommand_is_one_sentence(tmp_path: Path) -> None:
    done = lightning(tmp_path, "train")
    assert done.returncode == 2
    assert done.stderr == (
        "lightning: error: subcommand: expected one of fit, validate, test, predict, decide, embed, export, "
        "submit, prepare, sweep, benchmark, datasets, report, compare, completion, got 'train'.\n"
    )


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["fit", "--config", "data/none.yaml"], "config: expected an existing or shipped file, got 'data/none.yaml'"),
        (["predict", "--data.source", "x.csv", "--output", "o.csv"], "ckpt_path: expected a checkpoint written by"),
        (["test"], "ckpt_path: expected a checkpoint written by lightning fit, got none."),
        (["fit", "--recluster.method=foo"], "recluster.method: expected kmeans or bounded, got 'foo'."),
        (["fit", "--trainer.max_epochs", "two"], "trainer.max_epochs: expected an integer or null, got 'two'."),
        (["fit", "--data.split_fractions=x"], "data.split_fractions: expected a list of 3 numbers, got 'x'."),
        (
            ["fit", "--data.fingerprint_kinds=[ecfp]"],
            "data.fingerprint_kinds: expected a list of morgan, path, atom_pair or torsion, got 'ecfp'.",
        ),
        (["fit", "--data", "x.csv"], "data: expected settings of its own such as --data.source FILE, got 'x.csv'."),
        (["fit", "--model", "GIN"], "model: expected settings of its own such as --model.classification_loss, got"),
        (
            ["test", "--ckpt_path", "."],
            "ckpt_path: expected a checkpoint file such as checkpoints/best.ckpt, got the folder .",
        ),
        (
            ["fit", "--data.sourc", "x.csv"],
            "options: expected an option that lightning fit --help all lists, got --data.sourc. Did you mean",
        ),
        (
            ["fit", f"{CONFIGS}/debug.yaml"],
            f"options: expected an option before every value, got '{CONFIGS}/debug.yaml'; to use a",
        ),
        (["fit", "x.csv"], "options: expected an option before every value, got 'x.csv'."),
        (["fit", "--model.encoder.init_args.foo", "3"], "model.encoder: expected options of the class, got 'foo'."),
        (
            ["fit", "--config", "sweep/default.yaml"],
            "config: expected settings of a run, got sweep/default.yaml, which",
        ),
        (["fit", "--model.encoder", "GINN"], "model.encoder: expected modules.encoders."),
        (
            ["test", "--ckpt_path", "gone.ckpt"],
            "ckpt_path: expected a checkpoint file",
        ),
    ],
)
def test_what_is_missing_is_named_before_anything_is_done(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    sentence: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert in_this_process(monkeypatch, *arguments) == 2
    message = capsys.readouterr().err.strip()
    assert message.startswith(f"lightning: error: {sentence}")
    assert message.count("\n") == 0
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("option", "sentence"),
    [
        ("--data.batch_size=0", "data.batch_size: expected 1 or more, got 0."),
        ("--recluster.min_size=0", "recluster.min_size: expected 1 or more, got 0."),
        ("--model.contrast.weight=-1", "model.contrast.weight: expected a finite number of 0 or more, got -1.0."),
        ("--model.head.experts=0", "model.head.experts: expected 1 or more, got 0."),
    ],
)
def test_a_number_out_of_range_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], option: str, sentence: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert in_this_process(monkeypatch, "fit", option) == 2
    assert capsys.readouterr().err.splitlines()[-1] == f"lightning: error: {sentence}"


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, "data.source: expected a file or a known data set"),
        ("", "table.csv is empty"),
        ("smiles,label\n", "table.csv, got none"),
        ("molecule_name,label\nethanol,a\n", "data.smiles_columns: expected the names of 1 column(s)"),
        ("smiles,label\n" + "\n".join(f"{'C' * n},a" for n in range(1, 20)), "got the single class 'a'"),
        ("smiles,label\n" + "\n".join(f"{'C' * n}(,a" for n in range(1, 20)), "19 of 19 rows cannot be used"),
    ],
)
def test_a_table_that_cannot_be_used_gets_one_sentence(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    content: str | None,
    sentence: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    if content is not None:
        (tmp_path / "table.csv").write_text(content)
    status = in_this_process(monkeypatch, "fit", *TINY, "--tracking.wandb=disabled", "--data.source", "table.csv")
    assert status == 2
    # The columns that were found are told before the table is read.
    lines = [line for line in capsys.readouterr().err.splitlines() if line]
    errors = [line for line in lines if not line.startswith("Columns of table.csv that were found")]
    assert len(errors) == 1, errors
    assert errors[0].startswith("lightning: error: ")
    assert sentence in errors[0]
    rejected = list(tmp_path.glob("runs/table/version_0/rejected.csv"))
    assert bool(rejected) == ("rejected.csv" in errors[0])


def test_a_refused_table_starts_no_tracker_and_leaves_no_empty_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WANDB_MODE", "offline")
    (tmp_path / "table.csv").write_text("smiles,label\nCCO,a\nCCC,b\nC(,a\n")
    for source, left in (("table.csv", ["rejected.csv"]), ("missing.csv", None)):
        assert in_this_process(monkeypatch, "fit", *TINY, "--data.source", source) == 2
        *columns, error = capsys.readouterr().err.splitlines()
        assert error.startswith("lightning: error: ")
        assert len(columns) == (0 if source == "missing.csv" else 1)
        folder = tmp_path / "runs" / source.split(".")[0] / "version_0"
        assert (sorted(path.name for path in folder.iterdir()) if folder.exists() else None) == left


def test_a_reference_across_two_files_follows_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "one.yaml").write_text("recluster:\n  every_n_epochs: ${data.batch_size}\n")
    (tmp_path / "two.yaml").write_text("data:\n  batch_size: 64\nearly_stopping:\n  patience: ${data.batch_size}\n")
    layers = ["--config", "debug.yaml", "--config", "one.yaml", "--config", "two.yaml"]
    options = ("--data.batch_size", "48", "--trainer.max_epochs", "1")
    assert in_this_process(monkeypatch, "fit", *TINY, *layers, *options) == 0
    config = yaml.safe_load((tmp_path / "runs/inn_stems/version_0/config.yaml").read_text())
    assert config["recluster"]["every_n_epochs"] == config["early_stopping"]["patience"] == 48
    assert config["model"]["lr_scheduler"]["init_args"]["T_max"] == 1


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: str(path.relative_to(CONFIGS)))
def test_every_shipped_file_runs_one_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    source: list[str] = []
    data = (yaml.safe_load(path.read_text()) or {}).get("data", {})
    if data.get("input") == "array" or path.stem in ("array", "image"):
        values = numpy.random.default_rng(0).normal(size=(60, 8, 8)).astype(numpy.float32)
        numpy.savez(tmp_path / "arrays.npz", images=values, labels=numpy.arange(60) % 3)
        source = ["--data.source", "arrays.npz"]
    # A pretrained model needs many seconds for all of the bundled drugs.
    elif data.get("source", "inn_stems") != "inn_stems" or "pretrained" in data:
        columns = data.get("smiles_columns") or ["X"]
        given = data.get("label_column", "Y")
        labels = given if isinstance(given, list) else [given]
        names = ["ID", "ID1", *columns, data.get("sequence_column", "sequence"), *labels]
        drugs = ["C" * n + "O" for n in range(1, 31)]
        # Of several labels, each drug has some.
        cells = [[str((n + place) % (2 if len(labels) > 1 else 3)) for place in range(len(labels))] for n in range(30)]
        rows = [
            ",".join([str(n), str(n), *[drug] * len(columns), "MKV", *own])
            for n, (drug, own) in enumerate(zip(drugs, cells, strict=True))
        ]
        (tmp_path / "table.csv").write_text("\n".join([",".join(names), *rows]))
        source = ["--data.source", "table.csv"]
    one_step = ["--trainer.max_epochs", "1", "--trainer.limit_train_batches", "1", "--data.batch_size", "16"]
    options = (*TINY, "--tracking.wandb", "disabled", *one_step, *source)
    assert in_this_process(monkeypatch, "fit", "--config", str(path), *options) == 0
    assert list(tmp_path.glob("runs/*/version_0/test_metrics.json"))


def test_schedules_follow_the_number_of_epochs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    options = (*TINY, "--config=debug.yaml", "--config=method/deferred_sampling.yaml", "--trainer.max_epochs=3")
    assert in_this_process(monkeypatch, "fit", *options) == 0
    config = yaml.safe_load((tmp_path / "runs/inn_stems/version_0/config.yaml").read_text())
    assert config["stages"][0]["start_epoch"] == 2
    assert config["early_stopping"]["patience"] == 3


def test_an_encoder_that_a_method_replaces_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    files = ("--config=encoder/gin.yaml", "--config=method/paper.yaml")
    assert in_this_process(monkeypatch, "fit", "--print_config", *files) == 0
    printed = capsys.readouterr()
    assert "class_path: modules.encoders.GCN  # method/paper.yaml" in printed.out
    assert "encoder/gin.yaml has no effect: method/paper.yaml has its own encoder" in printed.err
    assert in_this_process(monkeypatch, "fit", "--print_config", *files, "--model.encoder=GIN") == 0
    printed = capsys.readouterr()
    assert "class_path: modules.encoders.GIN  # option" in printed.out
    assert printed.err == ""


def test_factors_of_classes_need_a_second_stage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert (
        in_this_process(monkeypatch, "fit", *TINY, "--model.head.class_scales=true", "--tracking.wandb=disabled") == 2
    )
    assert "model.head.class_scales: expected a stage that freezes the classifier" in capsys.readouterr().err


@pytest.mark.filterwarnings("ignore:GPU available but not used")
def test_a_device_without_float64_is_not_chosen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("torch.backends.mps.is_available", lambda: True)
    # Lightning remembers what it found.
    monkeypatch.setattr("lightning.fabric.accelerators.mps.MPSAccelerator.is_available", lambda: True)
    assert MPSAccelerator.is_available()
    assert isinstance(FitCLI(["--tracking.wandb=disabled"]).trainer.accelerator, CPUAccelerator)


def test_a_missing_teacher_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    distillation = {"class_path": "modules.training.distillation.Distillation", "init_args": {"teacher": "gone.ckpt"}}
    stages = json.dumps([{"distillation": distillation}])
    assert in_this_process(monkeypatch, "fit", *TINY, "--tracking.wandb=disabled", "--stages", stages) == 2
    assert "stages.distillation.teacher: expected a checkpoint file, but there is no file" in capsys.readouterr().err
