"""What a process does when it is asked to stop, whatever it is doing."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import threading
from contextlib import nullcontext
from pathlib import Path

import lightning
import pytest

from workflows.fit import fit
from workflows.fit_cli import FitCLI
from workflows.run_folder import how_to_go_on
from workflows.stop_signals import StopSignals, leave_to_thread

SENTENCE = "lightning: stopped by SIGTERM; there is no checkpoint yet, to start again: lightning fit\n"


def run(body: str, **environment: str) -> tuple[int, str, str]:
    """Status, output and errors of a process that runs some lines in the context."""
    lines = "".join(f"\n    {line}" for line in body.strip().splitlines())
    script = (
        "import multiprocessing, os, signal, sqlite3, sys, time\n"
        "from workflows.stop_signals import StopSignals\n"
        f"with StopSignals('lightning', [], True):{lines}\n"
        "print('alive')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=Path(__file__).parents[2],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def test_a_process_that_is_within_a_library_ends() -> None:
    forever = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT count(*) FROM c"
    body = f"""
import threading
threading.Timer(0.3, lambda: os.kill(os.getpid(), signal.SIGTERM)).start()
sqlite3.connect(':memory:').execute('{forever}').fetchall()
"""
    assert run(body) == (143, "", SENTENCE)


@pytest.mark.parametrize(("name", "status"), [("SIGTERM", 143), ("SIGINT", 130)])
def test_the_status_says_which_signal_it_was(name: str, status: int) -> None:
    found, _, errors = run(f"os.kill(os.getpid(), signal.{name}); time.sleep(20)")
    assert (found, errors) == (status, SENTENCE.replace("SIGTERM", name))


def test_a_failure_that_another_stopped_process_caused_is_not_reported() -> None:
    body = """
import threading
threading.Timer(0.3, lambda: os.kill(os.getpid(), signal.SIGTERM)).start()
raise RuntimeError('connection closed by peer')
"""
    assert run(body, WORLD_SIZE="2") == (143, "", SENTENCE)


def test_other_failures_are_reported() -> None:
    status, _, errors = run("raise RuntimeError('no more memory')", WORLD_SIZE="2")
    assert status == 1
    assert errors.endswith("RuntimeError: no more memory\n")


def test_a_signal_to_a_forked_copy_ends_the_copy_alone() -> None:
    body = """
copy = os.fork()
if copy == 0:
    time.sleep(20)
    os._exit(0)
time.sleep(0.3)
os.kill(copy, signal.SIGTERM)
print(os.waitstatus_to_exitcode(os.waitpid(copy, 0)[1]))
time.sleep(0.5)
"""
    assert run(body) == (0, "-15\nalive\n", "")


def test_worker_processes_end_too() -> None:
    body = """
worker = multiprocessing.get_context('fork').Process(target=time.sleep, args=(60,))
worker.start()
time.sleep(0.3)
os.kill(os.getpid(), signal.SIGTERM)
time.sleep(20)
"""
    # The worker has the same standard output, so that its end is waited for, but not as long as it would sleep.
    assert run(body) == (143, "", SENTENCE)


def test_everything_is_as_before_after_the_context() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    variables, threads = dict(os.environ), threading.active_count()
    with StopSignals("lightning", [], first=True):
        assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)] != before
        assert threading.active_count() == threads + 1
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)] == before
    assert (dict(os.environ), threading.active_count()) == (variables, threads)
    assert signal.set_wakeup_fd(-1) == -1


class Handlers(lightning.Callback):
    """Collects the handlers of SIGTERM within training and test."""

    def __init__(self) -> None:
        self.found: list[object] = []

    def on_train_batch_start(self, *arguments: object) -> None:
        self.found.append(signal.getsignal(signal.SIGTERM))

    def on_test_batch_start(self, *arguments: object) -> None:
        self.found.append(signal.getsignal(signal.SIGTERM))


@pytest.mark.parametrize("heeded", [True, False])
def test_lightning_answers_sigterm_only_where_the_command_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, heeded: bool
) -> None:
    handlers, callbacks = Handlers(), FitCLI.callbacks
    monkeypatch.setattr(FitCLI, "callbacks", lambda cli: [*callbacks(cli), handlers])
    quick = ("--config=encoder/fingerprint.yaml", "--data.fingerprint_size=256", "--trainer.accelerator=cpu")
    short = ("--trainer.max_epochs=1", "--trainer.limit_train_batches=2", "--tracking.wandb=disabled", "--report=false")
    before = signal.getsignal(signal.SIGTERM)
    with StopSignals("lightning", [], first=True) if heeded else nullcontext():
        fit([*quick, *short, f"--run.root={tmp_path}"], show_progress=False)
    assert len(handlers.found) > 2
    assert {found is leave_to_thread for found in handlers.found} == {heeded}
    assert signal.getsignal(signal.SIGTERM) == before


def test_outside_of_the_main_thread_nothing_is_done() -> None:
    found: list[object] = []

    def enter() -> None:
        with StopSignals("lightning", [], first=True):
            found.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert found == [signal.getsignal(signal.SIGTERM)]


def test_the_command_that_goes_on_is_quoted(tmp_path: Path) -> None:
    run_folder = tmp_path / "my run"
    arguments = ["--data.source", "my drugs.csv"]
    text = "there is no checkpoint yet, to start again: tailmol fit --data.source 'my drugs.csv'"
    assert how_to_go_on("tailmol", arguments, None) == how_to_go_on("tailmol", arguments, run_folder) == text
    (run_folder / "checkpoints").mkdir(parents=True)
    (run_folder / "checkpoints/last.ckpt").touch()
    words = shlex.split(how_to_go_on("tailmol", arguments, run_folder).removeprefix("to go on: "))
    assert words == ["tailmol", "fit", "--ckpt_path", f"{run_folder}/checkpoints/last.ckpt"]
