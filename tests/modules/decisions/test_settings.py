"""The settings of an objective, and the file of costs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest
import torch

from base.errors import InputError
from datamodules.chemistry.molecule_features import FeatureSettings
from datamodules.drug_task import DrugTask
from modules.decisions.cost_file import read_costs
from modules.decisions.objectives import (
    Accuracy,
    AsTrained,
    BalancedAccuracy,
    CostMatrix,
    HeadKept,
    LabelObjective,
    MacroF1,
    NamedRecall,
)
from modules.decisions.settings import DecisionSettings, ObjectiveName

NAMES = ("a", "b, c", "ü")
SINGLE = DrugTask("molecule", NAMES, (3, 2, 1), FeatureSettings())
SEVERAL = replace(SINGLE, known_counts=(9, 9, 9))
COSTS = 'true,ü,a,"b, c"\na,3,0,1.5\n"b, c",2,7,0\nü,0,1e2,-1\n'


def written(folder: Path, text: str) -> Path:
    path = folder / "costs.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_every_name_is_an_objective_with_its_options(tmp_path: Path) -> None:
    plain = {"as_trained": AsTrained, "balanced_accuracy": BalancedAccuracy, "accuracy": Accuracy, "macro_f1": MacroF1}
    for name, cls in plain.items():
        assert type(DecisionSettings(name).make(SINGLE)) is cls  # type: ignore[arg-type]
    kept = DecisionSettings("head_kept", points=2.5).make(SINGLE)
    assert isinstance(kept, HeadKept)
    assert kept.points == 2.5
    named = DecisionSettings("recall", classes=["ü", "a"], least=0.7).make(SINGLE)
    assert isinstance(named, NamedRecall)
    assert (named.classes, named.least) == ((0, 2), 0.7)
    costly = DecisionSettings("cost_matrix", costs=str(written(tmp_path, COSTS))).make(SINGLE)
    assert isinstance(costly, CostMatrix)
    assert torch.equal(costly.costs, read_costs(tmp_path / "costs.csv", NAMES))


@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_costs_are_read_by_name_in_any_order(mark: str, tmp_path: Path) -> None:
    found = read_costs(written(tmp_path, mark + COSTS), NAMES)
    assert found.tolist() == [[0.0, 1.5, 3.0], [7.0, 0.0, 2.0], [100.0, -1.0, 0.0]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "each of the 3 classes once in the first row"),
        ("true,a,ü\n", "first row of .*, got others or too few, see 'b, c'"),
        (COSTS + "a,1,2,3\n", "first column of .*, see 'a'"),
        (COSTS.replace("ü,0", "x,0"), "first column of .*, see 'x'"),
        (COSTS.replace("1e2", "high"), "expected 3 numbers in row 'ü' of .*, got '0,high,-1'"),
        (COSTS.replace("1e2", "inf"), "expected finite numbers in row 'ü'"),
        (COSTS.replace("1e2,", ""), "expected 3 numbers in row 'ü'"),
    ],
)
def test_a_file_that_is_no_table_of_costs_is_refused(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"^costs: .*{message}"):
        read_costs(written(tmp_path, text), NAMES)


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"^costs: expected a CSV file in UTF-8, got .*none\.csv"):
        read_costs(tmp_path / "none.csv", NAMES)
    (tmp_path / "costs.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="costs: expected a CSV file in UTF-8"):
        read_costs(tmp_path / "costs.csv", NAMES)


def test_options_that_an_objective_needs_are_asked_for() -> None:
    with pytest.raises(InputError, match="costs: expected a CSV file for the objective cost_matrix, got none"):
        DecisionSettings("cost_matrix").make(SINGLE)
    with pytest.raises(InputError, match=r"^classes: expected labels of the model's classes .* got none"):
        DecisionSettings("recall").make(SINGLE)
    with pytest.raises(InputError, match=r"^classes: expected labels of the model's classes .* got 'd'"):
        DecisionSettings("recall", classes=["a", "d"]).make(SINGLE)
    many = replace(SINGLE, classes=tuple("abcdefghijkl"), class_counts=(1,) * 12)
    for task, listed in ((SINGLE, r"a, b, c, ü"), (many, r"a, b, c, d, e, f, g, h, i, j, \.\.\.")):
        with pytest.raises(InputError, match=rf"classes \({listed}\) for the objective recall, got '-z'\.$"):
            DecisionSettings("recall", classes=["-z"]).make(task)
    with pytest.raises(InputError, match="points: expected a number from 0 to 100, got nan"):
        DecisionSettings(points=float("nan"))
    with pytest.raises(InputError, match=r"^objective: expected as_trained, .* or cost_matrix, got 'recal'\.$"):
        DecisionSettings("recal")  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"^classes: expected a list of labels, got 'a'\.$"):
        DecisionSettings("recall", classes="a")  # type: ignore[arg-type]


def test_objectives_for_several_labels_are_the_same_ones_and_others_are_refused(tmp_path: Path) -> None:
    costs, refused = str(written(tmp_path, COSTS)), []
    for name in get_args(ObjectiveName):
        settings = DecisionSettings(name, classes=["ü"], costs=costs)
        if isinstance(settings.make(SINGLE), LabelObjective):
            assert type(settings.make(SEVERAL)) is type(settings.make(SINGLE))
            continue
        refused.append(name)
        told = "expected as_trained, balanced_accuracy, accuracy, macro_f1 or recall with several labels a sample"
        with pytest.raises(InputError, match=rf"^objective: {told}, got {name}\.$"):
            settings.make(SEVERAL)
    assert refused == ["head_kept", "cost_matrix"]
    with pytest.raises(InputError, match=r"^classes: expected labels of the model's classes .* got 'd'"):
        DecisionSettings("recall", classes=["d"]).make(SEVERAL)
