from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from experiments.benchmark_plan import Cell
from experiments.benchmark_run import CellFailedError, CellProcess, read_metrics
from workflows.settings.command_line import split_command_line

RUN_CELL = CellProcess((sys.executable, "-m", "lightning_app.cli", "fit"), "grid")
SMALL = "--config encoder/fingerprint.yaml --trainer.max_epochs 1 --trainer.accelerator cpu --data.fingerprint_size 128"


@pytest.mark.slow
def test_a_run_gives_its_metrics_and_leaves_no_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("WHERE", "inn_stems")
    cell = Cell("inn_stems", "fingerprint", "default", 1, 0, f"--data.source $WHERE {SMALL} --data.split_seed 1")
    run = tmp_path / "runs" / "one"
    values = RUN_CELL(cell, run, lambda: None)
    assert 0 < values["balanced_accuracy"] < 1
    assert (values["train_samples"], values["test_samples"]) == (438, 129)
    assert "seconds" in values
    assert values["peak_megabytes"] > 100
    assert not [name for name in values if "recall/" in name]
    assert (run / "log.txt").is_file()
    assert not list(run.rglob("*.ckpt"))


def test_runs_are_a_group_in_wandb_only_if_the_grid_asks_for_it(tmp_path: Path) -> None:
    script = "import json, sys; print(json.dumps(sys.argv[1:]))"
    run = CellProcess((sys.executable, "-c", script), "night")
    words = []
    for place, arguments in enumerate(("", "--tracking.wandb offline --tracking.group own")):
        cell = Cell("a", "b", "c", 0, 0, arguments)
        with pytest.raises(CellFailedError, match="the run wrote no metrics"):
            run(cell, tmp_path / str(place), lambda: None)
        words.append(split_command_line(json.loads((tmp_path / str(place) / "log.txt").read_text())))
    assert [(one.value("tracking.wandb"), one.value("tracking.group")) for one in words] == [
        ("disabled", "night"),
        ("offline", "own"),
    ]


@pytest.mark.slow
def test_a_run_that_fails_says_why(tmp_path: Path) -> None:
    cell = Cell("none", "default", "default", 0, 0, "--data.source no_such_table.csv")
    with pytest.raises(CellFailedError, match=r"exit status 2: data\.source: expected a file or a known data set"):
        RUN_CELL(cell, tmp_path / "run", lambda: None)


@pytest.mark.parametrize("value", ["null", "NaN"])
def test_a_run_without_balanced_accuracy_has_failed(tmp_path: Path, value: str) -> None:
    (tmp_path / "test_metrics.json").write_text(f'{{"test/balanced_accuracy": {value}, "test/accuracy": 0.5}}')
    (tmp_path / "splits.csv").write_text("row,split\n1,train\n2,test\n")
    with pytest.raises(CellFailedError, match="balanced_accuracy: expected a number, got"):
        read_metrics(tmp_path)


def test_out_of_fold_metrics_are_refused(tmp_path: Path) -> None:
    (tmp_path / "test_metrics.json").write_text('{"test/balanced_accuracy": 0.5}')
    (tmp_path / "splits.csv").write_text("row,split,fold\n1,train,0\n2,train,1\n")
    with pytest.raises(CellFailedError, match=r"expected test rows, got none; with folds, --data\.keep_test"):
        read_metrics(tmp_path)
    (tmp_path / "splits.csv").write_text("row,split,fold\n1,train,0\n2,train,1\n3,test,\n")
    assert (read_metrics(tmp_path)["train_samples"], read_metrics(tmp_path)["test_samples"]) == (2, 1)
