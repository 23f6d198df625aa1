"""Quiet, machine-readable and debugging modes, as a user sees them."""

from __future__ import annotations

import errno
import json
from pathlib import Path

import pytest

from base.errors import DiskFullError, InputError
from tests.lightning_app.command import TINY, in_this_process
from workflows.terminal import Terminal, take_terminal_options

SHORT = (*TINY, "--config=debug.yaml", "--tracking.wandb=disabled")


def test_the_options_are_taken_out_wherever_they_stand() -> None:
    given = ["fit", "--json", "--data.source", "a.csv", "--debug"]
    terminal = Terminal("lightning", quiet=True, json=True, debug=True)
    assert take_terminal_options(given) == (terminal, ["fit", "--data.source", "a.csv"])
    assert take_terminal_options(["fit"], "tailmol") == (Terminal("tailmol"), ["fit"])


def test_json_prints_one_line_with_the_metrics(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert in_this_process(monkeypatch, "fit", *SHORT, "--json") == 0
    printed = capsys.readouterr()
    (line,) = printed.out.splitlines()
    values = json.loads(line)
    assert Path(values["run"]).is_dir()
    assert (
        values["test/balanced_accuracy"]
        == json.loads((Path(values["run"]) / "test_metrics.json").read_text())["test/balanced_accuracy"]
    )


def test_quiet_prints_nothing_to_standard_output(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert in_this_process(monkeypatch, "fit", *SHORT, "--quiet") == 0
    assert capsys.readouterr().out == ""


def test_a_mistake_of_ours_is_one_sentence_unless_debugging(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(arguments: list[str], terminal: Terminal) -> None:
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr("lightning_app.datasets.main", broken)
    assert in_this_process(monkeypatch, "datasets") == 1
    error = capsys.readouterr().err
    assert error.startswith("lightning: error: ZeroDivisionError: division by zero.")
    assert "Traceback" not in error
    with pytest.raises(ZeroDivisionError):
        in_this_process(monkeypatch, "datasets", "--debug")


@pytest.mark.parametrize("variable", ["RANK", "LOCAL_RANK"])
def test_the_first_process_speaks_for_all_of_the_input_and_each_for_itself_of_the_rest(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], variable: str
) -> None:
    def fail(error: Exception) -> str:
        def broken(arguments: list[str], terminal: Terminal) -> None:
            raise error

        monkeypatch.setattr("lightning_app.datasets.main", broken)
        assert in_this_process(monkeypatch, "datasets") in (1, 2)
        return capsys.readouterr().err

    monkeypatch.setenv(variable, "0")
    assert fail(InputError("data.source: is missing.")) == "lightning: error: data.source: is missing.\n"
    monkeypatch.setenv(variable, "1")
    assert fail(InputError("data.source: is missing.")) == ""
    assert fail(RuntimeError("CUDA out of memory")).startswith(
        "lightning: error: process 1: RuntimeError: CUDA out of memory. "
    )


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device", "out.csv"), DiskFullError("Full.")])
def test_a_full_disk_is_no_mistake_of_ours(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: OSError
) -> None:
    def broken(*arguments: object) -> None:
        raise error

    monkeypatch.setattr("lightning_app.datasets.main", broken)
    assert in_this_process(monkeypatch, "datasets") == 1
    assert capsys.readouterr().err in (
        "lightning: error: The disk is full ([Errno 28] No space left on device: 'out.csv').\n",
        "lightning: error: Full.\n",
    )


def test_a_worker_of_a_cluster_speaks_for_itself(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SLURM_PROCID", "3")
    assert in_this_process(monkeypatch, "benchmark", "--config", "gone.yaml") == 2
    assert capsys.readouterr().err.startswith(
        "lightning: error: config: expected an existing or shipped file, got 'gone.yaml'"
    )
