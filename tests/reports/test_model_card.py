"""The model card of a run."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from modules.decisions.settings import DecisionSettings
from reports.card_file import keep_comparison, write_model_card
from reports.model_card import card_metadata, model_card
from reports.report_data import collect
from reports.run_files import RunFiles, read_run
from tests.lightning_app.command import TINY
from workflows.decide import decide
from workflows.fit import fit


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunFiles:
    """A short run with a refit, on classes whose names are no plain Markdown."""
    folder = tmp_path_factory.mktemp("card")
    rows = [f"{'C' * size}{end},{name}" for size in range(1, 21) for end, name in (("O", "a|b"), ("N", "*c*"))]
    (folder / "drugs.csv").write_text("\n".join(["smiles,label", *rows]) + "\n")
    words = [*TINY, "--tracking.wandb=disabled", "--config=encoder/fingerprint.yaml", "--trainer.max_epochs=1"]
    words += ["--data.source", str(folder / "drugs.csv"), f"--run.root={folder}/runs", "--refit=true"]
    return read_run(fit(words, show_progress=False).folder)


def metadata(text: str) -> dict[str, Any]:
    """What a model hub reads: the YAML between the first two lines of dashes."""
    assert text.startswith("---\n")
    found: dict[str, Any] = yaml.safe_load(text.split("---\n")[1])
    return found


def test_a_run_writes_its_card_with_the_metrics_of_the_test(run: RunFiles) -> None:
    text = (run.folder / "model_card.md").read_text()
    assert text == model_card(run)
    known = json.loads((run.folder / "test_metrics.json").read_text())
    found = metadata(text)
    assert found["library_name"] == "tailmol"
    assert "license" not in found
    (entry,) = found["model-index"]
    (result,) = entry["results"]
    assert result["dataset"] == {"type": "drugs.csv", "name": "drugs.csv", "split": "test"}
    values = {metric["type"]: metric["value"] for metric in result["metrics"]}
    assert values["balanced_accuracy"] == pytest.approx(known["test/balanced_accuracy"], abs=1e-6)
    assert values["macro_f1"] == pytest.approx(known["test/macro_f1"], abs=1e-6)
    assert f"| \\*c\\* | {run.task.class_counts[0]} | {known['test/recall/*c*']:.3f} |" in text
    assert "| a\\|b |" in text
    assert "no row is left to test `final.ckpt`" in text
    assert "--ckpt_path checkpoints/final.ckpt" in text
    assert str(Path(run.settings["data"]["source"]).parent) not in text


@pytest.mark.parametrize(("counts", "said"), [((9, 50), "1 of 2 classes has"), ((9, 2), "2 of 2 classes have")])
def test_classes_of_few_samples_are_counted(run: RunFiles, counts: tuple[int, ...], said: str) -> None:
    card = model_card(replace(run, task=replace(run.task, class_counts=counts)))
    assert f"{said} fewer than ten training samples" in card


def test_a_card_without_metrics_has_no_model_index(run: RunFiles) -> None:
    assert "model-index" not in card_metadata(replace(run, metrics={}))
    assert "| Accuracy | – | – |" in model_card(replace(run, metrics={}))


def test_an_ensemble_says_that_its_metrics_are_out_of_fold(run: RunFiles) -> None:
    settings = {**run.settings, "model": {**run.settings["model"], "members": 5}}
    text = model_card(replace(run, settings=settings, final=None), "Better by 0.1.")
    assert "an ensemble of 5 members" in text
    assert "(out of fold). Better by 0.1." in text
    kept = {**settings, "data": {**settings["data"], "keep_test": True}}
    assert "out of fold" not in model_card(replace(run, settings=kept, final=None))
    # The test rows that the table names are in no fold either.
    named = {**settings, "data": {**settings["data"], "split": "file"}}
    assert "out of fold" not in model_card(replace(run, settings=named, final=None))


def test_its_intervals_are_those_of_the_report(run: RunFiles) -> None:
    shown = re.search(r"\| Balanced accuracy \| ([\d.]+) \| ([\d.]+) to ([\d.]+) \|", model_card(run))
    assert shown is not None
    found = collect(run).accuracies["balanced_accuracy"]
    assert shown.groups() == tuple(f"{value:.3f}" for value in (found.value, found.low, found.high))


def test_the_card_keeps_what_the_report_of_the_tested_decision_has_found(run: RunFiles) -> None:
    own = Path(shutil.copytree(run.folder, run.folder.with_name("copy")))
    tested, last = read_run(own), read_run(own / "checkpoints" / "last.ckpt")
    keep_comparison(tested, "Better by 0.1.")
    for other in (replace(tested, tested_objective="accuracy"), last):
        keep_comparison(other, "Better by 0.2.")
    decide(own, DecisionSettings("balanced_accuracy"))
    for text in ((own / "model_card.md").read_text(), write_model_card(own).read_text()):
        assert "balanced_accuracy; the metrics are those of the test. " in text
        assert "Better by 0.1.\n" in text
        assert "Better by 0.2." not in text
