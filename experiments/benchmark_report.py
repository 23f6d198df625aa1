"""The files with which a benchmark compares its methods."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars

from base.atomic_file import write_csv, write_file
from experiments.rank_plot import plot_ranks
from experiments.result_tables import escaped, rank_summary, shown, signed, summarize, to_latex, to_markdown

_HEAD_KEPT = {"balanced_accuracy_head_kept", "head_accuracy_head_kept"}
_RANKED = "Methods that every data set has, on the splits that all of them completed."


def write_tables(cells: polars.DataFrame, baseline: str, ours: str | None, folder: Path) -> list[Path]:
    """Write `tables.md`, `tables.csv`, `tables.tex`, `ours.md`, `head_kept.md` and `ranks.svg`.

    `ranks.svg` is written for two data sets or more, `head_kept.md` if the runs have the metrics of that objective.

    Args:
        cells: The frame that `BenchmarkStudy.frame` returns.
        baseline: The method that all others are compared with.
        ours: The method that `ours.md` compares with each other one; None for no such file.
        folder: Folder of the files.

    Returns:
        The paths of the files.
    """
    summary = summarize(cells, baseline)
    text = to_markdown(summary)
    if summary["data"].n_unique() > 1:
        ranks, sentence = rank_summary(cells)
        rows = [f"| {escaped(row['method'])} | {row['mean_rank']:.2f} |" for row in ranks.iter_rows(named=True)]
        text += "\n".join(
            [
                "",
                "## Over all data sets",
                "",
                _RANKED,
                "",
                "| method | mean rank |",
                "| --- | ---: |",
                *rows,
                "",
                sentence,
                "",
            ]
        )
    written = [folder / name for name in ("tables.md", "tables.tex", "tables.csv", "ranks.svg")]
    write_file(written[0], lambda path: path.write_text(text))
    write_file(written[1], lambda path: path.write_text(to_latex(summary)))
    write_csv(summary, written[2])
    if not plot_ranks(cells, "balanced_accuracy", written[3]):
        written.pop()
    if ours is not None and ours in cells.filter(polars.col("state") == "complete")["method"].unique():
        written.append(folder / "ours.md")
        table = compare_ours(cells, ours)
        write_file(written[-1], lambda path: path.write_text(table))
        if _HEAD_KEPT.issubset(cells.columns) and ours != baseline:
            written.append(folder / "head_kept.md")
            kept = compare_head_kept(cells, baseline, ours)
            write_file(written[-1], lambda path: path.write_text(kept))
    return written


def compare_ours(cells: polars.DataFrame, ours: str) -> str:
    """The paired gains of one method over each other one with 95 % intervals, as a Markdown table.

    Args:
        cells: The frame that `BenchmarkStudy.frame` returns.
        ours: The method; a positive gain is in its favor.
    """
    names = {"difference": "balanced accuracy", "head_difference": "head accuracy", "tail_difference": "tail accuracy"}
    lines = [
        f"| data | {escaped(ours)} against | splits | {' | '.join(names.values())} |",
        f"| --- | --- | ---: |{' ---: |' * 3}",
    ]
    for row in summarize(cells, ours).filter(~polars.col("is_baseline")).iter_rows(named=True):
        gains = [_gain(row[name], row[f"{name}_low"], row[f"{name}_high"]) for name in names]
        lines.append(f"| {escaped(row['data'])} | {_rival(row)} | {row['paired_splits']} | {' | '.join(gains)} |")
    return "\n".join(lines) + "\n"


def compare_head_kept(cells: polars.DataFrame, baseline: str, ours: str) -> str:
    """The baseline against one method whose decision keeps the head, as a Markdown table.

    There is a row for each data set and encoder with complete runs of both.

    Args:
        cells: The frame that `BenchmarkStudy.frame` returns, with the metrics of the objective `head_kept`.
        baseline: The method to compare with, as it was decided.
        ours: The method; a positive difference is in its favor.
    """
    columns = ("balanced accuracy, head kept", "theirs", "difference", "head accuracy", "difference")
    lines = [
        f"| data | {escaped(ours)} against | splits | {' | '.join(columns)} |",
        f"| --- | --- | ---: |{' ---: |' * len(columns)}",
    ]
    of_ours = polars.col("method") == ours
    kept = [
        polars.when(of_ours).then(f"{name}_head_kept").otherwise(name).alias(name)
        for name in ("balanced_accuracy", "head_accuracy")
    ]
    summary = summarize(cells.filter(of_ours | (polars.col("method") == baseline)).with_columns(kept), ours)
    pairs = summary.filter(is_baseline=False).join(
        summary.filter(polars.col("is_baseline")).drop_nulls("mean"),
        on=["data", "encoder"],
        suffix="_ours",
        maintain_order="left",
    )
    for row in pairs.iter_rows(named=True):
        gains = [
            _gain(row[name], row[f"{name}_low"], row[f"{name}_high"]) for name in ("difference", "head_difference")
        ]
        own = [shown(row[name], "{:.3f}".format) for name in ("mean_ours", "mean", "head_ours")]
        figures = (own[0], own[1], gains[0], own[2], gains[1])
        lines.append(f"| {escaped(row['data'])} | {_rival(row)} | {row['paired_splits']} | {' | '.join(figures)} |")
    return "\n".join(lines) + "\n"


def _rival(row: dict[str, Any]) -> str:
    """The method of a row, after its encoder if the grid names one."""
    return escaped(row["method"] if row["encoder"] == "default" else f"{row['encoder']} {row['method']}")


def _gain(difference: float | None, low: float | None, high: float | None) -> str:
    """The gain over another method from the difference of that method, which has the opposite sign."""
    if difference is None:
        return "–"
    interval = "" if low is None or high is None else f" [{signed(-high)}, {signed(-low)}]"
    return f"{signed(-difference)}{interval}"
