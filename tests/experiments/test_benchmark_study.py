"""The queue of a benchmark, with simulated runs, and with real workers that are killed."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any
from unittest import mock

import optuna
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


class SimulatedRuns:
    """Takes the place of training and records the names of the cells."""

    def __init__(self, failing: str = "", seconds: float = 0.0) -> None:
        """Let the cells fail whose name contains `failing`, and each take some seconds."""
        self.failing, self.seconds = failing, seconds
        self.names: list[str] = []

    def __call__(self, cell: Cell, folder: Path, beat: Callable[[], None]) -> dict[str, Any]:
        self.names.append(cell.name)
        time.sleep(self.seconds)
        beat()
        if self.failing and self.failing in cell.name:
            raise CellFailedError("exit status 1: broken")
        metrics = {"balanced_accuracy": 0.5 + 0.1 * cell.split_seed, "accuracy": None, "seconds": 2.0}
        return {**metrics, "train_samples": 70, "test_samples": 20}


@pytest.fixture
def runs() -> SimulatedRuns:
    return SimulatedRuns()


@pytest.fixture
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(benchmark_study, "_WAIT_SECONDS", 0.05)


def let_a_day_pass(folder: Path) -> None:
    """Move all starts and heartbeats of a study into the past; waiting for them would race with a busy machine."""
    with closing(sqlite3.connect(folder / "study.db", timeout=60)) as database, database:
        database.execute("UPDATE trials SET datetime_start = datetime(datetime_start, '-1 day')")
        database.execute("UPDATE trial_heartbeats SET heartbeat = datetime(heartbeat, '-1 day')")


def test_every_cell_is_run_once_in_order_and_not_again(tmp_path: Path, runs: SimulatedRuns) -> None:
    seen: list[str] = []
    BenchmarkStudy(PLAN, tmp_path).work(runs, lambda cell, error: seen.append(cell.name + error))
    assert runs.names == seen == [cell.name for cell in CELLS]
    again = BenchmarkStudy(PLAN, tmp_path)
    again.work(runs)
    assert len(runs.names) == len(CELLS)
    frame = again.frame()
    assert frame["split_seed"].to_list() == [0, 0, 1, 1, 2, 2]
    assert frame["balanced_accuracy"].to_list() == pytest.approx([0.5, 0.5, 0.6, 0.6, 0.7, 0.7])
    assert frame["accuracy"].null_count() == len(CELLS)


def test_a_smaller_plan_keeps_the_cells_of_the_larger_one(tmp_path: Path, runs: SimulatedRuns) -> None:
    BenchmarkStudy(PLAN, tmp_path).work(runs)
    (tmp_path / "study.db").unlink()
    smaller = BenchmarkStudy(BenchmarkPlan("plan", "a", None, CELLS[:3]), tmp_path)
    smaller.export()
    assert len(smaller.frame()) == 3
    assert polars.read_csv(tmp_path / "cells.csv")["arguments"].to_list() == [cell.arguments for cell in CELLS]
    BenchmarkStudy(PLAN, tmp_path).work(runs)
    assert len(runs.names) == len(CELLS)


@pytest.mark.usefixtures("short_waits")
def test_workers_share_a_study(tmp_path: Path) -> None:
    runs = SimulatedRuns(seconds=0.05)
    workers = [BenchmarkStudy(PLAN, tmp_path) for _ in range(3)]
    with ThreadPoolExecutor() as threads:
        list(threads.map(lambda worker: worker.work(runs), workers))
    assert sorted(runs.names) == sorted(cell.name for cell in CELLS)


def test_a_failed_cell_is_recorded_and_can_be_tried_again(tmp_path: Path, runs: SimulatedRuns) -> None:
    runs.failing = "b split 1"
    study = BenchmarkStudy(PLAN, tmp_path)
    study.work(runs)
    assert len(runs.names) == len(CELLS)
    failed = study.frame().filter(polars.col("state") == "failed")
    assert failed["error"].to_list() == ["exit status 1: broken"]
    assert failed["split_seed"].to_list() == [1]
    runs.failing = ""
    BenchmarkStudy(PLAN, tmp_path).work(runs)
    assert len(runs.names) == len(CELLS)
    retried = BenchmarkStudy(PLAN, tmp_path, retry_failed=True)
    retried.work(runs)
    assert runs.names[len(CELLS) :] == ["data default b split 1 seed 0"]
    assert (retried.frame()["state"] == "complete").all()


def test_the_cell_of_a_dead_worker_is_run_by_another(tmp_path: Path, runs: SimulatedRuns) -> None:
    class KilledError(BaseException):
        """Leaves the trial running, as SIGKILL does."""

    def die(cell: Cell, folder: Path, beat: Callable[[], None]) -> dict[str, Any]:
        raise KilledError

    killed = BenchmarkStudy(PLAN, tmp_path)
    with mock.patch.object(optuna.Study, "tell"), pytest.raises(KilledError):
        killed.work(die)
    study = BenchmarkStudy(PLAN, tmp_path)
    assert study.states()[CELLS[0].arguments] == "running"
    let_a_day_pass(tmp_path)
    study.work(runs)
    assert sorted(runs.names) == sorted(cell.name for cell in CELLS)


def test_the_cell_of_a_worker_that_died_before_its_first_heartbeat_is_run(tmp_path: Path, runs: SimulatedRuns) -> None:
    stopped = BenchmarkStudy(PLAN, tmp_path)
    with (
        mock.patch.object(optuna.storages.RDBStorage, "record_heartbeat", side_effect=KeyboardInterrupt),
        pytest.raises(KeyboardInterrupt),
    ):
        stopped.work(runs)
    assert stopped.states()[CELLS[0].arguments] == "running"
    let_a_day_pass(tmp_path)
    # Another worker notices at the same moment.
    with mock.patch.object(optuna.Study, "tell", side_effect=optuna.exceptions.UpdateFinishedTrialError):
        assert stopped.states()[CELLS[0].arguments] == "running"
    BenchmarkStudy(PLAN, tmp_path).work(runs)
    assert sorted(runs.names) == sorted(cell.name for cell in CELLS)


def test_a_worker_whose_trial_was_failed_before_its_first_heartbeat_takes_another(
    tmp_path: Path, runs: SimulatedRuns
) -> None:
    study, beat = BenchmarkStudy(PLAN, tmp_path), optuna.storages.RDBStorage.record_heartbeat
    failed: list[int] = []

    def fail_first(storage: optuna.storages.RDBStorage, trial_id: int) -> None:
        if not failed:
            failed.append(trial_id)
            storage.set_trial_state_values(trial_id, optuna.trial.TrialState.FAIL)
        beat(storage, trial_id)

    with mock.patch.object(optuna.storages.RDBStorage, "record_heartbeat", fail_first):
        study.work(runs)
    assert sorted(runs.names) == sorted(cell.name for cell in CELLS)


def test_an_interrupted_cell_is_run_again(tmp_path: Path, runs: SimulatedRuns) -> None:
    def interrupt(cell: Cell, folder: Path, beat: Callable[[], None]) -> dict[str, Any]:
        raise KeyboardInterrupt

    study = BenchmarkStudy(PLAN, tmp_path)
    with pytest.raises(KeyboardInterrupt):
        study.work(interrupt)
    assert set(study.states().values()) == {"waiting"}
    study.work(runs)
    assert sorted(runs.names) == sorted(cell.name for cell in CELLS)


def test_a_cell_that_was_enqueued_twice_is_run_once(tmp_path: Path, runs: SimulatedRuns) -> None:
    storage = f"sqlite:///{tmp_path / 'shared.db'}"
    studies = [BenchmarkStudy(PLAN, tmp_path / name, storage) for name in ("one", "two")]
    # Neither sees the trials of the other, as on two machines at the same moment.
    with mock.patch.object(BenchmarkStudy, "_trials", return_value={cell.arguments: [] for cell in CELLS}):
        for study in studies:
            study._enqueue_missing()
    studies[0].work(runs)
    studies[1].work(runs)
    assert runs.names == [cell.name for cell in CELLS]


def test_the_cells_of_another_plan_in_the_queue_are_not_run(tmp_path: Path, runs: SimulatedRuns) -> None:
    BenchmarkStudy(PLAN, tmp_path)._enqueue_missing()
    smaller = BenchmarkStudy(BenchmarkPlan("plan", "a", None, CELLS[-1:]), tmp_path)
    smaller.work(runs)
    assert runs.names == [CELLS[-1].name]
    BenchmarkStudy(PLAN, tmp_path).work(runs)
    assert sorted(runs.names) == sorted(cell.name for cell in CELLS)


def test_a_worker_that_was_taken_for_dead_goes_on_with_other_cells(tmp_path: Path, runs: SimulatedRuns) -> None:
    suspended, other = BenchmarkStudy(PLAN, tmp_path), BenchmarkStudy(PLAN, tmp_path)
    seen: list[str] = []

    def run(cell: Cell, folder: Path, beat: Callable[[], None]) -> dict[str, Any]:
        if not seen:
            seen.append(cell.name)
            let_a_day_pass(tmp_path)
            other.work(runs)
        return runs(cell, folder, beat)

    errors: list[str] = []
    suspended.work(run, lambda cell, error: errors.append(error))
    assert len(errors) == 1
    assert errors[0].startswith(f"no heartbeat for {benchmark_study._GRACE_SECONDS} s")
    frame = suspended.frame()
    assert frame["arguments"].to_list() == [cell.arguments for cell in CELLS]
    assert (frame["state"] == "complete").all()


def test_an_attempt_has_a_folder_of_its_own_and_those_before_it_are_deleted(
    tmp_path: Path, runs: SimulatedRuns
) -> None:
    runs.failing = "a split 0"
    BenchmarkStudy(PLAN, tmp_path).work(runs)
    for number in range(len(CELLS)):
        (tmp_path / "runs" / f"{CELLS[number].folder}{number}").mkdir(parents=True)
    BenchmarkStudy(PLAN, tmp_path, retry_failed=True).work(runs)
    left = {path.name for path in (tmp_path / "runs").iterdir()}
    assert left == {f"{CELLS[number].folder}{number}" for number in range(1, len(CELLS))}


def test_cells_whose_settings_changed_are_run_again(tmp_path: Path, runs: SimulatedRuns) -> None:
    def plan(settings: str | None) -> BenchmarkPlan:
        cells = tuple(replace(cell, settings=settings if cell.method == "b" else "same") for cell in CELLS)
        return BenchmarkPlan("plan", "a", None, cells)

    BenchmarkStudy(plan("old"), tmp_path).work(runs)
    changed = BenchmarkStudy(plan("new"), tmp_path)
    assert sorted(changed.states().values()) == ["complete"] * 3 + ["waiting"] * 3
    changed.work(runs)
    assert runs.names[len(CELLS) :] == [cell.name for cell in CELLS if cell.method == "b"]
    assert changed.frame()["settings"].to_list() == ["same", "new"] * 3
    (tmp_path / "study.db").unlink()
    assert set(BenchmarkStudy(plan("new"), tmp_path).states().values()) == {"complete"}
    assert sorted(BenchmarkStudy(plan("newest"), tmp_path).states().values()) == ["complete"] * 3 + ["waiting"] * 3


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


def test_a_study_goes_on_from_the_table_of_another_machine(tmp_path: Path, runs: SimulatedRuns) -> None:
    BenchmarkStudy(BenchmarkPlan("plan", "a", None, CELLS[:4]), tmp_path / "one").work(runs)
    (tmp_path / "two").mkdir()
    (tmp_path / "two/cells.csv").write_text((tmp_path / "one/cells.csv").read_text())
    study = BenchmarkStudy(PLAN, tmp_path / "two")
    study.work(runs)
    assert runs.names == [cell.name for cell in CELLS]
    assert len(study.frame()) == len(CELLS)


@pytest.mark.parametrize("digest", ["012345678901", "1234e5678901"])
def test_a_cell_whose_digest_looks_like_a_number_is_not_run_again(
    tmp_path: Path, runs: SimulatedRuns, digest: str
) -> None:
    plan = BenchmarkPlan("plan", "a", None, tuple(replace(cell, settings=digest) for cell in CELLS[:2]))
    BenchmarkStudy(plan, tmp_path / "one").work(runs)
    (tmp_path / "two").mkdir()
    (tmp_path / "two/cells.csv").write_text((tmp_path / "one/cells.csv").read_text())
    study = BenchmarkStudy(plan, tmp_path / "two")
    assert set(study.states().values()) == {"complete"}
    study.export()
    assert (tmp_path / "two/cells.csv").read_text() == (tmp_path / "one/cells.csv").read_text()


GRID = """
baseline: cross_entropy
arguments: --config encoder/fingerprint.yaml --trainer.max_epochs 1 --data.fingerprint_size 128
data: {inn_stems: --data.source inn_stems}
methods:
  cross_entropy: --config method/cross_entropy.yaml
  balanced_softmax: --config method/balanced_softmax.yaml
split_seeds: 2
seeds: 1
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
    assert len(frame) == 4
    assert (frame["state"] == "complete").all()
    assert frame.select("method", "split_seed", "seed").n_unique() == 4
    study = optuna.load_study(study_name="grid", storage=f"sqlite:///{cells.with_name('study.db')}")
    complete = [trial.user_attrs["cell"] for trial in study.trials if trial.state.name == "COMPLETE"]
    assert len(complete) == len(set(complete)) == 4
    text = (tmp_path / "results/grid/tables.md").read_text()
    assert "balanced_softmax" in text
