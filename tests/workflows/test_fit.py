"""A run started from Python, and what a resumed run says that it used."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from lightning.pytorch import Trainer

from base.errors import InputError
from tests.lightning_app.command import TINY, in_this_process
from workflows.fit import FitCLI, fit
from workflows.run_trainer import strategy_for_unused_parameters

SHORT = (*TINY, "--tracking.wandb=disabled", "--config=debug.yaml", "--config=encoder/fingerprint.yaml")


def test_a_fit_returns_its_folder_checkpoint_and_metrics(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.yaml").write_text("trainer: {max_epochs: 1}\n")
    result = fit(SHORT, configs=["method/ldam.yaml", "mine.yaml"], show_progress=False)
    assert result.folder == Path("runs/inn_stems/version_0")
    assert result.best_checkpoint.resolve() == (result.folder / "checkpoints/best.ckpt").resolve()
    assert result.metrics == json.loads((result.folder / "test_metrics.json").read_text())
    assert result.is_first_process
    settings = yaml.safe_load((result.folder / "config.yaml").read_text())
    assert settings["model"]["classification_loss"]["class_path"].endswith("LDAMLoss")
    with pytest.raises(InputError, match=r"trainer\.max_epochs: expected an integer or null, got 'x'"):
        fit([*SHORT, "--trainer.max_epochs=x"])


def test_a_resumed_run_saves_the_optimizer_that_it_used(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    recwarn: pytest.WarningsRecorder,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert in_this_process(monkeypatch, "fit", *SHORT, "--trainer.max_epochs=1") == 0
    run = Path("runs/inn_stems/version_0")
    again = ["--ckpt_path", str(run / "checkpoints/last.ckpt"), "--trainer.max_epochs=2"]
    asked = ["--model.optimizer.init_args.lr=0.7", "--model.head.dropout=0.25"]
    assert in_this_process(monkeypatch, "fit", *again, *asked) == 0
    assert "model.optimizer: the new value has no effect: a resumed run keeps" in capsys.readouterr().err
    assert [str(one.message) for one in recwarn if "dirpath" in str(one.message)] == []
    saved = yaml.safe_load((run / "config.yaml").read_text())
    checkpoint = torch.load(run / "checkpoints/last.ckpt", weights_only=True)
    assert saved["model"]["head"]["dropout"] == checkpoint["run_config"]["model"]["head"]["dropout"] == 0.25
    (group,) = checkpoint["optimizer_states"][0]["param_groups"]
    for found in (saved, checkpoint["run_config"]):
        used = found["model"]["optimizer"]["init_args"]
        assert used["lr"] == group["initial_lr"] == 0.001
        assert used["weight_decay"] == group["weight_decay"] == 0.01


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--trainer.devices=2"], "ddp_find_unused_parameters_true"),
        (["--trainer.devices=2", "--trainer.strategy=ddp"], "ddp_find_unused_parameters_true"),
        (["--trainer.devices=2", "--trainer.strategy=ddp_spawn"], "ddp_spawn_find_unused_parameters_true"),
        (["--trainer.devices=1"], "auto"),
        (
            ["--trainer.devices=2", "--trainer.strategy=ddp_find_unused_parameters_false"],
            "ddp_find_unused_parameters_false",
        ),
    ],
)
def test_ddp_expects_parameters_that_a_step_leaves_out(options: list[str], expected: str) -> None:
    settings: dict[str, Any] = {"accelerator": "cpu", "devices": "auto", "num_nodes": 1}
    settings |= {"strategy": "auto", "plugins": None}
    for option in options:
        name, value = option.removeprefix("--trainer.").split("=")
        settings[name] = int(value) if value.isdecimal() else value
    strategy = strategy_for_unused_parameters(settings)
    assert strategy == expected
    # Lightning knows the name.
    assert Trainer(accelerator="cpu", devices=settings["devices"], strategy=strategy, logger=False).strategy


def test_a_run_claims_its_folder_on_the_first_process_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    options = [*SHORT, "--trainer.devices=2", "--trainer.strategy=ddp"]
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert not FitCLI(options).trainer.is_global_zero
    assert not Path("runs").exists()
    monkeypatch.setenv("LOCAL_RANK", "0")
    cli = FitCLI(options)
    assert cli.folder == Path("runs/inn_stems/version_0")
    assert cli.trainer.default_root_dir == str(cli.folder)
    assert cli.folder.is_dir()
