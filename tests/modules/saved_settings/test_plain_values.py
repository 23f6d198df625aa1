"""Settings of a checkpoint are copied if they are plain, and small enough to be settings."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from modules.saved_settings.plain_values import MAX_DEPTH, MAX_TEXT, MAX_VALUES, plain_settings

LEAVES = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(alphabet="ab$.{ é", max_size=9)
)
NAMES = st.text(alphabet="abé_", min_size=1, max_size=5).filter(lambda name: not name.startswith("__"))
VALUES = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=4))


def nested(levels: int) -> list[Any]:
    inner: list[Any] = []
    for _ in range(levels):
        inner = [inner]
    return inner


@given(st.dictionaries(NAMES, VALUES, max_size=4).filter(lambda settings: "${" not in repr(settings)))
def test_plain_settings_are_copied_without_sharing(settings: dict[str, Any]) -> None:
    copied = plain_settings(settings)
    assert copied == settings
    assert copied is not settings


def test_what_is_shared_is_shared_no_longer() -> None:
    inner = [1]
    copied = plain_settings({"a": inner, "b": inner})
    copied["a"].append(2)
    assert copied == {"a": [1, 2], "b": [1]}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ([], "expected a mapping, got list"),
        ({"a": torch.zeros(1)}, "expected plain values, got Tensor"),
        ({"a": (1, 2)}, "expected plain values, got tuple"),
        ({"a": OrderedDict(b=1)}, "expected plain values, got OrderedDict"),
        ({"a": {1: 2}}, "expected names of settings, got '1'"),
        ({"a": {"b.c": 2}}, r"expected names of settings, got 'b\.c'"),
        ({"a+": 2}, r"expected names of settings, got 'a\+'"),
        ({"__path__": "x"}, "expected names of settings, got '__path__'"),
        ({"a": ["${oc.env:HOME}"]}, "got the interpolation"),
        ({"a": r"\${a}"}, "got the interpolation"),
        ({"a": nested(1_000_000)}, f"at most {MAX_DEPTH} levels"),
        ({"a": [0] * MAX_VALUES}, f"at most {MAX_VALUES:,} values"),
        ({"a": "x" * (MAX_TEXT + 1)}, f"at most .* {MAX_TEXT:,} characters"),
        ({"a" * (MAX_TEXT + 1): 1}, f"at most .* {MAX_TEXT:,} characters"),
    ],
    ids=range(14),
)
def test_other_settings_are_refused(settings: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        plain_settings(settings)


def test_a_few_references_are_no_way_around_the_size() -> None:
    settings: dict[str, Any] = {"a": []}
    for _ in range(MAX_DEPTH - 2):
        settings = {"a": settings, "b": settings}
    with pytest.raises(ValueError, match="values"):
        plain_settings(settings)
    own: dict[str, Any] = {}
    own["own"] = own
    with pytest.raises(ValueError, match="levels"):
        plain_settings(own)
