"""The files with which a benchmark compares its methods."""

from __future__ import annotations

from pathlib import Path

import polars

from base.atomic_file import write_csv, write_file
from experiments.rank_plot import plot_ranks
from experiments.result_tables import rank_summary, signed, summarize, to_latex, to_markdown

_RANKED = "Methods that every data set has, on the splits that all of them completed."


def write_tables(cells: polars.DataFrame, baseline: str, ours: str | None, folder: Path) -> list[Path]:
    """Write `tables.md`, `tables.csv`, `tables.tex`, `ours.md` and, from two data sets on, `ranks.svg`.

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
        rows = [f"| {row['method']} | {row['mean_rank']:.2f} |" for row in ranks.iter_rows(named=True)]
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
    return written


def compare_ours(cells: polars.DataFrame, ours: str) -> str:
    """The paired gains of one method over each other one with 95 % intervals, as a Markdown table.

    Args:
        cells: The frame that `BenchmarkStudy.frame` returns.
        ours: The method; a positive gain is in its favor.
    """
    names = {"difference": "balanced accuracy", "head_difference": "head accuracy", "tail_difference": "tail accuracy"}
    lines = [
        f"| data | {ours} against | splits | {' | '.join(names.values())} |",
        f"| --- | --- | ---: |{' ---: |' * 3}",
    ]
    for row in summarize(cells, ours).filter(~polars.col("is_baseline")).iter_rows(named=True):
        gains = [_gain(row[name], row[f"{name}_low"], row[f"{name}_high"]) for name in names]
        rival = row["method"] if row["encoder"] == "default" else f"{row['encoder']} {row['method']}"
        lines.append(f"| {row['data']} | {rival} | {row['paired_splits']} | {' | '.join(gains)} |")
    return "\n".join(lines) + "\n"


def _gain(difference: float | None, low: float | None, high: float | None) -> str:
    """The gain over another method from the difference of that method, which has the opposite sign."""
    if difference is None:
        return "–"
    interval = "" if low is None or high is None else f" [{signed(-high)}, {signed(-low)}]"
    return f"{signed(-difference)}{interval}"
