"""`lightning benchmark` where nothing has to be run."""

from __future__ import annotations

import sys
from pathlib import Path

import polars
import pytest

from experiments.benchmark_plan import read_plan
from tests.lightning_app.command import in_this_process
from workflows.settings.layers import settings_files

PLAN = """
baseline: plain
data:
  one: {arguments: --data.source one.csv, seconds: 60}
  two: {arguments: --data.source two.csv, seconds: 600}
methods: {plain: "", ours: --model.dropout 0.5}
split_seeds: 3
"""


def write_cells(folder: Path, *methods: str, state: str = "complete") -> None:
    """`plan.yaml`, and finished cells of data set one and these methods, a second each."""
    (folder / "plan.yaml").write_text(PLAN)
    rows = [
        {
            **{name: getattr(cell, name) for name in ("data", "encoder", "method", "split_seed", "seed", "arguments")},
            **{"state": state, "error": None if state == "complete" else "exit status 1: broken"},
            **{"balanced_accuracy": 0.5 + 0.1 * (cell.method == "ours"), "accuracy": 0.5, "head_accuracy": 0.5},
            **{"middle_accuracy": None, "tail_accuracy": 0.5, "train_samples": 70, "test_samples": 20, "seconds": 36.0},
        }
        for cell in read_plan(folder / "plan.yaml", settings_files).cells
        if cell.data == "one" and cell.method in methods
    ]
    (folder / "results/plan").mkdir(parents=True)
    polars.DataFrame(rows).write_csv(folder / "results/plan/cells.csv")


def test_a_dry_run_lists_the_cells_and_the_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_cells(tmp_path, "plain")
    assert in_this_process(monkeypatch, "benchmark", "--config=plan.yaml", "--dry-run") == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 13
    assert lines[0].startswith("complete one default plain split 0 seed 0: lightning fit --data.source one.csv")
    assert sum(line.startswith("waiting ") for line in lines) == 9
    # Three cells of one at the 36 seconds that it took, six of two at the 600 that the plan says.
    assert lines[-1] == "12 cells, 9 left: about 1.0 hours on one worker."
    assert in_this_process(monkeypatch, "benchmark", "--config=plan.yaml", "--dry-run", command="tailmol") == 0
    assert capsys.readouterr().out == "\n".join(lines).replace(": lightning fit ", ": tailmol fit ") + "\n"


def test_a_dry_run_gives_less_than_an_hour_in_minutes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "plan.yaml").write_text(PLAN.replace("seconds: 600", "seconds: 30"))
    assert in_this_process(monkeypatch, "benchmark", "--config=plan.yaml", "--dry-run") == 0
    assert capsys.readouterr().out.splitlines()[-1] == "12 cells, 12 left: about 9 min on one worker."


def test_tables_compare_with_what_other_programs_computed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_cells(tmp_path, "plain", "ours")
    cells = polars.read_csv(tmp_path / "results/plan/cells.csv").filter(method="plain")
    peers = cells.with_columns(method=polars.lit("forest"), encoder=polars.lit("fingerprint"))
    elsewhere = peers.with_columns(data=polars.lit("two"))
    polars.concat([peers, elsewhere]).write_csv(tmp_path / "results/plan/peers.csv")
    assert in_this_process(monkeypatch, "benchmark", "--config=plan.yaml", "--tables-only") == 0
    assert "Written: results/plan/tables.md" in capsys.readouterr().out
    text = (tmp_path / "results/plan/tables.md").read_text()
    assert "| default ours | 3 | 0.600 | +0.100 | – | +inf |" in text
    assert "| fingerprint forest | 3 | 0.500 " in text
    assert "two" not in text


def test_peers_of_other_settings_are_left_out_with_one_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_cells(tmp_path, "plain", "ours")
    cells = polars.read_csv(tmp_path / "results/plan/cells.csv").filter(method="plain")
    (settings,) = {cell.settings for cell in read_plan(tmp_path / "plan.yaml", settings_files).cells}

    def peer(name: str, **columns: str | None) -> polars.DataFrame:
        values = {"method": name, "encoder": "fingerprint", "settings": settings, **columns}
        return cells.with_columns(polars.lit(value, polars.String).alias(key) for key, value in values.items())

    old = peer("forest", arguments="--data.source one.csv --data.count_by rows")
    theirs = peer("theirs", arguments=None, settings=None)
    rows = [peer("logistic"), old, peer("network", settings="0123456789ab"), theirs]
    polars.concat(rows).write_csv(tmp_path / "results/plan/peers.csv")
    assert in_this_process(monkeypatch, "benchmark", "--config=plan.yaml", "--tables-only") == 0
    (warning,) = capsys.readouterr().err.splitlines()
    assert "peers.csv: 6 of 12 rows have other arguments or settings than the grid and are left out; " in warning
    command = "python -m benchmarks.peer_classifiers --config plan.yaml --folder results/plan"
    assert warning.endswith(f"{command} --peers NAMES computes those of the peers that it names again.")
    text = (tmp_path / "results/plan/tables.md").read_text()
    assert [name in text for name in ("logistic", "theirs", "forest", "network")] == [True, True, False, False]


def test_without_a_run_of_the_baseline_there_are_no_tables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_cells(tmp_path, "ours")
    assert in_this_process(monkeypatch, "benchmark", "--config=plan.yaml", "--tables-only") == 0
    assert capsys.readouterr().out == "No tables were written, since no run of the baseline, plain, is complete.\n"
    assert not (tmp_path / "results/plan/tables.md").exists()


def test_if_all_cells_failed_the_first_reason_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "plan.yaml").write_text(PLAN.replace("split_seeds: 3", "split_seeds: 1"))
    monkeypatch.setattr("lightning_app.benchmark._FIT", (sys.executable, "-c", "raise SystemExit('broken')"))
    assert in_this_process(monkeypatch, "benchmark", "--config=plan.yaml") == 2
    printed = capsys.readouterr()
    assert "Failed: one default plain split 0: exit status 1: broken" in printed.out
    reason = "cells: expected a completed one, got 4 that failed; first error: exit status 1: broken"
    assert printed.err == f"lightning: error: {reason}\n"


@pytest.mark.parametrize(
    ("old", "new", "option", "sentence"),
    [
        ("--model.dropout 0.5", "--run.name it's", "--dry-run", "config: arguments of one default ours: expected a"),
        ("", "", "--storage=nonsense", "storage: "),
    ],
)
def test_what_is_wrong_is_one_sentence(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    old: str,
    new: str,
    option: str,
    sentence: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "plan.yaml").write_text(PLAN.replace(old, new) if old else PLAN)
    assert in_this_process(monkeypatch, "benchmark", "--config=plan.yaml", option) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"lightning: error: {sentence}")
