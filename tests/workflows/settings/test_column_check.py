"""Whether a table has the columns that the settings name, before torch is imported."""

from __future__ import annotations

import gzip
import subprocess
import sys
from pathlib import Path

import polars
import pytest

from base.errors import InputError
from workflows.settings.column_check import check_columns


@pytest.fixture(autouse=True)
def _tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.csv").write_text("\nsmiles;label;007\nCCO;x;1\n")
    Path("b.tsv.gz").write_bytes(gzip.compress("\ufeffsmiles\tlabel\nCCO\tx\n".encode()))
    polars.DataFrame({"smiles": ["CCO"], "label": ["x"]}).write_parquet("c.parquet")


@pytest.mark.parametrize("table", ["a.csv", "b.tsv.gz", "c.parquet"])
def test_a_column_that_is_not_there_is_named(table: str) -> None:
    check_columns(["--data.source", table])
    check_columns(["--data.source", table, "--data.label_column=label"])
    with pytest.raises(
        InputError, match=rf"data.label_column: expected a column of {table} \(smiles, la.*, got 'nope'"
    ):
        check_columns(["--data.source", table, "--data.label_column", "nope"])
    with pytest.raises(InputError, match=r"data\.smiles_columns: expected a column of .*, got 'drug'"):
        check_columns(["--data.source", table, "--data.smiles_columns", "[drug]"])


def test_names_that_look_like_numbers_are_text() -> None:
    check_columns(["--data.source", "a.csv", "--data.label_column", "007"])
    with pytest.raises(InputError, match="got '07'"):
        check_columns(["--data.source", "a.csv", "--data.label_column", "07"])


@pytest.mark.parametrize(
    "arguments",
    [
        ["--data.source", "a.csv", "--data.label_column", "nope", "--ckpt_path", "x.ckpt"],
        ["--data.source", "a.csv", "--data.input", "nonsense"],
        ["--data.source", "x.npz", "--data.label_column", "nope"],
        ["--data.source", "hiv", "--data.label_column", "nope"],
    ],
)
def test_the_rest_is_left_to_others(arguments: list[str]) -> None:
    Path("x.npz").touch()
    check_columns(arguments)


def test_a_wrong_column_is_reported_before_torch_is_imported() -> None:
    script = (
        "import sys\n"
        "from lightning_app.cli import main\n"
        "sys.argv = ['lightning', 'fit', '--data.source', 'a.csv', '--data.label_column', 'nope']\n"
        "try:\n"
        "    main()\n"
        "except SystemExit as stop:\n"
        "    print(stop.code, 'torch' in sys.modules, 'lightning' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert done.stderr == (
        "lightning: error: data.label_column: expected a column of a.csv (smiles, label, 007), got 'nope'.\n"
    )
    assert done.stdout.split() == ["2", "False", "False"]
