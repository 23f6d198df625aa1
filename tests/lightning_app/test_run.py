"""Whole runs: what is written, prediction, resuming after a kill, and two processes."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import polars
import pytest
import torch
import yaml

from tests.lightning_app.command import TINY, in_this_process, succeed, succeed_here
from tests.lightning_app.wandb_file import read_wandb

pytestmark = pytest.mark.slow

QUICK = (*TINY, "--trainer.max_epochs=4", "--recluster.start_epoch=1", "--recluster.every_n_epochs=1")


def read_metrics(run: Path) -> dict[str, float | None]:
    """`test_metrics.json` of a run."""
    metrics: dict[str, float | None] = json.loads((run / "test_metrics.json").read_text())
    return metrics


def largest_difference(one: Path, other: Path) -> float:
    """Between the test metrics of two runs; a metric that only one of them has is an error."""
    first, second = read_metrics(one), read_metrics(other)
    assert first.keys() == second.keys()
    assert [name for name in first if first[name] is None] == [name for name in second if second[name] is None]
    return max(abs((first[name] or 0) - (second[name] or 0)) for name in first)


def read_checkpoint(path: Path) -> dict[str, Any]:
    """A checkpoint, without pickle."""
    checkpoint: dict[str, Any] = torch.load(path, weights_only=True, map_location="cpu")
    return checkpoint


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished run on the bundled drugs."""
    folder = tmp_path_factory.mktemp("trained")
    text = succeed(folder, "fit", *QUICK, "--tracking.wandb=disabled", "--report=true")
    assert "Balanced accuracy" in text
    assert "runs/inn_stems/version_0/checkpoints/best.ckpt" in text
    return folder / "runs/inn_stems/version_0"


def test_a_run_writes_what_it_promises(trained: Path) -> None:
    names = {str(path.relative_to(trained)) for path in trained.rglob("*") if path.is_file()}
    assert names == {
        "config.yaml",
        "metrics.csv",
        "class_weights.csv",
        "test_metrics.json",
        "test_predictions.csv",
        "model_card.md",
        "comparison.json",
        "splits.csv",
        "rejected.csv",
        "checkpoints/best.ckpt",
        "accuracy_by_applicability.json",
        "checkpoints/best.evidence.npz",
        "checkpoints/best.scores.npz",
        "checkpoints/last.ckpt",
        *(f"class_means/epoch_{epoch:04}.npz" for epoch in (1, 2, 3)),
        "report.html",
    }
    metrics = read_metrics(trained)
    splits = polars.read_csv(trained / "splits.csv")
    classes = set(splits["label"].to_list())
    assert {f"test/recall/{name}" for name in classes} <= set(metrics)
    recalls = [metrics[f"test/recall/{name}"] or 0.0 for name in classes]
    assert metrics["test/balanced_accuracy"] == pytest.approx(sum(recalls) / len(recalls), abs=1e-5)
    assert yaml.safe_load((trained / "config.yaml").read_text())["data"]["source"] == "inn_stems"
    assert {"epoch", "val/balanced_accuracy", "train/loss"} <= set(polars.read_csv(trained / "metrics.csv").columns)


def test_a_second_run_gets_a_folder_of_its_own(trained: Path) -> None:
    before = (trained / "test_metrics.json").read_bytes()
    succeed_here(trained.parent.parent.parent, "fit", *TINY, "--config=debug.yaml")
    assert (trained.with_name("version_1") / "test_metrics.json").is_file()
    assert (trained / "test_metrics.json").read_bytes() == before


def test_a_checkpoint_alone_is_enough_to_test(trained: Path, tmp_path: Path) -> None:
    checkpoint = str(trained / "checkpoints/best.ckpt")
    text = succeed(tmp_path, "test", "--ckpt_path", checkpoint, "--tracking.wandb=disabled")
    assert ".py:" not in text, "there is a warning"
    assert largest_difference(trained, tmp_path / "runs/inn_stems/version_0") <= 1e-6


def test_predict_keeps_every_row_in_order(trained: Path, tmp_path: Path) -> None:
    source = Path(__file__).resolve().parents[2] / "datamodules/datasets/inn_stems/inn_stems.csv"
    known = polars.read_csv(source)
    generator = random.Random(0)
    picks = [generator.randrange(len(known)) for _ in range(1000)]
    bad = dict.fromkeys(generator.sample(range(1000), 50))
    cells = ["C1CC(" if row % 2 else "" for row in range(1000)]
    smiles = [cells[row] if row in bad else known["smiles"][pick] for row, pick in enumerate(picks)]
    given = polars.DataFrame({"note": [f"n{row:04}" for row in range(1000)], "smiles": smiles})
    given.write_csv(tmp_path / "new.csv")
    checkpoint = str(trained / "checkpoints/best.ckpt")
    text = succeed(tmp_path, "predict", "--ckpt_path", checkpoint, "--data.source=new.csv", "--output=out.csv")
    assert "1,000 rows written to out.csv; 50 of them could not be used" in text
    out = polars.read_csv(tmp_path / "out.csv", infer_schema_length=None)
    classes = sorted(set(known["label"].to_list()))
    assert out.columns == [
        *("note", "smiles", "predicted_label", "probability", "calibrated_probability"),
        *(f"p/{name}" for name in classes),
        *(f"nearest_{place}{kind}" for place in (1, 2, 3) for kind in ("", "_label", "_tanimoto", "_cosine")),
        *("applicability", "applicability_level", "reason"),
    ]
    assert out["note"].to_list() == given["note"].to_list()
    for row in range(1000):
        if row in bad:
            assert out["predicted_label"][row] is None
            assert out["probability"][row] is None
            assert ("cannot read" if row % 2 else "empty SMILES") in out["reason"][row]
    used = out.filter(polars.col("reason").is_null())
    assert len(used) == 950
    probabilities = used.select([f"p/{name}" for name in classes]).to_numpy()
    assert abs(probabilities.sum(1) - 1).max() < 1e-4
    assert [classes[code] for code in probabilities.argmax(1)] == used["predicted_label"].to_list()
    splits = polars.read_csv(trained / "splits.csv").filter(polars.col("split") == "train")
    learned = set(splits["id"].to_list())
    hits = [
        out["predicted_label"][row] == known["label"][pick]
        for row, pick in enumerate(picks)
        if row not in bad and known["id"][pick] in learned
    ]
    assert sum(hits) / len(hits) > 0.5


def test_predict_writes_the_reasons_where_no_row_can_be_used(trained: Path, tmp_path: Path) -> None:
    (tmp_path / "new.csv").write_text("smiles\nC1CC(\nxyz\n")
    checkpoint = str(trained / "checkpoints/best.ckpt")
    text = succeed_here(tmp_path, "predict", "--ckpt_path", checkpoint, "--data.source=new.csv", "--output=out.csv")
    assert "2 rows written to out.csv; 2 of them could not be used" in text
    assert polars.read_csv(tmp_path / "out.csv")["reason"].str.contains("RDKit cannot read").all()


def test_predict_refuses_to_overwrite_a_column(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "new.csv").write_text("smiles,reason\nCCO,x\n")
    checkpoint = str(trained / "checkpoints/best.ckpt")
    options = ("--ckpt_path", checkpoint, "--data.source=new.csv", "--output=out.csv")
    assert in_this_process(monkeypatch, "predict", *options) == 2
    assert (
        capsys.readouterr().err.strip()
        == "lightning: error: data.source: expected no column 'reason', which predictions have; rename it."
    )
    assert not (tmp_path / "out.csv").exists()


def test_the_last_checkpoint_is_of_the_last_epoch_also_where_an_earlier_one_was_best(tmp_path: Path) -> None:
    stuck = ("--model.optimizer.init_args.lr=0", "--trainer.max_epochs=3", "--tracking.wandb=disabled")
    # Here the statistics of batch normalization, which still change, do not improve the validation.
    before = ("--model.head.per_encoder=false", "--data.fingerprint_kinds=[morgan]")
    succeed_here(tmp_path, "fit", *TINY, *stuck, *before)
    folder = tmp_path / "runs/inn_stems/version_0/checkpoints"
    assert [read_checkpoint(folder / f"{name}.ckpt")["epoch"] for name in ("best", "last")] == [0, 2]


def kill_within_an_epoch(folder: Path, arguments: tuple[str, ...], last: Path, steps: int) -> None:
    """Start a run and kill it as soon as `last.ckpt` is from a step within an epoch, after `steps`."""
    command = [str(Path(sys.executable).with_name("lightning")), "fit", *arguments]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "WANDB_MODE": "disabled"}
    with subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.DEVNULL) as process:
        while process.poll() is None:
            if last.is_file():
                checkpoint = read_checkpoint(last)
                progress = checkpoint["loops"]["fit_loop"]["epoch_loop.batch_progress"]
                if checkpoint["global_step"] >= steps and not progress["is_last_batch"]:
                    process.send_signal(signal.SIGKILL)
                    return
            time.sleep(0.03)
    raise AssertionError("The run ended before it could be killed.")


def subclusters(checkpoint: Path) -> torch.Tensor:
    """The sub-cluster of each training sample."""
    ids: torch.Tensor = read_checkpoint(checkpoint)["state_dict"]["class_state._extra_state"]["ids"]
    return ids


# What reclustering can keep from training, all of it.
KEPT = ("--recluster.embeddings=running", "--recluster.difficulty=confusion", "--recluster.sample_per_class=6")


@pytest.mark.parametrize("options", [(), KEPT], ids=["fresh", "running"])
def test_a_killed_run_goes_on_as_if_it_had_not_been(tmp_path: Path, options: tuple[str, ...]) -> None:
    layers = (*QUICK, "--data.batch_size=16", "--checkpoint_every_n_steps=3", *options)
    arguments = (*layers, "--tracking.wandb=disabled")
    whole, killed = tmp_path / "runs/whole/version_0", tmp_path / "runs/killed/version_0"
    # In a process of its own, as the resumed run, since what else a process did may change how it rounds.
    succeed(tmp_path, "fit", *arguments, "--run.name=whole")
    last = killed / "checkpoints/last.ckpt"
    kill_within_an_epoch(tmp_path, (*arguments, "--run.name=killed"), last, steps=60)
    found = subclusters(last)
    assert len(found) > 0
    assert not (killed / "test_metrics.json").exists()
    succeed(tmp_path, "fit", "--ckpt_path", str(last))
    assert largest_difference(whole, killed) <= 1e-6
    end, resumed = (subclusters(run / "checkpoints/last.ckpt") for run in (whole, killed))
    assert torch.equal(end, resumed)
    rows = [polars.read_csv(run / "class_weights.csv") for run in (whole, killed)]
    assert rows[0].equals(rows[1])
    assert polars.read_csv(killed / "metrics.csv")["epoch"].max() == 4


def test_two_processes(tmp_path: Path) -> None:
    processes = ("--trainer.devices=2", "--trainer.strategy=ddp")
    # Nobody is logged in and no mode is set, as on a new machine.
    machine = {"HOME": str(tmp_path), "WANDB_MODE": "", "WANDB_API_KEY": "", "NETRC": str(tmp_path / "none")}
    text = succeed(tmp_path, "fit", *QUICK, *processes, "--report=true", **machine)
    assert text.count("Balanced accuracy") == 1
    (run,) = (tmp_path / "runs/inn_stems").iterdir()
    succeed(
        tmp_path, "test", "--ckpt_path", str(run / "checkpoints/best.ckpt"), "--run.name=alone",
        "--tracking.wandb=disabled", "--trainer.devices=1", "--trainer.accelerator=cpu",
    )  # fmt: skip
    assert largest_difference(run, tmp_path / "runs/alone/version_0") <= 1e-6
    logged = read_wandb(run)
    config = yaml.safe_load((run / "config.yaml").read_text())
    assert logged["config"]["model"] == config["model"]
    assert sum(logged["config"]["class_counts"].values()) > 400
    names = {name for row in logged["history"] for name in row}
    assert {"val/balanced_accuracy", "train/loss", "test/balanced_accuracy", "class_weight/-tinib"} <= names
    check_panels(logged)


def check_panels(logged: dict[str, Any]) -> None:
    """The figures and tables are there, as files that can be sent, and the tables hold every class."""
    kinds = {name: value["_type"] for name, value in logged["media"].items()}
    figures = ("counts", "recall", "decisions", "distances", "map", "reliability", "weights")
    assert {kinds.get(f"report/{name}") for name in figures} == {"plotly-file"}
    assert kinds["recluster/distances"] == "plotly-file"
    assert {kinds["recluster/classes"], kinds["report/classes"], kinds["report/confusions"]} == {"table-file"}
    assert kinds["report/examples"] == "html-file"
    examples = (logged["folder"] / "files" / logged["media"]["report/examples"]["path"]).read_text()
    assert examples.count("<svg") == examples.count("<figure>") >= 2
    for value in logged["media"].values():
        assert (logged["folder"] / "files" / value["path"]).is_file()
    table = json.loads((logged["folder"] / "files" / logged["media"]["report/classes"]["path"]).read_text())
    assert table["columns"][:5] == ["class", "group", "training_samples", "test_samples", "recall"]
    assert len(table["data"]) == len(logged["config"]["class_counts"])


def test_one_process_logs_the_same_panels(tmp_path: Path) -> None:
    machine = {"HOME": str(tmp_path), "WANDB_MODE": "offline", "WANDB_API_KEY": "", "NETRC": str(tmp_path / "none")}
    succeed(tmp_path, "fit", *QUICK, "--report=true", **machine)
    (run,) = (tmp_path / "runs/inn_stems").iterdir()
    logged = read_wandb(run)
    check_panels(logged)
    assert len([row for row in logged["history"] if "recluster/distances" in row]) == 3
    assert "report/classes" in {name for row in logged["history"] for name in row}


@pytest.mark.parametrize("kept", [(), KEPT], ids=["fresh", "running"])
def test_two_processes_hold_the_same_buffers(tmp_path: Path, kept: tuple[str, ...]) -> None:
    script = tmp_path / "keep_buffers.py"
    script.write_text(
        "import os, sys, torch\n"
        "from workflows.fit_cli import FitCLI\n"
        "cli = FitCLI(sys.argv[1:])\n"
        "cli.trainer.fit(cli.model, datamodule=cli.datamodule)\n"
        "names = ('subcluster_ids', 'subcluster_centroids', 'temperatures', 'weights')\n"
        "kept = {name: getattr(cli.model.class_state, name) for name in names}\n"
        "torch.save(kept, f'rank_{cli.trainer.global_rank}.pt')\n"
    )
    options = (
        "--trainer.devices=2",
        "--trainer.strategy=ddp",
        "--tracking.wandb=disabled",
        "--config=debug.yaml",
        *kept,
    )
    command = [sys.executable, str(script), *TINY, *options, "--model.classification_start_epoch=1"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    first, second = (read_checkpoint(tmp_path / f"rank_{rank}.pt") for rank in range(2))
    assert len(first["subcluster_ids"]) > 0
    assert len(first["subcluster_centroids"]) > 0 or not kept
    assert all(torch.equal(first[name], second[name]) for name in first)
