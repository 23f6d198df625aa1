"""Figures, texts and page of a made run."""

from __future__ import annotations

import base64
import gzip
import json
import math
import re
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import plotly.graph_objects
import polars
import pytest

from reports.analysis.distance_matrix import CLASSES_SHOWN
from reports.analysis.intervals import Estimate
from reports.figures.class_figures import NAMED
from reports.number_texts import seconds
from reports.page_template import to_json
from reports.report_data import ReportData
from reports.run_answer import answer, baseline_rows, baseline_text
from reports.run_description import (
    describe_class,
    facts,
    method_facts,
    texts,
    tiles,
    warnings,
)
from reports.run_files import Times
from reports.run_report import build_report, report_figures, report_payload
from reports.run_trust import coverage_rows, level_rows, trust_texts
from tests.reports.made_run import DRUGS, made_report

FIGURES = {"counts", "recall", "loss", "progress", "decisions", "distances", "weights", "map", "reliability"}
MEGABYTE = 1_000_000


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> ReportData:
    return made_report(12, 900, tmp_path_factory.mktemp("small"), points=120)


def test_figures_are_valid_for_plotly_and_have_data(small: ReportData) -> None:
    figures = report_figures(small)
    assert set(figures) == FIGURES
    for name, one in figures.items():
        assert plotly.graph_objects.Figure(one).data, name
        json.dumps(one)


def test_names_are_no_markup_for_plotly(small: ReportData) -> None:
    for name, one in report_figures(small).items():
        assert "<b>" not in json.dumps(one), name


def test_names_beside_points_do_not_overlap(tmp_path: Path) -> None:
    notes = report_figures(made_report(1_000, 40_000, tmp_path))["recall"]["layout"]["annotations"]
    assert 2 <= len(notes) <= 2 * NAMED
    for up in (True, False):
        places = [(one["x"], one["y"]) for one in notes if (one["ay"] < 0) is up]
        for place, (x, y) in enumerate(places):
            assert all(abs(x - other[0]) > 0.3 or abs(y - other[1]) > 0.15 for other in places[:place])


def test_every_class_is_in_the_figures_of_classes(small: ReportData) -> None:
    figures = report_figures(small)
    for name in ("counts", "recall"):
        assert sum(len(trace["x"]) for trace in figures[name]["data"]) == 12
    assert len(figures["distances"]["data"][0]["z"]) == 12


def test_the_map_has_every_chosen_sample_once(small: ReportData) -> None:
    places = [place for trace in report_figures(small)["map"]["data"] for place in trace["customdata"]]
    assert sorted(places) == list(range(120))
    columns = report_payload(small)["map"]
    assert set(columns["classes"]) == set(range(12))
    assert len(columns["names"]) == 120


def test_rarer_classes_weigh_up_in_the_accuracy(small: ReportData) -> None:
    values = {tile["title"]: tile["value"] for tile in tiles(small)}
    hits = small.test.codes == small.test.predicted
    assert values["Accuracy"] == f"{hits.mean():.3f}"
    assert values["Classes"] == "12"
    assert next(iter(values)) == "Balanced accuracy"


def test_texts_say_what_was_sampled(tmp_path: Path) -> None:
    data = made_report(150, 60_000, tmp_path, reclusters=40)
    said = texts(data)
    assert f"the {CLASSES_SHOWN} of 150 classes nearest to another one" in said["distances"]
    assert "30 of 40 reclusters are shown" in said["distances"]
    assert "The map shows 1,000 of 47," in said["map"]
    assert "1,234 rejected rows (the first 200 are shown)" in said["rejected"]
    assert warnings(data) == []


def test_a_sampled_test_split_is_a_warning(tmp_path: Path) -> None:
    data = made_report(5, 120_000, tmp_path)
    assert "based on 20,000 of 23,998 test samples" in warnings(data)[0]


def test_the_baseline_is_beside_the_model(small: ReportData) -> None:
    assert small.baseline is not None
    rows = {row["title"]: (row["model"], row["baseline"], row["difference"]) for row in baseline_rows(small)}
    assert list(rows) == ["Balanced accuracy", "Head accuracy", "Middle accuracy", "Tail accuracy", "Accuracy"]
    balanced = {tile["title"]: tile["value"] for tile in tiles(small)}["Balanced accuracy"]
    assert rows["Balanced accuracy"][0][0] == balanced
    page = build_report(small)
    assert texts(small)["baseline"] in page
    assert page.index("simple baseline") < page.index("Class sizes")
    for cells in rows.values():
        for value, bounds in cells:
            assert f"{value} <small>{bounds}</small></td>" in page
            assert re.fullmatch(r"\[[−+]?\d\.\d{3} to [−+]?\d\.\d{3}\]", bounds)


@pytest.mark.parametrize(
    ("gain", "verdict", "start", "end"),
    [
        ((0.039, 0.012, 0.067), "better", "The model is better than", "a difference of +0.039 [+0.012 to +0.067]."),
        ((-0.039, -0.067, -0.012), "worse", "The model is worse than", "difference of −0.039 [−0.067 to −0.012]."),
        ((0.039, -0.012, 0.09), "unclear", "It is not clear that the model is better", "[−0.012 to +0.090]."),
        ((-0.01, -0.1, 0.0), "unclear", "It is not clear that the model is better", "−0.010 [−0.100 to 0.000]."),
        ((0.0, 0.0, 0.0), "unclear", "It is not clear that the model is better", "0.000 [0.000 to 0.000]."),
    ],
)
def test_the_page_answers_first(
    small: ReportData, gain: tuple[float, float, float], verdict: str, start: str, end: str
) -> None:
    assert small.baseline is not None
    differences = {**small.baseline.differences, "balanced_accuracy": Estimate(*gain, 170)}
    found = replace(small, baseline=replace(small.baseline, differences=differences))
    said = answer(found)
    assert said["verdict"] == verdict
    assert said["sentence"].startswith(start)
    assert said["sentence"].endswith(end)
    ours, other = (f"{one['head_accuracy'].value:.3f}" for one in (small.accuracies, small.baseline.accuracies))
    assert said["groups"].startswith(f"Head classes {ours} against {other} (")
    assert "; tail classes 0." in said["groups"]
    page = build_report(found)
    body = page[page.index("<body>") :]
    assert body.index(said["sentence"]) < body.index(said["groups"]) < body.index("<nav")
    assert re.search(rf'<h1 class="answer {verdict}">', body)


def test_numbers_come_with_their_interval_and_their_samples(small: ReportData) -> None:
    found = tiles(small)
    for tile in found[:5]:
        low, high = map(float, tile["interval"].strip("[]").split(" to "))
        assert low <= float(tile["value"]) <= high
        assert re.fullmatch(r"\d+ test samples?", tile["note"])
    assert found[0]["note"] == f"{len(small.test)} test samples"
    texts_of_points = [text for trace in report_figures(small)["recall"]["data"] for text in trace["text"]]
    assert len(texts_of_points) == 12
    for text in texts_of_points:
        assert re.search(r"<br>recall \d\.\d\d \[\d\.\d\d to \d\.\d\d\]<br>\d+ of \d+ test samples$", text)


def test_the_table_of_classes_is_in_the_data_of_the_page(small: ReportData) -> None:
    found = report_payload(small)
    assert {len(values) for values in found["results"].values()} == {12}
    for code in range(12):
        tested = small.test.predicted[small.test.codes == code]
        assert found["hits"][code] == (tested == code).sum()
        assert found["evaluated"][code] == len(tested)
        assert found["results"]["recall_low"][code] <= found["recall"][code] <= found["results"]["recall_high"][code]


def test_every_shown_sample_has_its_smiles(small: ReportData) -> None:
    found = report_payload(small)
    lines = gzip.decompress(base64.b64decode(found["smiles"])).decode().split("\n")
    places = [*small.points.training.tolist(), *small.points.test.tolist()]
    known = polars.read_csv(DRUGS)["smiles"].to_list()
    assert lines[:120] == [known[place % len(known)] for place in places]
    (first, *_), *_ = ([example["test"] for example in one["examples"]] for one in found["confusions"])
    assert lines[first["smiles"]] == known[int(first["name"].removeprefix("drug ")) % len(known)]


@pytest.mark.parametrize(
    ("fitted", "fits", "said"),
    [
        (90, 1, "on Morgan counts, trained on 90 of the same 7,200 rows. "),
        (7_200, 5, "trained on the same rows (in 5 fits, each without the fold that it predicts), which took 2.2 s. "),
    ],
)
def test_the_rows_of_the_baseline_are_named(small: ReportData, fitted: int, fits: int, said: str) -> None:
    assert small.baseline is not None
    taken = 2.2 if fits > 1 else math.nan
    made = replace(small.baseline.fitted, fitted_rows=fitted, training_rows=7_200, fits=fits, seconds=taken)
    assert said in baseline_text(replace(small, baseline=replace(small.baseline, fitted=made)))


def test_without_a_baseline_nothing_is_said(small: ReportData) -> None:
    without = replace(small, baseline=None)
    assert "simple baseline" not in build_report(without)
    assert baseline_text(without) == ""
    said = answer(without)
    assert re.match(r"The balanced accuracy is 0\.\d{3} \[0\.\d{3} to .* no baseline was fitted\.", said["sentence"])
    assert re.match(r"Head classes 0\.\d{3} \[.*\]; tail classes 0\.\d{3} \[.*\]\.", said["groups"])


def test_a_run_without_reclusters_has_a_matrix_of_the_checkpoint(tmp_path: Path) -> None:
    data = made_report(6, 300, tmp_path, reclusters=0)
    assert data.distances.epochs == (None,)
    assert "weights" not in report_figures(data)
    assert "The run has no reclusters" in texts(data)["distances"]


def test_facts_name_the_method(small: ReportData) -> None:
    said = dict(facts(small.run, small.split_sizes))
    assert said["Encoder"] == "GIN (hidden_dim 64)"
    assert said["Contrastive loss"] == "none"
    assert said["Stages"] == "none"
    assert said["Seeds"] == "initialization 7, split 3"
    assert "12 epochs of 19.8 s" in said["Time"]
    unknown = replace(small.run, times=Times(0, 0, None, None, None))
    assert "Time" not in dict(facts(unknown, small.split_sizes))


def test_stages_are_named_with_what_they_change() -> None:
    weighting = {"class_path": "a.EffectiveNumber", "init_args": {"beta": 0.9}}
    stages = [
        {"start_epoch": 0, "frozen": [], "weighting": None},
        {"start_epoch": 4, "frozen": ["encoder"], "reset": ["classifier"], "weighting": weighting},
    ]
    model = {"encoder": {"class_path": "a.GIN"}, "classification_loss": {"class_path": "a.CrossEntropyLoss"}}
    assert dict(method_facts({"model": model, "stages": stages}))["Stages"] == (
        "from epoch 0: no change; from epoch 4: frozen encoder, reset classifier, weighting EffectiveNumber (beta 0.9)"
    )


def test_nested_encoders_are_named() -> None:
    inner = [{"class_path": "a.GIN"}, {"class_path": "a.MLP", "init_args": {"dropout": 0.2, "bias": False}}]
    assert (
        describe_class({"class_path": "a.Fusion", "init_args": {"encoders": inner}})
        == "Fusion (GIN + MLP (dropout 0.2))"
    )


@pytest.mark.parametrize(("value", "text"), [(3.24, "3.2 s"), (80.0, "80 s"), (600.0, "10 min"), (9_000.0, "2.5 h")])
def test_durations(value: float, text: str) -> None:
    assert seconds(value) == text


def test_data_cannot_end_the_script_or_hold_nan() -> None:
    value: Any = {"a": "</script>", "b": [float("nan"), 1.5, float("inf")]}
    text = to_json(value)
    assert "</" not in text
    assert json.loads(text) == {"a": "</script>", "b": [None, 1.5, None]}


def test_the_page_names_the_command_as_it_was_called(small: ReportData) -> None:
    page, usual = build_report(small, command="tailmol"), build_report(small)
    for subcommand in ("decide", "predict", "report"):
        assert f"tailmol {subcommand} " in page
        assert f"lightning {subcommand} " not in page
        assert f"lightning {subcommand} " in usual
    assert "lightning" not in str(trust_texts(several=True, command="tailmol"))


def test_the_page_holds_everything_and_escapes_names(small: ReportData) -> None:
    page = build_report(small, time.monotonic())
    assert len(page) < 7 * MEGABYTE
    before = page[: page.index('<script type="application/json"')]
    assert "class 0003 &lt;b&gt;" in before
    assert "<i>" not in before
    assert not re.search(r"(?:src|href)=[\"']https?:", before)
    assert all(f'id="{name}"' in before for name in FIGURES)


def test_page_says_how_far_to_trust_predictions(small: ReportData) -> None:
    levels = level_rows(small.run)
    assert [row["title"] for row in levels] == ["High", "Medium", "Low"]
    # Wilson's interval for 81 of 90.
    assert levels[0] == {"title": "High", "accuracy": "0.900", "interval": "[0.821 to 0.946]", "samples": "90"}
    assert levels[2] == {"title": "Low", "accuracy": "–", "interval": "", "samples": "0"}
    # Wilson's interval for 9 of 10: the 90 rows are of 10 samples.
    few = replace(small.run, levels=({**small.run.levels[0], "samples": 10},))
    assert level_rows(few) == [{"title": "High", "accuracy": "0.900", "interval": "[0.596 to 0.982]", "samples": "10"}]
    assert small.coverage is not None
    everyone, *groups = coverage_rows(small.coverage.by_group(small.scores.groups), several=False)
    assert [everyone["title"], *(row["title"] for row in groups)] == [
        *("All samples", "Head classes", "Middle classes", "Tail classes")
    ]
    samples = len(small.test)
    empty = -(-samples // 10)
    assert everyone["coverage"] == f"{1 - empty / samples:.3f}"
    assert everyone["size"] == f"{2 * (1 - empty / samples):.1f}"
    page = build_report(small)
    assert "How far to trust a prediction" in page
    assert everyone["interval"] in page
    without = build_report(replace(small, coverage=None, run=replace(small.run, levels=())))
    assert "How far to trust a prediction" not in without
