import json
from pathlib import Path

import polars
import pytest

from base.atomic_file import naming, write_csv, write_file, write_json


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


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (OSError(28, "No space left on device"), (28, "out.csv")),
        (OSError("No space left on device (os error 28)"), (28, "out.csv")),
        (RuntimeError("parquet: underlying IO error: No space left on device (os error 28)"), (28, "out.csv")),
        (PermissionError(13, "Permission denied", "/other/file"), (13, "/other/file")),
        (PermissionError(13, "Permission denied", "/folder/.out.csv.12ab"), (13, "out.csv")),
    ],
)
def test_an_error_of_the_system_names_the_file(tmp_path: Path, error: Exception, expected: tuple[int, str]) -> None:
    def fail(path: Path) -> None:
        raise error

    with pytest.raises(OSError, match=r"\[Errno") as caught:
        write_file(tmp_path / "out.csv", fail)
    number, name = expected
    assert (caught.value.errno, caught.value.filename) == (number, str(tmp_path / name))


def test_other_errors_are_not_changed(tmp_path: Path) -> None:
    def fail(path: Path) -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        write_file(tmp_path / "out.csv", fail)


def test_a_full_disk_is_named() -> None:
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    import polars

    with pytest.raises(OSError, match="No space left on device") as caught, naming(Path("out.csv")):
        polars.DataFrame({"a": range(100_000)}).write_csv("/dev/full")
    assert caught.value.filename == "out.csv"
