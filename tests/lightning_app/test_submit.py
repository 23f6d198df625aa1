"""`lightning submit`: predictions of test rows for public benchmarks."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import polars
import pytest
import torch

import tailmol
from tests.datamodules.drug_module import ALCOHOLS, AMINES
from tests.lightning_app.command import TINY, in_this_process
from workflows.fit import fit

pytestmark = pytest.mark.slow

TESTED = ["CCOCCO", "CCNCCN", "OCCO", "NCCN", "CCOC"]


def write_table(path: Path, labeled: bool) -> None:
    """Amines among alcohols to train on, and test rows between them."""
    rows: list[tuple[str, str | None, str]]
    rows = [(smiles, str(int(smiles[-1] == "N")), "train") for smiles in (*ALCOHOLS, *AMINES)]
    for place, smiles in enumerate(TESTED):
        rows.insert(3 * place, (smiles, str(int("N" in smiles)) if labeled else None, "test"))
    polars.DataFrame(rows, ["smiles", "active", "split"], orient="row").write_csv(path)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where runs with a refit are: runs/drugs/one on test rows without labels, runs/drugs/labeled on labeled ones."""
    folder = tmp_path_factory.mktemp("submit")
    train(folder, "one", labeled=False, epochs=2)
    train(folder, "labeled", labeled=True, epochs=1)
    return folder


def train(folder: Path, version: str, labeled: bool, epochs: int) -> None:
    """Train with a refit."""
    write_table(folder / "drugs.csv", labeled)
    options = [
        *TINY,
        "--tracking.wandb=disabled",
        "--config=encoder/fingerprint.yaml",
        f"--trainer.max_epochs={epochs}",
    ]
    options += ["--data.label_column=active", "--data.split=file", "--refit=true", f"--run.version={version}"]
    fit([*options, "--data.source", str(folder / "drugs.csv"), f"--run.root={folder / 'runs'}"], show_progress=False)


@pytest.fixture
def place(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(folder)
    write_table(folder / "drugs.csv", labeled=False)
    return folder


def expected(checkpoint: str) -> polars.DataFrame:
    predicted: polars.DataFrame = tailmol.load(f"runs/drugs/one{checkpoint}").predict(TESTED)
    return predicted


def test_the_test_rows_of_the_table_are_predicted_in_order(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = ["runs/drugs/one", "runs/drugs/one/checkpoints/best.ckpt"]
    options = ["--form", "tdc", "--benchmark", "herg", "--output", "out/herg.json"]
    assert in_this_process(monkeypatch, "submit", *runs, *options) == 0
    assert "Predictions of 2 runs for 5 test rows written to out/herg.json." in capsys.readouterr().out
    written = json.loads(Path("out/herg.json").read_text())
    found = [expected("")["p/1"].to_list(), expected("/checkpoints/best.ckpt")["p/1"].to_list()]
    assert [entry["herg"] for entry in written] == [pytest.approx(shares, abs=1e-6) for shares in found]
    assert found[0] != found[1]
    assert in_this_process(monkeypatch, "submit", runs[0], "--form=polaris", "--output=active.json", "--json") == 0
    assert json.loads(capsys.readouterr().out) == {"output": "active.json", "runs": 1, "rows": 5}
    written = json.loads(Path("active.json").read_text())
    assert written["y_pred"] == {"test": {"active": [int(label) for label in expected("")["predicted_label"]]}}
    assert written["y_prob"] == {"test": {"active": pytest.approx(found[0], abs=1e-6)}}


def test_tables_of_test_rows_can_be_given(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, rows in (("near", TESTED[:2]), ("far", TESTED[2:])):
        polars.DataFrame({"smiles": rows}).write_csv(place / f"{name}.csv")
    options = ["--form", "polaris", "--output", "two.json", "--test", "near.csv", "far.csv"]
    assert in_this_process(monkeypatch, "submit", "runs/drugs/one", *options) == 0
    shares = expected("")["p/1"].to_list()
    assert json.loads(Path("two.json").read_text())["y_prob"] == {
        "near": {"active": pytest.approx(shares[:2], abs=1e-6)},
        "far": {"active": pytest.approx(shares[2:], abs=1e-6)},
    }


@pytest.mark.parametrize("labeled", [True, False])
@pytest.mark.parametrize("checkpoint", ["", "/checkpoints/final.ckpt", "/refit/checkpoints/last.ckpt"])
def test_a_refit_on_test_rows_is_refused_whatever_their_labels_are_now(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], checkpoint: str, labeled: bool
) -> None:
    write_table(place / "drugs.csv", labeled)
    options = ["--form=polaris", "--output=refused.json"]
    assert in_this_process(monkeypatch, "submit", f"runs/drugs/labeled{checkpoint}", *options) == 2
    message = (
        r"got runs/drugs/labeled/\S+, which was trained on 5 of 5, the first is row 1 \(see \S+/refit/splits\.csv\);"
    )
    error = capsys.readouterr().err
    assert re.search(rf"RUN: expected a model that was not trained on the test rows, {message}", error)
    assert not Path("refused.json").exists()


def test_a_model_of_the_training_rows_predicts_test_rows_that_have_labels_now(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_table(place / "drugs.csv", labeled=True)
    monkeypatch.chdir("runs/drugs/one/checkpoints")
    for run in ("final.ckpt", "best.ckpt", "../../labeled/checkpoints/best.ckpt"):
        assert in_this_process(monkeypatch, "submit", run, "--form=polaris", f"--output={place / 'labeled.json'}") == 0


def test_without_the_list_of_its_training_rows_a_refit_is_refused(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (place / "copied").mkdir()
    shutil.copy("runs/drugs/one/checkpoints/final.ckpt", "copied/final.ckpt")
    options = ["--form=polaris", "--output=copied.json"]
    assert in_this_process(monkeypatch, "submit", "copied/final.ckpt", *options) == 2
    message = (
        f"RUN: expected the list of the training rows of copied/final.ckpt in {place / 'copied/refit/splits.csv'}, got"
    )
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--form=tdc"], "benchmark: expected the name of the benchmark for tdc, got none."),
        (["--form=polaris", "--benchmark=herg"], "benchmark: expected none for polaris, got herg."),
        (["runs/drugs/one", "--form=polaris"], "RUN: expected different runs, got runs/drugs/one twice."),
        (["--form=polaris", "--test", "broken.csv"], "test: expected a prediction of runs/drugs/one for every row of "
         "test, got none for 1 of 2, the first is row 2: SMILES that RDKit cannot read in column smiles."),
        (["--form=polaris", "--test", "gone.csv"], "test: expected an existing file, got gone.csv."),
        (["--form=polaris", "--test", "new.csv"],
         "output: expected a new file, got new.csv, which is another file of this command."),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    (place / "broken.csv").write_text("smiles\nCCO\nC1\n")
    output = "new.csv" if "new.csv" in words else "none.json"
    assert in_this_process(monkeypatch, "submit", "runs/drugs/one", *words, "--output", output) == 2
    assert capsys.readouterr().err.splitlines()[-1] == f"lightning: error: {message}"
    assert not Path(output).exists()


def test_a_run_that_names_no_column_of_classes_is_refused(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    saved = torch.load("runs/drugs/one/checkpoints/best.ckpt", weights_only=True)
    saved["run_config"]["data"]["label_column"] = None
    torch.save(saved, place / "nameless.ckpt")
    assert in_this_process(monkeypatch, "submit", "nameless.ckpt", "--form=polaris", "--output=none.json") == 2
    message = "RUN: expected a run that names its column of classes, got none in nameless.ckpt."
    assert capsys.readouterr().err.splitlines()[-1] == f"lightning: error: {message}"
    assert not Path("none.json").exists()


@pytest.mark.parametrize("tables", [[], ["--test", "tested.csv"]])
@pytest.mark.parametrize("output", ["drugs.csv", "runs/drugs/one/checkpoints/final.ckpt"])
def test_the_table_and_the_checkpoint_of_a_run_are_not_replaced(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], output: str, tables: list[str]
) -> None:
    polars.DataFrame({"smiles": TESTED}).write_csv("tested.csv")
    before = Path(output).read_bytes()
    options = ["--form=polaris", "--output", output, *tables]
    assert in_this_process(monkeypatch, "submit", "runs/drugs/one", *options) == 2
    message = f"output: expected a new file, got {output}, which is another file of this command."
    assert capsys.readouterr().err.splitlines()[-1] == f"lightning: error: {message}"
    assert Path(output).read_bytes() == before


def test_test_rows_must_be_named(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = place / "drugs.csv"
    path.write_text(path.read_text().replace(",test", ",train"))
    assert in_this_process(monkeypatch, "submit", "runs/drugs/one", "--form=polaris", "--output=none.json") == 2
    assert f"test: expected test rows in column split of {path}, got none." in capsys.readouterr().err
