"""Whole runs on arrays: the same files and metrics as on drugs, and prediction."""

from __future__ import annotations

import json
from pathlib import Path

import numpy
import polars
import pytest

from tests.datamodules.array_file import blobs, save
from tests.lightning_app.command import TINY, in_this_process, succeed_here

QUICK = ("--trainer.max_epochs=3", "--recluster.start_epoch=1", "--recluster.every_n_epochs=1")


def metrics_of(run: Path) -> set[str]:
    """Names of the test metrics of a run."""
    return set(json.loads((run / "test_metrics.json").read_text()))


@pytest.mark.slow
def test_digits_have_the_files_and_metrics_of_drugs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    succeed_here(tmp_path, "fit", "--data.source=digits", *TINY, *QUICK)
    succeed_here(tmp_path, "fit", *TINY, "--config=encoder/fingerprint.yaml", *QUICK)
    digits, drugs = (tmp_path / "runs" / name / "version_0" for name in ("digits", "inn_stems"))
    recalls = {f"test/recall/{digit}" for digit in range(10)}
    assert metrics_of(digits) - recalls == {name for name in metrics_of(drugs) if not name.startswith("test/recall/")}
    assert recalls < metrics_of(digits)
    files = [{str(path.relative_to(run)) for path in run.rglob("*.*")} for run in (digits, drugs)]
    assert files[0] == files[1]
    weights = polars.read_csv(digits / "class_weights.csv")
    assert len(weights.filter(weights["epoch"] == weights["epoch"].max())) == 10
    splits = polars.read_csv(digits / "splits.csv")
    assert splits.filter(polars.col("split") == "test").height == 539
    sizes = splits.filter(polars.col("split") == "train")["label"].value_counts()["count"]
    assert max(sizes) / min(sizes) >= 50

    new = save(tmp_path / "new.npz", images=numpy.random.default_rng(0).integers(0, 17, (5, 8, 8)))
    predict = ("predict", f"--ckpt_path={digits}/checkpoints/best.ckpt")
    for name in ("out.csv", "out.parquet"):
        assert in_this_process(monkeypatch, *predict, f"--data.source={new}", f"--output={name}") == 0
        assert f"5 rows written to {name}; 0 of them could not be used" in capsys.readouterr().out
    written = polars.read_csv(tmp_path / "out.csv")
    shares = [f"p/{digit}" for digit in range(10)]
    assert written.columns == [
        *("row", "predicted_label", "probability", "calibrated_probability", *shares),
        *(f"nearest_{place}{kind}" for place in (1, 2, 3) for kind in ("", "_label", "_cosine")),
        *("applicability", "applicability_level", "reason"),
    ]
    assert written["row"].to_list() == [1, 2, 3, 4, 5]
    assert written["probability"].is_between(0.1, 1).all()
    assert polars.read_parquet(tmp_path / "out.parquet")["p/3"].to_list() == pytest.approx(written["p/3"].to_list())
    wrong = save(tmp_path / "wrong.npz", images=numpy.ones((5, 9, 9)))
    assert in_this_process(monkeypatch, *predict, f"--data.source={wrong}", "--output=out.csv") == 2
    assert "expected samples of shape (8, 8), as the model was trained on; got (9, 9)" in capsys.readouterr().err


@pytest.mark.slow
def test_an_npz_of_features_is_learned(tmp_path: Path) -> None:
    features, labels = blobs(240)
    save(tmp_path / "blobs.npz", features=features, labels=numpy.array(["x", "y", "z"])[labels])
    succeed_here(tmp_path, "fit", "--data.source=blobs.npz", "--config=encoder/array.yaml", *TINY, *QUICK)
    metrics = json.loads((tmp_path / "runs/blobs/version_0/test_metrics.json").read_text())
    assert metrics["test/balanced_accuracy"] > 0.95


def test_an_encoder_of_molecules_says_what_reads_arrays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    features, labels = blobs()
    save(tmp_path / "blobs.npz", features=features, labels=labels)
    assert in_this_process(monkeypatch, "fit", "--data.source=blobs.npz", "--config=encoder/fusion.yaml", *TINY) == 2
    assert (
        "for input array, got GIN, which reads input molecule, reaction, pair, drug_protein." in capsys.readouterr().err
    )
