"""Tables are read before torch is imported, so that a wrong column is reported soon."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

LATE = ("torch", "lightning", "rdkit", "dgl", "faiss", "wandb")


def test_a_wrong_column_is_found_without_torch(tmp_path: Path) -> None:
    path = tmp_path / "drugs.csv"
    path.write_text("smiles,label\nC,a\n")
    program = f"""
import pkgutil, sys
from importlib import import_module
from pathlib import Path
import datamodules.tables
for module in pkgutil.iter_modules(datamodules.tables.__path__):
    import_module("datamodules.tables." + module.name)
from base.errors import InputError
from datamodules.tables.columns import ColumnNames
from datamodules.tables.source_table import check_columns
try:
    check_columns(Path({str(path)!r}), "molecule", ColumnNames(label="Label"))
except InputError as error:
    print(error)
print([name for name in {LATE!r} if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    message, imported = done.stdout.splitlines()
    assert message == f"data.label_column: expected a column of {path} (smiles, label), got 'Label'."
    assert imported == "[]"
