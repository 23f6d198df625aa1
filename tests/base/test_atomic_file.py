import json
from pathlib import Path

import polars
import pytest

from base.atomic_file import write_csv, write_file, write_json


def test_the_file_is_complete_and_leaves_no_temporary_file(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "notes.txt"

    def write(temporary: Path) -> None:
        assert temporary.parent == path.parent
        assert temporary != path
        temporary.write_text("all of it")
        assert not path.exists()

    write_file(path, write)
    assert path.read_text() == "all of it"
    assert list(path.parent.iterdir()) == [path]


def test_an_interrupted_write_keeps_the_old_file_and_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("old")

    def stop(temporary: Path) -> None:
        temporary.write_text("half of")
        raise KeyboardInterrupt("stopped by the user")

    with pytest.raises(KeyboardInterrupt, match="stopped by the user"):
        write_file(path, stop)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_writer_that_creates_no_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"notes\.txt"):
        write_file(tmp_path / "notes.txt", lambda temporary: None)


def test_csv_holds_the_table(tmp_path: Path) -> None:
    frame = polars.DataFrame({"smiles": ["C,C", 'a"b'], "count": [1, None]})
    write_csv(frame, tmp_path / "table.csv")
    assert (tmp_path / "table.csv").read_text() == 'smiles,count\n"C,C",1\n"a""b",\n'
    assert polars.read_csv(tmp_path / "table.csv").equals(frame)


def test_json_is_indented_and_read_back(tmp_path: Path) -> None:
    values = {"classes": ["ä", "b"], "loss": 0.1, "best": None}
    write_json(values, tmp_path / "values.json")
    text = (tmp_path / "values.json").read_text()
    assert text.startswith('{\n  "classes": [\n')
    assert text.endswith("}\n")
    assert json.loads(text) == values


def test_values_that_json_cannot_represent_leave_no_file(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="not JSON serializable"):
        write_json({"path": tmp_path}, tmp_path / "values.json")
    assert list(tmp_path.iterdir()) == []
