"""Saving and requeuing a job of SLURM; whole jobs are in `tests/lightning_app/test_signals.py`."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from callbacks.requeue import Requeue


class Job:
    """A trainer, as far as the callback uses one, and the steps at which it saved."""

    def __init__(self, folder: Path) -> None:
        self.saved: list[tuple[int, str]] = []
        self.step, self.is_last_batch, self.is_global_zero = 0, False, True
        self.default_root_dir = str(folder)
        self.accumulate_grad_batches = 1

    def save_checkpoint(self, path: Path) -> None:
        self.saved.append((self.step, str(path.relative_to(self.default_root_dir))))

    def run(self, callback: Requeue, steps: int, last: int, asked: int | None) -> None:
        """Train for some steps in epochs of `last`, in one of which the signal comes."""
        trainer, model = cast_any(self), cast_any(SimpleNamespace(device="cpu"))
        for self.step in range(1, steps + 1):
            if self.step == asked:
                os.kill(os.getpid(), signal.SIGUSR1)
            self.is_last_batch = self.step % last == 0
            callback.on_train_batch_end(trainer, model, None, None, (self.step - 1) % last)
            if self.is_last_batch:
                self.step += 100
                callback.on_train_epoch_end(trainer, model)
                self.step -= 100


def cast_any(value: object) -> Any:
    return value


@pytest.fixture
def callback() -> Iterator[Requeue]:
    """The callback in a trainer that handles the signal."""
    made, nothing = Requeue(), cast_any(None)
    made.setup(nothing, nothing, "fit")
    before = signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    made.on_train_start(nothing, nothing)
    yield made
    signal.signal(signal.SIGUSR1, before)


@pytest.fixture
def scontrol(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Writes a program in the place of SLURM's; returns the file into which it may write."""
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("SLURM_JOB_ID", "7")

    def write(line: str) -> Path:
        (tmp_path / "scontrol").write_text(f"#!/bin/sh\n{line} >> {tmp_path / 'calls.txt'}\n")
        (tmp_path / "scontrol").chmod(0o755)
        return tmp_path / "calls.txt"

    return write


@pytest.mark.parametrize(("asked", "saved"), [(None, []), (2, [2]), (3, [103]), (4, [4])])
def test_the_run_is_saved_once_after_the_step_or_the_epoch(
    callback: Requeue, scontrol: Callable[[str], Path], tmp_path: Path, asked: int | None, saved: list[int]
) -> None:
    calls, job = scontrol('echo "$@"'), Job(tmp_path)
    job.run(callback, steps=9, last=3, asked=asked)
    assert job.saved == [(step, "checkpoints/last.ckpt") for step in saved]
    assert (calls.read_text() if calls.exists() else "") == "requeue 7\n" * len(saved)


def test_nothing_is_saved_while_gradients_are_accumulated(
    callback: Requeue, scontrol: Callable[[str], Path], tmp_path: Path
) -> None:
    scontrol("true")
    job = Job(tmp_path)
    job.accumulate_grad_batches = 4
    job.run(callback, steps=10, last=10, asked=2)
    assert [step for step, _ in job.saved] == [4]


def test_a_job_of_an_array_is_named_by_its_number_in_it(
    callback: Requeue, scontrol: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "5")
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "2")
    calls = scontrol('echo "$@"')
    Job(tmp_path).run(callback, steps=2, last=3, asked=1)
    assert calls.read_text() == "requeue 5_2\n"


@pytest.mark.parametrize(
    ("line", "reason"),
    [("echo 'job is gone' >&2; exit 1;", "(job is gone)"), (None, "No such file or directory: 'scontrol'")],
)
def test_a_job_that_cannot_be_requeued_is_saved_all_the_same(
    callback: Requeue,
    scontrol: Callable[[str], Path],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    line: str | None,
    reason: str,
) -> None:
    if line is not None:
        scontrol(line)
    job = Job(tmp_path)
    with caplog.at_level(logging.WARNING, "tailmol"):
        job.run(callback, steps=2, last=3, asked=1)
    assert len(job.saved) == 1
    assert "the run was saved, but job 7 could not be requeued" in caplog.text
    assert reason in caplog.text


def test_outside_of_slurm_the_signal_is_left_alone(tmp_path: Path) -> None:
    callback, nothing = Requeue(), cast_any(None)
    before = signal.getsignal(signal.SIGUSR1)
    callback.setup(nothing, nothing, "fit")
    callback.on_train_start(nothing, nothing)
    assert signal.getsignal(signal.SIGUSR1) is before
    job = Job(tmp_path)
    callback._asked = True
    job.run(callback, steps=4, last=3, asked=None)
    assert job.saved == []
