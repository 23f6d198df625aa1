"""What the command prints when something outside of it fails, and what it leaves behind."""

from __future__ import annotations

import dataclasses
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

import lightning_app.cli
import lightning_app.datasets
from lightning_app.cli import SUBCOMMANDS
from tests.lightning_app.command import TINY, in_this_process
from workflows.evaluate import EvaluateCLI, ValidateCLI
from workflows.fit import fit
from workflows.run_summary import print_test_report
from workflows.settings.errors import reword
from workflows.tracking import TrackingSettings

FIT = (*TINY, "--config", "method/cross_entropy.yaml", "--config", "encoder/fingerprint.yaml", "--trainer.max_epochs=1")
COMMAND = str(Path(sys.executable).with_name("lightning"))


def fail_with(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> int:
    """Run a subcommand that raises an error; returns the exit status."""

    def fail(*_: object) -> None:
        raise error

    monkeypatch.setitem(SUBCOMMANDS, "datasets", ("lightning_app.datasets", "fail"))
    monkeypatch.setattr(lightning_app.datasets, "fail", fail, raising=False)
    return in_this_process(monkeypatch, "datasets")


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (OSError(30, "Read-only file system", Path("runs/a")), "got runs/a: Read-only file system."),
        (PermissionError(13, "Permission denied", "b.csv"), "got b.csv: Permission denied."),
        (NotADirectoryError(20, "Not a directory", b"c"), "got c: Not a directory."),
        (OSError(36, "File name too long", "d"), "got d: File name too long."),
        (OSError(5, "Input/output error"), "got Input/output error."),
        (RuntimeError("Permission denied (os error 13): a"), "got: Permission denied (os error 13): a."),
    ],
)
def test_what_the_system_refuses_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: Exception, sentence: str
) -> None:
    assert fail_with(monkeypatch, error) == 1
    text = capsys.readouterr().err
    assert text.startswith(f"lightning: error: files: expected a path that can be used, {sentence}")
    assert len(text.splitlines()) == 1
    assert "bug" not in text


def test_other_errors_are_called_bugs(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert fail_with(monkeypatch, RuntimeError("strange")) == 1
    assert "This is a bug in tailmol" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("package", "extra"),
    [
        *((name, "experiments") for name in ("optuna", "matplotlib", "scikit_posthocs", "statsmodels")),
        ("umap.umap_", "umap"),
        ("dgl", "dgl"),
    ],
)
@pytest.mark.parametrize("kind", [ModuleNotFoundError, ImportError])
def test_a_missing_extra_is_named(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    package: str,
    extra: str,
    kind: type[ImportError],
) -> None:
    assert fail_with(monkeypatch, kind("no", name=package)) == 2
    assert capsys.readouterr().err == (
        f"lightning: error: datasets needs the package {package.split('.')[0]}; "
        f"install it with: pip install 'tailmol[{extra}]'\n"
    )


def test_control_characters_never_reach_the_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert in_this_process(monkeypatch, "fit", "--data.source=\x1b[31mred\x07.csv") == 2
    text = capsys.readouterr().err
    assert "\\x1b[31mred\\x07.csv" in text
    assert text.replace("\n", "").isprintable()
    assert fail_with(monkeypatch, OSError(2, "No such file", "a\x1bb")) == 1
    assert "a\\x1bb: No such file" in capsys.readouterr().err


@pytest.mark.parametrize(
    "command",
    [
        ["datasets"],
        ["--help"],
        pytest.param(["fit", "--help"], marks=pytest.mark.slow),
        pytest.param(["completion", "bash"], marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize("buffered", [True, False])
def test_a_closed_pipe_is_quiet(command: list[str], buffered: bool, tmp_path: Path) -> None:
    variables = {**os.environ, "PYTHONUNBUFFERED": "" if buffered else "1"}
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run(
            [COMMAND, *command],
            stdout=writing,
            stderr=subprocess.PIPE,
            cwd=tmp_path,
            env=variables,
            text=True,
            timeout=120,
        )
    finally:
        os.close(writing)
    assert (done.returncode, done.stderr) == (141, "")


def test_the_version_is_printed_without_importing_torch(tmp_path: Path) -> None:
    script = (
        "import sys\nfrom lightning_app.cli import main\nsys.argv = ['tailmol', '--version']\nmain()\n"
        "print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.stdout == "tailmol 0.1.0\nFalse\n"
    assert list(tmp_path.iterdir()) == []


def test_printed_commands_can_be_copied(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "my runs [red]"
    (folder / "checkpoints").mkdir(parents=True)
    for name in ("best.ckpt", "best.evidence.npz"):
        (folder / "checkpoints" / name).touch()
    (folder / "class_means").mkdir()
    with (tmp_path / "out").open("w") as file:
        print_test_report({}, folder, console=Console(file=file, width=40))
    lines = (tmp_path / "out").read_text().splitlines()
    *written, refit = lines[lines.index("Written:") + 1 : -2]
    expected = ("checkpoints/best.ckpt", "checkpoints/best.evidence.npz", "class_means")
    assert written == [f"  {folder / name}" for name in expected]
    assert "--refit true trains once more, on all rows." in refit
    assert lines[-2].startswith("To predict new samples (--html page.html also draws them, --coverage 0.9 adds")
    line = lines[-1]
    assert shlex.split(line)[:4] == ["lightning", "predict", "--ckpt_path", str(folder / "checkpoints" / "best.ckpt")]


def test_a_table_with_spaces_is_quoted(tmp_path: Path) -> None:
    table = tmp_path / "my drugs.csv"
    table.touch()
    sentence = reword(f"unrecognized arguments: {table}", "h", [], None, lambda _: None)  # type: ignore[arg-type]
    assert "unrecognized" not in sentence
    (tmp_path / "drugs&more.csv").touch()
    path = str(tmp_path / "drugs&more.csv")
    sentence = reword(f"unrecognized arguments: {path}", "h", [], None, lambda _: None)  # type: ignore[arg-type]
    assert sentence.endswith(f"--data.source '{path}'.")


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--data.batch_size=1"], "data.batch_size: expected a size that leaves two or more training samples"),
        (["--data.label_column=none"], "data.label_column: expected a column"),
        (["--model.optimizer.init_args.lr=.nan"], "model.optimizer.lr: expected a number that torch accepts, got nan."),
        (["--recluster.strength=.inf"], "recluster.strength: expected a finite number of 0 or more, got inf."),
    ],
)
@pytest.mark.parametrize("root", ["runs", "new/folder/runs"])
def test_a_refused_run_leaves_no_folder(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    options: list[str],
    sentence: str,
    root: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WANDB_MODE", "disabled")
    assert in_this_process(monkeypatch, "fit", *FIT, *options, f"--run.root={root}") == 2
    assert f"lightning: error: {sentence}" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_list_of_rejected_rows_stays_where_the_message_says(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WANDB_MODE", "disabled")
    rows = "".join(f"{'C' * number},{'ab'[number % 2]}\n" for number in range(1, 20))
    Path("drugs.csv").write_text(f"smiles,label\n{rows}xyz,a\n(,b\n")
    assert in_this_process(monkeypatch, "fit", *FIT, "--data.source=drugs.csv") == 2
    assert "all are in runs/drugs/version_0/rejected.csv" in capsys.readouterr().err
    assert Path("runs/drugs/version_0/rejected.csv").is_file()


@pytest.mark.parametrize("root", ["file", "file/below"])
def test_a_run_below_a_file_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, root: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").touch()
    assert in_this_process(monkeypatch, "fit", *FIT, f"--run.root={root}") == 1
    text = capsys.readouterr().err
    assert f"files: expected a path that can be used, got {root}/inn_stems: Not a directory." in text


@pytest.mark.parametrize("words", ["fit --print_config", "fit --help", "fit --help all", "prepare --help"])
def test_a_dry_run_writes_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TAILMOL_CACHE", str(tmp_path / "cache"))
    assert in_this_process(monkeypatch, *words.split()) == 0
    assert capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize("cls", [EvaluateCLI, ValidateCLI])
def test_an_evaluation_is_tracked_as_the_run(cls: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("WANDB_MODE", raising=False)
    named = (
        "--tracking.project=mine",
        "--tracking.name=training",
        "--tracking.notes=long",
        "--tracking.job_type=train",
    )
    options = ("--tracking.wandb=disabled", "--tracking.group=all", "--tracking.entity=team", *named)
    run = fit([*FIT, *options], show_progress=False)
    words = ["--ckpt_path", str(run.best_checkpoint), "--trainer.accelerator=cpu"]
    cli = cls(words)
    expected = TrackingSettings(wandb="disabled", project="mine", group="all")
    assert cli.config.tracking.as_dict() == dataclasses.asdict(expected)
    assert [type(logger).__name__ for logger in cli.trainer.loggers] == ["ContinuedCSVLogger"]
    assert cls([*words, "--tracking.wandb=offline"]).config.tracking.wandb == "offline"
