"""The contract on imports holds, and what it forbids makes `make lint` fail."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
from graphlib import TopologicalSorter
from itertools import pairwise
from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).parents[1]
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
(ROOMS,) = (contract["layers"] for contract in SETTINGS["contracts"] if contract["type"] == "layers")

AT_THE_TOP = "import {}\n"
IN_A_FUNCTION = "def late() -> None:\n    import {}\n"
FOR_TYPES = "from typing import TYPE_CHECKING\n\nif TYPE_CHECKING:\n    import {}\n"


def lint_imports(folder: Path) -> tuple[int, str]:
    """Exit status and output."""
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    variables = {**os.environ, "PYTHONPATH": str(folder)}
    done = subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout + done.stderr


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of the sources and of the contract."""
    for room in ROOMS:
        shutil.copytree(ROOT / room, tmp_path / room, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def test_imports_point_down_without_a_cycle() -> None:
    status, output = lint_imports(ROOT)
    assert status == 0, output


def test_every_package_is_in_the_contract() -> None:
    assert sorted(path.parent.name for path in ROOT.glob("*/__init__.py")) == sorted([*ROOMS, "configs", "tests"])
    assert SETTINGS["root_packages"] == ROOMS


@pytest.mark.parametrize("form", [AT_THE_TOP, IN_A_FUNCTION, FOR_TYPES], ids=["top", "function", "types"])
def test_an_upward_import_breaks_the_contract(checkout: Path, form: str) -> None:
    for upper, lower in pairwise(ROOMS):
        (checkout / lower / "planted.py").write_text(form.format(upper))
    status, output = lint_imports(checkout)
    assert status == 1
    assert [room for room in ROOMS if f"{room}.planted -> " in output] == ROOMS[1:]


@pytest.mark.parametrize("form", [AT_THE_TOP, IN_A_FUNCTION, FOR_TYPES], ids=["top", "function", "types"])
def test_a_cycle_within_a_package_breaks_the_contract(checkout: Path, form: str) -> None:
    for room in ROOMS:
        (checkout / room / "first.py").write_text(form.format(f"{room}.second"))
        (checkout / room / "second.py").write_text(form.format(f"{room}.first"))
    status, output = lint_imports(checkout)
    assert status == 1
    assert [room for room in ROOMS if f"No cycles are allowed in {room}." in output] == ROOMS


def test_no_module_imports_itself_by_way_of_its_package() -> None:
    # The contract compares siblings, and a package and a module in it are none.
    graph = grimp.build_graph(*ROOMS, cache_dir=None)
    imports = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    TopologicalSorter(imports).prepare()
