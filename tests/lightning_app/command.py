"""Runs the command as a user does, in a process of its own."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest

from lightning_app.cli import main

TINY = (
    "--trainer.accelerator=cpu",
    "--trainer.enable_progress_bar=false",
    "--data.fingerprint_size=256",
    "--run.root=runs",
    "--report=false",
)


def lightning(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `lightning` in a folder and wait.

    Args:
        folder: The current folder of the process.
        *arguments: After the command's name.
        **environment: Variables beside those of the test; an empty one is left out.
    """
    installed = Path(sys.executable).with_name("lightning")
    # A source tree that is not installed has no command.
    start = [str(installed)] if installed.is_file() else [sys.executable, "-m", "lightning_app.cli"]
    command = [*start, *arguments]
    variables = {**os.environ, "OMP_NUM_THREADS": "1", "WANDB_MODE": "disabled", **environment}
    variables = {name: value for name, value in variables.items() if value}
    return subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True, timeout=300)


def succeed(folder: Path, *arguments: str, **environment: str) -> str:
    """Run `lightning`, which must exit with 0, and return what it printed."""
    done = lightning(folder, *arguments, **environment)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def succeed_here(folder: Path, *arguments: str) -> str:
    """As `succeed`, but in this process, which saves the seconds that importing takes."""
    text = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(text), redirect_stderr(text):
        patch.chdir(folder)
        status = in_this_process(patch, *arguments)
    assert status == 0, text.getvalue()
    return text.getvalue()


def in_this_process(monkeypatch: pytest.MonkeyPatch, *arguments: str, command: str = "lightning") -> int:
    """Run the command here, which saves the seconds that importing takes; returns the exit status."""
    monkeypatch.setattr(sys, "argv", [command, *arguments])
    try:
        main()
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0
