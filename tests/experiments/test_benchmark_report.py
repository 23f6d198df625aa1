from __future__ import annotations

import re
from pathlib import Path

import polars

from experiments.benchmark_report import compare_head_kept, compare_ours, write_tables


def made_cells() -> polars.DataFrame:
    """Two data sets, three methods, three splits; `ours` gains 0.1, 0.2 and 0.3 on `plain`."""
    rows = [
        {
            "data": data,
            "encoder": "default",
            "method": method,
            "split_seed": split,
            "seed": 0,
            "state": "complete",
            "train_samples": 70,
            "test_samples": 20,
            "seconds": 1.0,
            "balanced_accuracy": 0.5 + gain * (split + 1),
            "accuracy": 0.6,
            "head_accuracy": 0.7 - gain / 10,
            "middle_accuracy": 0.6,
            "tail_accuracy": 0.4 + gain,
        }
        for data in ("one", "two")
        for method, gain in (("plain", 0.0), ("ours", 0.1), ("other", 0.05))
        for split in range(3)
    ]
    return polars.DataFrame(rows)


def test_gains_are_ours_less_theirs() -> None:
    lines = compare_ours(made_cells(), "ours").splitlines()
    plain = next(line for line in lines if line.startswith("| one | plain |"))
    assert plain.startswith("| one | plain | 3 | +0.200 [")
    assert "-0.010" in plain
    # Equal differences have no interval.
    assert plain.endswith("] | -0.010 | +0.100 |")
    assert len(lines) == 2 + 4
    equal = compare_ours(made_cells().with_columns(tail_accuracy=0.5), "ours").splitlines()[2]
    assert equal.endswith("| -0.005 | +0.000 |")


def test_every_file_is_written(tmp_path: Path) -> None:
    written = write_tables(made_cells(), "plain", "ours", tmp_path)
    assert [path.name for path in written] == ["tables.md", "tables.tex", "tables.csv", "ranks.svg", "ours.md"]
    assert all(path.stat().st_size > 0 for path in written)
    assert "| ours | 1.00 |" in (tmp_path / "tables.md").read_text()
    one = made_cells().filter(data="one")
    assert [path.name for path in write_tables(one, "plain", None, tmp_path)] == [
        "tables.md",
        "tables.tex",
        "tables.csv",
    ]


def test_the_head_kept_is_compared_with_the_baseline_as_it_is(tmp_path: Path) -> None:
    cells = made_cells().with_columns(
        balanced_accuracy_head_kept=polars.col("balanced_accuracy") - 0.05, head_accuracy_head_kept=0.695
    )
    lines = compare_head_kept(cells, "plain", "ours").splitlines()
    assert len(lines) == 2 + 2
    # The splits of ours have 0.6, 0.7 and 0.8, those of the baseline 0.5.
    assert lines[2].startswith("| one | plain | 3 | 0.650 | 0.500 | +0.150 [")
    assert lines[2].endswith("| 0.695 | -0.005 |")
    assert "head_kept.md" in [path.name for path in write_tables(cells, "plain", "ours", tmp_path)]


def columns(line: str) -> int:
    """The number of columns of a row of a Markdown table."""
    return len(re.split(r"(?<!\\)\|", line)) - 2


def test_names_with_a_bar_are_one_column(tmp_path: Path) -> None:
    barred = [(polars.col(name) + "|x").alias(name) for name in ("data", "method", "encoder")]
    write_tables(with_head_kept(made_cells()).with_columns(barred), "plain|x", "ours|x", tmp_path)
    for name in ("tables.md", "ours.md", "head_kept.md"):
        tables = [part for part in (tmp_path / name).read_text().split("\n\n") if part.startswith("|")]
        assert len(tables) == (3 if name == "tables.md" else 1)
        assert all(len({columns(line) for line in table.splitlines()}) == 1 for table in tables)
    assert r"| ours\|x | 1.00 |" in (tmp_path / "tables.md").read_text()
    assert r"| one\|x | default\|x plain\|x | 3 |" in (tmp_path / "head_kept.md").read_text()


def with_head_kept(cells: polars.DataFrame) -> polars.DataFrame:
    """The cells with the metrics of the objective `head_kept`, which are those of the runs."""
    return cells.with_columns(
        balanced_accuracy_head_kept="balanced_accuracy", head_accuracy_head_kept=polars.col("head_accuracy")
    )


def test_a_data_set_without_runs_of_ours_or_their_metrics_has_no_row_of_the_head_kept(tmp_path: Path) -> None:
    cells = with_head_kept(made_cells()).filter((polars.col("data") == "one") | (polars.col("method") == "plain"))
    assert [line[:7] for line in compare_head_kept(cells, "plain", "ours").splitlines()[2:]] == ["| one |"]
    assert "head_kept.md" in [path.name for path in write_tables(cells, "plain", "ours", tmp_path)]
    older = with_head_kept(made_cells()).with_columns(
        balanced_accuracy_head_kept=polars.when(polars.col("data") == "one").then("balanced_accuracy"),
        head_accuracy_head_kept=None,
    )
    (line,) = compare_head_kept(older, "plain", "ours").splitlines()[2:]
    assert line.startswith("| one | plain | 3 | 0.700 | 0.500 | +0.200 [")
    assert line.endswith("] | – | – |")


def test_the_head_kept_is_compared_for_each_encoder() -> None:
    cells = with_head_kept(made_cells().filter(data="one"))
    better = cells.with_columns(encoder=polars.lit("gin"), balanced_accuracy_head_kept=0.9)
    alone = cells.filter(method="plain").with_columns(encoder=polars.lit("mlp"))
    lines = compare_head_kept(polars.concat([cells, better, alone]), "plain", "ours").splitlines()
    assert [line[:38] for line in lines[2:]] == [
        "| one | plain | 3 | 0.700 | 0.500 | +0",
        "| one | gin plain | 3 | 0.900 | 0.500 ",
    ]
