"""Comparisons of runs whose samples may have several labels, against scikit-learn and a bootstrap by hand."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy
import plotly.graph_objects
import polars
import pytest
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, balanced_accuracy_score, f1_score, roc_auc_score

from base.errors import InputError
from reports.analysis.intervals import moved_bounds
from reports.analysis.label_intervals import draw_resamples
from reports.compared_runs import Comparison, compare_runs
from reports.figures.comparison_figures import difference_figure, metric_figure, weight_figure
from reports.metric_titles import MULTILABEL_METRICS
from reports.paired_labels import PairedLabels, pair_labels
from reports.run_comparison import answers, build_comparison, comparison_warnings, metric_rows, noise_text
from reports.run_files import RunFiles
from tests.reports.made_label_run import made_label_runs, made_labels, made_scores
from tests.reports.made_run import moved

TRAINING = [60, 30, 20, 15, 12, 10]


@pytest.fixture(scope="module")
def labels() -> NDArray[Any]:
    """Six labels of 160 rows; a fifth is not known, and none is known to have the last label."""
    return made_labels(160, 6, 1)


@pytest.fixture(scope="module")
def scores(labels: NDArray[Any]) -> list[NDArray[Any]]:
    return [made_scores(labels, help_, seed).astype(float).round(2) for seed, help_ in enumerate((0.1, 0.8))]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, labels: NDArray[Any], scores: list[NDArray[Any]]) -> list[RunFiles]:
    return made_label_runs(tmp_path_factory.mktemp("runs"), labels, *scores)


@pytest.fixture(scope="module")
def comparison(runs: list[RunFiles]) -> Comparison:
    return compare_runs(runs)


def paired(comparison: Comparison) -> PairedLabels:
    assert isinstance(comparison.tests, PairedLabels)
    return comparison.tests


def test_the_metrics_are_those_of_scikit_learn(
    comparison: Comparison, labels: NDArray[Any], scores: list[NDArray[Any]]
) -> None:
    for own, shares in zip(comparison.metrics, scores, strict=True):
        found: dict[str, list[float]] = {name: [] for name in ("average_precision", "auroc", "macro_f1")}
        found["balanced_accuracy"] = []
        for label in range(5):
            known = labels[:, label] >= 0
            truth, score = labels[known, label], shares[known, label]
            found["average_precision"].append(float(average_precision_score(truth, score)))
            found["auroc"].append(float(roc_auc_score(truth, score)))
            found["macro_f1"].append(float(f1_score(truth, score > 0.6)))
            found["balanced_accuracy"].append(float(balanced_accuracy_score(truth, score > 0.6)))
        for name, values in found.items():
            assert own[f"test/{name}"] == pytest.approx(numpy.mean(values)), name
        names = comparison.classes
        of_label = [own[f"test/average_precision/{name}"] for name in names]
        assert of_label == [*(pytest.approx(value) for value in found["average_precision"]), None]
        for group in ("head", "middle", "tail"):
            mean = numpy.mean([found["average_precision"][k] for k in range(5) if comparison.groups[k] == group])
            assert own[f"test/{group}_average_precision"] == pytest.approx(mean), group
        known = labels >= 0
        assert own["test/micro_f1"] == pytest.approx(f1_score(labels[known], shares[known] > 0.6))


def gains_by_hand(
    labels: NDArray[Any], scores: list[NDArray[Any]], resamples: int
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Average precision of each label by the second run minus that by the first: (5, 1 + R), and its mean."""
    weights = draw_resamples(numpy.arange(len(labels)) // 2, resamples).astype(int)
    gains = numpy.full((5, resamples + 1), numpy.nan)
    for case in range(resamples + 1):
        rows = numpy.repeat(numpy.arange(len(labels)), weights[:, case])
        for label in range(5):
            known = rows[labels[rows, label] >= 0]
            truth = labels[known, label]
            if truth.any():
                first, second = (average_precision_score(truth, own[known, label]) for own in scores)
                gains[label, case] = second - first
    return gains, numpy.nanmean(gains, axis=0)


def bounds_by_hand(gain: NDArray[Any]) -> tuple[float, float]:
    drawn = gain[1:][~numpy.isnan(gain[1:])]
    low, high = numpy.quantile(drawn, (0.025, 0.975)).tolist()
    return moved_bounds(low, high, float(gain[0] - drawn.mean()))


def test_differences_are_those_of_a_bootstrap_by_hand(
    runs: list[RunFiles], comparison: Comparison, labels: NDArray[Any], scores: list[NDArray[Any]]
) -> None:
    tests = pair_labels(runs, comparison.groups, 40)
    assert isinstance(tests, PairedLabels)
    of_label, means = gains_by_hand(labels, scores, 40)
    one = tests.differences[1, 0]["average_precision"]
    assert (one.value, one.low, one.high) == pytest.approx((means[0], *bounds_by_hand(means)))
    assert one.value > 0
    back = tests.differences[0, 1]["average_precision"]
    assert (back.value, back.low, back.high) == pytest.approx((-one.value, -one.high, -one.low))
    clear = [bounds_by_hand(own)[0] > 0 or bounds_by_hand(own)[1] < 0 for own in of_label]
    positive = [len({row // 2 for row in numpy.flatnonzero(own == 1).tolist()}) for own in labels.T]
    assert tests.samples.tolist() == positive
    assert min(positive[:5]) >= 6
    assert tests.clear_classes(1).tolist() == [*clear, False]
    assert len(set(clear)) == 2
    assert not tests.clear_classes(0).any()


def test_a_label_of_five_samples_is_never_clear(tmp_path: Path) -> None:
    labels = numpy.zeros((60, 2), dtype=int)
    labels[:24:2, 0], labels[:10:2, 1] = 1, 1
    drawn = numpy.random.default_rng(0).random(labels.shape)
    tests = paired(compare_runs(made_label_runs(tmp_path, labels, drawn, (drawn + labels) / 2)))
    assert tests.samples.tolist() == [12, 5]
    assert tests.clear_classes(1).tolist() == [True, False]
    low, high = tests.score_bounds(0)
    assert low[0] < high[0]
    assert numpy.isnan([low[1], high[1]]).all()


def test_the_first_sentence_says_whether_a_run_is_better(comparison: Comparison) -> None:
    gain = paired(comparison).differences[1, 0]
    (said,) = answers(comparison)
    first, second = (own["test/average_precision"] for own in comparison.metrics)
    assert said.startswith(
        "b/version_0 is better than a/version_0: macro average precision "
        f"{second:.3f} against {first:.3f}, a difference of +{gain['average_precision'].value:.3f} [+0."
    )
    assert re.search(r"; head \S+ \[\S+ to \S+\]; tail \S+ \[\S+ to \S+\]\.$", said)
    (swapped,) = answers(compare_runs(list(comparison.runs[::-1])))
    assert "a/version_0 is worse than b/version_0: macro" in swapped


def test_metrics_have_titles_samples_and_bold_values(comparison: Comparison) -> None:
    rows = {row["title"]: row for row in metric_rows(comparison)}
    assert list(rows) == list(MULTILABEL_METRICS.values())
    row = rows["Average precision (macro)"]
    # Two rows are one drug.
    assert row["samples"] == "80"
    assert [cell["best"] for cell in row["cells"]] == [False, True]
    assert row["cells"][0]["difference"] == ""
    assert row["cells"][1]["difference"].startswith("+0.")


def test_of_three_runs_a_tie_is_not_bold(comparison: Comparison) -> None:
    first, second = comparison.runs
    twin = moved(second, second.folder.parent / "version_1")
    row = metric_rows(compare_runs([first, second, twin]))[0]
    assert [cell["best"] for cell in row["cells"]] == [False, False, False]


def payload_of(page: str) -> dict[str, Any]:
    found = re.search(r'id="payload">(.*?)</script>', page)
    assert found is not None
    payload: dict[str, Any] = json.loads(found.group(1))
    return payload


def test_the_page_answers_first_and_has_the_tables(comparison: Comparison) -> None:
    page = build_comparison(comparison)
    body = page[page.index("<body>") : page.index("<noscript>")]
    assert f'<h1 class="answer">{answers(comparison)[0]}</h1>' in body
    assert "Average precision of every label" in body
    assert "Label weights in training" in body
    assert re.search(r"classes|McNemar|Wilson|ecall\b", body) is None
    payload = payload_of(page)
    tests = paired(comparison)
    assert payload["test"] == tests.samples.tolist()
    assert payload["clear"][1] == tests.clear_classes(1).tolist()
    assert payload["training"] == TRAINING
    assert payload["titles"]["class"] == "Label"
    assert payload["scores"][1][5] is None
    expected = [own["test/average_precision/class 0002 <b>"] for own in comparison.metrics]
    assert [own[2] for own in payload["scores"]] == [pytest.approx(value, abs=6e-5) for value in expected]


def test_the_figures_are_about_average_precision(comparison: Comparison) -> None:
    for figure in (metric_figure(comparison), difference_figure(comparison), weight_figure(comparison)):
        plotly.graph_objects.Figure(figure)
    for trace, own in zip(metric_figure(comparison)["data"], comparison.metrics, strict=True):
        assert trace["y"][0] == own["test/average_precision"]
        assert min(trace["error_y"]["array"]) > 0
    figure = difference_figure(comparison)
    (trace,) = figure["data"]
    assert trace["y"][:5] == pytest.approx((comparison.scores[1] - comparison.scores[0])[:5], abs=1e-4)
    assert trace["y"][5] is None
    assert trace["x"] == TRAINING
    clear = paired(comparison).clear_classes(1)
    assert trace["marker"]["opacity"] == [0.9 if own else 0.35 for own in clear]
    assert trace["text"][5].endswith("(0 test samples with it)")
    assert figure["layout"]["yaxis"]["title"]["text"] == "Difference in average precision"


@pytest.mark.parametrize("column", ["row", "smiles", "true_labels", "unknown_labels"])
def test_other_test_samples_have_no_intervals(runs: list[RunFiles], column: str) -> None:
    first, second = runs
    assert second.predictions is not None
    changed = second.predictions.with_columns(polars.col(column).shift(1))
    comparison = compare_runs([first, replace(second, predictions=changed)])
    assert "are not those of" in noise_text(comparison)
    assert answers(comparison) == []
    assert [cell["text"] for cell in metric_rows(comparison)[0]["cells"]] == ["0.250", "0.250"]
    page = build_comparison(comparison)
    assert payload_of(page)["test"] is None
    assert "within noise" not in page


def test_labels_that_cannot_be_judged_or_told_apart_are_a_reason(runs: list[RunFiles], tmp_path: Path) -> None:
    everywhere = numpy.ones((4, 2), dtype=int)
    found = compare_runs(made_label_runs(tmp_path, everywhere, everywhere / 2, everywhere / 3))
    assert "no label has training samples in every run and test samples both" in noise_text(found)
    names = ("none", *runs[0].task.classes[1:])
    unclear = [replace(run, task=replace(run.task, classes=names)) for run in runs]
    assert "since the label 'none' cannot be told from others" in noise_text(compare_runs(unclear))


def test_probabilities_that_lost_the_order_of_samples_are_a_reason(
    runs: list[RunFiles], comparison: Comparison
) -> None:
    of_labels = {name: one for name, one in comparison.metrics[1].items() if "average_precision/" in name}
    for lost, expected in ((0.004, "Brackets are"), (0.006, "are too near 1 to rank its samples")):
        before = {name: None if one is None else one + lost for name, one in of_labels.items()}
        found = compare_runs([runs[0], replace(runs[1], metrics={**runs[1].metrics, **before})])
        assert expected in noise_text(found)


def test_labels_that_one_run_never_saw_are_in_no_mean(runs: list[RunFiles], comparison: Comparison) -> None:
    counts = (0, *TRAINING[1:])
    found = compare_runs([runs[0], replace(runs[1], task=replace(runs[1].task, class_counts=counts))])
    expected = comparison.scores[0, 1:5].mean()
    assert found.metrics[0]["test/average_precision"] == pytest.approx(expected)
    assert numpy.isnan(found.scores[:, 0]).all()


def test_of_many_rows_some_are_drawn_and_the_page_says_so(
    runs: list[RunFiles], comparison: Comparison, labels: NDArray[Any], scores: list[NDArray[Any]]
) -> None:
    tests = pair_labels(runs, comparison.groups, 20, most=100)
    assert isinstance(tests, PairedLabels)
    rows = [numpy.flatnonzero((scores[0] == own).all(axis=1)) for own in tests.found[0].scores]
    assert (numpy.diff(numpy.concatenate(rows)) > 0).all()
    assert len(rows) == 100
    for row, own, second in zip(rows, tests.labels, tests.found[1].scores, strict=True):
        assert own.tolist() == labels[row[0]].tolist()
        assert second.tolist() == scores[1][row[0]].tolist()
    assert comparison_warnings(comparison) == []
    (said,) = comparison_warnings(replace(comparison, tests=tests))
    assert said == "All scores are based on 100 of 160 test rows, drawn at random."


def test_one_label_and_several_are_not_compared(runs: list[RunFiles]) -> None:
    single = moved(replace(runs[0], task=replace(runs[0].task, known_counts=())), Path("single"))
    for mixed in ([single, runs[0]], [runs[0], single]):
        with pytest.raises(InputError) as error:
            compare_runs(mixed)
        assert str(error.value) == (
            "RUN: expected runs that all have one label a sample, or all several, got one in single and several in "
            f"{runs[0].folder}."
        )


def test_other_labels_are_refused(runs: list[RunFiles]) -> None:
    names = runs[1].task.classes
    for classes, said in (((*names[:5], "x"), "'x' only in "), (names[::-1], ", in another order.")):
        other = replace(runs[1], task=replace(runs[1].task, classes=classes))
        with pytest.raises(InputError, match=r"^RUN: expected runs with the same labels, got 6 in ") as error:
            compare_runs([runs[0], other])
        assert said in str(error.value)
