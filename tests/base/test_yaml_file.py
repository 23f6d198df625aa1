from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from base.errors import InputError
from base.yaml_file import read_yaml


def save(folder: Path, content: str | bytes) -> Path:
    path = folder / "mine.yaml"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def laughs(levels: int) -> str:
    """A list of ten, and lists of ten times the list before: ten to the number of levels and one in all."""
    lists = [f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 10)}]" for level in range(1, levels + 1)]
    return "\n".join([f"a0: &a0 [{', '.join(['lol'] * 10)}]", *lists])


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (laughs(9), "it has more than 100,000 values"),
        (f"a: [{', '.join(['1'] * 100_001)}]", "it has more than 100,000 values"),
        ("a: &a {b: [1, *a]}", "*a stands within the value that it repeats"),
        ("[" * 100_000, "its values nest more than 50 levels deep"),
        ("[" * 51 + "]" * 51, "its values nest more than 50 levels deep"),
        ("{a: " * 51 + "1" + "}" * 51, "its values nest more than 50 levels deep"),
        (
            "\n".join(["a0: &a0 [1]", *(f"a{n}: &a{n} [*a{n - 1}]" for n in range(1, 50))]),
            "its values nest more than 50 levels deep",
        ),
        ("# " + "x" * 1_000_000, "it has more than a megabyte"),
        ("é" * 500_001, "it has more than a megabyte"),
        (b"a: \xff", "'utf-8' codec can't decode byte 0xff in position 3: invalid start byte"),
        ("a: 2020-99-99", "month must be in 1..12"),
    ],
    ids=str,
)
def test_what_is_too_much_or_no_yaml_is_refused(tmp_path: Path, content: str | bytes, problem: str) -> None:
    path = save(tmp_path, content)
    sentence = f"config: {path} cannot be read as YAML ({problem})."
    with pytest.raises(InputError, match=f"^{re.escape(sentence)}$"):
        read_yaml(path)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"^config: \S+ cannot be read as YAML \(.*No such file"):
        read_yaml(tmp_path / "none.yaml")


@pytest.mark.parametrize(
    "content",
    [
        laughs(3),
        "[" * 50 + "]" * 50,
        "a: &a {b: 1}\nc: {<<: *a, d: *a}\ne: *a\n",
        "",
        "# nothing",
    ],
)
def test_ordinary_aliases_and_nesting_are_read(tmp_path: Path, content: str) -> None:
    assert read_yaml(save(tmp_path, content)) == yaml.safe_load(content)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text("ab: *&é", max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab", max_size=2), inner, max_size=3),
    max_leaves=12,
)


@given(VALUES, st.booleans())
def test_what_yaml_writes_is_read(tmp_path_factory: pytest.TempPathFactory, value: Any, twice: bool) -> None:
    # A value that is used twice is written as an alias.
    value = [value, value] if twice else value
    assert read_yaml(save(tmp_path_factory.getbasetemp(), yaml.safe_dump(value, allow_unicode=True))) == value


def test_another_loader_may_read(tmp_path: Path) -> None:
    assert read_yaml(save(tmp_path, "a: 1"), str.upper) == "A: 1"
