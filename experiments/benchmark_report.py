"""The files that compare the methods of a benchmark."""

from __future__ import annotations

from pathlib import Path

import polars

from datamodules.atomic_file import write_csv, write_file
from experiments.rank_plot import plot_ranks
from experiments.result_tables import rank_summary, summarise, to_latex, to_markdown


def write_tables(cells: polars.DataFrame, baseline: str, folder: Path) -> list[Path]:
    """Write `tables.md`, `tables.csv`, `tables.tex` and, from two data sets on, `ranks.svg`.

    Args:
        cells: As `BenchmarkStudy.frame` gives them.
        baseline: The method that the others are compared with.
        folder: Where to.

    Returns:
        The files that were written.
    """
    summary = summarise(cells, baseline)
    text = to_markdown(summary)
    if summary["data"].n_unique() > 1:
        ranks, sentence = rank_summary(cells)
        rows = [f"| {row['method']} | {row['mean_rank']:.2f} |" for row in ranks.iter_rows(named=True)]
        text += "\n".join(
            ["", "## Over all data sets", "", "| method | mean rank |", "| --- | ---: |", *rows, "", sentence, ""]
        )
    written = [folder / name for name in ("tables.md", "tables.tex", "tables.csv", "ranks.svg")]
    write_file(written[0], lambda path: path.write_text(text))
    write_file(written[1], lambda path: path.write_text(to_latex(summary)))
    write_csv(summary, written[2])
    return written if plot_ranks(cells, "balanced_accuracy", written[3]) else written[:3]
