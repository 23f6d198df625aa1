"""Who runs which cell, with runs that only pretend, and the real thing with workers that are killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import polars
import pytest

from base.errors import InputError
from experiments import benchmark_study
from experiments.benchmark_plan import BenchmarkPlan, Cell
from experiments.benchmark_run import CellFailedError
from experiments.benchmark_study import BenchmarkStudy

CELLS = tuple(
    Cell("data", "default", method, split, 0, f"--method {method} --split {split}")
    for split in range(3)
    for method in ("a", "b")
)
PLAN = BenchmarkPlan("plan", "a", None, CELLS)


class PretendedRuns:
    """Takes the place of `run_cell`, and counts."""

    def __init__(self, failing: str = "", seconds: float = 0.0) -> None:
        """Some cells may fail, all may take a while."""
        self.failing, self.seconds = failing, seconds
        self.names: list[str] = []

    def __call__(self, cell: Cell, run: Path, beat: Callable[[], None]) -> dict[str, Any]:
        """Run."""
        self.names.append(cell.name)
        time.sleep(self.seconds)
        beat()
        if self.failing and self.failing in cell.name:
            raise CellFailedError("exit status 1: broken")
        metrics = {"balanced_accuracy": 0.5 + 0.1 * cell.split_seed, "accuracy": None, "seconds": 2.0}
        return {**metrics, "train_samples": 70, "test_samples": 20}


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> PretendedRuns:
    pretended = PretendedRuns()
    monkeypatch.setattr(benchmark_study, "run_cell", pretended)
    return pretended


def test_every_cell_is_run_once_in_order_and_not_again(tmp_path: Path, runs: PretendedRuns) -> None:
    seen: list[str] = []
    BenchmarkStudy(PLAN, tmp_path).work(lambda cell, error: seen.append(cell.name + error))
    assert runs.names == seen == [cell.name for cell in CELLS]
    again = BenchmarkStudy(PLAN, tmp_path)
    again.work()
    assert len(runs.names) == len(CELLS)
    frame = again.frame()
    assert frame["split_seed"].to_list() == [0, 0, 1, 1, 2, 2]
    assert frame["balanced_accuracy"].to_list() == pytest.approx([0.5, 0.5, 0.6, 0.6, 0.7, 0.7])
    assert frame["accuracy"].null_count() == len(CELLS)


def test_a_smaller_plan_keeps_the_cells_of_the_larger_one(tmp_path: Path, runs: PretendedRuns) -> None:
    BenchmarkStudy(PLAN, tmp_path).work()
    (tmp_path / "study.db").unlink()
    smaller = BenchmarkStudy(BenchmarkPlan("plan", "a", None, CELLS[:3]), tmp_path)
    smaller.export()
    assert len(smaller.frame()) == 3
    assert polars.read_csv(tmp_path / "cells.csv")["arguments"].to_list() == [cell.arguments for cell in CELLS]
    BenchmarkStudy(PLAN, tmp_path).work()
    assert len(runs.names) == len(CELLS)


def test_workers_share_a_study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pretended = PretendedRuns(seconds=0.05)
    monkeypatch.setattr(benchmark_study, "run_cell", pretended)
    monkeypatch.setattr(benchmark_study, "_WAIT_SECONDS", 0.05)
    workers = [BenchmarkStudy(PLAN, tmp_path) for _ in range(3)]
    with ThreadPoolExecutor() as threads:
        list(threads.map(lambda worker: worker.work(), workers))
    assert sorted(pretended.names) == sorted(cell.name for cell in CELLS)


def test_a_failed_cell_is_recorded_and_can_be_tried_again(tmp_path: Path, runs: PretendedRuns) -> None:
    runs.failing = "b split 1"
    study = BenchmarkStudy(PLAN, tmp_path)
    study.work()
    assert len(runs.names) == len(CELLS)
    failed = study.frame().filter(polars.col("state") == "failed")
    assert failed["error"].to_list() == ["exit status 1: broken"]
    assert failed["split_seed"].to_list() == [1]
    runs.failing = ""
    BenchmarkStudy(PLAN, tmp_path).work()
    assert len(runs.names) == len(CELLS)
    retried = BenchmarkStudy(PLAN, tmp_path, retry_failed=True)
    retried.work()
    assert runs.names[len(CELLS) :] == ["data default b split 1 seed 0"]
    assert (retried.frame()["state"] == "complete").all()


def test_a_claim_without_sign_of_life_is_free_again(
    tmp_path: Path, runs: PretendedRuns, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(benchmark_study, "_GRACE_SECONDS", 1)
    monkeypatch.setattr(benchmark_study, "_WAIT_SECONDS", 0.1)
    killed = BenchmarkStudy(PLAN, tmp_path)
    assert killed._claim(CELLS[0]) == 0
    assert killed._claim(CELLS[0]) is None
    study = BenchmarkStudy(PLAN, tmp_path)
    assert study.states()[CELLS[0].arguments] == "running"
    study.work()
    assert sorted(runs.names) == sorted(cell.name for cell in CELLS)


def test_a_claim_cut_short_before_its_first_sign_of_life_is_free_again(
    tmp_path: Path, runs: PretendedRuns, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(benchmark_study, "_GRACE_SECONDS", 1)
    monkeypatch.setattr(benchmark_study, "_WAIT_SECONDS", 0.1)
    stopped = BenchmarkStudy(PLAN, tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(stopped.storage, "record_heartbeat", Mock(side_effect=KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            stopped.work()
    assert stopped.states()[CELLS[0].arguments] == "running"
    BenchmarkStudy(PLAN, tmp_path).work()
    assert sorted(runs.names) == sorted(cell.name for cell in CELLS)


def test_a_worker_that_was_taken_for_dead_goes_on_with_other_cells(
    tmp_path: Path, runs: PretendedRuns, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(benchmark_study, "_GRACE_SECONDS", 1)
    suspended, other = BenchmarkStudy(PLAN, tmp_path), BenchmarkStudy(PLAN, tmp_path)
    seen: list[str] = []

    def run(cell: Cell, folder: Path, beat: Callable[[], None]) -> dict[str, Any]:
        if not seen:
            seen.append(cell.name)
            time.sleep(2.5)
            other.work()
        return runs(cell, folder, beat)

    monkeypatch.setattr(benchmark_study, "run_cell", run)
    errors: list[str] = []
    suspended.work(lambda cell, error: errors.append(error))
    assert len(errors) == 1
    assert errors[0].startswith("no sign of life for 1 s")
    frame = suspended.frame()
    assert frame["arguments"].to_list() == [cell.arguments for cell in CELLS]
    assert (frame["state"] == "complete").all()


def test_an_attempt_has_a_folder_of_its_own_and_those_before_it_are_deleted(
    tmp_path: Path, runs: PretendedRuns, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs.failing = "a split 0"
    BenchmarkStudy(PLAN, tmp_path).work()
    for number in range(len(CELLS)):
        (tmp_path / "runs" / f"{CELLS[number].folder}{number}").mkdir(parents=True)
    BenchmarkStudy(PLAN, tmp_path, retry_failed=True).work()
    left = {path.name for path in (tmp_path / "runs").iterdir()}
    assert left == {f"{CELLS[number].folder}{number}" for number in range(1, len(CELLS))}


def test_cells_whose_settings_changed_are_run_again(tmp_path: Path, runs: PretendedRuns) -> None:
    def plan(settings: str | None) -> BenchmarkPlan:
        cells = tuple(replace(cell, settings=settings if cell.method == "b" else "same") for cell in CELLS)
        return BenchmarkPlan("plan", "a", None, cells)

    BenchmarkStudy(plan("old"), tmp_path).work()
    changed = BenchmarkStudy(plan("new"), tmp_path)
    assert sorted(changed.states().values()) == ["complete"] * 3 + ["free"] * 3
    changed.work()
    assert runs.names[len(CELLS) :] == [cell.name for cell in CELLS if cell.method == "b"]
    assert changed.frame()["settings"].to_list() == ["same", "new"] * 3
    (tmp_path / "study.db").unlink()
    assert set(BenchmarkStudy(plan("new"), tmp_path).states().values()) == {"complete"}
    assert sorted(BenchmarkStudy(plan("newest"), tmp_path).states().values()) == ["complete"] * 3 + ["free"] * 3


@pytest.mark.slow
def test_workers_may_open_a_new_study_at_once(tmp_path: Path) -> None:
    with ProcessPoolExecutor(4, get_context("spawn")) as processes:
        opened = [processes.submit(_open_study, tmp_path) for _ in range(4)]
        assert [future.result() for future in opened] == [len(CELLS)] * 4


def _open_study(folder: Path) -> int:
    return len(BenchmarkStudy(PLAN, folder).states())


def test_a_database_that_cannot_be_used_is_one_sentence(tmp_path: Path) -> None:
    for address in ("nonsense", "postgresql+nodriver://host/base"):
        with pytest.raises(InputError, match=r"^storage: "):
            BenchmarkStudy(PLAN, tmp_path, address)


def test_a_study_goes_on_from_the_table_of_another_machine(tmp_path: Path, runs: PretendedRuns) -> None:
    BenchmarkStudy(BenchmarkPlan("plan", "a", None, CELLS[:4]), tmp_path / "one").work()
    (tmp_path / "two").mkdir()
    (tmp_path / "two/cells.csv").write_text((tmp_path / "one/cells.csv").read_text())
    study = BenchmarkStudy(PLAN, tmp_path / "two")
    study.work()
    assert runs.names == [cell.name for cell in CELLS]
    assert len(study.frame()) == len(CELLS)


GRID = """
baseline: cross_entropy
arguments: --config encoder/fingerprint.yaml --trainer.max_epochs 1 --data.fingerprint_size 128
data: {inn_stems: --data.source inn_stems}
methods:
  cross_entropy: --config method/cross_entropy.yaml
  balanced_softmax: --config method/balanced_softmax.yaml
split_seeds: 2
seeds: 2
"""


def start_worker(folder: Path) -> subprocess.Popen[bytes]:
    """`lightning benchmark` on the grid."""
    command = [str(Path(sys.executable).with_name("lightning")), "benchmark", "--config", "grid.yaml"]
    with (folder / f"worker_{time.monotonic_ns()}.log").open("wb") as log:
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        return subprocess.Popen(command, cwd=folder, stdout=log, stderr=log, env=environment)


@pytest.mark.slow
def test_a_killed_grid_goes_on_and_two_workers_share_it(tmp_path: Path) -> None:
    (tmp_path / "grid.yaml").write_text(GRID)
    cells = tmp_path / "results/grid/cells.csv"
    killed = start_worker(tmp_path)
    deadline = time.monotonic() + 120
    while not cells.is_file() and time.monotonic() < deadline:
        time.sleep(0.5)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    workers = [start_worker(tmp_path), start_worker(tmp_path)]
    assert [worker.wait(timeout=400) for worker in workers] == [0, 0]
    frame = polars.read_csv(cells)
    assert len(frame) == 8
    assert (frame["state"] == "complete").all()
    assert frame.select("method", "split_seed", "seed").n_unique() == 8
    import optuna

    study = optuna.load_study(study_name="grid", storage=f"sqlite:///{cells.with_name('study.db')}")
    complete = [trial.user_attrs["cell"] for trial in study.trials if trial.state.name == "COMPLETE"]
    assert len(complete) == len(set(complete)) == 8
    text = (tmp_path / "results/grid/tables.md").read_text()
    assert "balanced_softmax" in text
