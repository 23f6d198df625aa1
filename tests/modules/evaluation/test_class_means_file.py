from __future__ import annotations

from pathlib import Path

import numpy
import pytest
import torch

from base.errors import InputError
from modules.evaluation.class_means_file import (
    CLASS_MEANS,
    ClassMeans,
    class_means,
    read_class_means,
    write_class_means,
)
from modules.subclusters import subcluster
from modules.unit_embeddings import group_means, unit_embeddings


def made(epoch: int) -> ClassMeans:
    return ClassMeans(epoch, numpy.full((3, 2), epoch / 4, dtype=numpy.float32), numpy.array([1, 0, 2]))


def test_written_means_are_read_by_epoch(tmp_path: Path) -> None:
    for epoch in (10, 2, 10_000):
        write_class_means(made(epoch), tmp_path)
    found = read_class_means(tmp_path, 3)
    assert [one.epoch for one in found] == [2, 10, 10_000]
    assert found[0].means.tolist() == made(2).means.tolist()
    assert found[0].samples.tolist() == [1, 0, 2]


def test_a_resumed_run_continues_from_the_saved_state(tmp_path: Path) -> None:
    write_class_means(made(1), tmp_path)
    write_class_means(made(2), tmp_path)
    write_class_means(made(2), tmp_path)
    assert [one.epoch for one in read_class_means(tmp_path, 3)] == [1, 2]
    assert len(list((tmp_path / CLASS_MEANS).iterdir())) == 2


def test_a_run_without_class_means_has_none(tmp_path: Path) -> None:
    assert read_class_means(tmp_path, 3) == ()


def test_damaged_files_and_other_classes_are_refused(tmp_path: Path) -> None:
    write_class_means(made(1), tmp_path)
    with pytest.raises(InputError, match=r"expected means of 4 classes in .*, got shape \(3, 2\)"):
        read_class_means(tmp_path, 4)
    (tmp_path / CLASS_MEANS / "epoch_0001.npz").write_bytes(b"PK")
    with pytest.raises(InputError, match="not a valid file of class means"):
        read_class_means(tmp_path, 3)


def test_class_means_equal_the_means_of_the_samples() -> None:
    generator = torch.Generator().manual_seed(0)
    embeddings, labels = torch.randn(90, 8, generator=generator), torch.arange(90) % 4
    found = class_means(subcluster(embeddings, labels, num_classes=5, min_size=5, method="bounded"), 5, 3)
    expected, counts = group_means(unit_embeddings(embeddings), labels, 5)
    assert found.samples.tolist() == counts.tolist()
    assert found.means == pytest.approx(expected.numpy(), abs=1e-6)
