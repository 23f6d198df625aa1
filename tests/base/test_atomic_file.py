import errno
import json
import os
from pathlib import Path
from unittest.mock import patch

import numpy
import polars
import pytest

from base.atomic_file import naming, remove_unfinished, write_binary, write_csv, write_file, write_json
from base.errors import DiskFullError


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


def test_an_open_file_has_the_name_that_was_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "new" / "values"
    write_binary(path, lambda file: numpy.savez(file, values=numpy.arange(3)))
    with numpy.load(path) as file:
        assert file["values"].tolist() == [0, 1, 2]
    with pytest.raises(DiskFullError, match="its previous version is unchanged"):
        write_binary(path, lambda file: fail_with(errno.ENOSPC, cause=False))
    assert list(path.parent.iterdir()) == [path]


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


def test_content_is_synced_before_the_rename_and_the_folder_after_it(tmp_path: Path) -> None:
    path, order = tmp_path / "notes.txt", list[tuple[str, bool]]()

    def note(descriptor: int) -> None:
        order.append((Path(f"/proc/self/fd/{descriptor}").readlink().name, path.exists()))

    with patch("os.fsync", note):
        write_file(path, lambda temporary: temporary.write_text("all of it"))
    (first, before), (second, after) = order
    assert first.startswith(".notes.txt.")
    assert second == tmp_path.name
    assert (before, after) == (False, True)


@pytest.mark.parametrize(("number", "raised"), [(errno.EINVAL, False), (errno.ENOTSUP, False), (errno.EIO, True)])
def test_a_file_system_need_not_sync_folders(tmp_path: Path, number: int, raised: bool) -> None:
    real = os.fsync

    def sync(descriptor: int) -> None:
        if Path(f"/proc/self/fd/{descriptor}").is_dir():
            raise OSError(number, os.strerror(number))
        real(descriptor)

    with patch("os.fsync", sync):
        if raised:
            with pytest.raises(OSError, match="Input/output"):
                write_json({}, tmp_path / "values.json")
        else:
            write_json({}, tmp_path / "values.json")
    assert (tmp_path / "values.json").read_text() == "{}\n"


def fail_with(number: int, cause: bool) -> None:
    try:
        raise OSError(number, os.strerror(number))
    except OSError as error:
        if not cause:
            raise
        # As torch's writer does.
        raise RuntimeError("unexpected pos 576 vs 534") from error


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
@pytest.mark.parametrize("cause", [False, True])
def test_a_full_disk_is_said_in_one_sentence_and_keeps_the_old_file(tmp_path: Path, number: int, cause: bool) -> None:
    path = tmp_path / "notes.txt"

    def write(temporary: Path) -> None:
        temporary.write_text("half of")
        fail_with(number, cause)

    for state in ("no part of it was left", "its previous version is unchanged"):
        with pytest.raises(DiskFullError) as raised:
            write_file(path, write)
        assert str(raised.value) == f"The disk is full: {path} could not be written; {state}."
        path.write_text("old")
    assert [found.read_text() for found in tmp_path.iterdir()] == ["old"]


def test_an_error_that_polars_words_itself_is_known_as_a_full_disk(tmp_path: Path) -> None:
    def write(temporary: Path) -> None:
        raise polars.exceptions.ComputeError("parquet: underlying IO error: No space left on device (os error 28)")

    with pytest.raises(DiskFullError, match="disk is full"):
        write_file(tmp_path / "table.parquet", write)


def test_other_errors_of_the_disk_are_not_called_a_full_one(tmp_path: Path) -> None:
    with pytest.raises(PermissionError):
        write_file(tmp_path / "notes.txt", lambda temporary: fail_with(errno.EACCES, cause=False))


def test_only_what_a_killed_writer_left_in_the_folder_is_removed(tmp_path: Path) -> None:
    digits = "0123456789abcdef" * 2
    kept = [".hidden", f".short.{digits[:-1]}", f"shown.{digits}", f".upper.{digits.upper()}", f"inner/.file.{digits}"]
    for name in [*kept, f".last.ckpt.{digits}"]:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / f".folder.{digits}").mkdir()
    (tmp_path / f".link.{digits}").symlink_to(tmp_path / ".hidden")
    remove_unfinished(tmp_path)
    left = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")}
    assert left == {*kept, "inner", f".folder.{digits}", f".link.{digits}"}


@pytest.mark.parametrize("named", [None, "/folder/.out.csv.12ab.parts/3.part"])
def test_an_error_of_a_piece_names_the_file(named: str | None) -> None:
    with pytest.raises(PermissionError) as caught, naming(Path("out.csv")):
        raise PermissionError(errno.EACCES, "Permission denied", named)
    assert caught.value.filename == "out.csv"


def test_an_error_of_another_file_keeps_its_name() -> None:
    with pytest.raises(PermissionError) as caught, naming(Path("out.csv")):
        raise PermissionError(errno.EACCES, "Permission denied", "table.csv")
    assert caught.value.filename == "table.csv"


def test_a_disk_that_is_full_for_a_piece_names_the_file() -> None:
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    with pytest.raises(DiskFullError, match=r"^The disk is full: out\.csv could"), naming(Path("out.csv")):
        polars.DataFrame({"a": range(100_000)}).write_csv("/dev/full")
