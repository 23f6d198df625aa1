"""Predictions of the test rows of a public benchmark, in the form in which the benchmark evaluates them."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

import polars

from base.errors import InputError
from datamodules.datasets.dataset_catalog import find_source
from datamodules.drug_datamodule import DrugDataModule
from datamodules.splits.split_file import named_test
from datamodules.tables.source_table import read_table
from modules.checkpoint_file import Checkpoint
from modules.run_layout import FINAL, folder_of
from modules.saved_settings.checkpoint_check import CheckpointCheck

_log = logging.getLogger("tailmol")

Form = Literal["polaris", "tdc"]
"""Polaris: https://github.com/polaris-hub/polaris; TDC: https://github.com/mims-harvard/TDC."""

Values: TypeAlias = list[Any]
"""A value for each test row, in the order of the table."""

TDC_RUNS = 5
"""Number of runs of different seeds that the leaderboard of TDC asks for."""

_WHOLE_NUMBER = re.compile(r"-?[0-9]+")


@dataclass(frozen=True)
class RunPredictions:
    """The predictions of one model for the test rows.

    Attributes:
        run: The run, for messages.
        classes: C classes, in order; or L labels, if a row may have several.
        target: The column of the classes; None if each label has a column, which is called as it.
        predictions: The rows of each test set with the columns of `lightning predict`, by the name of the test set.

    Raises:
        InputError: If a row has no prediction.
    """

    run: str
    classes: tuple[str, ...]
    target: str | None
    predictions: dict[str, polars.DataFrame]

    def __post_init__(self) -> None:
        for name, frame in self.predictions.items():
            unusable = frame["reason"].is_not_null().arg_true()
            if len(unusable):
                row = int(unusable[0])
                found = f"{len(unusable):,} of {len(frame):,}, the first is row {row + 1}: {frame['reason'][row]}"
                raise InputError(
                    f"test: expected a prediction of {self.run} for every row of {name}, got none for {found}."
                )


def own_test_rows(checkpoint: Checkpoint, trust: tuple[str, ...] = ()) -> polars.DataFrame:
    """The rows of the table of a run that its split column names as test rows, with or without labels, in order.

    Args:
        checkpoint: A checkpoint of the run.
        trust: Modules with classes of the user that the checkpoint may name.

    Raises:
        InputError: If the run was not trained with a split column, its refit was trained on these rows, or the table
            cannot be read.
    """
    check = CheckpointCheck(checkpoint.path, "RUN", trust)
    data = check.make(checkpoint.settings, "data", DrugDataModule, ("sampling", "cache_folder"))
    if data.split.method != "file" or checkpoint.task.input == "array":
        given = "arrays" if checkpoint.task.input == "array" else f"--data.split {data.split.method}"
        raise InputError(
            f"test: expected the table of the test rows, since {checkpoint.path} was trained with {given}, got none."
        )
    path = find_source(data.source, data.cache_folder)
    table = read_table(path, checkpoint.task.input, data.columns, True, True, data.labels, data.agents)
    assert table.splits is not None
    rows = named_test(table.splits, data.split).arg_true()
    if not len(rows):
        raise InputError(f"test: expected test rows in column {table.columns.split} of {path}, got none.")
    if checkpoint.is_refit:
        _check_not_trained_on(checkpoint.path, rows + 1)
    return table.frame[rows]


def _check_not_trained_on(refit: Path, rows: polars.Series) -> None:
    """Refuse a refit that was trained on test rows, which their labels of today do not tell.

    Args:
        refit: Its checkpoint, `final.ckpt` or one of `refit/checkpoints/`.
        rows: Numbers of the test rows in the table, from 1.

    Raises:
        InputError: If it was, or the list of its training rows cannot be read.
    """
    named = refit.resolve()
    folder = folder_of(refit) or named.parent
    path = (folder / "refit" if named.name == FINAL else folder) / "splits.csv"
    try:
        trained = polars.read_csv(path, columns=["row"], schema_overrides={"row": polars.Int64})["row"]
    except (OSError, polars.exceptions.PolarsError) as error:
        raise InputError(
            f"RUN: expected the list of the training rows of {refit} in {path}, got none that can be read; --test "
            "predicts a table without it."
        ) from error
    both = rows.filter(rows.is_in(trained.to_list()))
    if len(both):
        raise InputError(
            f"RUN: expected a model that was not trained on the test rows, got {refit}, which was trained on "
            f"{len(both):,} of {len(rows):,}, the first is row {both[0]} (see {path}); best.ckpt of its run was "
            "trained on training rows alone."
        )


def tdc_predictions(runs: Sequence[RunPredictions], benchmark: str) -> list[dict[str, Values]]:
    """What `evaluate_many` of a benchmark group of TDC takes; an entry of the list is what `evaluate` takes.

    Args:
        runs: Runs of different seeds.
        benchmark: Name of the benchmark in its group.

    Returns:
        For each run, the probability of class 1 of each row by the name of the benchmark.

    Raises:
        InputError: If a row may have several labels, the classes are others than 0 and 1, or there are several test
            sets.
    """
    found = []
    for run in runs:
        if run.target is None:
            several = f"one with several ({', '.join(run.classes)}) of {run.run}"
            raise InputError(f"form: expected a model with a single label a row for tdc, got {several}.")
        if run.classes != ("0", "1"):
            raise InputError(f"form: expected classes 0 and 1 for tdc, got {', '.join(run.classes)} of {run.run}.")
        if len(run.predictions) > 1:
            raise InputError(f"test: expected one table for tdc, got {', '.join(run.predictions)}.")
        ((_, frame),) = run.predictions.items()
        found.append({benchmark: _of_second(frame, run.classes)})
    if len(runs) < TDC_RUNS:
        _log.warning(f"The leaderboard of TDC asks for {TDC_RUNS} runs of different seeds or more, got {len(runs)}.")
    return found


def polaris_predictions(runs: Sequence[RunPredictions]) -> dict[str, dict[str, dict[str, Values]]]:
    """The arguments of `evaluate` of a Polaris benchmark.

    Args:
        runs: Runs of different target columns, or one with several labels.

    Returns:
        `y_pred`, the classes, and `y_prob`, each by test set and target column. Classes are numbers or booleans if all
        of them are, else text. Of two classes, `y_prob` is the probability of the second, else a list of C numbers a
        row, as scikit-learn's metrics take them.

    Raises:
        InputError: If two runs have the same target column.
    """
    y_pred: dict[str, dict[str, Values]] = {}
    y_prob: dict[str, dict[str, Values]] = {}
    for run in runs:
        targets = run.classes if run.target is None else (run.target,)
        for test_set, frame in run.predictions.items():
            classes, shares = y_pred.setdefault(test_set, {}), y_prob.setdefault(test_set, {})
            taken = [target for target in targets if target in classes]
            if taken:
                raise InputError(f"RUN: expected one run for each target column, got two for {taken[0]}.")
            for target in targets:
                classes[target], shares[target] = _of_target(run, target, frame)
    return {"y_pred": y_pred, "y_prob": y_prob}


def _of_target(run: RunPredictions, target: str, frame: polars.DataFrame) -> tuple[Values, Values]:
    """The classes of a target column, and their probabilities."""
    if run.target is None:
        # The predicted labels of a row are one text.
        if target == "none" or "; " in target:
            raise InputError(f"form: expected a target column without '; ' that is not called none, got {target!r}.")
        has = [int(target in labels.split("; ")) for labels in frame["predicted_labels"].to_list()]
        return has, frame[f"p/{target}"].to_list()
    plain = dict(zip(run.classes, _plain(run.classes), strict=True))
    classes = [plain[label] for label in frame["predicted_label"].to_list()]
    if len(run.classes) == 2:
        return classes, _of_second(frame, run.classes)
    shares = [frame[f"p/{name}"].to_list() for name in run.classes]
    return classes, [list(row) for row in zip(*shares, strict=True)]


def _of_second(frame: polars.DataFrame, classes: Sequence[str]) -> Values:
    """The probability of the second of two classes."""
    first, second = (frame[f"p/{name}"].to_list() for name in classes)
    # The columns have 32 bits, in which many probabilities near 1 are equal and would rank alike.
    return [1 - one if one < other else other for one, other in zip(first, second, strict=True)]


def _plain(classes: Sequence[str]) -> Sequence[int | bool | str]:
    """Classes as numbers or booleans, if all of them are, else as they are."""
    if all(_WHOLE_NUMBER.fullmatch(name) for name in classes):
        return [int(name) for name in classes]
    if all(name.lower() in ("true", "false") for name in classes):
        return [name.lower() == "true" for name in classes]
    return classes


def names_of_test_sets(tables: Sequence[Path]) -> list[str]:
    """What test sets are called: a single one `test`, as Polaris calls it, else as its file.

    Args:
        tables: The tables of the test sets; none for the test rows of a run's own table.

    Raises:
        InputError: If two files have the same name.
    """
    if len(tables) < 2:
        return ["test"]
    names = [path.name.split(".")[0] for path in tables]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise InputError(f"test: expected tables with different names, which name the test sets, got two of {twice}.")
    return names
