"""`lightning report`, `lightning compare`, and the report that every fit writes."""

from __future__ import annotations

import json
import logging
import re
from pathlib import Path
from typing import Any

import numpy
import polars
import pytest

from tests.lightning_app.command import TINY, in_this_process, succeed_here
from workflows.final_report import describe_run

SHORT = ("--config=debug.yaml", "--tracking.wandb=disabled", "--trainer.limit_test_batches=1.0")


def payload_of(path: Path) -> dict[str, Any]:
    """What the page's script reads."""
    found = re.search(r'id="payload">(.*?)</script>', path.read_text())
    assert found is not None
    payload: dict[str, Any] = json.loads(found.group(1))
    return payload


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a short run is in runs/inn_stems/version_0, with its report."""
    folder = tmp_path_factory.mktemp("report")
    text = succeed_here(folder, "fit", *TINY, "--report=true", *SHORT)
    assert "Report: " in text
    return folder


@pytest.mark.slow
def test_the_report_of_a_run_agrees_with_its_test_metrics(folder: Path) -> None:
    run = folder / "runs/inn_stems/version_0"
    payload = payload_of(run / "report.html")
    metrics = json.loads((run / "test_metrics.json").read_text())
    for name, recall in zip(payload["classes"], payload["recall"], strict=True):
        expected = metrics[f"test/recall/{name}"]
        assert recall == (None if expected is None else pytest.approx(expected, abs=1e-4))
    assert payload["distance"]["epochs"] == [1]
    page = (run / "report.html").read_text()
    assert f"<dd>{metrics['test/balanced_accuracy']:.3f}<small>[" in page


@pytest.mark.slow
def test_a_checkpoint_and_another_file_and_fewer_points(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    checkpoint = "runs/inn_stems/version_0/checkpoints/last.ckpt"
    assert (
        in_this_process(monkeypatch, "report", checkpoint, "--output", "other.html", "--points", "160", "--umap") == 0
    )
    payload = payload_of(folder / "other.html")
    assert len(payload["map"]["names"]) == 160
    assert {name: len(layout[0]) for name, layout in payload["map"]["layouts"].items()} == {"PCA": 160, "UMAP": 160}
    assert set(payload["map"]["classes"]) == set(range(73))
    # Only the best checkpoint was tested, so how far to trust another one is not known.
    assert "High</t" not in (folder / "other.html").read_text()
    assert "High</t" in (folder / "runs/inn_stems/version_0/report.html").read_text()


@pytest.mark.slow
def test_compare_two_runs(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(folder)
    run = "runs/inn_stems/version_0"
    assert in_this_process(monkeypatch, "compare", run, run, "--json") == 0
    assert json.loads(capsys.readouterr().out)["report"] == "comparison.html"
    payload = payload_of(folder / "comparison.html")
    assert payload["scores"][0] == payload["scores"][1]


@pytest.mark.slow
@pytest.mark.parametrize("channels", [None, 3])
def test_images_are_drawn_and_the_report_can_be_switched_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, channels: int | None
) -> None:
    generator = numpy.random.default_rng(0)
    images = generator.random((120, 8, 8) if channels is None else (120, channels, 8, 8))
    numpy.savez(tmp_path / "made.npz", images=images, labels=numpy.arange(120) % 4)
    monkeypatch.chdir(tmp_path)
    options = (
        "--data.source=made.npz",
        "--config=encoder/image.yaml",
        "--report=false",
        "--recluster.start_epoch=null",
    )
    succeed_here(tmp_path, "fit", *TINY, "--report=true", *SHORT, *options)
    run = tmp_path / "runs/made/version_0"
    assert not (run / "report.html").exists()
    assert in_this_process(monkeypatch, "report", str(run)) == 0
    payload = payload_of(run / "report.html")
    assert payload["map"]["perSample"] == 1
    assert payload["distance"]["epochs"] == [None]
    assert "weights" not in payload["figures"]
    # The model card has it from the report.
    sentence = json.loads((run / "comparison.json").read_text())["sentence"]
    assert sentence in (run / "report.html").read_text()
    assert (run / "model_card.md").read_text().count(sentence) == 1


@pytest.mark.slow
def test_reactions_draw_both_molecules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drugs = polars.read_csv(Path(__file__).resolve().parents[2] / "datamodules/datasets/inn_stems/inn_stems.csv").head(
        60
    )
    smiles = drugs["smiles"].to_list()
    labels = ["a", "b", "c"] * 20
    polars.DataFrame({"X1": smiles, "X2": smiles[::-1], "Y": labels}).write_csv(tmp_path / "pairs.csv")
    monkeypatch.chdir(tmp_path)
    succeed_here(tmp_path, "fit", *TINY, "--report=true", *SHORT, "--data.source=pairs.csv", "--data.input=reaction")
    payload = payload_of(tmp_path / "runs/pairs/version_0/report.html")
    assert payload["map"]["perSample"] == 2
    assert payload["map"]["names"][0].startswith("row ")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["report", "none"], "RUN: expected the folder of a run or a checkpoint, got 'none', which does not exist."),
        (["report", "."], "expected a folder with checkpoints/best.ckpt"),
        (["compare", "none", "none"], "RUN: expected the folder of a run or a checkpoint, got 'none'"),
    ],
)
def test_what_is_wrong_is_one_sentence(
    arguments: list[str],
    sentence: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert in_this_process(monkeypatch, *arguments) == 2
    error = capsys.readouterr().err
    assert sentence in error
    assert error.count("\n") == 1


def test_a_report_that_fails_does_not_end_a_run(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    log = logging.getLogger("tailmol")
    log.addHandler(caplog.handler)
    try:
        describe_run(tmp_path, report=True, command="tailmol")
    finally:
        log.removeHandler(caplog.handler)
    report, card = dict.fromkeys(one.getMessage() for one in caplog.records if one.levelno == logging.WARNING)
    assert "The report could not be written (InputError" in report
    assert f"to try again: tailmol report {tmp_path}" in report
    assert "The model card could not be written (InputError" in card
