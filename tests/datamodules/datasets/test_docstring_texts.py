from pathlib import Path

import pytest

from datamodules.datasets import docstring_texts
from datamodules.datasets.docstring_texts import PACKAGES, masked, read_docstrings

WORDS = " ".join(f"word{letter}" for letter in "abcdefghijklmnopqrstuvwxyz")


def write(folder: Path, name: str, docstrings: list[str]) -> None:
    """A file with a function for each docstring."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    code = [f'def function_{number}():\n    """{text}"""\n' for number, text in enumerate(docstrings)]
    path.write_text("raise RuntimeError('imported')\n" + "".join(code))


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two packages that cannot be imported."""
    monkeypatch.syspath_prepend(tmp_path)
    write(tmp_path, "tm_one/__init__.py", [f"First {WORDS}", "Too short.", f"Both {WORDS}"])
    write(tmp_path, "tm_one/deep/module.py", [f"Deep {WORDS}", f"First\n    {WORDS}"])
    write(tmp_path, "tm_one/tests/test_it.py", [f"Test {WORDS}"])
    write(tmp_path, "tm_two/__init__.py", [f"Both {WORDS}", f"Use numpy to {WORDS}"])
    (tmp_path / "tm_two" / "broken.py").write_text("def (:\n")
    (tmp_path / "tm_two" / "kinds.py").write_text(
        f'class A:\n    """Class {WORDS}"""\n    async def b(self):\n        """Method {WORDS}"""\n'
    )
    return tmp_path


def test_docstrings_are_read_without_importing(packages: Path) -> None:
    found = read_docstrings({"tm_two": "two", "tm_one": "one"})
    assert sorted(found) == [
        ("tm_one", f"deep {WORDS}"),
        ("tm_one", f"first {WORDS}"),
        ("tm_two", f"class {WORDS}"),
        ("tm_two", f"method {WORDS}"),
        ("tm_two", f"use to {WORDS}"),
    ]
    assert [package for package, _ in found] == ["tm_one"] * 2 + ["tm_two"] * 3


def test_no_more_than_the_bound_is_drawn_and_the_seed_draws(packages: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(packages, "tm_many/__init__.py", [f"Text {'x' * (number + 1)} {WORDS}" for number in range(30)])
    monkeypatch.setattr(docstring_texts, "_MAX_TEXTS", 10)
    draws = [read_docstrings({"tm_many": "many"}, seed) for seed in (0, 0, 1)]
    assert [len(draw) for draw in draws] == [10, 10, 10]
    assert draws[0] == draws[1] != draws[2]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Use PyTorch's torch.Tensor,\n  not numpy_array.", "use 's .tensor, not _array."),
        ("import pandas as pd; pd.DataFrame", "import as ; .dataframe"),
        ("updated stepping", "updated stepping"),
        ("scikit-learn and sklearn", "and"),
        ("TorchMetrics of Lightning", "of"),
    ],
)
def test_names_of_packages_are_taken_out(text: str, expected: str) -> None:
    assert masked(text) == expected


def test_every_package_is_masked() -> None:
    for name in (*PACKAGES, *PACKAGES.values()):
        assert masked(f"a {name} b {name.upper()}x") in ("a b x", "a b")
