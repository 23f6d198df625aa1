"""A run started from Python, and what a resumed run says that it used."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from lightning.pytorch import Trainer

from base.errors import InputError
from tests.lightning_app.command import TINY, in_this_process
from workflows.fit import fit
from workflows.fit_cli import FitCLI
from workflows.run_trainer import strategy_for_unused_parameters

SHORT = (*TINY, "--tracking.wandb=disabled", "--config=debug.yaml", "--config=encoder/fingerprint.yaml")


def test_a_fit_returns_its_folder_checkpoint_and_metrics(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.yaml").write_text("trainer: {max_epochs: 1}\n")
    with caplog.at_level("INFO", logger="tailmol"):
        result = fit(SHORT, configs=["method/ldam.yaml", "mine.yaml"], show_progress=False)
    ended = (
        r"Training ended after epoch 1; epoch [01] has the best balanced accuracy of validation samples, 0\.\d{3}, and "
    )
    assert re.search(ended, caplog.text)
    assert result.folder == Path("runs/inn_stems/version_0")
    assert result.best_checkpoint.resolve() == (result.folder / "checkpoints/best.ckpt").resolve()
    assert result.metrics == json.loads((result.folder / "test_metrics.json").read_text())
    assert result.is_first_process
    settings = yaml.safe_load((result.folder / "config.yaml").read_text())
    assert settings["model"]["classification_loss"]["class_path"].endswith("LDAMLoss")
    with pytest.raises(InputError, match=r"trainer\.max_epochs: expected an integer or null, got 'x'"):
        fit([*SHORT, "--trainer.max_epochs=x"])


def test_a_recluster_before_the_first_epoch_of_a_stage_reads_the_encoder_that_the_stage_resets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("stages.yaml").write_text("stages: [{start_epoch: 1, reset: [encoder]}]\n")
    options = ["--config=stages.yaml", "--recluster.start_epoch=1", "--trainer.max_epochs=2"]
    cli = FitCLI([*SHORT, *options], show_progress=False)
    cli.trainer.fit(cli.model, datamodule=cli.datamodule)
    # A stage that began after the recluster would have discarded its result.
    assert cli.model.class_state.reclustered


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


def rates(run: Path) -> dict[str, Any]:
    """The schedule's length, its step and the rate at the end of a run, and the length in the saved settings."""
    checkpoint = torch.load(run / "checkpoints/last.ckpt", weights_only=True)
    (schedule,), (optimizer,) = checkpoint["lr_schedulers"], checkpoint["optimizer_states"]
    saved = yaml.safe_load((run / "config.yaml").read_text())
    assert saved == checkpoint["run_config"]
    return {
        "length": schedule["T_max"],
        "step": schedule["last_epoch"],
        "rate": optimizer["param_groups"][0]["lr"],
        "settings": (saved["trainer"]["max_epochs"], saved["model"]["lr_scheduler"]["init_args"]["T_max"]),
    }


@pytest.mark.slow
def test_more_epochs_get_a_schedule_of_their_length(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    patient = ["--early_stopping.patience=100", "--model.lr_scheduler.init_args.eta_min=0.0002"]
    assert in_this_process(monkeypatch, "fit", *SHORT, *patient, "--trainer.max_epochs=3") == 0
    run = Path("runs/inn_stems/version_0")
    last = ["--ckpt_path", str(run / "checkpoints/last.ckpt")]
    assert rates(run) == {"length": 3, "step": 3, "rate": pytest.approx(0.0002), "settings": (3, 3)}
    # Resumed as it was, it has nothing left to train, and keeps its schedule.
    assert in_this_process(monkeypatch, "fit", *last) == 0
    assert "learning rate" not in capsys.readouterr().err
    assert rates(run)["settings"] == (3, 3)
    used: list[float] = []
    step = torch.optim.AdamW.step

    def note(optimizer: torch.optim.AdamW, closure: Any = None) -> Any:
        # A schedule is asked for its rate with an optimizer of one parameter.
        if len(optimizer.param_groups[0]["params"]) > 1:
            used.append(optimizer.param_groups[0]["lr"])
        return step(optimizer, closure)

    monkeypatch.setattr(torch.optim.AdamW, "step", note)
    assert in_this_process(monkeypatch, "fit", *last, "--trainer.max_epochs=6") == 0
    assert "The learning rate continues at epoch 3 with the new schedule, which is for 6 epochs." in (
        capsys.readouterr().err
    )
    # Two steps in each epoch.
    expected = [0.0002 + 0.0004 * (1 + math.cos(math.pi * epoch / 6)) for epoch in (3, 3, 4, 4, 5, 5)]
    assert used == pytest.approx(expected)
    assert rates(run) == {"length": 6, "step": 6, "rate": pytest.approx(0.0002), "settings": (6, 6)}
    # The share is still known in the checkpoint of the resumed run.
    assert in_this_process(monkeypatch, "fit", *last, "--trainer.max_epochs=8") == 0
    assert rates(run)["settings"] == (8, 8)


@pytest.mark.slow
def test_a_schedule_of_fixed_length_is_refused_for_more_epochs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    fixed = ["--early_stopping.patience=100", "--model.lr_scheduler.init_args.T_max=2"]
    assert in_this_process(monkeypatch, "fit", *SHORT, *fixed, "--trainer.max_epochs=2") == 0
    run = Path("runs/inn_stems/version_0")
    again = ["fit", "--ckpt_path", str(run / "checkpoints/last.ckpt"), "--trainer.max_epochs=4"]
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    capsys.readouterr()
    assert in_this_process(monkeypatch, *again) == 2
    assert capsys.readouterr().err == (
        "lightning: error: model.lr_scheduler: expected a schedule for 4 epochs, got that of the checkpoint for 2, "
        "after which its learning rate would rise again; give its length or another one.\n"
    )
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before
    assert in_this_process(monkeypatch, *again, "--model.lr_scheduler.init_args.T_max=4") == 0
    assert rates(run) == {"length": 4, "step": 4, "rate": pytest.approx(0, abs=1e-9), "settings": (4, 4)}


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
