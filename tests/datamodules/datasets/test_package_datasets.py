import logging
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy
import pytest

from base.errors import InputError
from datamodules.datasets import package_datasets
from datamodules.datasets.dataset_catalog import CATALOG, find_source, local_file
from datamodules.datasets.package_datasets import check_installed, make_docstrings, packages_digest
from datamodules.tables.array_table import read_array_table

DIGITS = CATALOG["digits"]


def test_digits_are_made_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert local_file(DIGITS, tmp_path) is None
    with caplog.at_level(logging.INFO, "tailmol"):
        path = find_source("digits", tmp_path)
        time = path.stat().st_mtime_ns
        assert find_source("digits", tmp_path) == path == local_file(DIGITS, tmp_path)
    assert path.stat().st_mtime_ns == time
    assert caplog.messages == [f"Making {path} from installed packages."]
    assert {file.suffix for file in path.parent.iterdir()} <= {".npz", ".lock"}
    table = read_array_table(path)
    assert table.arrays is not None
    assert table.labels is not None
    assert table.arrays.shape == (8, 8)
    assert (table.arrays.values.min(), table.arrays.values.max()) == (1, 16)
    sizes = table.labels.value_counts()["count"]
    assert (len(table.arrays), len(sizes)) == (DIGITS.rows, DIGITS.classes)
    assert round(max(sizes) / min(sizes), 2) == DIGITS.imbalance_ratio


def test_docstrings_are_unit_vectors_of_hashed_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [("one", "red green red"), ("one", "red green"), ("two", "blue green blue")]
    monkeypatch.setattr(package_datasets, "read_docstrings", lambda: texts)
    make_docstrings(tmp_path / "docstrings.npz")
    table = read_array_table(tmp_path / "docstrings.npz")
    assert table.arrays is not None
    assert table.labels is not None
    assert table.labels.to_list() == ["one", "one", "two"]
    assert table.arrays.shape == (4096,)
    starts, values = table.arrays.starts, table.arrays.values
    # Words and pairs: red, green, red green, green red; red, green, red green; blue, green, blue green, green blue.
    assert numpy.diff(starts).tolist() == [4, 3, 4]
    lengths = [float((values[start:end] ** 2).sum()) for start, end in pairwise(starts)]
    assert lengths == pytest.approx([1, 1, 1])
    assert values[starts[0] : starts[1]].max() / values[starts[0] : starts[1]].min() == pytest.approx(
        numpy.log(3) / numpy.log(2)
    )
    assert values[starts[1] : starts[2]] == pytest.approx(numpy.full(3, 3**-0.5))


def test_other_versions_make_another_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    digests = [packages_digest(DIGITS.packages)]
    monkeypatch.setattr(package_datasets, "version", lambda name: "0.0")
    digests.append(packages_digest(DIGITS.packages))
    assert None not in digests
    assert digests[0] != digests[1]
    assert digests[1] != packages_digest(["other"])


def test_a_missing_package_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check_installed(["numpy", "scikit-learn"], "digits")
    with pytest.raises(InputError, match=r"data\.source: x is made from the package tailmol-none, which is not inst"):
        check_installed(["numpy", "tailmol-none"], "x")
    monkeypatch.setitem(CATALOG, "digits", replace(DIGITS, packages=("tailmol-none",)))
    with pytest.raises(InputError, match=r"pip install '\.\[experiments\]'"):
        find_source("digits", tmp_path)
    assert local_file(CATALOG["digits"], tmp_path) is None


@pytest.mark.slow
def test_the_docstrings_of_installed_packages_are_what_the_catalog_says(tmp_path: Path) -> None:
    entry = CATALOG["docstrings"]
    table = read_array_table(find_source("docstrings", tmp_path))
    assert table.labels is not None
    sizes = table.labels.value_counts()["count"].to_list()
    assert (len(table.labels), len(sizes), max(sizes) / min(sizes)) == (
        entry.rows,
        entry.classes,
        entry.imbalance_ratio,
    )
