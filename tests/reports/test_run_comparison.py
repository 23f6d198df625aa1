from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy
import plotly.graph_objects
import polars
import pytest
from sklearn.metrics import balanced_accuracy_score

from base.errors import InputError
from reports.analysis.intervals import wilson
from reports.compared_runs import compare_runs
from reports.figures.comparison_figures import difference_figure, metric_figure, weight_figure
from reports.paired_tests import PairedTests
from reports.run_comparison import answers, build_comparison, comparison_warnings, metric_rows, noise_text, setting_rows
from reports.run_files import RunFiles
from tests.reports.made_run import made_run, moved

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


def bold(runs: list[RunFiles]) -> dict[str, list[bool]]:
    return {row["title"]: [cell["best"] for cell in row["cells"]] for row in metric_rows(compare_runs(runs))}


def test_without_predictions_nothing_is_called_better(runs: list[RunFiles]) -> None:
    assert bold(runs) == {
        "Balanced accuracy": [False, False],
        "Calibration error before calibration (lower is better)": [False, False],
    }
    comparison = compare_runs(runs)
    assert answers(comparison) == []
    assert f"there is no test_predictions.csv in {runs[0].folder}" in noise_text(comparison)
    assert {opacity for trace in difference_figure(comparison)["data"] for opacity in trace["marker"]["opacity"]} == {
        0.35
    }


def with_predictions(runs: list[RunFiles], *predicted: list[int], labels: list[int]) -> list[RunFiles]:
    """The runs with predictions of the same samples; classes by their code."""
    names = runs[0].task.classes
    found = []
    for run, codes in zip(runs, predicted, strict=True):
        columns: dict[str, Any] = {
            "row": range(1, len(labels) + 1),
            "smiles": [f"C{place}" for place in range(len(labels))],
            "true_label": [names[code] for code in labels],
            "predicted_label": [names[code] for code in codes],
            "split": ["test"] * len(labels),
        }
        metrics = run.metrics | {"test/balanced_accuracy": float(balanced_accuracy_score(labels, codes))}
        found.append(replace(run, predictions=polars.DataFrame(columns), metrics=metrics))
    return found


LABELS = [0] * 40 + [1] * 20 + [2] * 10


def test_more_than_noise_is_bold_and_called_better(runs: list[RunFiles]) -> None:
    worse = [code if place % 2 else (code + 1) % 3 for place, code in enumerate(LABELS)]
    found = with_predictions(runs, worse, LABELS, labels=LABELS)
    assert bold(found)["Balanced accuracy"] == [False, True]
    # Probabilities of all classes would be needed for its interval.
    assert bold(found)["Calibration error before calibration (lower is better)"] == [False, False]
    comparison = compare_runs(found)
    (said,) = answers(comparison)
    assert said.startswith(
        "b/version_0 is better than a/version_0: balanced accuracy 1.000 against 0.500, a difference"
    )
    assert re.search(r"; head \+0\.500 \[\+0\.\d{3} to \+0\.\d{3}\]; tail \+0\.500 \[.*\]\.$", said)
    row = next(row for row in metric_rows(comparison) if row["title"] == "Balanced accuracy")
    assert row["samples"] == "70"
    assert row["cells"][0]["difference"] == ""
    assert row["cells"][1]["difference"].startswith("+0.500 [+0.")
    (swapped,) = answers(compare_runs(found[::-1]))
    assert "a/version_0 is worse than b/version_0" in swapped
    # Twenty, ten and five samples that one run alone gets right.
    assert difference_figure(comparison)["data"][0]["marker"]["opacity"] == [0.9, 0.9, 0.35]


def test_rows_of_one_sample_are_one_vote(runs: list[RunFiles]) -> None:
    labels = [0] * 60 + [1] * 10
    worse = [1] * 20 + labels[20:]
    # Twenty rows that one run alone gets right are four drugs.
    smiles = [f"{'C' * (place // 5 + 1)}O" for place in range(70)]
    found = with_predictions(runs, worse, labels, labels=labels)
    assert bold(found)["Balanced accuracy"] == [False, True]
    tests = compare_runs(found).tests
    assert isinstance(tests, PairedTests)
    assert tests.clear_classes(1).tolist() == [True, False, False]
    same = [
        replace(run, predictions=run.predictions.with_columns(smiles=polars.Series(smiles)))
        for run in found
        if run.predictions is not None
    ]
    assert bold(same)["Balanced accuracy"] == [False, False]
    tests = compare_runs(same).tests
    assert isinstance(tests, PairedTests)
    assert tests.clear_classes(1).tolist() == [False] * 3
    assert tests.samples.tolist() == [12, 2, 0]
    assert (tests.samples_of("accuracy"), tests.samples_of("calibration_error")) == (14, 14)
    low, high = wilson(numpy.array([8]), numpy.array([12]))
    assert [bound[0] for bound in tests.score_bounds(0)] == pytest.approx([low[0], high[0]])


def test_noise_is_not_bold(runs: list[RunFiles]) -> None:
    one, other = list(LABELS), list(LABELS)
    one[:4], other[4:7] = [1] * 4, [1] * 3
    found = with_predictions(runs, one, other, labels=LABELS)
    assert bold(found)["Balanced accuracy"] == [False, False]
    (said,) = answers(compare_runs(found))
    assert "is not clearly different from" in said
    assert set(difference_figure(compare_runs(found))["data"][0]["marker"]["opacity"]) == {0.35}


def test_of_three_runs_the_best_must_be_better_than_both(runs: list[RunFiles]) -> None:
    worse = [code if place % 2 else (code + 1) % 3 for place, code in enumerate(LABELS)]
    several = [*runs, moved(runs[1], runs[1].folder.parent / "version_1")]
    for third, expected in (([*LABELS[:-1], 0], [False] * 3), (worse, [False, True, False])):
        found = with_predictions(several, worse, LABELS, third, labels=LABELS)
        assert bold(found)["Balanced accuracy"] == expected


def test_other_test_samples_are_not_compared(runs: list[RunFiles]) -> None:
    first, second = with_predictions(runs, LABELS, LABELS, labels=LABELS)
    assert second.predictions is not None
    other = replace(second, predictions=second.predictions.with_columns(row=polars.col("row") + 1))
    assert "are not those of" in noise_text(compare_runs([first, other]))
    assert "are not those of" in noise_text(compare_runs([first, replace(second, predictions=second.predictions[:-1])]))


def test_rows_are_the_same_with_ids_and_without(runs: list[RunFiles]) -> None:
    first, second = with_predictions(runs, LABELS, LABELS, labels=LABELS)
    assert first.predictions is not None
    named = replace(first, predictions=first.predictions.with_columns(id=polars.col("row").cast(polars.String)))
    found = compare_runs([named, second]).tests
    assert isinstance(found, PairedTests)
    assert found.codes.tolist() == LABELS


def test_noise_is_explained_only_where_it_is_known(runs: list[RunFiles]) -> None:
    sentences = ("Pale points are within noise", "Brackets are", "gray differences are within noise")
    for found, known in ((runs, False), (with_predictions(runs, LABELS, LABELS, labels=LABELS), True)):
        page = build_comparison(compare_runs(found))
        assert [sentence in page for sentence in sentences] == [known] * 3


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


def test_a_checkpoint_that_was_not_tested_is_refused(runs: list[RunFiles]) -> None:
    last = replace(runs[1], checkpoint=runs[1].checkpoint.with_name("last.ckpt"))
    with pytest.raises(InputError, match=r"expected the folder of a run or its best\.ckpt, .*, got '.*last\.ckpt'"):
        compare_runs([runs[0], last])


def test_other_training_samples_are_a_warning(runs: list[RunFiles]) -> None:
    assert comparison_warnings(compare_runs(runs)) == []
    other = replace(runs[1], task=replace(runs[1].task, training_digest="other"))
    assert "Trained on other samples" in comparison_warnings(compare_runs([runs[0], other]))[0]


def test_the_page_is_valid(runs: list[RunFiles]) -> None:
    comparison = compare_runs(runs)
    for figure in (metric_figure(comparison), difference_figure(comparison), weight_figure(comparison)):
        plotly.graph_objects.Figure(figure)
    assert "b/version_0" in build_comparison(comparison)
