"""Searches: workers on one storage, failures, pruning, interrupts, and W&B's command lines."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import matplotlib
import optuna
import polars
import pytest
import yaml

from experiments.search_results import SETTINGS, write_results
from experiments.search_space import fit_arguments, read_search_space, suggest
from experiments.search_study import open_study
from experiments.study_storage import open_storage
from tests.lightning_app.command import TINY, in_this_process, succeed_here
from workflows.search_trial import SettingsCheck
from workflows.settings.config_files import CONFIGS
from workflows.settings.layers import settings_files

SHIPPED = sorted((CONFIGS / "sweep").glob("*.yaml"))
SMALL = ("--trainer.accelerator=cpu", "--data.fingerprint_size=256", "--recluster.start_epoch=null")


def write_space(folder: Path, epochs: int = 1, **changes: Any) -> Path:
    """A small search of fingerprint models."""
    parameters = {
        "model.optimizer.init_args.lr": {"distribution": "log_uniform_values", "min": 0.0005, "max": 0.01},
        "model.contrast.weight": {"distribution": "uniform", "min": 0.0, "max": 1.0},
    }
    command = ["${env}", "lightning", "fit", "--config=encoder/fingerprint.yaml", *SMALL]
    space = {
        "name": "small",
        "method": "bayes",
        "metric": {"name": "val/balanced_accuracy", "goal": "maximize"},
        "parameters": parameters,
        "command": [*command, f"--trainer.max_epochs={epochs}", "${args}"],
        **changes,
    }
    path = folder / "small.yaml"
    path.write_text(yaml.safe_dump(space, sort_keys=False))
    return path


def read_trials(folder: Path) -> polars.DataFrame:
    """`trials.csv` of the small search."""
    return polars.read_csv(folder / "sweeps/small/trials.csv", infer_schema_length=None)


def wandb_command(path: Path, values: dict[str, Any]) -> list[str]:
    """The command line that W&B's agent makes of a sweep file for some values."""
    from wandb.sdk.launch.sweeps.utils import create_sweep_command, create_sweep_command_args

    template = create_sweep_command(yaml.safe_load(path.read_text())["command"])
    filled: dict[str, list[str]] = {
        **create_sweep_command_args({"args": {name: {"value": value} for name, value in values.items()}}),
        "env": ["/usr/bin/env"],
    }
    parts = [filled[part[2:-1]] if part.startswith("${") else [part] for part in template]
    return [word for part in parts for word in part]


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: str(path.stem))
def test_every_name_of_a_shipped_file_is_a_setting(path: Path) -> None:
    space = read_search_space(path)
    for values in space.examples():
        config = SettingsCheck(fit_arguments(space, values, [])).config
        for name, value in values.items():
            assert name == "config" or config.get(name) == value


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: str(path.stem))
def test_the_command_of_wandb_trains_a_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    values = suggest(study.ask(), read_search_space(path))
    command = wandb_command(path, values)
    assert command[:3] == ["/usr/bin/env", "lightning", "fit"]
    assert command[-len(values) :] == [f"--{name}={value}" for name, value in values.items()]
    step = ["--trainer.max_epochs=1", "--trainer.limit_train_batches=1", "--tracking.wandb=disabled"]
    assert in_this_process(monkeypatch, *command[2:], *TINY, *step) == 0
    config = yaml.safe_load((tmp_path / "runs/inn_stems/version_0/config.yaml").read_text())
    assert config["model"]["optimizer"]["init_args"]["lr"] == values["model.optimizer.init_args.lr"]


def test_a_failed_trial_is_recorded_and_the_others_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    bad = {"model.contrast.weight": {"values": [-1.0, 0.3]}, "data.evaluation_batch_size": {"values": [-3, 64]}}
    path = write_space(tmp_path, parameters=bad)
    assert in_this_process(monkeypatch, "sweep", f"--config={path}", "--trials=6", "--seed=3") == 0
    trials = read_trials(tmp_path)
    assert trials["number"].to_list() == list(range(6))
    weight, batch = polars.col("model.contrast.weight"), polars.col("data.evaluation_batch_size")
    refused, accepted = trials.filter(weight < 0), trials.filter(weight > 0)
    broken, good = accepted.filter(batch < 0), accepted.filter(batch > 0)
    assert min(len(refused), len(broken), len(good)) > 0
    assert refused["error"].str.contains("model.contrast.weight: expected a finite number of 0 or more").all()
    assert broken["error"].is_not_null().all()
    assert trials.filter(polars.col("state") == "FAIL").height == len(refused) + len(broken)
    assert good["error"].is_null().all()
    assert good["value"].is_between(0, 1).all()
    text = capsys.readouterr().out
    assert f"{len(good)} complete, {len(refused) + len(broken)} fail" in text
    assert "lightning fit --config sweeps/small/best.yaml" in text
    assert not list(tmp_path.glob("sweeps/small/*/test_metrics.json"))


def test_the_same_settings_and_seed_train_the_same_model_whatever_ran_before_in_the_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PL_GLOBAL_SEED", "7")
    path = write_space(tmp_path, parameters={"model.contrast.weight": {"value": 0.3}})
    assert in_this_process(monkeypatch, "sweep", f"--config={path}", "--trials=2") == 0
    first, second = read_trials(tmp_path)["value"]
    assert first == second
    assert 0 < first < 1


def test_figures_leave_the_style_of_others_alone(tmp_path: Path) -> None:
    study = optuna.create_study()
    settings: dict[str, Any] = {"run": {}, "trainer": {}, "tracking": {}}
    distributions: dict[str, optuna.distributions.BaseDistribution] = {
        "x": optuna.distributions.FloatDistribution(0, 9)
    }
    for value in range(5):
        study.add_trial(
            optuna.trial.create_trial(
                value=value,
                params={"x": float(value)},
                distributions=distributions,
                user_attrs={SETTINGS: settings},
            )
        )
    before = dict(matplotlib.rcParams)
    write_results(study, tmp_path)
    assert dict(matplotlib.rcParams) == before
    assert {path.name for path in tmp_path.iterdir()} == {"trials.csv", "best.yaml", "history.svg", "importance.svg"}


def test_a_trial_worse_than_the_others_is_stopped_early(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    parameters = {"model.optimizer.init_args.lr": {"values": [1e-9, 1e-8]}}
    stopping = {"type": "hyperband", "min_iter": 2}
    path = write_space(tmp_path, epochs=4, parameters=parameters, early_terminate=stopping)
    study = open_study(read_search_space(path), tmp_path / "sweeps/small", None, settings_files)
    settings: dict[str, Any] = {"run": {}, "trainer": {}, "tracking": {}}
    for _ in range(5):
        seen = dict.fromkeys(range(4), 0.9)
        made = optuna.trial.create_trial(value=0.9, intermediate_values=seen, user_attrs={SETTINGS: settings})
        study.add_trial(made)
    assert in_this_process(monkeypatch, "sweep", f"--config={path}", "--trials=1") == 0
    trials = read_trials(tmp_path)
    assert trials["state"].to_list() == ["COMPLETE"] * 5 + ["PRUNED"]
    epochs = polars.read_csv(tmp_path / "sweeps/small/trial_5/metrics.csv")["epoch"]
    assert epochs.max() == 1
    assert "Prun" not in (tmp_path / "sweeps/small/trial_5/config.yaml").read_text()


def test_a_trial_whose_worker_was_killed_counts_as_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = write_space(tmp_path)
    study = open_study(read_search_space(path), tmp_path / "sweeps/small", None, settings_files)
    database = tmp_path / "sweeps/small/study.db"
    storage = open_storage(f"sqlite:///{database}", 30, 180)
    study_id = storage.get_study_id_from_name("small")
    with pytest.warns(UserWarning, match="Heartbeat of storage is supposed to be used with"):
        number = study.ask().number
    storage.record_heartbeat(storage.get_trial_id_from_study_id_trial_number(study_id, number))
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("UPDATE trial_heartbeats SET heartbeat = datetime(heartbeat, '-1 hour')")
    (tmp_path / "sweeps/small/trial_0").mkdir()
    assert in_this_process(monkeypatch, "sweep", f"--config={path}", "--trials=1") == 0
    trials = read_trials(tmp_path)
    assert trials["state"].to_list() == ["FAIL", "COMPLETE"]
    assert trials["error"].to_list() == ["its worker stopped", None]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--config=sweep/none.yaml"], "config: expected an existing or shipped file, got 'sweep/none.yaml'"),
        (["--trials=-1"], "trials: expected 0 or more, got -1."),
        (["--trials=x"], "trials: expected an integer, got 'x'."),
        (["--trial=1"], "options: expected an option that lightning sweep --help lists, got --trial."),
        (
            ["--", "--model.nothing=3"],
            "options: expected an option that lightning fit --help all lists, got --model.nothing",
        ),
        (["--", "--trainer.devices=2"], "trainer.devices: expected one per trial, got 2"),
        (["--storage=nothing", "--trials=0"], "storage: "),
    ],
)
def test_what_would_fail_in_every_trial_is_refused_before(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    sentence: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert in_this_process(monkeypatch, "sweep", *arguments) == 2
    message = capsys.readouterr().err.strip().splitlines()[-1]
    assert message.startswith(f"lightning: error: {sentence}")
    assert not list(tmp_path.glob("sweeps/*/trial_*"))


def start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    """A worker in a process of its own."""
    command = [str(Path(sys.executable).with_name("lightning")), "sweep", *arguments]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


@pytest.mark.slow
def test_two_workers_share_a_search(tmp_path: Path) -> None:
    path = write_space(tmp_path)
    arguments = (f"--config={path}", "--trials=4", f"--storage=sqlite:///{tmp_path / 'shared.db'}")
    workers = [start(tmp_path, *arguments) for _ in range(2)]
    texts = [worker.communicate(timeout=300)[0] for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0], texts
    trials = read_trials(tmp_path)
    assert trials["number"].to_list() == list(range(8))
    assert set(trials["state"]) == {"COMPLETE"}
    assert trials["model.optimizer.init_args.lr"].n_unique() == 8
    folder = tmp_path / "sweeps/small"
    assert {path.name for path in folder.glob("trial_*")} == {f"trial_{number}" for number in range(8)}
    assert all(len([line for line in text.splitlines() if line.startswith("Trial ")]) == 4 for text in texts)
    assert all((folder / name).read_text().startswith("<?xml") for name in ("importance.svg", "history.svg"))
    best = trials.sort("value", descending=True).row(0, named=True)
    (folder / "trials.csv").unlink()
    text = succeed_here(tmp_path, "sweep", *arguments, "--trials=0")
    assert "Trials in sweeps/small: 8 complete" in text
    assert read_trials(tmp_path).equals(trials)
    succeed_here(tmp_path, "fit", "--config=sweeps/small/best.yaml", "--tracking.wandb=disabled")
    run = tmp_path / "runs/inn_stems/version_0"
    config = yaml.safe_load((run / "config.yaml").read_text())
    assert config["model"]["optimizer"]["init_args"]["lr"] == best["model.optimizer.init_args.lr"]
    again = polars.read_csv(run / "metrics.csv")["val/balanced_accuracy"].max()
    assert again == pytest.approx(best["value"], abs=1e-6)
    assert (run / "test_metrics.json").is_file()


@pytest.mark.slow
def test_an_interrupted_search_goes_on(tmp_path: Path) -> None:
    path = write_space(tmp_path, epochs=20)
    arguments = (f"--config={path}", "--", "--early_stopping.patience=20")
    worker = start(tmp_path, "--trials=3", *arguments)
    metrics = tmp_path / "sweeps/small/trial_0/metrics.csv"
    deadline = time.monotonic() + 120
    while not metrics.is_file() and worker.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    worker.send_signal(signal.SIGINT)
    try:
        text = worker.communicate(timeout=120)[0]
    finally:
        worker.kill()
    assert worker.returncode == 130, text
    assert "Traceback" not in text
    assert "Stopped; the same command continues the search." in text
    assert read_trials(tmp_path)["error"].to_list() == ["interrupted"]
    succeed_here(tmp_path, "sweep", "--trials=1", *arguments)
    assert read_trials(tmp_path)["state"].to_list() == ["FAIL", "COMPLETE"]
