"""The pinned versions install on every release of Python that the project names."""

import tomllib
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

ROOT = Path(__file__).parents[1]
PREFIX = "Programming Language :: Python :: 3."
CLASSIFIERS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["classifiers"]
# Distributions stay at an early release for years: Debian 12 has 3.11.2.
RELEASES = [f"3.{text.removeprefix(PREFIX)}.0" for text in CLASSIFIERS if text.startswith(PREFIX)]


def pinned() -> dict[str, str]:
    requirements = [Requirement(line) for line in (ROOT / "constraints.txt").read_text().splitlines() if line[0] != "#"]
    return {one.name: str(one.specifier).removeprefix("==") for one in requirements}


@pytest.mark.parametrize("release", RELEASES)
def test_pins_allow_the_first_release_of_each_python(release: str) -> None:
    """A pin that excludes a Python leaves pip to search for minutes before it says so."""
    checked, excluded = 0, []
    for name, version in pinned().items():
        try:
            found = distribution(name)
        except PackageNotFoundError:
            continue
        if found.version.split("+")[0] != version:
            continue
        checked += 1
        if release not in SpecifierSet(found.metadata["Requires-Python"] or ""):
            excluded.append(f"{name}=={version}: {found.metadata['Requires-Python']}")
    assert not excluded
    assert checked > 150
