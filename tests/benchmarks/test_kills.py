"""Runs that are killed, and what counts as damage."""

from __future__ import annotations

import csv
import json
import random
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy
import pytest
import torch

from benchmarks.kills import Kill, damaged_files, has_settings, kill_run, left_over, run_whole

# Classes are clustered before the last two.
EPOCHS = 3


def has_file(name: str, run: Path) -> bool:
    return (run / name).is_file()


def has_epoch(epoch: int, run: Path) -> bool:
    # Read at once, since the file is replaced while it is looked at.
    rows = csv.DictReader((run / "metrics.csv").read_text().splitlines() if has_file("metrics.csv", run) else [])
    return any(float(row["epoch"] or -1) >= epoch for row in rows)


BEFORE_A_CHECKPOINT: list[Callable[[Path], bool]] = [has_settings, partial(has_file, "splits.csv")]
WITH_A_CHECKPOINT: list[Callable[[Path], bool]] = [
    *(partial(has_file, f"checkpoints/{name}") for name in ("last.ckpt", "best.ckpt", "best.evidence.npz")),
    *(partial(has_epoch, epoch) for epoch in range(EPOCHS)),
]


@pytest.mark.slow
def test_killed_runs_resume_to_the_same_metrics_without_a_damaged_file(tmp_path: Path) -> None:
    (tmp_path / "whole").mkdir()
    whole = run_whole(tmp_path / "whole", EPOCHS)
    generator, kills = random.Random(3), list[Kill]()
    for number, after in enumerate(BEFORE_A_CHECKPOINT + WITH_A_CHECKPOINT):
        (folder := tmp_path / f"kill_{number}").mkdir()
        shared_memory = Path("/dev/shm") if number % 2 and Path("/dev/shm").is_dir() else folder
        with tempfile.TemporaryDirectory(dir=shared_memory) as temporary:
            # Not always right behind what was waited for.
            kills.append(kill_run(folder, Path(temporary), generator.random() / 3, whole, after))
    assert [kill for kill in kills if not kill.survived] == []
    assert all(kill.had_checkpoint for kill in kills[len(BEFORE_A_CHECKPOINT) :])


def write_run(folder: Path) -> None:
    (folder / "checkpoints").mkdir()
    torch.save({"weight": torch.arange(1000)}, folder / "checkpoints/last.ckpt")
    numpy.savez(folder / "checkpoints/best.evidence.npz", centroids=numpy.arange(1000))
    (folder / "metrics.csv").write_text("loss,step\n0.5,1\n0.25,2\n")
    (folder / "config.yaml").write_text("trainer: {max_epochs: 3}\n")
    (folder / "test_metrics.json").write_text(json.dumps({"test/accuracy": 0.5}))


@pytest.mark.parametrize("share", [0.0, 0.5, 0.9])
def test_a_part_of_a_file_is_damage(tmp_path: Path, share: float) -> None:
    write_run(tmp_path)
    assert list(damaged_files(tmp_path)) == []
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) == 5
    for path in files:
        whole = path.read_bytes()
        path.write_bytes(whole[: int(len(whole) * share)])
        # Half of a YAML file may be one.
        if path.suffix != ".yaml" or share == 0:
            assert [line.split()[0] for line in damaged_files(tmp_path)] == [str(path.relative_to(tmp_path))]
        path.write_bytes(whole)


def test_a_hidden_file_is_left_over(tmp_path: Path) -> None:
    write_run(tmp_path)
    assert left_over(tmp_path) == []
    (tmp_path / "checkpoints/.last.ckpt.0").touch()
    assert left_over(tmp_path) == ["checkpoints/.last.ckpt.0"]
    assert list(damaged_files(tmp_path)) == []


@pytest.mark.parametrize(
    ("kill", "survived"),
    [
        (Kill(1.0, False, None, None, ()), True),
        (Kill(1.0, True, True, 1e-7, ()), True),
        (Kill(1.0, True, True, 1e-5, ()), False),
        (Kill(1.0, True, False, None, ()), False),
        (Kill(1.0, False, None, None, ("config.yaml (KeyError)",)), False),
    ],
)
def test_what_a_run_survives(kill: Kill, survived: bool) -> None:
    assert kill.survived is survived
