"""Tables of a benchmark: each method against a baseline on each data set, and mean ranks over the data sets."""

from __future__ import annotations

from collections.abc import Callable
from math import isnan
from typing import Any

import numpy
import polars

from experiments.paired_statistics import Floats, Ranks, compare, corrected_interval, holm, ranks
from modules.evaluation.group_names import GROUPS

_KEYS = ("data", "encoder", "method")
_SCHEMA: dict[str, type[polars.DataType]] = {
    **dict.fromkeys(_KEYS, polars.String),
    "is_baseline": polars.Boolean,
    **dict.fromkeys(("splits", "paired_splits"), polars.Int64),
    **dict.fromkeys(("mean", "low", "high", "difference", "difference_low", "difference_high"), polars.Float64),
    **dict.fromkeys(("p_value", "p_holm", "effect_size", *GROUPS, "accuracy", "auroc"), polars.Float64),
    **dict.fromkeys(("head_difference", "head_difference_low", "head_difference_high"), polars.Float64),
    **dict.fromkeys(("tail_difference", "tail_difference_low", "tail_difference_high"), polars.Float64),
    "trade": polars.Boolean,
    "seconds": polars.Float64,
}
_TRADE_NOTE = "The tail gains on the baseline and the head loses to it: neither 95% interval contains 0."
_LATEX_NAMES = str.maketrans(
    {letter: f"\\{letter}" for letter in "&%$#_{}"}
    | {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    | {"<": r"\textless{}", ">": r"\textgreater{}"}
)
_LATEX_NUMBERS = str.maketrans({"-": "$-$", "+": "$+$", "<": "$<$", "–": "--"})


def summarize(cells: polars.DataFrame, baseline: str, metric: str = "balanced_accuracy") -> polars.DataFrame:
    """Compare each method with the baseline over the splits of each data set.

    The seeds of a split are averaged first, so that the sample size is the number of splits. Differences are taken on
    the splits that both methods completed; intervals and tests are those of `paired_statistics`. The baseline has the
    same data set and encoder or, if there is none, the first encoder of the data set that has one.

    Args:
        cells: One row per run: `data`, `encoder`, `method`, `split_seed`, `seed`, `state` ("complete" or another,
            then left out), `train_samples`, `test_samples`, `seconds`, and scores between 0 and 1, null or NaN where
            undefined: `metric`, `accuracy`, `head_accuracy`, `middle_accuracy`, `tail_accuracy` and, if known, `auroc`.
        baseline: The method that all others are compared with.
        metric: Column of the scores to compare; higher is better.

    Returns:
        One row per `data`, `encoder` and `method` with a complete run, sorted by data set, best mean first. Undefined
        values are null. The columns are:

        - `is_baseline`; `splits`, the number of splits with a score; `paired_splits`, those that the baseline also has.
        - `mean`, `low`, `high`: mean of the metric with its 95 % interval, cut at 0 and 1.
        - `difference`: to the baseline, with `difference_low` and `difference_high`.
        - `p_value`; `p_holm`, adjusted for the number of rows with the same data set and baseline, of all encoders.
        - `effect_size`: Cohen's d.
        - `head`, `middle`, `tail`, `accuracy`, `auroc`: means over splits.
        - `head_difference` and `tail_difference`, with bounds.
        - `trade`: whether the interval of the tail lies above 0 and that of the head below.
        - `seconds`: median duration of a run.

    Raises:
        ValueError: If the baseline has no row, or `metric` is not a column.
    """
    methods = sorted(cells["method"].unique())
    if baseline not in methods:
        raise ValueError(f"baseline must be one of the methods {', '.join(methods)}, got {baseline!r}")
    scores = list(dict.fromkeys([metric, *(f"{group}_accuracy" for group in GROUPS), "accuracy"]))
    cells = cells if "auroc" in cells.columns else cells.with_columns(auroc=polars.lit(None, polars.Float64))
    splits = _split_means(cells, [*scores, "auroc"] if metric != "auroc" else scores)
    rows: list[dict[str, Any]] = []
    for data in splits["data"].unique().sort():
        rows += _data_set_rows(_complete(cells).filter(data=data), splits.filter(data=data), baseline, metric)
    frame = polars.DataFrame(rows, schema=_SCHEMA, orient="row").with_columns(polars.selectors.float().fill_nan(None))
    order = ["data", "mean", "encoder", "method"]
    return frame.sort(order, descending=[False, True, False, False], nulls_last=True)


def method_scores(cells: polars.DataFrame, metric: str) -> tuple[list[str], Floats]:
    """Mean scores of the methods that every data set has, over the splits that all of them completed.

    Args:
        cells: One row per run, as for `summarize`; only complete runs count.
        metric: Column of the scores.

    Returns:
        The M names, sorted, with the encoder before the method if there are several encoders; and scores
        ``(data sets, M)``. There are no names if no method is on all data sets, or a data set has no split that all of
        them completed.

    Raises:
        ValueError: If `metric` is not a column.
    """
    splits = _split_means(cells, [metric]).drop_nulls(metric)
    name = polars.concat_str("encoder", "method", separator=" ") if splits["encoder"].n_unique() > 1 else "method"
    splits = splits.with_columns(name=name)
    data_sets = splits["data"].n_unique()
    shared = splits.filter(polars.col("data").n_unique().over("name") == data_sets)
    methods = shared["name"].n_unique()
    common = shared.filter(polars.col("name").n_unique().over("data", "split_seed") == methods)
    if common["data"].n_unique() < data_sets:
        return [], numpy.zeros((0, 0))
    means = common.group_by("data", "name").agg(polars.col(metric).mean()).sort("data", "name")
    table = means.pivot("data", index="name", values=metric).sort("name")
    return table["name"].to_list(), table.drop("name").to_numpy().T


def rank_methods(cells: polars.DataFrame, metric: str) -> tuple[list[str], Ranks | None]:
    """Rank the methods of `method_scores`; the ranks are None if there is no such method."""
    names, scores = method_scores(cells, metric)
    return names, ranks(scores) if names else None


def rank_summary(cells: polars.DataFrame, metric: str = "balanced_accuracy") -> tuple[polars.DataFrame, str]:
    """Mean ranks of the methods of `method_scores` over the data sets, with the result of Friedman's test.

    Args:
        cells: One row per run, as for `summarize`.
        metric: Column of the scores; higher is better.

    Returns:
        A frame with `method` and `mean_rank`, best first; and a sentence with the p-value or the reason why it is
        undefined.

    Raises:
        ValueError: If `metric` is not a column.
    """
    names, ranked = rank_methods(cells, metric)
    data_sets = _complete(cells)["data"].n_unique()
    mean_ranks = [] if ranked is None else ranked.mean_ranks.tolist()
    schema = {"method": polars.String, "mean_rank": polars.Float64}
    frame = polars.DataFrame({"method": names, "mean_rank": mean_ranks}, schema=schema).sort("mean_rank", "method")
    counts = f"{len(names)} method{'s' * (len(names) != 1)} on {data_sets} data set{'s' * (data_sets != 1)}"
    if ranked is None or ranked.nemenyi is None:
        return frame, f"Friedman's test needs three methods on two data sets; there are {counts}."
    if isnan(ranked.friedman_p):
        return frame, f"Friedman's test is undefined: all ranks of {counts} are tied."
    return frame, f"Friedman's test of equal ranks, {counts}: {_p_value(ranked.friedman_p, 'p = ')}."


def to_markdown(summary: polars.DataFrame, metric: str = "balanced_accuracy") -> str:
    """Format the frame of `summarize` as Markdown, with a heading and a table for each data set."""
    several = summary["encoder"].n_unique() > 1
    titles = _titles(metric)
    parts = []
    for part in summary.partition_by("data", maintain_order=True):
        lines = [titles, ["---"] + ["---:"] * (len(titles) - 1)]
        lines += [[escaped(_name(row, several)), *_numbers(row)] for row in part.to_dicts()]
        for line, traded in zip(lines[2:], part["trade"], strict=True):
            line[0] += " †" * traded
        table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
        parts.append(f"### {part['data'][0]}\n\n{table}\n" + f"\n† {_TRADE_NOTE}\n" * part["trade"].any())
    return "\n".join(parts)


def to_latex(summary: polars.DataFrame, metric: str = "balanced_accuracy") -> str:
    """Format the frame of `summarize` as LaTeX for the package booktabs, with a table for each data set."""
    several = summary["encoder"].n_unique() > 1
    titles = _titles(metric)
    parts = []
    for part in summary.partition_by("data", maintain_order=True):
        lines = []
        for row in part.to_dicts():
            name = _name(row, several).translate(_LATEX_NAMES) + r"$^\dagger$" * row["trade"]
            lines.append([name, *(number.translate(_LATEX_NUMBERS) for number in _numbers(row))])
        head = " & ".join(title.translate(_LATEX_NAMES) for title in titles)
        body = "\n".join(" & ".join(line) + r" \\" for line in lines)
        note = f"\n\n$^\\dagger$ {_TRADE_NOTE}".replace("%", r"\%") * part["trade"].any()
        parts.append(
            f"\\begin{{table}}\n\\centering\n\\caption{{{part['data'][0].translate(_LATEX_NAMES)}}}\n"
            f"\\begin{{tabular}}{{l{'r' * (len(titles) - 1)}}}\n\\toprule\n{head} \\\\\n\\midrule\n{body}\n"
            f"\\bottomrule\n\\end{{tabular}}{note}\n\\end{{table}}\n"
        )
    return "\n".join(parts)


def _complete(cells: polars.DataFrame) -> polars.DataFrame:
    return cells.filter(polars.col("state") == "complete")


def _split_means(cells: polars.DataFrame, scores: list[str]) -> polars.DataFrame:
    """Mean of each score over the seeds of each split; null if no seed has it."""
    missing = [score for score in scores if score not in cells.columns]
    if missing:
        raise ValueError(f"metric must be a column of cells, got {missing[0]!r}; the columns are {cells.columns}")
    means = [polars.col(score).cast(polars.Float64).fill_nan(None).mean() for score in scores]
    return _complete(cells).group_by(*_KEYS, "split_seed").agg(means).sort(*_KEYS, "split_seed")


def _data_set_rows(
    cells: polars.DataFrame, splits: polars.DataFrame, baseline: str, metric: str
) -> list[dict[str, Any]]:
    """Rows of `summarize` for one data set, from its complete runs and the means of its splits."""
    # The shares of one data set differ only by rounding, and medians are robust to a stray run.
    test_share = float(cells.select(polars.col("test_samples").median() / polars.col("train_samples").median()).item())
    baselines, families = splits.filter(method=baseline), dict[str, list[dict[str, Any]]]()
    for part in splits.partition_by("encoder", "method", maintain_order=True):
        encoder, method = part["encoder"][0], part["method"][0]
        own = baselines.filter(encoder=encoder)
        reference = own if own.height else baselines.filter(polars.col("encoder") == polars.col("encoder").min())
        row = _row(part, reference, baseline, metric, test_share)
        row["seconds"] = cells.filter(encoder=encoder, method=method)["seconds"].median()
        families.setdefault(str(reference["encoder"].min()), []).append(row)
    for family in families.values():
        adjusted = holm(numpy.array([row["p_value"] for row in family]))
        for row, p_holm in zip(family, adjusted.tolist(), strict=True):
            row["p_holm"] = p_holm
    return [row for family in families.values() for row in family]


def _row(
    splits: polars.DataFrame, reference: polars.DataFrame, baseline: str, metric: str, test_share: float
) -> dict[str, Any]:
    """A row of `summarize` without what depends on other methods; `reference` holds the splits of the baseline."""
    values = splits[metric].drop_nulls().to_numpy()
    is_baseline = splits["method"][0] == baseline
    pairs = splits.join(reference.clear() if is_baseline else reference, on="split_seed", suffix="_baseline")
    row: dict[str, Any] = {key: splits[key][0] for key in _KEYS}
    row |= {"is_baseline": is_baseline, "splits": len(values)}
    mean, low, high = corrected_interval(values, test_share)
    row |= {"mean": mean, "low": numpy.clip(low, 0, 1), "high": numpy.clip(high, 0, 1)}
    for score, name in ((metric, ""), ("head_accuracy", "head_"), ("tail_accuracy", "tail_")):
        differences = (pairs[score] - pairs[f"{score}_baseline"]).drop_nulls().to_numpy()
        result = compare(differences, test_share)
        row |= {f"{name}difference": result.mean}
        row |= {f"{name}difference_low": result.low, f"{name}difference_high": result.high}
        if not name:
            row |= {"paired_splits": len(differences), "p_value": result.p_value, "effect_size": result.effect_size}
    row |= {group: splits[f"{group}_accuracy"].mean() for group in GROUPS}
    row |= {name: splits[name].mean() for name in ("accuracy", "auroc")}
    return row | {"trade": row["tail_difference_low"] > 0 and row["head_difference_high"] < 0}


def _titles(metric: str) -> list[str]:
    compared = [f"{metric.replace('_', ' ')} [95% interval]", "difference [95% interval]"]
    return ["method", "splits", *compared, "p (Holm)", "effect", *GROUPS, "accuracy", "AUROC", "time (s)"]


def _name(row: dict[str, Any], several_encoders: bool) -> str:
    return f"{row['encoder']} {row['method']}" if several_encoders else str(row["method"])


def _numbers(row: dict[str, Any]) -> list[str]:
    """The cells of a row after the name, with ASCII signs."""
    unpaired = row["paired_splits"] < row["splits"] and not row["is_baseline"]
    return [
        f"{row['splits']} ({row['paired_splits']} paired)" if unpaired else str(row["splits"]),
        _with_interval(row, "mean", ("low", "high"), "{:.3f}".format),
        "baseline"
        if row["is_baseline"]
        else _with_interval(row, "difference", ("difference_low", "difference_high"), signed),
        shown(row["p_holm"], _p_value),
        shown(row["effect_size"], signed),
        *(shown(row[column], "{:.3f}".format) for column in (*GROUPS, "accuracy", "auroc")),
        shown(row["seconds"], "{:.1f}".format),
    ]


def escaped(name: str) -> str:
    """A name as the text of a cell of a Markdown table, in which a bar ends the cell."""
    return name.replace("|", "\\|")


def signed(value: float) -> str:
    """Format a difference with its sign; one that rounds to 0 becomes +0.000."""
    return f"{round(value, 3) + 0.0:+.3f}"


def _with_interval(row: dict[str, Any], column: str, bounds: tuple[str, str], form: Callable[[float], str]) -> str:
    value = shown(row[column], form)
    if row[bounds[0]] is None:
        return value
    return f"{value} [{form(row[bounds[0]])}, {form(row[bounds[1]])}]"


def _p_value(p_value: float, sign: str = "") -> str:
    return f"{sign.replace('=', '<') or '<'}0.001" if p_value < 0.001 else f"{sign}{p_value:.3f}"


def shown(value: float | None, form: Callable[[float], str]) -> str:
    """Format a number; an undefined one becomes a dash."""
    return "–" if value is None else form(value)
