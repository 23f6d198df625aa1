from __future__ import annotations

import re
from pathlib import Path

import pytest

from base.errors import InputError
from datamodules.tables.columns import ColumnNames, InputKind
from datamodules.tables.source_table import check_columns, read_table

NAMED = ColumnNames(smiles=["structure_1"], label="kind")


@pytest.mark.parametrize(
    ("text", "row", "input", "names"),
    [
        ("CCO,a\nCCN,b\n", "CCO, a", "molecule", ColumnNames()),
        ("CCO,a\nCCN,b\n", "CCO, a", "molecule", NAMED),
        ("d1\tC[C@H](N)O\t1\nd2\tCC\t0\n", "d1, C[C@H](N)O, 1", "molecule", ColumnNames()),
        ('"CCO","a"\nCCN,b\n', "CCO, a", "molecule", ColumnNames()),
        ("CCO,1,1\nCCN,0,1\n", "CCO, 1, 1", "molecule", ColumnNames()),
        ("CCO>>CC=O,a\nCC>>C,b\n", "CCO>>CC=O, a", "reaction", ColumnNames()),
        ("CCO,CC,a\nCC,C,b\n", "CCO, CC, a", "pair", ColumnNames()),
    ],
)
def test_a_row_in_place_of_the_header_is_refused(
    tmp_path: Path, text: str, row: str, input: InputKind, names: ColumnNames
) -> None:
    path = tmp_path / "table.csv"
    path.write_text(text)
    sentence = (
        f"data.source: expected a header in the first line of {path}, got a row ({row}); add a line above it that "
        "names the columns, such as smiles,label."
    )
    with pytest.raises(InputError, match=f"^{re.escape(sentence)}$"):
        read_table(path, input, names)


@pytest.mark.parametrize("header", ["my_smiles,CO", "N,S", "drug_a,kind", "CCO,label", "CCO,id"])
def test_a_header_is_no_row(tmp_path: Path, header: str) -> None:
    path = tmp_path / "table.csv"
    path.write_text(f"{header}\nCCO,a\n")
    first, second = header.split(",")
    assert read_table(path, "molecule", ColumnNames(smiles=[first], label=second)).frame.columns == [first, second]
    if header != "my_smiles,CO":
        with pytest.raises(InputError, match=r"^data\.smiles_columns: expected the names of 1 column\(s\) of \S+ for"):
            check_columns(path, "molecule")
