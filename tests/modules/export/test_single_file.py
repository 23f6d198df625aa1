"""The one file that predicts with an exported model."""

from __future__ import annotations

import ast
import sys
from pathlib import Path
from types import ModuleType

import pytest

from modules.export import portable_neighbors
from modules.export.single_file import join_modules, prediction_source

ALLOWED = {"numpy", "onnxruntime", "rdkit"}


def test_it_imports_numpy_rdkit_and_onnxruntime_alone() -> None:
    tree = ast.parse(prediction_source("1.2.3"))
    imported = [
        name.split(".")[0]
        for node in ast.walk(tree)
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    ]
    assert set(imported) - set(sys.stdlib_module_names) == ALLOWED


def test_two_definitions_of_a_name_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "other_part.py").write_text("_POWER = 2\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    other: ModuleType = __import__("other_part")
    with pytest.raises(ValueError, match=r"^_POWER: expected one definition, got one of modules.export.portable_neigh"):
        join_modules([portable_neighbors, other], "1.2.3")
