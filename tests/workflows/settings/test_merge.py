"""Layers of settings as plain dictionaries."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workflows.settings.merge import Layer, compose, is_same_class, without_replaced_classes


def merged(*settings: dict[str, Any]) -> dict[str, Any]:
    """The settings of layers named 0, 1, ..."""
    return compose([Layer(str(number), one) for number, one in enumerate(settings)]).settings


MLP = {"encoder": {"class_path": "modules.encoders.FingerprintMLP", "init_args": {"dropout": 0.5, "hidden_dims": [8]}}}


@pytest.mark.parametrize(
    ("upper", "expected"),
    [
        ({"encoder": {"class_path": "modules.encoders.GIN"}}, {"class_path": "modules.encoders.GIN"}),
        ({"encoder": "GIN"}, {"class_path": "GIN"}),
        (
            {"encoder": {"class_path": "GIN", "init_args": {"num_layers": 2}}},
            {"class_path": "GIN", "init_args": {"num_layers": 2}},
        ),
        (
            {"encoder": {"class_path": "FingerprintMLP", "init_args": {"dropout": 0.1}}},
            {"class_path": "FingerprintMLP", "init_args": {"dropout": 0.1, "hidden_dims": [8]}},
        ),
        (
            {"encoder": {"init_args": {"hidden_dims": [4, 4]}}},
            {"class_path": "modules.encoders.FingerprintMLP", "init_args": {"dropout": 0.5, "hidden_dims": [4, 4]}},
        ),
        (
            {"encoder": {"dropout": 0.2}},
            {"class_path": "modules.encoders.FingerprintMLP", "init_args": {"dropout": 0.2, "hidden_dims": [8]}},
        ),
        ({"encoder": None}, None),
        ({"other": 1}, MLP["encoder"]),
    ],
)
def test_another_class_drops_the_options_of_the_class_before(upper: dict[str, Any], expected: object) -> None:
    assert merged(MLP, upper)["encoder"] == expected


def test_a_class_within_a_class_is_replaced_alike() -> None:
    lower = {"loss": {"class_path": "R", "init_args": {"loss": {"class_path": "F", "init_args": {"g": 2}}, "b": 1}}}
    upper = {"loss": {"init_args": {"loss": {"class_path": "C"}}}}
    assert merged(lower, upper) == {"loss": {"class_path": "R", "init_args": {"loss": {"class_path": "C"}, "b": 1}}}


def test_a_class_given_by_name_takes_options_later() -> None:
    assert merged({"sampling": "P"}, {"sampling": {"init_args": {"power": 0.5}}}) == {
        "sampling": {"class_path": "P", "init_args": {"power": 0.5}}
    }


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("GIN", "modules.encoders.GIN", True),
        ("modules.encoders.gin.GIN", "modules.encoders.GIN", True),
        ("my_encoders.GIN", "modules.encoders.GIN", False),
        ("modules.encoders.GCN", "modules.encoders.GIN", False),
    ],
)
def test_a_class_has_several_spellings(one: str, other: str, same: bool) -> None:
    assert is_same_class(one, other) == is_same_class(other, one) == same


def test_every_value_knows_its_layer() -> None:
    found = compose(
        [
            Layer("base", {"model": {**MLP, "rate": 0.1}, "epochs": 5}),
            Layer("mine", {"model": {"encoder": {"init_args": {"dropout": 0.2}}}}),
            Layer("option", {"epochs": 6}),
        ]
    )
    assert found.origin(("model", "encoder", "class_path")) == "base"
    assert found.origin(("model", "encoder", "init_args", "dropout")) == "mine"
    assert found.origin(("model", "encoder", "init_args", "hidden_dims")) == "base"
    assert found.origin(("epochs",)) == "option"
    assert found.origin(("other",)) is None
    replaced = compose([Layer("base", MLP), Layer("mine", {"encoder": "GIN"})])
    assert replaced.origins == {("encoder", "class_path"): "mine"}


def test_settings_without_the_classes_that_others_replace() -> None:
    lower = {"model": {**MLP, "rate": 0.1}, "list": [1]}
    upper = merged(lower, {"model": {"encoder": "GIN"}})
    assert without_replaced_classes(lower, upper) == {"model": {"rate": 0.1}, "list": [1]}
    assert without_replaced_classes(lower, merged(lower, {"model": {"rate": 1}})) == lower


leaves = st.none() | st.integers(0, 3) | st.sampled_from(["x", "y"]) | st.lists(st.integers(0, 3), max_size=2)
trees = st.dictionaries(
    st.sampled_from(["a", "b", "c"]),
    st.recursive(leaves, lambda inner: st.dictionaries(st.sampled_from(["a", "b", "c"]), inner, max_size=3)),
    max_size=3,
)


def flat(settings: dict[str, Any], place: tuple[str, ...] = ()) -> dict[tuple[str, ...], Any]:
    """Values that are no mappings, by path."""
    found: dict[tuple[str, ...], Any] = {}
    for name, value in settings.items():
        found |= flat(value, (*place, name)) if isinstance(value, dict) else {(*place, name): value}
    return found


@given(st.lists(trees, max_size=4))
def test_without_classes_the_last_layer_that_has_a_value_decides(layers: list[dict[str, Any]]) -> None:
    before = copy.deepcopy(layers)
    found = compose([Layer(str(number), one) for number, one in enumerate(layers)])
    assert layers == before
    assert set(found.origins) == set(flat(found.settings))
    for path, value in flat(found.settings).items():
        layer = int(found.origins[path])
        assert flat(layers[layer])[path] == value
        assert not any(path in flat(later) for later in layers[layer + 1 :])
