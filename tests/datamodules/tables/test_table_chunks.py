"""Tables in chunks and small blocks are the tables that are read whole."""

from __future__ import annotations

import gzip
import io
from pathlib import Path

import polars
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from base.errors import InputError
from datamodules.tables import text_content
from datamodules.tables.table_file import open_table

BLOCK_BYTES = 16


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of a few lines, so that small tables are read in many."""
    monkeypatch.setattr(text_content, "_BLOCK_BYTES", BLOCK_BYTES)


def outcome_whole(path: Path) -> object:
    """Rows and ragged rows of a file that is read in one block, or the message of the error."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(text_content, "_BLOCK_BYTES", 1 << 23)
        try:
            chunk = open_table(path).read()
        except InputError as error:
            return str(error)
    return chunk.frame.to_dict(as_series=False), chunk.ragged


def outcome_chunked(path: Path, size: int) -> object:
    """The same from chunks and small blocks."""
    try:
        table = open_table(path)
        chunks = list(table.chunks(size))
    except InputError as error:
        return str(error)
    assert [chunk.first_row for chunk in chunks] == list(range(0, table.rows, size))
    frame = polars.concat([chunk.frame for chunk in chunks])
    assert frame.columns == table.columns
    ragged = {chunk.first_row + row: text for chunk in chunks for row, text in chunk.ragged.items()}
    return frame.to_dict(as_series=False), ragged


TEXTS = [
    "smiles,note\nC,a\nCC,b\nCCC,c\nO,d\nN,e\n",
    "smiles,note\nC,a\nCC,b",
    "\ufeffsmiles;note\nC;ä\nCC;b\n",
    "smiles\nC\n\nCC\n  \nCCO,x\n",
    "smiles,note\r\nC,a\r\n\r\nCC\r\nN,1,2\r\n",
    'smiles\tnote\nC\t"open\nCC\tb\n',
    'smiles\tnote\nC\t"a"\nCC\tb\n',
    'smiles,note\nC,"a\nb"\nCC,"c,d"\n',
    'smiles,note\nC,"open\nCC,b\n',
    "\n\nsmiles,note\nC,a\n\n",
    "smiles,smiles\nC,a\n",
    "smiles,note\n",
    "smiles,\nC,a\n",
    "smiles,note\rC,a\rCC,b\rCCC\r",
    'smiles\tnote\rC\t"a\rCC\tb\rCCC\t"c\r',
    "# one\n# two\nsmiles,note\nC,a\n# three\nCC,b\n",
    "sep=;\r\nsmiles;note\r\nC;a,b,c,d\r\n",
    "smiles,note\nC,a\0\nCC,b\n",
    f"smiles,note\nC,{'x' * 131_073}\nCC,{'y' * 131_072}\nN,b\n",
    " \n\n",
    "",
    "x" * 100 + "\nC\n",
]


@pytest.mark.parametrize("size", [1, 2, 100])
@pytest.mark.parametrize("text", TEXTS)
def test_text_tables(tmp_path: Path, text: str, size: int) -> None:
    path = tmp_path / "table.csv"
    path.write_bytes(text.encode())
    assert outcome_chunked(path, size) == outcome_whole(path)
    packed = tmp_path / "table.csv.gz"
    packed.write_bytes(gzip.compress(text.encode()))
    assert outcome_chunked(packed, size) == outcome_whole(packed)


@settings(max_examples=200, deadline=None)
@given(text=st.text(alphabet='aé,;\t"\n\r ', max_size=60), size=st.integers(1, 5))
def test_any_text(tmp_path_factory: pytest.TempPathFactory, text: str, size: int) -> None:
    folder = tmp_path_factory.getbasetemp()
    path = folder / "any.csv"
    path.write_bytes(f"a,b\n{text}".encode())
    assert outcome_chunked(path, size) == outcome_whole(path)
    path.write_bytes(text.encode())
    assert outcome_chunked(path, size) == outcome_whole(path)


@pytest.mark.parametrize("size", [1, 3, 7, 50])
def test_parquet(tmp_path: Path, size: int) -> None:
    frame = polars.DataFrame({"smiles": ["C", None, "CC", "N", "O", "S", "P"], "dose": [1.5, 2, 3, None, 5, 6, 7]})
    path = tmp_path / "x=1[a].parquet"
    frame.write_parquet(path, row_group_size=2)
    assert polars.concat([chunk.frame for chunk in open_table(path).chunks(size)]).equals(frame)
    content = io.BytesIO()
    frame.write_parquet(content)
    packed = tmp_path / "table.parquet.gz"
    packed.write_bytes(gzip.compress(content.getvalue()))
    assert outcome_chunked(packed, size) == outcome_whole(packed)


@pytest.mark.parametrize("text", [TEXTS[0], TEXTS[4]])
def test_processes_share_the_chunks(tmp_path: Path, text: str) -> None:
    path = tmp_path / "table.csv"
    path.write_bytes(text.encode())
    table = open_table(path)
    shares = [[chunk.first_row for chunk in table.chunks(1, process, 2)] for process in range(2)]
    assert shares == [list(range(0, table.rows, 2)), list(range(1, table.rows, 2))]
