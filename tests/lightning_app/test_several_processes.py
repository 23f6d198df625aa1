"""Commands of several processes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.lightning_app.command import TINY, succeed

pytestmark = pytest.mark.slow

TWO = ("--trainer.accelerator=cpu", "--trainer.devices=2", "--trainer.strategy=ddp")

AT_EXIT = """
import atexit, os, pathlib, sys

def write():
    distributed = sys.modules.get("torch.distributed")
    if "LOCAL_RANK" in os.environ and distributed is not None:
        last = pathlib.Path({folder!r}, f"{{os.environ['LOCAL_RANK']}}")
        names = [path.read_text().strip() for path in pathlib.Path("/proc/self/task").glob("*/comm")]
        threads = [name for name in names if "gloo" in name]
        last.write_text(f"joined {{distributed.is_initialized()}}, threads {{threads}}")

# What is registered first is called last.
atexit.register(write)
"""


def test_processes_leave_each_other_before_they_end(tmp_path: Path) -> None:
    # https://github.com/pytorch/pytorch/pull/179291: otherwise one in some hundred aborts.
    (code := tmp_path / "code").mkdir()
    (ends := tmp_path / "ends").mkdir()
    (code / "sitecustomize.py").write_text(AT_EXIT.format(folder=str(ends)))
    checkpoint = "--ckpt_path=runs/inn_stems/version_0/checkpoints/best.ckpt"
    (tmp_path / "new.csv").write_text("smiles\nCCO\nCCN\nc1ccccc1\n")
    left = dict.fromkeys("01", "joined False, threads []")
    quick = ("--config=encoder/fingerprint.yaml", "--trainer.max_epochs=1", "--tracking.wandb=disabled", *TINY)
    for command in (
        ("fit", *quick, *TWO),
        ("test", checkpoint, *TWO, "--tracking.wandb=disabled", "--run.root=tests"),
        ("predict", checkpoint, *TWO, "--data.source=new.csv", "--output=out.csv"),
    ):
        succeed(tmp_path, *command, PYTHONPATH=str(code))
        assert {path.name: path.read_text() for path in ends.iterdir()} == left, command
        for path in ends.iterdir():
            path.unlink()
