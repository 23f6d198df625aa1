"""Sizes of the parts of a divided table."""

from __future__ import annotations

from dataclasses import replace

import numpy
import pytest

from datamodules.splits.divide import DrugRecords
from datamodules.splits.splitters import SPLIT_NAMES
from reports.report_data import ReportData
from reports.run_data import part_sizes, table_size
from reports.run_description import facts, tiles
from tests.reports.made_run import made_report

EVERY = list(range(10))


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> ReportData:
    return made_report(3, 60, tmp_path_factory.mktemp("small"), points=20)


def records(train: list[int], validation: list[int], test: list[int], folds: list[int] | None = None) -> DrugRecords:
    """Ten rows, of which the first two are the same sample."""
    rows = dict(zip(SPLIT_NAMES, map(numpy.array, (train, validation, test)), strict=True))
    samples = numpy.array([5, 5, *range(10, 18)])
    numbers = None if folds is None else numpy.array(folds)
    return DrugRecords(("a", "b"), rows, numpy.zeros(10, dtype=int), samples, folds=numbers)


@pytest.mark.parametrize(
    ("divided", "expected"),
    [
        (records(EVERY[:6], [6, 7], [8, 9]), {"train": (6, 5), "validation": (2, 2), "test": (2, 2)}),
        (records(EVERY, EVERY, EVERY), {"train and validation and test": (10, 9)}),
        # An ensemble, whose last row no fold tests; one that keeps test rows; and a member of it.
        (records(EVERY, EVERY[:9], EVERY[:9], [0, 0, 0, 1, 1, 1, 2, 2, 2, -1]), {"3 folds": (10, 9)}),
        (
            records(EVERY[:8], EVERY[:8], [8, 9], [0, 0, 0, 0, 1, 1, 1, 1, -1, -1]),
            {"2 folds": (8, 7), "test": (2, 2)},
        ),
        (
            records(EVERY[:4], [4, 5, 6, 7], [4, 5, 6, 7], [0, 0, 0, 0, 1, 1, 1, 1, -1, -1]),
            {"train": (4, 3), "validation and test": (4, 4)},
        ),
    ],
)
def test_parts_share_no_row(divided: DrugRecords, expected: dict[str, tuple[int, int]]) -> None:
    assert part_sizes(divided) == expected


def test_samples_of_several_splits_count_once() -> None:
    assert table_size(records(EVERY, EVERY, EVERY)) == (10, 9)
    assert table_size(records([0], [1], [2, 3])) == (4, 3)


def test_an_ensemble_has_each_row_once_and_its_folds_in_words(small: ReportData) -> None:
    own = {**small.run.settings["data"], "folds": 3, "fold": None}
    run = replace(small.run, settings={**small.run.settings, "data": own})
    sizes = part_sizes(records(EVERY, EVERY[:9], EVERY[:9], [0, 0, 0, 1, 1, 1, 2, 2, 2, -1]))
    said = "random split: 3 folds 10 rows of 9 different samples; each fold tests the member that was not trained on it"
    assert dict(facts(run, sizes))["Data"] == f"made.csv (input: molecule), {said}"
    assert "test 2; each fold validates the member" in dict(facts(run, {"3 folds": (8, 8), "test": (2, 2)}))["Data"]
    shown = {tile["title"]: tile["value"] for tile in tiles(replace(small, table_size=(10, 9)))}
    assert (shown["Rows"], shown["Samples"]) == ("10", "9")
