"""Runs that are asked to stop, by a user or by a cluster, and runs that the disk stops."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import polars
import pytest
import torch

from tests.lightning_app.command import TINY, succeed

pytestmark = pytest.mark.slow

OPTIONS = (
    *TINY,
    "--config=encoder/fingerprint.yaml",
    "--config=method/cross_entropy.yaml",
    "--data.batch_size=8",
    "--checkpoint_every_n_steps=25",
    "--trainer.max_epochs=3",
    "--tracking.wandb=disabled",
)
TWO = ("--trainer.devices=2", "--trainer.strategy=ddp")
SECONDS = 10.0
WHOLE: dict[int, dict[str, Any]] = {}


@contextmanager
def started(folder: Path, *arguments: str, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """A run as the leader of its own group of processes, which has ended with the block."""
    command = [str(Path(sys.executable).with_name("lightning")), "fit", *arguments]
    variables = {**os.environ, "OMP_NUM_THREADS": "1", **environment}
    process = subprocess.Popen(
        command, cwd=folder, env=variables, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        start_new_session=True,
    )  # fmt: skip
    try:
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def wait_for(condition: Callable[[], Any], process: subprocess.Popen[str], seconds: float = 120) -> Any:
    """Wait until a condition holds, while a process runs, and return its value."""
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < end
        time.sleep(0.02)
    return value


def second_of(process: subprocess.Popen[str]) -> int:
    """The id of the process that the first one has started."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    (second,) = (int(child) for child in children if b"lightning" in Path(f"/proc/{child}/cmdline").read_bytes())
    return second


def ended(process: subprocess.Popen[str], pids: Sequence[int]) -> tuple[int, float, str]:
    """Status, seconds until all processes ended, and the last line of standard error, if any."""
    start = time.monotonic()
    lines = process.communicate(timeout=3 * SECONDS)[1].splitlines()
    while any(Path(f"/proc/{pid}").exists() for pid in pids):
        time.sleep(0.02)
    return process.returncode, time.monotonic() - start, lines[-1] if lines else ""


def whole(folder: Path, devices: int) -> dict[str, Any]:
    """The test metrics of a run that is not stopped."""
    if devices not in WHOLE:
        succeed(folder, "fit", *OPTIONS, *(TWO if devices == 2 else ()), "--run.name=whole")
        WHOLE[devices] = json.loads((folder / "runs/whole/version_0/test_metrics.json").read_text())
    return WHOLE[devices]


@pytest.mark.parametrize(
    ("devices", "asked", "number"),
    [
        (1, "first", signal.SIGTERM),
        (1, "first", signal.SIGINT),
        (2, "first", signal.SIGTERM),
        (2, "second", signal.SIGTERM),
        (2, "group", signal.SIGTERM),
        (2, "group", signal.SIGINT),
    ],
)
def test_a_run_ends_at_once_says_how_to_go_on_and_does(
    tmp_path: Path, devices: int, asked: str, number: signal.Signals
) -> None:
    # The folder's name has to be quoted.
    (folder := tmp_path / "my runs").mkdir()
    run = folder / "runs/inn_stems/version_0"
    with started(folder, *OPTIONS, *(TWO if devices == 2 else ()), f"--run.root={folder / 'runs'}") as process:
        last = run / "checkpoints/last.ckpt"
        wait_for(last.is_file, process)
        others = [second_of(process)] if devices == 2 else []
        for pid in {"first": [process.pid], "second": others, "group": [-process.pid]}[asked]:
            os.kill(pid, number) if pid > 0 else os.killpg(-pid, number)
        status, seconds, line = ended(process, others)
    assert status == {signal.SIGTERM: 143, signal.SIGINT: 130}[number]
    assert seconds < SECONDS
    assert line == f"lightning: stopped by {number.name}; to go on: lightning fit --ckpt_path '{last}'"
    assert not (run / "test_metrics.json").exists()
    name, *arguments = shlex.split(line.partition("to go on: ")[2])
    assert name == "lightning"
    succeed(folder, *arguments)
    metrics, expected = json.loads((run / "test_metrics.json").read_text()), whole(tmp_path, devices)
    assert metrics.keys() == expected.keys()
    assert max(abs((metrics[name] or 0) - (expected[name] or 0)) for name in metrics) <= 1e-6
    # Each epoch is in the table once.
    assert polars.read_csv(run / "metrics.csv").drop_nulls("val/nll")["epoch"].to_list() == [0, 1, 2]


def test_without_a_checkpoint_it_says_so(tmp_path: Path) -> None:
    arguments = (*OPTIONS, "--run.name=my drugs")
    with started(tmp_path, *arguments) as process:
        # Importing has begun, and the signals are handled.
        wait_for(lambda: b"libtorch" in Path(f"/proc/{process.pid}/maps").read_bytes(), process)
        process.send_signal(signal.SIGTERM)
        status, seconds, line = ended(process, [])
    assert status == 143
    assert seconds < SECONDS
    again = shlex.join(["lightning", "fit", *arguments])
    assert line == f"lightning: stopped by SIGTERM; there is no checkpoint yet, to start again: {again}"


def test_no_process_outlives_a_killed_first_one(tmp_path: Path) -> None:
    with started(tmp_path, *OPTIONS, *TWO) as process:
        wait_for((tmp_path / "runs/inn_stems/version_0/checkpoints/last.ckpt").is_file, process)
        second = second_of(process)
        process.kill()
        start = time.monotonic()
        while Path(f"/proc/{second}").exists():
            assert time.monotonic() - start < SECONDS
            time.sleep(0.02)


def in_slurm(folder: Path, rank: int, ranks: int, attempt: int) -> dict[str, str]:
    """What srun tells a process, and a `scontrol` that writes down its arguments."""
    control = folder / "bin/scontrol"
    if not control.exists():
        control.parent.mkdir()
        control.write_text(f'#!/bin/sh\necho "$@" >> {shlex.quote(str(folder / "calls.txt"))}\n')
        control.chmod(0o755)
    slurm = {
        "JOB_ID": "4242", "JOB_NAME": "train", "NTASKS": ranks, "NTASKS_PER_NODE": ranks, "NNODES": 1, "STEP_ID": 0,
        "PROCID": rank, "LOCALID": rank, "NODEID": 0, "NODELIST": "localhost", "RESTART_COUNT": attempt,
    }  # fmt: skip
    path = f"{control.parent}:{os.environ['PATH']}"
    return {"PATH": path, "MASTER_ADDR": "127.0.0.1", **{f"SLURM_{name}": str(value) for name, value in slurm.items()}}


def handles(process: subprocess.Popen[str], number: int) -> bool:
    """Whether a process has a handler for a signal."""
    lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    (caught,) = (int(line.split()[1], 16) for line in lines if line.startswith("SigCgt"))
    return bool(caught >> (number - 1) & 1)


@pytest.mark.parametrize("ranks", [1, 2])
def test_a_job_that_slurm_ends_is_saved_requeued_and_goes_on(tmp_path: Path, ranks: int) -> None:
    arguments = [*OPTIONS, "--checkpoint_every_n_steps=100000", *(TWO if ranks == 2 else ("--run.version=mine",))]
    run = tmp_path / "runs/inn_stems" / ("job_4242" if ranks == 2 else "mine")
    last, calls = run / "checkpoints/last.ckpt", tmp_path / "calls.txt"

    @contextmanager
    def job(attempt: int) -> Iterator[list[subprocess.Popen[str]]]:
        environments = [in_slurm(tmp_path, rank, ranks, attempt) for rank in range(ranks)]
        with started(tmp_path, *arguments, **environments[0]) as first:
            if ranks == 1:
                yield [first]
                return
            with started(tmp_path, *arguments, **environments[1]) as second:
                yield [first, second]

    with job(0) as processes:
        for process in processes:
            wait_for(partial(handles, process, signal.SIGUSR1), process)
        time.sleep(0.1)
        # The last one is asked alone: all must save at the same step.
        processes[-1].send_signal(signal.SIGUSR1)
        wait_for(calls.is_file, processes[0])
        for process in processes:
            process.send_signal(signal.SIGTERM)
        assert [ended(process, [])[0] for process in processes] == [143] * ranks
    assert calls.read_text() == "requeue 4242\n"
    assert torch.load(last, weights_only=True)["global_step"] > 0
    with job(1) as processes:
        errors = [process.communicate(timeout=120)[1] for process in processes]
    assert [process.returncode for process in processes] == [0] * ranks, errors
    assert ["73 classes" in text for text in errors] == [True, False][:ranks]
    metrics, expected = json.loads((run / "test_metrics.json").read_text()), whole(tmp_path, ranks)
    assert max(abs((metrics[name] or 0) - (expected[name] or 0)) for name in expected) <= 1e-6
    assert polars.read_csv(run / "metrics.csv").drop_nulls("val/nll")["epoch"].to_list() == [0, 1, 2]
    assert [path.name for path in (tmp_path / "runs/inn_stems").iterdir()] == [run.name]


def can_mount() -> bool:
    """Whether this user may make a file system of a fixed size, in a name space of the process."""
    try:
        return subprocess.run(["unshare", "-rm", "mount", "-t", "tmpfs", "tmpfs", "/mnt"], check=False).returncode == 0
    except FileNotFoundError:
        return False


@pytest.mark.skipif(not can_mount(), reason="this user may not mount a small disk")
def test_a_full_disk_keeps_the_old_checkpoint_and_is_said_in_one_sentence(tmp_path: Path) -> None:
    (disk := tmp_path / "disk").mkdir()
    kept = tmp_path / "kept.ckpt"
    command = str(Path(sys.executable).with_name("lightning"))
    arguments = [*OPTIONS, "--run.root", str(disk / "runs")]
    run = disk / "runs/inn_stems/version_0"
    # The rest of the disk is filled as soon as there is a checkpoint.
    script = f"""
        mount -t tmpfs -o size=20m tmpfs {shlex.quote(str(disk))}
        last={shlex.quote(str(run / "checkpoints/last.ckpt"))}
        {shlex.join([command, "fit", *arguments])} &
        while [ ! -f $last ] && kill -0 $!; do sleep 0.02; done
        cat /dev/zero > {shlex.quote(str(disk / "rest"))} 2> {shlex.quote(str(tmp_path / "full.txt"))}
        wait $!
        echo "status $?" >&2
        cp $last {shlex.quote(str(kept))}
        find {shlex.quote(str(run))} -name '.*' >&2
    """
    variables = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        ["unshare", "-rm", "sh", "-c", script], env=variables, capture_output=True, text=True, timeout=120, check=False
    )
    assert "No space left" in (tmp_path / "full.txt").read_text()
    *_, sentence, status = done.stderr.splitlines()
    go_on = shlex.join(["lightning", "fit", "--ckpt_path", str(run / "checkpoints/last.ckpt")])
    assert sentence == (f"lightning: error: The disk is full, and the files from before are whole; to go on: {go_on}")
    assert status == "status 1"
    assert torch.load(kept, weights_only=True)["global_step"] > 0
    (copied := tmp_path / "runs/inn_stems/version_0/checkpoints").mkdir(parents=True)
    kept.rename(copied / "last.ckpt")
    succeed(tmp_path, "fit", "--ckpt_path", str(copied / "last.ckpt"))
