from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays as any_array
from scipy import sparse

from base.errors import InputError
from datamodules.tables.array_table import read_array_names, read_array_table
from datamodules.tables.columns import ColumnNames, InputKind
from datamodules.tables.sample_arrays import SampleArrays
from datamodules.tables.source_table import check_columns, kind_of_file
from tests.datamodules.array_file import save

FEATURES = numpy.array([[0, 1.5, 0], [2, 0, -3], [0, 0, 0]], dtype=numpy.float32)
LABELS = numpy.array([7, 7, 9])


def dense(samples: SampleArrays) -> numpy.ndarray[Any, Any]:
    """(N, D), written out entry by entry."""
    values = numpy.zeros((len(samples), int(numpy.prod(samples.shape))), dtype=numpy.float32)
    for row, (start, end) in enumerate(pairwise(samples.starts)):
        values[row, samples.bins[start:end]] = samples.values[start:end]
    return values


def csr_parts(matrix: Any) -> dict[str, Any]:
    """What scipy.sparse.save_npz writes."""
    matrix = sparse.csr_matrix(matrix)
    return {
        "data": matrix.data,
        "indices": matrix.indices,
        "indptr": matrix.indptr,
        "shape": numpy.array(matrix.shape),
        "format": numpy.array(b"csr"),
    }


def test_features_are_kept_where_they_are_not_zero(tmp_path: Path) -> None:
    table = read_array_table(save(tmp_path / "a.npz", features=FEATURES, labels=LABELS))
    assert table.arrays is not None
    assert table.arrays.shape == (3,)
    assert table.arrays.starts.tolist() == [0, 1, 3, 3]
    assert table.arrays.bins.tolist() == [1, 0, 2]
    assert table.arrays.values.tolist() == [1.5, 2, -3]
    assert [table.arrays.bins.dtype.name, table.arrays.values.dtype.name] == ["uint16", "float32"]
    assert (table.input, table.smiles) == ("array", ())
    assert table.labels is not None
    assert table.labels.to_list() == ["7", "7", "9"]
    assert table.frame.to_dict(as_series=False) == {"row": [1, 2, 3], "labels": [7, 7, 9]}
    assert table.reasons.to_list() == [None] * 3


@pytest.mark.parametrize("shape", [(4, 5), (3, 4, 5)])
def test_images_keep_their_shape(tmp_path: Path, shape: tuple[int, ...]) -> None:
    images = numpy.random.default_rng(0).integers(0, 255, size=(6, *shape), dtype=numpy.uint8)
    table = read_array_table(save(tmp_path / "a.npz", images=images, labels=numpy.array(list("abcabc"))))
    assert table.arrays is not None
    assert table.arrays.shape == shape
    assert numpy.array_equal(dense(table.arrays), images.reshape(6, -1))


@given(any_array(numpy.float32, (4, 3), elements=st.sampled_from([0.0, -0.0, 1.0, -2.5, 1e30])))
def test_sparse_and_dense_are_the_same_samples(tmp_path_factory: pytest.TempPathFactory, values: Any) -> None:
    folder = tmp_path_factory.mktemp("arrays")
    one = read_array_table(save(folder / "dense.npz", features=values), need_labels=False).arrays
    other = read_array_table(save(folder / "sparse.npz", **csr_parts(values)), need_labels=False).arrays
    assert one is not None
    assert other is not None
    assert numpy.array_equal(dense(one), values)
    assert one.shape == other.shape
    assert one.hashes().tolist() == other.hashes().tolist()
    for row in range(4):
        for second in range(4):
            assert (one.hashes()[row] == one.hashes()[second]) == numpy.array_equal(values[row], values[second])


def test_a_sparse_matrix_may_repeat_and_shuffle_its_entries(tmp_path: Path) -> None:
    parts = {"data": [1.0, 2.0, 4.0, 0.0], "indices": [2, 0, 2, 1], "indptr": [0, 3, 4], "shape": [2, 3]}
    table = read_array_table(save(tmp_path / "a.npz", **parts), need_labels=False)
    assert table.arrays is not None
    assert dense(table.arrays).tolist() == [[2, 0, 5], [0, 0, 0]]
    assert table.arrays.starts.tolist() == [0, 2, 2]


def test_a_wide_sample_has_wide_bins(tmp_path: Path) -> None:
    matrix = sparse.csr_matrix(([3.0], ([1], [70_000])), shape=(2, 70_001))
    table = read_array_table(save(tmp_path / "a.npz", **csr_parts(matrix)), need_labels=False)
    assert table.arrays is not None
    assert table.arrays.bins.tolist() == [70_000]
    assert table.arrays.bins.dtype.name == "int32"


def test_ids_and_splits_are_read_where_they_are(tmp_path: Path) -> None:
    path = save(
        tmp_path / "a.npz",
        features=FEATURES,
        labels=LABELS,
        ids=numpy.array(["x", "y", "z"]),
        splits=numpy.array(["train", "val", "test"]),
    )
    table = read_array_table(path, need_splits=True)
    assert table.splits is not None
    assert table.splits.to_list() == ["train", "val", "test"]
    assert (table.columns.id, table.columns.label, table.columns.split) == ("ids", "labels", "splits")
    assert table.frame.columns == ["row", "labels", "ids", "splits"]
    assert read_array_table(path, ColumnNames(label="ids")).labels is not None


def test_an_array_may_have_the_name_of_the_added_column(tmp_path: Path) -> None:
    path = save(tmp_path / "a.npz", features=FEATURES, labels=LABELS, row=numpy.array(["x", "y", "z"]))
    table = read_array_table(path, ColumnNames(id="row"))
    assert table.frame.columns == ["row", "labels"]
    assert table.frame["row"].to_list() == ["x", "y", "z"]


def test_labels_may_be_missing_in_a_row_and_to_predict(tmp_path: Path) -> None:
    text = read_array_table(save(tmp_path / "a.npz", features=FEATURES, labels=numpy.array(["a", " ", "b"])))
    number = read_array_table(save(tmp_path / "b.npz", features=FEATURES, labels=numpy.array([1.0, numpy.nan, 2.0])))
    for table in (text, number):
        assert table.reasons.to_list() == [None, "missing label in array labels", None]
    assert number.labels is not None
    assert number.labels.to_list() == ["1", None, "2"]
    unlabeled = read_array_table(save(tmp_path / "c.npz", features=FEATURES), need_labels=False)
    assert (unlabeled.labels, unlabeled.columns.label) == (None, None)


@pytest.mark.parametrize("value", [numpy.nan, numpy.inf, -numpy.inf, 1e300])
def test_a_row_with_a_feature_that_is_no_number_is_not_used(tmp_path: Path, value: float) -> None:
    features = FEATURES.astype(numpy.float64)
    features[1, 1] = value
    for name, parts in (("dense", {"features": features}), ("sparse", csr_parts(features))):
        table = read_array_table(save(tmp_path / f"{name}.npz", labels=LABELS, **parts))
        assert table.reasons.to_list() == [None, "a feature that is not a finite number of 32 bits", None]
        assert table.arrays is not None
        assert dense(table.arrays).tolist() == [[0, 1.5, 0], [0, 0, 0], [0, 0, 0]]


SPARSE = csr_parts(FEATURES)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({}, r"expected one of features, images, or the data, .* it has nothing\."),
        ({"labels": LABELS, "x": FEATURES}, r"expected one of features, images, .* it has labels, x\."),
        ({"features": FEATURES, "images": FEATURES[:, None]}, "expected one of features, images"),
        ({"features": FEATURES[0]}, r"features of .* have shape \(3,\); expected \(samples, features\), none empty\."),
        ({"features": FEATURES[:, None]}, r"features of .* have shape \(3, 1, 3\)"),
        ({"features": FEATURES[:, :0]}, r"have shape \(3, 0\)"),
        ({"features": FEATURES[:0]}, r"have shape \(0, 3\)"),
        ({"images": FEATURES}, r"images of .* \(3, 3\); expected \(samples, height, width\) or \(samples, channels,"),
        ({"features": FEATURES.astype(complex)}, "features of .* are of type complex128; expected real numbers"),
        ({"features": FEATURES.astype(str)}, "expected real numbers"),
        (
            {"features": FEATURES.astype(object)},
            r"cannot be read as an \.npz of numbers and text \(features.npy holds objects",
        ),
        ({"features": FEATURES}, r"data\.label_column: expected an array of .* \(features\), got 'labels'\."),
        ({"features": FEATURES, "labels": LABELS[:2]}, r"labels of .* have shape \(2,\); expected \(3,\), one for"),
        ({"features": FEATURES, "labels": LABELS[:, None]}, r"have shape \(3, 1\); expected \(3,\)"),
        ({"features": FEATURES, "labels": LABELS * 1j}, "labels of .* are of type complex128; expected integers"),
        ({"features": FEATURES, "labels": LABELS, "ids": LABELS[:1]}, r"ids of .* have shape \(1,\)"),
        ({**SPARSE, "format": numpy.array("csc")}, r"format csc and shape \(3, 3\); expected csr \(matrix.tocsr\(\)\)"),
        ({**SPARSE, "shape": numpy.array([3, 3, 1])}, r"format csr and shape \(3, 3, 1\)"),
        ({**SPARSE, "shape": numpy.array(["a", "b"])}, r"shape \('a', 'b'\)"),
        ({**SPARSE, "indices": numpy.array([0, 1, 5])}, "the sparse matrix of .* is not valid"),
        ({**SPARSE, "indptr": numpy.array([0, 3])}, "is not valid"),
        ({**SPARSE, "data": numpy.array(["a", "b", "c"])}, "data of .* are of type <U1; expected real numbers"),
        ({"indptr": SPARSE["indptr"], "data": SPARSE["data"]}, "lacks indices, shape"),
    ],
)
def test_each_mistake_is_one_sentence(tmp_path: Path, arrays: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        read_array_table(save(tmp_path / "a.npz", **arrays))
    assert str(caught.value).startswith("data.")


def test_what_is_named_or_needed_must_be_there(tmp_path: Path) -> None:
    path = save(tmp_path / "a.npz", features=FEATURES, labels=LABELS)
    with pytest.raises(
        InputError, match=r"data\.split_column: expected an array of .* \(features, labels.*, got 'splits'"
    ):
        read_array_table(path, need_splits=True)
    with pytest.raises(InputError, match=r"data\.split_column: expected an array .*, got 'splits'"):
        check_columns(path, "array", need_splits=True)
    assert read_array_names(path) == ["features", "labels"]
    with pytest.raises(InputError, match=r"data\.id_column: expected an array .*, got 'name'"):
        read_array_table(path, ColumnNames(id="name"))


@pytest.mark.parametrize("content", [b"", b"smiles,label\n", b"PK\x03\x04 broken"])
def test_another_file_of_that_name_is_one_sentence(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.npz"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"cannot be read as an \.npz of numbers and text .* write it with numpy"):
        read_array_table(path)


def test_a_cut_file_is_one_sentence(tmp_path: Path) -> None:
    numpy.savez_compressed(tmp_path / "a.npz", features=numpy.random.default_rng(0).normal(size=(50, 20)))
    content = bytearray((tmp_path / "a.npz").read_bytes())
    content[200:300] = bytes(100)
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(InputError, match=r"cannot be read as an \.npz"):
        read_array_table(tmp_path / "a.npz")


def test_a_single_array_is_no_npz(tmp_path: Path) -> None:
    numpy.save(tmp_path / "a.npy", FEATURES)
    (tmp_path / "a.npy").rename(tmp_path / "a.npz")
    with pytest.raises(InputError, match=r"cannot be read as an \.npz"):
        read_array_table(tmp_path / "a.npz")


@pytest.mark.parametrize(
    ("name", "input", "trained", "expected"),
    [
        ("a.npz", "molecule", None, "array"),
        ("a.NPZ", "array", None, "array"),
        ("a.csv", "molecule", None, "molecule"),
        ("a.csv", "pair", None, "pair"),
        ("a.npz", "molecule", "array", "array"),
        ("a.csv", "molecule", "reaction", "reaction"),
    ],
)
def test_an_npz_holds_arrays(name: str, input: InputKind, trained: InputKind | None, expected: InputKind) -> None:
    assert kind_of_file(Path(name), input, trained) == expected


@pytest.mark.parametrize(
    ("name", "input", "trained", "message"),
    [
        ("a.npz", "pair", None, r"data\.input: expected array, since a\.npz holds arrays; got pair"),
        ("a.csv", "array", None, r"data\.source: expected an \.npz file for input array, got a\.csv"),
        ("a.csv", "array", "array", r"expected an \.npz file of arrays for a model trained on input array, got a\.csv"),
        (
            "a.npz",
            "molecule",
            "molecule",
            r"expected a CSV, TSV or Parquet table for a model trained on input molecule, got a\.npz",
        ),
    ],
)
def test_a_file_must_fit_the_settings_and_the_model(
    name: str, input: InputKind, trained: InputKind | None, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        kind_of_file(Path(name), input, trained)
