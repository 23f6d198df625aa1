import os
import re
import subprocess
import sys
from collections.abc import Sequence
from math import nan, sqrt
from pathlib import Path
from typing import Any

import numpy
import polars
import pytest
from scipy import stats

from experiments.rank_plot import plot_ranks
from experiments.result_tables import method_scores, rank_summary, summarize, to_latex, to_markdown

Cells = list[dict[str, Any]]

# The quantile of t with two degrees of freedom at 0.975, see test_paired_statistics.py.
QUANTILE = 0.95 * sqrt(2 / (1 - 0.95**2))
BASELINE = [0.5, 0.6, 0.7]

ROOT = Path(__file__).resolve().parents[2]


def runs(
    method: str,
    scores: Sequence[float | None],
    *,
    data: str = "hiv",
    encoder: str = "gin",
    head: float = 0.8,
    tail: float = 0.4,
) -> Cells:
    """Two seeds of each split, their scores 0.02 above and below; a split whose score is None has failed.

    Differences of head and tail to runs with another head and tail vary by 1 % from split to split.
    """
    return [
        {
            "data": data,
            "encoder": encoder,
            "method": method,
            "split_seed": split,
            "seed": seed,
            "state": "failed" if score is None else "complete",
            "train_samples": 400,
            "test_samples": 100,
            "seconds": 10.0 + seed,
            "balanced_accuracy": None if score is None else score + (0.02 if seed else -0.02),
            "accuracy": None if score is None else 0.9,
            "auroc": None if score is None else 0.75 + split / 100,
            "head_accuracy": None if score is None else head + split / 1000 + (split - 1) * (head - 0.8) / 100,
            "middle_accuracy": None,
            "tail_accuracy": None if score is None else tail - split / 1000 + (split - 1) * (tail - 0.4) / 100,
            "note": "of no use",
        }
        for split, score in enumerate(scores)
        for seed in (0, 1)
    ]


def frame(*groups: Cells) -> polars.DataFrame:
    return polars.DataFrame([row for rows in groups for row in rows], infer_schema_length=None)


def rows_by_method(summary: polars.DataFrame) -> dict[str, dict[str, Any]]:
    return {row["method"]: row for row in summary.to_dicts()}


class TestSummarise:
    def test_hand_computed(self) -> None:
        cells = frame(
            runs("cross_entropy", BASELINE),
            runs("ldam", [0.4, 0.6, 0.8]),
            runs("focal", [0.6, 0.7, 0.9], head=0.7, tail=0.6),
        )
        summary = summarize(cells, "cross_entropy")
        assert summary["method"].to_list() == ["focal", "cross_entropy", "ldam"]
        focal, ldam = (rows_by_method(summary)[method] for method in ("focal", "ldam"))
        # Variance of 0.6, 0.7, 0.9 is 7/300, of the differences 0.1, 0.1, 0.2 it is 1/300, each times 1/3 + 1/4.
        # The upper bound of the mean would be 1.24, which is no score.
        mean_margin, margin = QUANTILE * sqrt(49 / 3600), QUANTILE * sqrt(7 / 3600)
        expected = {
            **{"splits": 3, "paired_splits": 3, "is_baseline": False, "seconds": 10.5, "accuracy": 0.9},
            **{"mean": 11 / 15, "low": 11 / 15 - mean_margin, "high": 1},
            **{"difference": 2 / 15, "difference_low": 2 / 15 - margin, "difference_high": 2 / 15 + margin},
            # t is 8 / sqrt(7), and two degrees of freedom give p = 1 - t / sqrt(2 + t^2).
            **{"p_value": 1 - 8 / sqrt(78), "p_holm": 2 - 16 / sqrt(78), "effect_size": 2 / 15 * sqrt(300)},
            **{"head": 0.701, "middle": None, "tail": 0.599, "head_difference": -0.1, "tail_difference": 0.2},
        }
        assert {name: focal[name] for name in expected} == pytest.approx(expected, abs=1e-9)
        assert (ldam["difference"], ldam["effect_size"]) == pytest.approx((0, 0), abs=1e-12)
        assert (ldam["p_value"], ldam["p_holm"]) == pytest.approx((1, 1))

    def test_the_baseline_is_not_compared_with_itself_nor_counted_by_holm(self) -> None:
        summary = summarize(frame(runs("cross_entropy", BASELINE), runs("focal", [0.6, 0.7, 0.9])), "cross_entropy")
        baseline, focal = (rows_by_method(summary)[method] for method in ("cross_entropy", "focal"))
        assert baseline["is_baseline"] is True
        assert baseline["mean"] == pytest.approx(0.6)
        assert all(
            baseline[name] is None for name in ("difference", "difference_low", "p_value", "p_holm", "effect_size")
        )
        assert baseline["trade"] is False
        assert focal["p_holm"] == focal["p_value"]

    def test_only_splits_that_both_completed_are_paired(self) -> None:
        cells = frame(runs("cross_entropy", [0.5, None, 0.7, 0.1]), runs("focal", [0.6, 0.9, 0.9]))
        focal = rows_by_method(summarize(cells.sample(fraction=1, shuffle=True, seed=0), "cross_entropy"))["focal"]
        assert (focal["splits"], focal["paired_splits"]) == (3, 2)
        assert focal["mean"] == pytest.approx(0.8)
        assert focal["difference"] == pytest.approx(0.15)
        # Of differences 0.1 and 0.2: half of their distance is their mean's deviation, so that d = 0.15 / sqrt(0.005).
        assert focal["effect_size"] == pytest.approx(0.15 / sqrt(0.005))

    def test_a_split_counts_once_however_many_seeds_it_has(self) -> None:
        cells = frame(runs("cross_entropy", BASELINE), runs("focal", [0.6, 0.7, 0.9]))
        fewer = cells.filter(~((polars.col("split_seed") == 2) & (polars.col("seed") == 1)))
        focal = rows_by_method(summarize(fewer, "cross_entropy"))["focal"]
        assert focal["splits"] == 3
        assert focal["mean"] == pytest.approx((0.6 + 0.7 + 0.88) / 3)

    def test_one_split_has_a_difference_but_no_interval(self) -> None:
        focal = rows_by_method(summarize(frame(runs("base", [0.5]), runs("focal", [0.6])), "base"))["focal"]
        assert focal["difference"] == pytest.approx(0.1)
        assert all(focal[name] is None for name in ("low", "high", "difference_low", "p_value", "p_holm"))
        assert focal["trade"] is False

    def test_the_baseline_is_of_the_same_encoder_or_of_the_first_that_has_it(self) -> None:
        cells = frame(
            runs("base", [0.5, 0.5], encoder="gin"),
            runs("focal", [0.6, 0.7], encoder="gin"),
            runs("base", [0.1, 0.1], encoder="ecfp"),
            runs("focal", [0.6, 0.7], encoder="ecfp"),
            runs("focal", [0.6, 0.7], encoder="afp"),
        )
        summary = summarize(cells, "base").filter(method="focal").sort("encoder")
        assert summary["encoder"].to_list() == ["afp", "ecfp", "gin"]
        assert summary["difference"].to_list() == pytest.approx([0.55, 0.55, 0.15])

    def test_holm_counts_the_rows_of_a_data_set_with_the_same_baseline_whatever_their_encoder(self) -> None:
        both = (runs("base", BASELINE), runs("focal", [0.6, 0.7, 0.9]))
        forest = runs("forest", [0.5, 0.7, 0.9], encoder="ecfp")
        graph = (runs("base", BASELINE, encoder="graph"), runs("focal", [0.6, 0.7, 0.9], encoder="graph"))
        rows = summarize(frame(*both, forest, *graph), "base").filter(~polars.col("is_baseline"))
        focal, other = (rows.row(by_predicate=polars.col("encoder") == name, named=True) for name in ("gin", "ecfp"))
        # The differences of forest are 0, 0.1 and 0.2: t is sqrt(12 / 7).
        assert (focal["p_value"], other["p_value"]) == pytest.approx((1 - 8 / sqrt(78), 1 - sqrt(6 / 13)))
        assert focal["p_holm"] == pytest.approx(2 * focal["p_value"])
        assert other["p_holm"] == pytest.approx(other["p_value"])
        assert rows.filter(encoder="graph")["p_holm"].item() == pytest.approx(focal["p_value"])

    def test_holm_counts_the_methods_of_one_data_set(self) -> None:
        both = (runs("base", BASELINE), runs("focal", [0.6, 0.7, 0.9]))
        others = (runs("base", BASELINE, data="tox"), runs("focal", [0.6, 0.7, 0.9], data="tox"))
        alone = summarize(frame(*both), "base")
        assert summarize(frame(*both, *others), "base").filter(data="hiv").equals(alone)

    @pytest.mark.parametrize(
        ("head", "tail", "trade"), [(0.7, 0.5, True), (0.9, 0.5, False), (0.7, 0.3, False), (0.8, 0.5, False)]
    )
    def test_trade_is_a_tail_that_gains_and_a_head_that_loses(self, head: float, tail: float, trade: bool) -> None:
        cells = frame(runs("base", BASELINE), runs("focal", BASELINE, head=head, tail=tail))
        focal = rows_by_method(summarize(cells, "base"))["focal"]
        assert focal["trade"] is trade
        assert (focal["tail_difference_low"] > 0) is (tail > 0.4)

    def test_a_gain_that_chance_explains_is_no_trade(self) -> None:
        noisy = frame(runs("base", BASELINE), runs("focal", BASELINE, head=0.7, tail=0.5)).with_columns(
            polars.col("tail_accuracy") + 0.3 * polars.col("split_seed") * (polars.col("method") == "focal")
        )
        focal = rows_by_method(summarize(noisy, "base"))["focal"]
        assert focal["tail_difference"] > 0 > focal["tail_difference_low"]
        assert focal["trade"] is False

    def test_another_metric_and_scores_that_are_nan(self) -> None:
        cells = frame(runs("base", BASELINE), runs("focal", [0.6, 0.7, 0.9])).with_columns(
            tail_accuracy=polars.when(split_seed=0).then(nan).otherwise("tail_accuracy")
        )
        focal = rows_by_method(summarize(cells, "base", metric="tail_accuracy"))["focal"]
        assert (focal["splits"], focal["mean"]) == pytest.approx((2, 0.3985))
        assert focal["tail"] == focal["mean"]

    def test_no_complete_run_is_no_row(self) -> None:
        summary = summarize(frame(runs("base", [None, None])), "base")
        assert summary.height == 0
        assert "p_holm" in summary.columns
        assert to_markdown(summary) == to_latex(summary) == ""

    def test_a_baseline_that_failed_leaves_the_others_uncompared(self) -> None:
        summary = summarize(frame(runs("base", [None]), runs("focal", [0.6])), "base")
        assert summary.select("method", "mean", "difference", "paired_splits").rows() == [("focal", 0.6, None, 0)]

    def test_the_table_is_written_as_csv_and_read_back(self, tmp_path: Path) -> None:
        summary = summarize(frame(runs("base", BASELINE), runs("focal", [0.6, 0.7, 0.9])), "base")
        summary.write_csv(tmp_path / "table.csv")
        assert polars.read_csv(tmp_path / "table.csv", schema=summary.schema).equals(summary)

    def test_wrong_arguments(self) -> None:
        cells = frame(runs("focal", BASELINE), runs("base", BASELINE))
        with pytest.raises(ValueError, match="baseline must be one of the methods base, focal, got 'cross_entropy'"):
            summarize(cells, "cross_entropy")
        with pytest.raises(ValueError, match="metric must be a column of cells, got 'auc'"):
            summarize(cells, "base", metric="auc")


def three_methods(*data_sets: str) -> polars.DataFrame:
    scores: dict[str, list[float]] = {"base": [0.5, 0.6], "focal": [0.6, 0.7], "ldam": [0.8, 0.7]}
    return frame(*(runs(method, scores[method], data=data) for data in data_sets for method in scores))


class TestRankSummary:
    def test_hand_computed(self) -> None:
        ranked, sentence = rank_summary(three_methods("bace", "hiv", "tox", "clintox"))
        assert ranked.rows() == [("ldam", 1.0), ("focal", 2.0), ("base", 3.0)]
        # Friedman's statistic is 8 with two degrees, see test_paired_statistics.py: exp(-4) = 0.018.
        assert sentence == "Friedman's test of equal ranks, 3 methods on 4 data sets: p = 0.018."

    def test_methods_that_a_data_set_lacks_are_left_out(self) -> None:
        cells = frame(three_methods("hiv", "tox").to_dicts(), runs("seesaw", [0.9], data="hiv"))
        assert rank_summary(cells)[0]["method"].to_list() == ["ldam", "focal", "base"]
        failed = frame(cells.to_dicts(), runs("seesaw", [None], data="tox"))
        assert rank_summary(failed)[0].equals(rank_summary(cells)[0])

    def test_only_splits_that_all_methods_have_count(self) -> None:
        # On the first split, which is all that focal has, base is better than ldam; over both it is worse.
        scores = {"base": [0.7, 0.2], "focal": [0.5], "ldam": [0.6, 0.9]}
        cells = frame(*(runs(method, scores[method], data=data) for data in ("hiv", "tox") for method in scores))
        assert rank_summary(cells)[0]["method"].to_list() == ["base", "ldam", "focal"]
        apart = frame(cells.to_dicts(), runs("seesaw", [None, 0.5]), runs("seesaw", [0.5], data="tox"))
        assert method_scores(apart, "balanced_accuracy")[0] == []

    def test_with_several_encoders_a_method_is_named_after_its_encoder(self) -> None:
        cells = three_methods("hiv", "tox")
        names, scores = method_scores(frame(cells.to_dicts(), runs("base", [0.1], encoder="ecfp")), "balanced_accuracy")
        assert names == ["gin base", "gin focal", "gin ldam"]
        assert scores == pytest.approx(numpy.array([[0.55, 0.65, 0.75]] * 2))

    def test_too_few_for_a_test(self) -> None:
        ranked, sentence = rank_summary(three_methods("hiv"))
        assert ranked["mean_rank"].to_list() == [1, 2, 3]
        assert sentence == "Friedman's test needs three methods on two data sets; there are 3 methods on 1 data set."
        nothing, sentence = rank_summary(frame(runs("base", [0.5]), runs("focal", [0.5], data="tox")))
        assert nothing.height == 0
        assert sentence.endswith("there are 0 methods on 2 data sets.")

    def test_all_tied(self) -> None:
        cells = three_methods("hiv", "tox").with_columns(balanced_accuracy=0.5)
        assert rank_summary(cells)[1] == "Friedman's test is undefined: all ranks of 3 methods on 2 data sets are tied."


def traded(data: str = "hiv") -> Cells:
    return [
        *runs("cross_entropy", BASELINE, data=data),
        *runs("focal|x_1", [0.6, 0.7, 0.9], data=data, head=0.7, tail=0.6),
        *runs("ldam-100%", [0.4, 0.5, None], data=data),
    ]


class TestMarkdown:
    def test_a_table(self) -> None:
        lines = to_markdown(summarize(frame(traded()), "cross_entropy")).splitlines()
        assert lines[0] == "### hiv"
        assert lines[2] == (
            "| method | splits | balanced accuracy [95% interval] | difference [95% interval] "
            "| p (Holm) | effect | head | middle | tail | accuracy | AUROC | time (s) |"
        )
        # Margins 4.302653 * 7 / 60 and 4.302653 * sqrt(7) / 60; p is 0.0942.
        assert lines[4] == (
            r"| focal\|x_1 † | 3 | 0.733 [0.231, 1.000] | +0.133 [-0.056, +0.323] "
            "| 0.094 | +2.309 | 0.701 | – | 0.599 | 0.900 | 0.760 | 10.5 |"
        )
        assert "| cross_entropy | 3 | 0.600 [0.271, 0.929] | baseline | – | – | 0.801 |" in lines[5]
        # The differences are -0.1 and -0.1, which says nothing of others.
        assert "| -0.100 | – | -inf |" in lines[6]
        assert lines[8].startswith("† The tail gains")

    def test_no_dagger_without_a_trade(self) -> None:
        assert "†" not in to_markdown(summarize(three_methods("hiv"), "base"))

    def test_a_table_for_each_data_set_and_encoders_where_there_are_several(self) -> None:
        cells = frame(traded(), traded("tox"), runs("focal", [0.6], encoder="ecfp"))
        text = to_markdown(summarize(cells, "cross_entropy"))
        assert re.findall(r"^### (.*)$", text, flags=re.MULTILINE) == ["hiv", "tox"]
        assert "| ecfp focal | 1 | 0.600 | +0.100 | – |" in text
        assert "| gin cross_entropy |" in text

    def test_splits_without_a_pair_are_told(self) -> None:
        summary = summarize(frame(runs("base", [0.5, None]), runs("focal", BASELINE)), "base")
        assert "| focal | 3 (1 paired) |" in to_markdown(summary)

    def test_the_title_names_the_metric(self) -> None:
        summary = summarize(three_methods("hiv"), "base", metric="accuracy")
        assert "| accuracy [95% interval] |" in to_markdown(summary, metric="accuracy")


class TestLatex:
    def test_names_are_escaped_and_signs_are_in_mathematics(self) -> None:
        text = to_latex(summarize(frame(traded("tox_21")), "cross_entropy"))
        assert r"\caption{tox\_21}" in text
        assert r"focal|x\_1$^\dagger$ & 3 & 0.733 [0.231, 1.000] & $+$0.133 [$-$0.056, $+$0.323] &" in text
        assert r"ldam-100\% & 2 & " in text
        assert r" & $-$0.100 & -- & $-$inf & " in text
        assert "† " not in text
        assert r"$^\dagger$ The tail gains" in text
        assert r"95\% interval contains" in text

    def test_rules_of_booktabs_and_as_many_cells_as_columns(self) -> None:
        text = to_latex(summarize(frame(traded(), traded("tox")), "cross_entropy"))
        for rule in (r"\toprule", r"\midrule", r"\bottomrule", r"\begin{table}", r"\end{tabular}"):
            assert text.count(rule) == 2
        assert text.count(r"\begin{tabular}{lrrrrrrrrrrr}") == 2
        assert {line.count(" & ") for line in text.splitlines() if line.endswith(r"\\")} == {11}


class TestPlotRanks:
    def test_svg_with_every_name_and_nothing_beside_it(self, tmp_path: Path) -> None:
        path = tmp_path / "new" / "ranks.svg"
        assert plot_ranks(three_methods("hiv", "tox"), "balanced_accuracy", path)
        text = path.read_text()
        assert text.startswith("<?xml")
        assert "</svg>" in text
        for label in ("ldam (1)", "focal (2)", "(3) base"):
            assert label in text
        assert list(path.parent.iterdir()) == [path]

    def test_the_same_ranks_make_the_same_file_in_every_process(self, tmp_path: Path) -> None:
        three_methods("hiv", "tox").write_csv(tmp_path / "cells.csv")
        script = (
            "import polars, sys; from pathlib import Path; from experiments.rank_plot import plot_ranks; "
            "plot_ranks(polars.read_csv(sys.argv[1]), 'balanced_accuracy', Path(sys.argv[2]))"
        )
        for seed in ("1", "2"):
            command = [sys.executable, "-c", script, str(tmp_path / "cells.csv"), str(tmp_path / f"{seed}.svg")]
            subprocess.run(command, check=True, env={**os.environ, "PYTHONHASHSEED": seed}, cwd=ROOT)
        assert len({path.read_bytes() for path in tmp_path.glob("*.svg")}) == 1

    def test_no_figure_is_left_open(self, tmp_path: Path) -> None:
        from matplotlib import pyplot

        plot_ranks(three_methods("hiv", "tox"), "balanced_accuracy", tmp_path / "ranks.svg")
        assert pyplot.get_fignums() == []

    def test_all_tied(self, tmp_path: Path) -> None:
        cells = three_methods("hiv", "tox").with_columns(balanced_accuracy=0.5)
        assert plot_ranks(cells, "balanced_accuracy", tmp_path / "ranks.svg")

    def test_nothing_to_draw(self, tmp_path: Path) -> None:
        two = three_methods("hiv", "tox").filter(polars.col("method") != "ldam")
        for cells in (three_methods("hiv"), two):
            assert not plot_ranks(cells, "balanced_accuracy", tmp_path / "ranks.svg")
        assert list(tmp_path.iterdir()) == []


def test_slow_packages_are_imported_when_they_are_needed() -> None:
    packages = {"pandas", "statsmodels", "scikit_posthocs", "matplotlib", "scipy"}
    code = f"import sys, experiments.rank_plot; print({packages} & set(sys.modules))"
    root = Path(__file__).parents[2]
    found = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert found.stdout == "set()\n"


def test_the_quantile_is_that_of_scipy() -> None:
    assert stats.t.ppf(0.975, 2) == pytest.approx(QUANTILE)
