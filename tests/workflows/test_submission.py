"""The forms in which TDC and Polaris take predictions."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars
import pytest

from base.errors import InputError
from workflows.submission import RunPredictions, names_of_test_sets, polaris_predictions, tdc_predictions

Columns = dict[str, Sequence[Any]]


def run(
    classes: Sequence[str], target: str | None = "active", tests: Mapping[str, Columns] | None = None
) -> RunPredictions:
    """The run seed_1 with these columns of predictions by test set, and no row without a prediction."""
    given = tests or {}
    rows = {name: len(next(iter(columns.values()))) for name, columns in given.items()}
    frames = {name: polars.DataFrame({"reason": [None] * rows[name], **columns}) for name, columns in given.items()}
    return RunPredictions("seed_1", tuple(classes), target, frames)


def one(classes: Sequence[str], columns: Columns, target: str | None = "active") -> RunPredictions:
    """A run with a single test set."""
    return run(classes, target, {"test": columns})


def two(*shares: float) -> RunPredictions:
    """A run with classes 0 and 1, of which 1 is predicted above 0.3."""
    predicted = [str(int(share > 0.3)) for share in shares]
    return one(["0", "1"], {"predicted_label": predicted, "p/0": [1 - share for share in shares], "p/1": shares})


def test_tdc_gets_the_probability_of_class_1_of_each_row_by_run(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "tailmol"):
        found = tdc_predictions([two(0.25, 0.5, 0.0), two(0.75, 0.125, 1.0)], "herg")
    assert found == [{"herg": [0.25, 0.5, 0.0]}, {"herg": [0.75, 0.125, 1.0]}]
    assert caplog.messages == ["The leaderboard of TDC asks for 5 runs of different seeds or more, got 2."]
    caplog.clear()
    assert len(tdc_predictions([two(0.5)] * 5, "herg")) == 5
    assert caplog.messages == []


@pytest.mark.parametrize("classes", [["no", "yes"], ["0", "1", "2"], ["1", "2"]])
def test_tdc_takes_classes_0_and_1_alone(classes: list[str]) -> None:
    message = rf"^form: expected classes 0 and 1 for tdc, got {', '.join(classes)} of seed_1\.$"
    with pytest.raises(InputError, match=message):
        tdc_predictions([run(classes)], "herg")


def test_tdc_takes_neither_several_labels_nor_several_test_sets() -> None:
    message = r"^form: expected a model with a single label a row for tdc, got one with several \(0, 1\) of seed_1\.$"
    with pytest.raises(InputError, match=message):
        tdc_predictions([run(["0", "1"], target=None)], "herg")
    given: Columns = {"p/0": [0.5], "p/1": [0.5]}
    with pytest.raises(InputError, match=r"^test: expected one table for tdc, got near, far\.$"):
        tdc_predictions([run(["0", "1"], tests={"near": given, "far": given})], "herg")


def test_polaris_gets_classes_and_the_probability_of_the_second_one() -> None:
    assert polaris_predictions([two(0.25, 0.5)]) == {
        "y_pred": {"test": {"active": [0, 1]}},
        "y_prob": {"test": {"active": [0.25, 0.5]}},
    }


def test_probabilities_near_1_keep_their_order() -> None:
    # In 32 bits, 1 - 1e-8 is 1.
    columns: Columns = {"predicted_label": ["1"] * 3, "p/0": [1e-8, 1e-10, 1e-9], "p/1": [1.0] * 3}
    (found,) = tdc_predictions([one(["0", "1"], columns)], "herg")
    assert found == {"herg": [1 - 1e-8, 1 - 1e-10, 1 - 1e-9]}
    assert sorted(found["herg"]) == [1 - 1e-8, 1 - 1e-9, 1 - 1e-10]
    assert polaris_predictions([one(["0", "1"], columns)])["y_prob"]["test"]["active"] == found["herg"]


@pytest.mark.parametrize(
    ("classes", "expected"),
    [
        (["False", "True"], [True, False]),
        (["-1", "10"], [10, -1]),
        (["inactive", "active"], ["active", "inactive"]),
        (["0", "1.5"], ["1.5", "0"]),
    ],
)
def test_classes_are_numbers_or_booleans_if_all_are(classes: list[str], expected: list[object]) -> None:
    shares = {f"p/{name}": [0.5, 0.5] for name in classes}
    found = polaris_predictions([one(classes, {"predicted_label": [classes[1], classes[0]], **shares})])
    values = found["y_pred"]["test"]["active"]
    assert values == expected
    assert list(map(type, values)) == list(map(type, expected))


def test_of_more_than_two_classes_polaris_gets_every_probability() -> None:
    columns: Columns = {"p/1": [0.5, 0.25], "p/2": [0.25, 0.25], "p/10": [0.25, 0.5], "predicted_label": ["1", "10"]}
    assert polaris_predictions([one(["1", "2", "10"], columns, "group")]) == {
        "y_pred": {"test": {"group": [1, 10]}},
        "y_prob": {"test": {"group": [[0.5, 0.25, 0.25], [0.25, 0.25, 0.5]]}},
    }


def test_target_columns_and_test_sets_are_kept_apart() -> None:
    def tests(share: float) -> dict[str, Columns]:
        shares = {"near": share, "far": share + 0.25}
        return {name: {"predicted_label": ["1"], "p/0": [1 - own], "p/1": [own]} for name, own in shares.items()}

    runs = [run(["0", "1"], "herg", tests=tests(0.5)), run(["0", "1"], "cyp", tests=tests(0.625))]
    found = polaris_predictions(runs)
    assert found["y_prob"] == {"near": {"herg": [0.5], "cyp": [0.625]}, "far": {"herg": [0.75], "cyp": [0.875]}}
    assert found["y_pred"] == {name: {"herg": [1], "cyp": [1]} for name in ("near", "far")}
    with pytest.raises(InputError, match=r"^RUN: expected one run for each target column, got two for herg\.$"):
        polaris_predictions([runs[0], runs[0]])


def test_each_of_several_labels_is_a_target_column() -> None:
    columns: Columns = {
        "predicted_labels": ["AR; AhR", "none", "AhR"],
        "p/AR": [0.75, 0.0, 0.25],
        "p/AhR": [0.5, 0.125, 1.0],
    }
    assert polaris_predictions([one(["AR", "AhR"], columns, None)]) == {
        "y_pred": {"test": {"AR": [1, 0, 0], "AhR": [1, 0, 1]}},
        "y_prob": {"test": {"AR": [0.75, 0.0, 0.25], "AhR": [0.5, 0.125, 1.0]}},
    }
    for name in ("none", "a; b"):
        with pytest.raises(InputError, match=rf"^form: expected a target column .* got '{name}'\.$"):
            polaris_predictions([one([name, "b"], columns, None)])


def test_a_row_without_a_prediction_is_refused() -> None:
    message = (
        r"^test: expected a prediction of seed_1 for every row of test, got none for 2 of 4, the first is row 2: "
        r"empty SMILES\.$"
    )
    with pytest.raises(InputError, match=message):
        one(["0", "1"], {"reason": [None, "empty SMILES", None, "too long"]})


def test_one_test_set_is_called_test_and_several_as_their_files() -> None:
    assert names_of_test_sets([Path("a/near.csv")]) == ["test"]
    assert names_of_test_sets([Path("a/near.csv"), Path("far.csv.gz")]) == ["near", "far"]
    with pytest.raises(InputError, match=r"^test: expected tables with different names, .*, got two of near\.$"):
        names_of_test_sets([Path("a/near.csv"), Path("b/near.parquet")])
