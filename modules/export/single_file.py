"""The source of the prediction with an exported model as one file, which imports no other file of this project."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Sequence
from types import ModuleType

from datamodules.chemistry import atom_codes, atom_kinds, count_fingerprints, molecule_graphs
from modules.export import portable, portable_command, portable_features, portable_neighbors, portable_samples
from modules.forest import trees

_OWN = ("datamodules", "modules")
_PARTS = (
    *(atom_codes, atom_kinds, molecule_graphs, count_fingerprints),
    *(portable_samples, portable_features, portable_neighbors, trees, portable, portable_command),
)
_HEAD = '''"""Predictions of an exported model: needs numpy, onnxruntime and, for molecules, RDKit.

From a shell: python predict.py new.csv predictions.csv
From Python:  Predictor("folder of the model").predict(["CCO", "c1ccccc1"])

Written by lightning export {version} (MIT license).
"""

from __future__ import annotations

{imports}

'''


def prediction_source(version: str) -> str:
    """The text of `predict.py`.

    Args:
        version: Version of this project.
    """
    return join_modules(_PARTS, version)


def join_modules(modules: Sequence[ModuleType], version: str) -> str:
    """Join the sources of modules, those that others import first, without their imports of each other.

    Args:
        modules: Modules without a name in common at their top.
        version: Version of this project.

    Raises:
        ValueError: If two modules define the same name.
    """
    imports: set[str] = set()
    bodies, owners = [], dict[str, str]()
    for module in modules:
        source = inspect.getsource(module)
        lines, tree = source.splitlines(), ast.parse(source)
        for name in _defined(tree):
            if owners.setdefault(name, module.__name__) != module.__name__:
                raise ValueError(f"{name}: expected one definition, got one of {owners[name]} and {module.__name__}.")
        for number, node in enumerate(tree.body):
            is_import = isinstance(node, ast.Import | ast.ImportFrom)
            if is_import and _is_foreign(node):
                imports.add(ast.unparse(node))
            if is_import or (number == 0 and isinstance(node, ast.Expr)):
                lines[node.lineno - 1 : node.end_lineno] = [""] * (_end(node) - node.lineno + 1)
        bodies.append("\n".join(lines).strip())
    # Only the last part is a command.
    return _HEAD.format(version=version, imports="\n".join(sorted(imports))) + "\n\n\n".join(bodies) + "\n"


def _defined(tree: ast.Module) -> list[str]:
    """The names that a module defines at its top."""
    names = []
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.append(node.name)
        targets = (
            node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        )
        names += [target.id for target in targets if isinstance(target, ast.Name)]
    return names


def _is_foreign(node: ast.stmt) -> bool:
    """Whether an import is of another project, or of the standard library."""
    module = node.module or "" if isinstance(node, ast.ImportFrom) else ""
    return module.split(".")[0] not in (*_OWN, "__future__")


def _end(node: ast.stmt) -> int:
    assert node.end_lineno is not None
    return node.end_lineno
