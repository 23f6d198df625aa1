from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy
import plotly.graph_objects
import pytest

from base.errors import InputError
from reports.run_comparison import (
    build_comparison,
    compare_runs,
    comparison_warnings,
    difference_figure,
    metric_figure,
    metric_rows,
    setting_rows,
    weight_figure,
)
from reports.run_files import RunFiles
from tests.reports.made_run import made_run

COUNTS = numpy.array([50, 10, 3])


def made_test(folder: Path, *recalls: float | None, **metrics: float) -> RunFiles:
    run = made_run(COUNTS, folder, 2)
    values: dict[str, Any] = {f"test/{name}": value for name, value in metrics.items()}
    names = zip(run.task.classes, recalls, strict=True)
    return replace(run, metrics=values | {f"test/recall/{name}": recall for name, recall in names})


@pytest.fixture
def runs(tmp_path: Path) -> list[RunFiles]:
    first = made_test(tmp_path / "a/version_0", 0.9, 0.5, None, balanced_accuracy=0.7, calibration_error=0.1)
    second = made_test(tmp_path / "b/version_0", 0.8, 1.0, None, balanced_accuracy=0.9, calibration_error=0.3)
    return [first, second]


def test_differences_are_to_the_first_run(runs: list[RunFiles]) -> None:
    (trace,) = difference_figure(compare_runs(runs))["data"]
    assert trace["y"] == [pytest.approx(-0.1), pytest.approx(0.5), None]
    assert trace["x"] == [50, 10, 3]


def test_the_best_of_each_metric_is_marked(runs: list[RunFiles]) -> None:
    rows = {row["title"]: [cell["best"] for cell in row["cells"]] for row in metric_rows(compare_runs(runs))}
    assert rows == {"Balanced accuracy": [False, True], "Calibration error (lower is better)": [True, False]}


def test_weights_have_mean_one(runs: list[RunFiles]) -> None:
    figure = weight_figure(compare_runs([runs[0], replace(runs[1], weights=None)]))
    assert len(figure["data"]) == 1
    assert numpy.mean(figure["data"][0]["y"]) == pytest.approx(1, abs=1e-3)


def test_settings_that_differ_are_listed() -> None:
    one = {"model": {"lr": 0.1, "layers": [{"size": 3}]}, "seed": 0}
    other = {"model": {"lr": 0.2, "layers": [{"size": 4}]}, "seed": 0, "extra": None}
    rows = setting_rows([one, other])
    assert rows == [("extra", "–", "null"), ("model.layers.0.size", "3", "4"), ("model.lr", "0.1", "0.2")]


def test_runs_of_the_same_name_are_told_apart(runs: list[RunFiles]) -> None:
    names = compare_runs([runs[0], runs[0], runs[1]]).names
    assert len(set(names)) == 3


def test_other_classes_are_refused(runs: list[RunFiles], tmp_path: Path) -> None:
    other = replace(made_run(numpy.array([5, 4]), tmp_path / "c", 0), metrics={"test/accuracy": 1.0})
    with pytest.raises(InputError, match=r"same classes, got 3 in .* and 2 in .*c, 'class 0002 <b>' only in "):
        compare_runs([runs[0], other])


def test_one_run_or_an_untested_one_is_refused(runs: list[RunFiles]) -> None:
    with pytest.raises(InputError, match=r"^RUN: expected two or more runs, got 1\.$"):
        compare_runs(runs[:1])
    with pytest.raises(InputError, match=r"expected a tested run with test_metrics\.json"):
        compare_runs([runs[0], replace(runs[1], metrics={})])


def test_other_training_samples_are_a_warning(runs: list[RunFiles]) -> None:
    assert comparison_warnings(compare_runs(runs)) == []
    other = replace(runs[1], task=replace(runs[1].task, training_digest="other"))
    assert "Trained on other samples" in comparison_warnings(compare_runs([runs[0], other]))[0]


def test_the_page_is_valid(runs: list[RunFiles]) -> None:
    comparison = compare_runs(runs)
    for figure in (metric_figure(comparison), difference_figure(comparison), weight_figure(comparison)):
        plotly.graph_objects.Figure(figure)
    assert "b/version_0" in build_comparison(comparison)
