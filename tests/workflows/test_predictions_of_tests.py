"""`test_predictions.csv` against the metrics beside it and against `lightning predict`."""

from __future__ import annotations

import json
from pathlib import Path

import polars
import pytest
from sklearn.metrics import accuracy_score, balanced_accuracy_score

import tailmol
from tests.lightning_app.command import TINY, in_this_process
from workflows.fit import fit

SHORT = [*TINY, "--tracking.wandb=disabled", "--config=encoder/fingerprint.yaml", "--trainer.max_epochs=2"]
SHORT += ["--data.batch_size=8"]
PREDICTED = ["predicted_label", "probability", "calibrated_probability"]


def table(folder: Path) -> Path:
    """Ethers and amines of many lengths, with names."""
    lines = [f"{'C' * size}OC,ether,e{size}" for size in range(1, 31)]
    lines += [f"{'C' * size}N,amine,a{size}" for size in range(1, 16)]
    path = folder / "drugs.csv"
    path.write_text("\n".join(["smiles,label,id", *lines]) + "\n")
    return path


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return table(tmp_path_factory.mktemp("table"))


@pytest.fixture(scope="module")
def run(source: Path) -> Path:
    return fit([*SHORT, "--data.source", str(source), f"--run.root={source.parent}"], show_progress=False).folder


def check_metrics(folder: Path, file: str = "test_predictions.csv") -> polars.DataFrame:
    """The file, after a check that its labels give the accuracies of the run."""
    found, written = polars.read_csv(folder / file), json.loads((folder / "test_metrics.json").read_text())
    labels = found["true_label"].to_list(), found["predicted_label"].to_list()
    assert len(found) == written["test/rows"]
    assert written["test/accuracy"] == pytest.approx(accuracy_score(*labels))
    assert written["test/balanced_accuracy"] == pytest.approx(balanced_accuracy_score(*labels))
    return found


def test_it_has_the_test_rows_and_what_predict_says_of_them(run: Path, source: Path) -> None:
    found = check_metrics(run)
    assert found.columns == ["row", "id", "smiles", "true_label", *PREDICTED, "split"]
    listed = polars.read_csv(run / "splits.csv").filter(split="test")
    assert found["row"].to_list() == listed["row"].to_list()
    assert set(found["split"]) == {"test"}
    given = polars.read_csv(source)[(found["row"] - 1).to_list()]
    assert found.select("id", "smiles").equals(given.select("id", "smiles"))
    assert found["true_label"].to_list() == given["label"].to_list()
    again = tailmol.load(run).predict(given["smiles"].to_list())
    assert found["predicted_label"].to_list() == again["predicted_label"].to_list()
    for name in PREDICTED[1:]:
        assert found[name].to_list() == pytest.approx(again[name].to_list(), abs=1e-5)


def test_the_test_of_a_checkpoint_writes_the_same(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    options = ["--ckpt_path", str(run / "checkpoints/best.ckpt"), "--tracking.wandb=disabled", "--run.root=tests"]
    assert in_this_process(monkeypatch, "test", *options) == 0
    (again,) = Path("tests").glob("*/*/test_predictions.csv")
    first, second = polars.read_csv(run / "test_predictions.csv"), polars.read_csv(again)
    assert second.drop(PREDICTED[1:]).equals(first.drop(PREDICTED[1:]))
    assert second["probability"].to_list() == pytest.approx(first["probability"].to_list(), abs=1e-5)
    assert in_this_process(monkeypatch, "validate", *options) == 0
    assert len(list(Path("tests").glob("*/*/test_predictions.csv"))) == 1


def test_an_ensemble_has_the_predictions_of_the_member_without_the_fold(source: Path, tmp_path: Path) -> None:
    result = fit([*SHORT, "--data.source", str(source), f"--run.root={tmp_path}", "--folds=3"], show_progress=False)
    found = check_metrics(result.folder)
    assert found["row"].to_list() == list(range(1, 46))
    assert set(found["split"]) == {"out-of-fold"}
    for fold in range(3):
        own = check_metrics(result.folder / "folds" / str(fold))
        assert own["row"].to_list() == found.filter(fold=fold)["row"].to_list()
        assert set(own["fold"]) == {fold}
    assert not (result.folder / "out_of_fold_predictions.csv").exists()


@pytest.mark.slow
def test_kept_test_rows_are_apart_from_those_of_the_folds(source: Path, tmp_path: Path) -> None:
    options = [*SHORT, "--data.source", str(source), f"--run.root={tmp_path}", "--folds=3", "--data.keep_test=true"]
    folder = fit(options, show_progress=False).folder
    tested, others = check_metrics(folder), polars.read_csv(folder / "out_of_fold_predictions.csv")
    assert set(tested["split"]) == {"test"}
    assert tested["fold"].null_count() == len(tested)
    assert set(others["split"]) == {"out-of-fold"}
    assert set(others["fold"]) == {0, 1, 2}
    assert sorted([*tested["row"], *others["row"]]) == list(range(1, 46))
