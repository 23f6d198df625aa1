"""The table of recall against count and distance."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import polars
import pytest

from benchmarks.central_claim import all_classes, table
from experiments.benchmark_plan import BenchmarkPlan, Cell

PLAN = BenchmarkPlan("plan", "plain", None, tuple(Cell("one", "default", "plain", split, 0, "") for split in range(2)))


def write_run(folder: Path, cell: Cell, trial: int) -> None:
    """Three classes and a fourth without test samples; the first epoch's distances do not count."""
    run = folder / "runs" / f"{cell.folder}{trial}" / "fit"
    run.mkdir(parents=True)
    shift = 0.02 * cell.split_seed
    recall = ", ".join(f'"test/recall/{name}": {value + shift}' for name, value in (("a", 0.9), ("b", 0.5), ("c", 0.1)))
    (run / "test_metrics.json").write_text(f'{{"test/accuracy": 0.5, {recall}, "test/recall/d": null}}')
    lines = ["epoch,class,training_samples,class_distance,subcluster_distance,difficulty"]
    lines += [f"5,{name},1,9,9,9" for name in "abcd"]
    lines += [f"6,{name},{count},{count},{-count},0" for name, count in zip("abcd", (30, 20, 10, 5), strict=True)]
    (run / "class_weights.csv").write_text("\n".join(lines))


def test_recall_falls_with_the_count_where_made_so(tmp_path: Path) -> None:
    for trial, cell in enumerate(PLAN.cells):
        write_run(tmp_path, cell, trial)
    classes = all_classes(PLAN, tmp_path)
    assert classes["class"].to_list() == ["a", "b", "c"] * 2
    assert classes["recall"].to_list() == pytest.approx([0.9, 0.5, 0.1, 0.92, 0.52, 0.12])
    row = table(classes).splitlines()[2]
    assert row.startswith("| one | 2 | 3 | +1.00 [+1.00, +1.00] | +1.00 [+1.00, +1.00] | -1.00 [-1.00, -1.00] | - |")
    assert table(classes.sample(fraction=1, shuffle=True, seed=1)) == table(classes)


def test_the_classes_are_known_where_the_runs_are_gone(tmp_path: Path) -> None:
    for trial, cell in enumerate(PLAN.cells):
        write_run(tmp_path, cell, trial)
    before = all_classes(PLAN, tmp_path)
    before.write_csv(tmp_path / "classes.csv")
    (tmp_path / "runs").rename(tmp_path / "elsewhere")
    assert all_classes(PLAN, tmp_path).equals(before)
    write_run(tmp_path, PLAN.cells[1], 7)
    assert all_classes(PLAN, tmp_path).equals(before)
    (tmp_path / "classes.csv").unlink()
    assert all_classes(PLAN, tmp_path)["split_seed"].to_list() == [1, 1, 1]


def test_runs_with_other_settings_or_arguments_are_not_read(tmp_path: Path) -> None:
    first = PLAN.cells[0]
    for trial, cell in enumerate((replace(first, settings="old"), replace(first, arguments="--data.count_by rows"))):
        write_run(tmp_path, cell, trial)
    assert all_classes(PLAN, tmp_path).is_empty()
    write_run(tmp_path, first, 2)
    assert all_classes(PLAN, tmp_path)["class"].to_list() == ["a", "b", "c"]


def test_nothing_is_known_without_runs(tmp_path: Path) -> None:
    assert all_classes(PLAN, tmp_path).equals(polars.DataFrame())
