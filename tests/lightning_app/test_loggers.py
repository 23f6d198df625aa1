"""What the loggers of a run have written, as each tool's own reader sees it."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path
from typing import Any

import polars
import pytest
import yaml

from tests.lightning_app.command import TINY, succeed
from tests.lightning_app.wandb_file import read_wandb, read_wandb_file, wandb_files

FAST = (*TINY, "--config=encoder/fingerprint.yaml", "--config=method/cross_entropy.yaml", "--data.batch_size=8")
GROUPED = ("--tracking.group=nights", "--tracking.tags=[first, small]", "--tracking.notes=a trial")
LOGGERS: list[dict[str, Any]] = [
    {"class_path": "TensorBoardLogger", "init_args": {"save_dir": "boards", "name": "drugs", "version": "first"}},
    {
        "class_path": "lightning.pytorch.loggers.MLFlowLogger",
        "init_args": {"experiment_name": "drugs", "tracking_uri": "sqlite:///mlflow.db", "run_name": "first"},
    },
]

pytestmark = pytest.mark.slow


def table(folder: Path) -> str:
    """Ethers and amines of many lengths."""
    lines = [f"{'C' * size}OC,ether" for size in range(1, 25)] + [f"{'C' * size}N,amine" for size in range(1, 13)]
    (folder / "drugs.csv").write_text("\n".join(["smiles,label", *lines]) + "\n")
    return "--data.source=drugs.csv"


def offline(folder: Path) -> dict[str, str]:
    """The environment of a machine where nobody is logged in, whose home is a folder."""
    return {"HOME": str(folder), "WANDB_MODE": "offline", "WANDB_API_KEY": "", "NETRC": str(folder / "none")}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The current folder of a run with every logger, which was then resumed for one more epoch."""
    for name in ("tensorboard", "mlflow"):
        pytest.importorskip(name)
    folder = tmp_path_factory.mktemp("loggers")
    settings = {"trainer": {"logger": LOGGERS, "max_epochs": 3}, "recluster": {"start_epoch": 1, "every_n_epochs": 1}}
    (folder / "loggers.yaml").write_text(yaml.safe_dump(settings))
    named = ("--config=loggers.yaml", "--tracking.log_checkpoints=true", *GROUPED)
    text = succeed(folder, "fit", *FAST, table(folder), *named, "--report=true", **offline(folder))
    assert "wandb: WARNING" not in text
    run = folder / "runs/drugs/version_0"
    (folder / "before.csv").write_bytes((run / "metrics.csv").read_bytes())
    last = str(run / "checkpoints/last.ckpt")
    succeed(folder, "fit", "--ckpt_path", last, "--trainer.max_epochs=4", "--report=false", **offline(folder))
    return folder


def logged(path: Path) -> dict[str, dict[int, float]]:
    """The values in `metrics.csv`, by name and step."""
    found: dict[str, dict[int, float]] = {}
    with path.open(newline="") as file:
        for row in csv.DictReader(file):
            step = int(row.pop("step"))
            for name, text in row.items():
                if text and name != "epoch":
                    found.setdefault(name, {})[step] = float(text)
    return found


def agrees(one: dict[int, float], other: dict[int, float]) -> bool:
    return set(one) == set(other) and all(
        math.isclose(one[step], other[step], rel_tol=1e-6) or (math.isnan(one[step]) and math.isnan(other[step]))
        for step in one
    )


def test_wandb_has_the_description_the_best_value_and_the_files(folder: Path) -> None:
    run = folder / "runs/drugs/version_0"
    first = read_wandb_file(wandb_files(run)[0])
    described = first["run"]
    assert (described.run_group, described.job_type, described.notes) == ("nights", "fit", "a trial")
    assert list(described.tags) == ["first", "small"]
    best = max(logged(folder / "before.csv")["val/balanced_accuracy"].values())
    assert first["summary"]["best/val/balanced_accuracy"] == pytest.approx(best)
    files = {
        (one.type, tuple(sorted(one.aliases))): [Path(content.local_path) for content in one.manifest.contents]
        for one in first["artifacts"]
        if one.type in ("model", "report")
    }
    assert files == {
        ("model", ("best", "latest")): [run / "checkpoints/best.ckpt"],
        ("report", ("latest",)): [run / "report.html"],
    }


def test_a_resumed_run_is_the_same_one_in_wandb(folder: Path) -> None:
    first, second = map(read_wandb_file, wandb_files(folder / "runs/drugs/version_0"))
    assert first["run"].run_id == second["run"].run_id
    assert second["run"].run_group == "nights"
    best = max(logged(folder / "runs/drugs/version_0/metrics.csv")["val/balanced_accuracy"].values())
    assert second["summary"]["best/val/balanced_accuracy"] == pytest.approx(best)


def test_tensorboard_has_the_metrics_and_the_settings(folder: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder / "boards/drugs/first"))
    events.Reload()
    written = {tag: {event.step: event.value for event in events.Scalars(tag)} for tag in events.Tags()["scalars"]}
    expected = logged(folder / "before.csv")
    assert {"train/loss", "val/balanced_accuracy", "recluster/moved", "test/recall/amine"} <= set(expected)
    assert [name for name in expected if not agrees(expected[name], written[name])] == []
    weights = polars.read_csv(folder / "runs/drugs/version_0/class_weights.csv").filter(polars.col("epoch") < 3)
    ethers = weights.filter(polars.col("class") == "ether")["weight"].to_list()
    assert list(written["class_weight/ether"].values()) == pytest.approx(ethers)
    settings = yaml.unsafe_load((folder / "boards/drugs/first/hparams.yaml").read_text())
    assert settings["trainer"]["max_epochs"] == 3
    assert settings["data"]["source"] == str(folder / "drugs.csv")


@pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy is deprecated:DeprecationWarning")
def test_mlflow_has_the_metrics_and_the_settings(folder: Path) -> None:
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{folder / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("drugs")
    assert experiment is not None
    (run,) = client.search_runs([experiment.experiment_id])
    assert (run.info.status, run.info.run_name) == ("FINISHED", "first")
    expected = logged(folder / "before.csv")
    written = {
        name: {metric.step: metric.value for metric in client.get_metric_history(run.info.run_id, name)}
        for name in expected
    }
    assert [name for name in expected if not agrees(expected[name], written[name])] == []
    assert run.data.params["trainer/max_epochs"] == "3"
    assert run.data.params["model/encoder/class_path"] == "modules.encoders.FingerprintMLP"
    assert not [name for name in run.data.params if name.startswith("trainer/logger")]


def test_an_ensemble_and_its_members_are_a_group(tmp_path: Path) -> None:
    given = ("--folds=2", "--trainer.max_epochs=1", "--report=true", "--tracking.log_checkpoints=true")
    succeed(tmp_path, "fit", *FAST, table(tmp_path), *given, **offline(tmp_path))
    run = tmp_path / "runs/drugs/version_0"
    whole = read_wandb(run)
    members = [read_wandb(run / "folds" / str(fold)) for fold in range(2)]
    assert {one["run"].run_group for one in (*members, whole)} == {"drugs version_0"}
    assert [one["run"].display_name for one in members] == ["drugs version_0 fold 0", "drugs version_0 fold 1"]
    assert (whole["run"].display_name, whole["run"].job_type) == ("drugs version_0", "ensemble")
    metrics = json.loads((run / "test_metrics.json").read_text())
    assert whole["summary"]["test/balanced_accuracy"] == pytest.approx(metrics["test/balanced_accuracy"])
    assert "report/classes" in whole["media"]
    aliases = {one.type: set(one.aliases) for one in whole["artifacts"] if one.type != "run_table"}
    assert aliases == {"report": {"latest"}, "model": {"best", "latest"}}


def test_the_checkpoint_of_a_refit_is_a_file_of_its_run(tmp_path: Path) -> None:
    given = ("--refit=true", "--trainer.max_epochs=1", "--tracking.log_checkpoints=true", "--tracking.name=mine")
    succeed(tmp_path, "fit", *FAST, table(tmp_path), *given, **offline(tmp_path))
    run = tmp_path / "runs/drugs/version_0"
    again = read_wandb(run / "refit")
    assert (again["run"].display_name, again["run"].job_type) == ("mine refit", "refit")
    (artifact,) = again["artifacts"]
    assert set(artifact.aliases) == {"final", "latest"}
    assert [Path(one.local_path) for one in artifact.manifest.contents] == [run / "checkpoints/final.ckpt"]
