from __future__ import annotations

import os
from pathlib import Path

import polars
import pytest

from base.errors import InputError
from reports.run_files import REJECTED_SHOWN, read_class_weights, read_rejected, read_run, read_times


def write_weights(path: Path, classes: tuple[str, ...] = ("a", "1")) -> None:
    rows = [(epoch, name, 0.5 + epoch / 100) for epoch in (5, 10) for name in classes]
    polars.DataFrame(rows, schema=["epoch", "class", "weight"], orient="row").write_csv(path)


def test_class_weights_by_recluster(tmp_path: Path) -> None:
    write_weights(tmp_path / "class_weights.csv")
    found = read_class_weights(tmp_path / "class_weights.csv", ("a", "1"))
    assert found is not None
    assert found.epochs.tolist() == [5, 10]
    assert found.weights.tolist() == [[0.55, 0.55], [0.6, 0.6]]


def test_no_reclusters_no_weights(tmp_path: Path) -> None:
    assert read_class_weights(tmp_path / "class_weights.csv", ("a",)) is None


def test_weights_of_other_classes_are_refused(tmp_path: Path) -> None:
    write_weights(tmp_path / "class_weights.csv")
    with pytest.raises(InputError, match="expected the classes of the checkpoint"):
        read_class_weights(tmp_path / "class_weights.csv", ("a", "2"))


def test_times(tmp_path: Path) -> None:
    (tmp_path / "splits.csv").touch()
    metrics = (
        "epoch,recluster/seconds,recluster/embedding_seconds,train/loss\n0,,,1\n1,2.5,1,\n1,,,2\n2,1.5,1,\n2,,,1\n"
    )
    (tmp_path / "metrics.csv").write_text(metrics)
    os.utime(tmp_path / "splits.csv", (100, 100))
    os.utime(tmp_path / "metrics.csv", (160, 160))
    found = read_times(tmp_path)
    assert (found.epochs, found.reclusters, found.recluster, found.embedding, found.total) == (3, 2, 4.0, 2.0, 60.0)


def test_file_times_that_are_not_the_runs_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "metrics.csv").write_text("epoch,recluster/seconds,train/loss\n0,8,\n0,,1\n")
    (tmp_path / "splits.csv").touch()
    (tmp_path / "class_means").mkdir()
    (tmp_path / "class_means/epoch_0000.npz").touch()
    for name, when in (("splits.csv", 100), ("metrics.csv", 160), ("class_means/epoch_0000.npz", 90)):
        os.utime(tmp_path / name, (when, when))
    assert read_times(tmp_path).total is None, "resumed: the recluster was before the first file"
    os.utime(tmp_path / "class_means/epoch_0000.npz", (101, 101))
    assert read_times(tmp_path).total == 60
    os.utime(tmp_path / "metrics.csv", (102, 102))
    assert read_times(tmp_path).total is None, "copied: shorter than its recluster"


def test_an_empty_folder_has_no_times(tmp_path: Path) -> None:
    found = read_times(tmp_path)
    assert (found.epochs, found.recluster, found.total) == (0, None, None)


def test_rejected_rows_are_counted_and_the_first_are_kept(tmp_path: Path) -> None:
    polars.DataFrame({"row": range(250), "reason": [None] * 250}).write_csv(tmp_path / "rejected.csv")
    found = read_rejected(tmp_path / "rejected.csv")
    assert (found.total, len(found.rows), found.rows[1]) == (250, REJECTED_SHOWN, ("1", ""))
    assert read_rejected(tmp_path / "none.csv").total == 0


def test_other_paths_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"^RUN: expected the folder of a run or a checkpoint, got .*none"):
        read_run(tmp_path / "none")
    with pytest.raises(InputError, match=r"expected a folder with checkpoints/best\.ckpt"):
        read_run(tmp_path)
