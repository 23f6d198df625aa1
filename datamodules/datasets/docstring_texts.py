"""The docstrings of installed Python packages, read without importing them."""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy

PACKAGES = {
    "lightning": "lightning",
    "matplotlib": "matplotlib",
    "networkx": "networkx",
    "numpy": "numpy",
    "pandas": "pandas",
    "polars": "polars",
    "scipy": "scipy",
    "sklearn": "scikit-learn",
    "statsmodels": "statsmodels",
    "torch": "torch",
    "torchmetrics": "torchmetrics",
    "wandb": "wandb",
}
"""Name of the package to its name on PyPI."""

_MAX_FILES = 300
_MAX_TEXTS = 400
_MIN_WORDS = 20
_NOT_ITS_OWN = {"tests", "test", "testing", "_vendor", "vendor", "vendored", "externals", "extern", "_vendored"}

# Names of packages wherever they occur, also within a word; what they are imported as only as a whole word.
_NAMES = re.compile(
    r"(?i)torchmetrics|pytorch|torch|numpy|scipy|scikit[-_ ]?learn|scikit|sklearn|polars|pandas|matplotlib|pyplot"
    r"|statsmodels|networkx|lightning|wandb|weights\s*&\s*biases|weights and biases"
    r"|\b(?:np|npt|sp|pl|pd|plt|mpl|nx|sm|smf|tm)\b"
)


def read_docstrings(packages: dict[str, str] = PACKAGES, seed: int = 0) -> list[tuple[str, str]]:
    """Docstrings of functions and classes, with the package that each is from.

    The names of the packages are taken out of all texts. Docstrings of fewer than 20 words are left out, as are tests
    and copies of other projects; of equal texts one is kept, none if they are from several packages. A package gives
    400 at most, drawn from 300 files at most.

    Args:
        packages: Names of the packages; they must be installed.
        seed: Random seed.

    Returns:
        Package and text, in lower case with single spaces, by package and place in it.
    """
    found = {package: list(dict.fromkeys(_package_texts(package, seed))) for package in sorted(packages)}
    packages_of: dict[str, int] = {}
    for texts in found.values():
        for text in texts:
            packages_of[text] = packages_of.get(text, 0) + 1
    chosen = []
    for package, texts in found.items():
        own = [text for text in texts if packages_of[text] == 1]
        chosen += [(package, own[place]) for place in _draw(len(own), _MAX_TEXTS, seed)]
    return chosen


def masked(docstring: str) -> str:
    """A docstring in lower case, with single spaces and without the names of packages.

    Args:
        docstring: As written.
    """
    return " ".join(_NAMES.sub(" ", docstring).lower().split())


def _package_texts(package: str, seed: int) -> Iterator[str]:
    spec = find_spec(package)
    assert spec is not None
    assert spec.submodule_search_locations
    folder = Path(next(iter(spec.submodule_search_locations)))
    files = sorted(path for path in folder.rglob("*.py") if not _NOT_ITS_OWN & {*path.relative_to(folder).parts})
    for place in _draw(len(files), _MAX_FILES, seed):
        for docstring in _file_docstrings(files[place]):
            text = masked(docstring)
            if len(text.split()) >= _MIN_WORDS:
                yield text


def _file_docstrings(path: Path) -> Iterator[str]:
    with warnings.catch_warnings():
        # What a file of another project warns of when it is parsed is nothing to its reader.
        warnings.simplefilter("ignore")
        try:
            tree = ast.parse(path.read_bytes())
        except (SyntaxError, ValueError):
            return
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield ast.get_docstring(node) or ""


def _draw(number: int, most: int, seed: int) -> list[int]:
    """`most` of the numbers below `number`, ascending; all where there are no more."""
    drawn: list[int] = numpy.sort(numpy.random.default_rng(seed).permutation(number)[:most]).tolist()
    return drawn
