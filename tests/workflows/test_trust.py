"""A class of the user's own: trained without further options, and trusted by name from then on."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import yaml

import tailmol
from base.errors import InputError
from tests.lightning_app.command import TINY, in_this_process

pytestmark = pytest.mark.slow

OWN = """
from torch.optim.lr_scheduler import StepLR

from modules.encoders import FingerprintMLP

class Mine(FingerprintMLP):
    def __init__(self, size: int = 8) -> None:
        super().__init__([size])

def warmup(epoch: int) -> float:
    return min(1.0, (epoch + 1) / 5)
"""
SHORT = (*TINY, "--tracking.wandb=disabled", "--config=debug.yaml", "--report=true")
OPTIONS = (
    "--model.encoder=own_parts.Mine",
    "--model.encoder.init_args.size=12",
    "--model.lr_scheduler=LambdaLR",
    "--model.lr_scheduler.init_args.lr_lambda=own_parts.warmup",
)


def test_a_fit_needs_no_trust_in_its_own_classes_and_what_follows_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "own_parts.py").write_text(OWN)
    (tmp_path / "new.csv").write_text("smiles\nCCO\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    assert in_this_process(monkeypatch, "fit", *SHORT, *OPTIONS) == 0
    run = Path("runs/inn_stems/version_0")
    assert (run / "report.html").is_file()
    assert yaml.safe_load((run / "config.yaml").read_text())["model"]["encoder"]["init_args"] == {"size": 12}
    assert "could not be written" not in capsys.readouterr().err

    best, last = f"--ckpt_path={run}/checkpoints/best.ckpt", f"--ckpt_path={run}/checkpoints/last.ckpt"
    follow = [
        ("predict", best, "--data.source=new.csv", "--output=out.csv", "--trainer.enable_progress_bar=false"),
        ("predict", best, "--smiles=CCO"),
        ("test", best, "--tracking.wandb=disabled", "--trainer.enable_progress_bar=false"),
        ("report", str(run)),
        ("fit", last, "--trainer.max_epochs=3"),
    ]
    for words in follow:
        assert in_this_process(monkeypatch, *words) == 2
        assert "got 'own_parts.Mine'; if you trust this module, add --trust own_parts (" in capsys.readouterr().err
        assert in_this_process(monkeypatch, *words, "--trust", "own_parts") == 0
        assert in_this_process(monkeypatch, *words, "--trust", "other_parts") == 2
        capsys.readouterr()
    with pytest.raises(InputError, match=r"path: expected a class of tailmol for model\.encoder"):
        tailmol.load(run)
    assert type(tailmol.load(run, trust="own_parts").classifier.network.encoder) is sys.modules["own_parts"].Mine
