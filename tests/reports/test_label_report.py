"""Report, model card and summary of a short run whose samples have several labels, and of a made one."""

from __future__ import annotations

import base64
import gzip
import io
import json
import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy
import plotly.graph_objects
import polars
import pytest
import yaml
from rich.console import Console

import tailmol
from reports.analysis.intervals import Estimate
from reports.compared_runs import compare_runs
from reports.label_data import LabelData, collect_labels
from reports.label_report import build_label_report, label_columns, label_figures
from reports.label_texts import label_answer, label_leads, label_rows, label_tiles, label_warnings
from reports.metric_titles import METRICS, MULTILABEL_METRICS
from reports.model_card import model_card
from reports.number_texts import number
from reports.run_comparison import answers
from reports.run_files import RunFiles, read_run
from reports.run_trust import coverage_rows
from tests.lightning_app.command import TINY, in_this_process
from tests.reports.made_label_run import made_label_report
from workflows.fit import fit
from workflows.run_summary import print_test_report

TAILS = {"alcohol": "O", "amine|x": "N", "acid *a*": "C(=O)O", "ether": "OCC"}


def write_table(path: Path) -> None:
    """Chains with up to two of four functional groups, which are the labels; every seventh value is not known."""
    rows = [f"smiles,{','.join(TAILS)}"]
    ends = [(), *((name,) for name in TAILS), ("alcohol", "ether"), ("amine|x", "acid *a*"), ("alcohol", "amine|x")]
    for size in range(2, 26):
        for number_, own in enumerate(ends):
            smiles = "".join(f"{'C' * (size - place)}({TAILS[name]})" for place, name in enumerate(own)) + "C" * size
            known = [
                "" if (size + 3 * place + number_) % 7 == 0 else str(int(name in own))
                for place, name in enumerate(TAILS)
            ]
            rows.append(f"{smiles},{','.join(known)}")
    path.write_text("\n".join(rows) + "\n")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunFiles:
    folder = tmp_path_factory.mktemp("labels")
    write_table(folder / "groups.csv")
    words = [*TINY, "--tracking.wandb=disabled", "--config=encoder/fingerprint.yaml"]
    words += ["--trainer.max_epochs=2", "--data.source", str(folder / "groups.csv"), f"--run.root={folder}/runs"]
    words += ["--data.labels=multi", f"--data.label_column={list(TAILS)}", "--report=true"]
    return read_run(fit(words, show_progress=False).folder)


@pytest.fixture(scope="module")
def data(run: RunFiles) -> LabelData:
    return collect_labels(run)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> LabelData:
    return made_label_report(12, 900, tmp_path_factory.mktemp("made"))


def payload_of(page: str) -> dict[str, Any]:
    (text,) = re.findall(r'<script type="application/json" id="payload">(.*?)</script>', page, re.DOTALL)
    found: dict[str, Any] = json.loads(text)
    return found


def test_a_run_ends_with_a_page_that_answers_first(run: RunFiles, data: LabelData) -> None:
    page = (run.folder / "report.html").read_text()
    body = page[page.index("<body>") :]
    sentence = label_answer(data)["sentence"]
    assert f"macro average precision {number(run.metrics['test/average_precision'])} against " in sentence
    assert body.index(sentence) < body.index("<nav") < body.index('class="tiles"')
    assert sentence in (run.folder / "model_card.md").read_text()


def test_the_numbers_are_those_of_the_metrics(run: RunFiles, data: LabelData) -> None:
    table = payload_of(build_label_report(data))["labels"]
    for place, name in enumerate(run.task.classes):
        for column in ("average_precision", "auroc", "precision", "recall", "f1"):
            expected = run.metrics[f"test/{column}/{name}"]
            assert table[column][place] == (None if expected is None else pytest.approx(expected, abs=6e-5)), column
    for name, one in data.comparison.model.means.items():
        assert one.value == pytest.approx(run.metrics[f"test/{name}"], abs=1e-6), name
        assert one.low <= one.value <= one.high
    tiles = {tile["title"]: tile["value"] for tile in label_tiles(data)}
    assert tiles["AUROC (macro)"] == number(run.metrics["test/auroc"])
    assert tiles["Labels"] == "4"


def test_counts_are_those_of_the_table(run: RunFiles, data: LabelData) -> None:
    splits = polars.read_csv(run.folder / "splits.csv", infer_schema=False)
    given = polars.read_csv(run.settings["data"]["source"], infer_schema=False)
    columns = label_columns(data)
    for split, names in {"train": ("training", "training_without"), "test": ("test", "test_without")}.items():
        rows = splits.filter(polars.col("split") == split)["row"].cast(int).to_numpy() - 1
        for place, name in enumerate(run.task.classes):
            cells = given[name].gather(rows).to_list()
            assert [columns[one][place] for one in names] == [cells.count("1"), cells.count("0")]
            if split == "train":
                assert columns["unknown"][place] == cells.count(None)
                assert data.pairs.training.shape == (4, 4)


def test_thresholds_are_those_of_the_predictions(run: RunFiles, data: LabelData) -> None:
    assert run.predictions is not None
    for place, name in enumerate(run.task.classes):
        shares = run.predictions[f"p/{name}"].cast(float).to_numpy()
        chosen = [name in text.split("; ") for text in run.predictions["predicted_labels"]]
        assert (shares > data.thresholds[place]).tolist() == chosen
        assert data.test.predicted[:, place].tolist() == chosen


def test_errors_have_drawings_and_smiles(data: LabelData) -> None:
    payload = payload_of(build_label_report(data))
    smiles = gzip.decompress(base64.b64decode(payload["smiles"])).decode().split("\n")
    errors = [*payload["errors"]["alarms"], *payload["errors"]["misses"]]
    assert errors
    for error in errors:
        assert len(error["drawings"]) == 1
        assert smiles[error["smiles"]].startswith("C")
    assert all(error["label"] not in error["has"] for error in payload["errors"]["alarms"])
    assert all(error["label"] in error["has"] for error in payload["errors"]["misses"])


def test_the_card_has_the_metrics_and_a_table_of_labels(run: RunFiles) -> None:
    text = model_card(run)
    found = yaml.safe_load(text.split("---\n")[1])
    (result,) = found["model-index"][0]["results"]
    assert result["task"]["name"] == "Multi-label classification"
    values = {metric["type"]: metric["value"] for metric in result["metrics"]}
    assert set(values) == set(MULTILABEL_METRICS)
    assert values["micro_f1"] == pytest.approx(run.metrics["test/micro_f1"], abs=1e-6)
    place = run.task.classes.index("amine|x")
    has, known = run.task.class_counts[place], run.task.known_counts[place]
    scores = " | ".join(number(run.metrics[f"test/{one}/amine|x"]) for one in ("average_precision", "auroc", "f1"))
    assert f"| amine\\|x | {has} | {known - has} | {scores} |" in text
    assert "class" not in text.split("## Data")[1].split("## Model")[0]
    assert "mind `applicability` of a prediction" in text


def test_report_and_card_say_what_the_thresholds_were_chosen_for(made: LabelData) -> None:
    sentences = {
        "as_trained": "where its probability before calibration is above one half.",
        "macro_f1": "above a threshold of its own, which was chosen for a high macro F1.",
        "balanced_accuracy": "above a threshold of its own, which was chosen for a high balanced accuracy.",
        "accuracy": "above a threshold of its own, which was chosen for few wrong entries.",
        "recall": "above a threshold of its own, which was chosen for a high macro F1, or of named labels for a recall "
        "that was asked for.",
    }
    for objective, sentence in sentences.items():
        decided = replace(made.run, objective=objective)
        assert f" A label is predicted {sentence} " in model_card(decided)
        assert f" A label is predicted {sentence} " in label_leads(replace(made, run=decided))["baseline"]


def test_the_summary_prints_the_metrics_of_labels(run: RunFiles) -> None:
    text = io.StringIO()
    print_test_report(run.metrics, run.folder, console=Console(file=text, width=100))
    for name, title in MULTILABEL_METRICS.items():
        assert re.search(rf"{re.escape(title)} +│ +{run.metrics[f'test/{name}']:.3f}", text.getvalue())
    assert not any(title in text.getvalue() for title in set(METRICS.values()) - set(MULTILABEL_METRICS.values()))


def test_the_command_writes_the_page_again(
    run: RunFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert in_this_process(monkeypatch, "report", str(run.folder), "--output", str(tmp_path / "again.html")) == 0
    assert "Written:" in capsys.readouterr().out
    again, first = (payload_of(path.read_text()) for path in (tmp_path / "again.html", run.folder / "report.html"))
    assert again["labels"] == first["labels"]


def test_a_run_compared_with_itself_has_its_metrics_and_no_difference(run: RunFiles) -> None:
    comparison = compare_runs([run, run])
    for own in comparison.metrics:
        for name in (*MULTILABEL_METRICS, *(f"average_precision/{label}" for label in run.task.classes)):
            expected = run.metrics[f"test/{name}"]
            assert own[f"test/{name}"] == (None if expected is None else pytest.approx(expected, abs=1e-6)), name
    (said,) = answers(comparison)
    assert "is not clearly different from" in said
    assert "a difference of 0.000 [0.000 to 0.000]" in said
    assert not isinstance(comparison.tests, str)
    assert not comparison.tests.clear_classes(1).any()


def test_figures_are_valid_for_plotly_and_names_are_no_markup(made: LabelData) -> None:
    figures = label_figures(made)
    assert set(figures) == {"labels", "reliability", "loss", "progress", "pairs-training", "pairs-predicted"}
    for name, one in figures.items():
        assert plotly.graph_objects.Figure(one).data, name
        assert "<b>" not in json.dumps(one), name
    # The label without training samples and the one without test samples have no point.
    assert sum(len(trace["x"]) for trace in figures["labels"]["data"]) == 2 * 10
    assert len(figures["progress"]["data"]) == 5


def test_labels_that_cannot_be_judged_are_named(made: LabelData) -> None:
    (warning,) = label_warnings(made)
    assert warning.startswith("2 of 12 labels cannot be judged")
    assert all(made.names[place] in warning for place in (10, 11))
    table = label_columns(made)
    assert table["average_precision"][10:] == [None, None]
    assert (table["training"][10], table["test"][10]) == (0, (made.test.labels[:, 10] == 1).sum())
    assert table["test"][10] > 0
    assert (table["training"][11], table["test"][11]) == (3, 0)
    assert table["shares"][11] == 0
    assert table["threshold"][10:] == [None, 0.7]
    assert "cannot be judged" in build_label_report(made)


@pytest.mark.parametrize(
    ("gain", "verdict", "start"),
    [
        ((0.04, 0.01, 0.07), "better", "The model ranks better than a simple baseline: macro average precision 0."),
        ((-0.04, -0.07, -0.01), "worse", "The model ranks worse than a simple baseline: macro"),
        ((0.04, -0.01, 0.09), "unclear", "It is not clear that the model ranks better than a simple baseline: macro"),
    ],
)
def test_the_verdict_is_that_of_the_interval(
    made: LabelData, gain: tuple[float, float, float], verdict: str, start: str
) -> None:
    differences = {**made.comparison.differences, "average_precision": Estimate(*gain, 170)}
    said = label_answer(replace(made, comparison=replace(made.comparison, differences=differences)))
    assert said["verdict"] == verdict
    assert said["sentence"].startswith(start)
    assert said["groups"].startswith("Head labels 0.")
    assert "; tail labels 0." in said["groups"]


def test_decisions_that_clearly_differ_are_named_beside_the_ranking(made: LabelData) -> None:
    for high, named in ((-0.01, True), (0.01, False)):
        differences = {**made.comparison.differences, "macro_f1": Estimate(-0.04, -0.07, high, 170)}
        said = label_answer(replace(made, comparison=replace(made.comparison, differences=differences)))["sentence"]
        assert (" Its decisions are worse: macro F1 0." in said) is named
        assert said.endswith("a difference of −0.040 [−0.070 to −0.010].") is named


def test_nothing_that_can_be_judged_is_said_in_words(made: LabelData) -> None:
    nothing = Estimate(math.nan, math.nan, math.nan, 0)
    model = replace(made.comparison.model, means=dict.fromkeys(made.comparison.model.means, nothing))
    said = label_answer(replace(made, comparison=replace(made.comparison, model=model)))
    assert said["verdict"] == "none"
    assert said["sentence"].startswith("No label can be judged")


def test_the_better_scores_win(made: LabelData) -> None:
    rows = {row["title"]: row for row in label_rows(made)}
    assert list(rows) == list(MULTILABEL_METRICS.values())
    assert rows["Average precision (macro)"]["is_clear"]
    assert rows["Average precision (macro)"]["samples"] == "90"
    assert label_answer(made)["verdict"] == "better"
    assert numpy.isnan(made.pairs.training).sum() == 12 + 11


def test_the_page_says_how_far_to_trust_predictions(run: RunFiles, data: LabelData, made: LabelData) -> None:
    page, columns = build_label_report(made), label_columns(made)
    assert made.test.members is not None
    assert made.coverage is not None
    everyone = coverage_rows(made.coverage.by_group, several=True)[0]
    assert everyone["size"] == f"{made.test.members.sum(axis=1).mean():.1f}"
    present = (made.test.labels == 1) & (made.training > 0)
    assert everyone["title"] == "All labels"
    assert everyone["samples"] == f"{present.sum():,}"
    assert everyone["coverage"] == number(float(made.test.members[present].mean()))
    assert columns["covered"][0] == pytest.approx(made.test.members[present[:, 0], 0].mean(), abs=1e-4)
    assert columns["covered"][10:] == [None, None]
    assert everyone["interval"] in page
    assert "This is how many they did hold" in page
    without = replace(made, coverage=None, run=replace(made.run, levels=()))
    assert "How far to trust a prediction" not in build_label_report(without)
    assert "covered" not in label_columns(without)
    # Of the short run, the sets are those that its predictions come with.
    sets = tailmol.load(run.checkpoint).predict(Path(run.settings["data"]["source"]), coverage=0.9)
    splits = polars.read_csv(run.folder / "splits.csv", infer_schema=False)
    rows = splits.filter(polars.col("split") == "test")["row"].cast(int) - 1
    members = [one.split("; ") if one else [] for one in sets["set"].gather(rows)]
    assert data.test.members is not None
    for place, name in enumerate(run.task.classes):
        assert data.test.members[:, place].tolist() == [name in own for own in members]
    assert run.levels
    assert (
        f'<td class="number" data-title="Test samples">{run.levels[0]["samples"]}</td>'
        in (run.folder / "report.html").read_text()
    )
