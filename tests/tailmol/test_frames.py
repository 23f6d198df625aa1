"""Samples as Python users have them, in polars."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas
import polars
import pytest

from base.errors import InputError
from datamodules.tables.columns import InputKind
from tailmol.frames import Sample, is_frame, like_given, list_to_frame, to_polars


@pytest.mark.parametrize(
    ("input", "sample", "columns", "smiles", "sequence"),
    [
        ("molecule", "CCO", ["smiles"], ("smiles",), None),
        ("reaction", "CCO>>CC=O", ["reactants", "product"], ("reactants", "product"), None),
        ("pair", ("CCO", "CCN"), ["smiles_1", "smiles_2"], ("smiles_1", "smiles_2"), None),
        ("drug_protein", ("CCO", "MKT"), ["smiles", "sequence"], ("smiles",), "sequence"),
    ],
)
def test_samples_of_every_input_become_columns(
    input: InputKind, sample: Sample, columns: list[str], smiles: tuple[str, ...], sequence: str | None
) -> None:
    frame, names = list_to_frame([sample, sample], input)
    parts = sample.split(">>") if isinstance(sample, str) else list(sample)
    assert frame.columns == columns
    assert [list(row) for row in frame.rows()] == [parts, parts]
    assert (names.smiles, names.sequence) == (smiles, sequence)


@pytest.mark.parametrize(
    ("input", "sample", "message"),
    [
        ("pair", "CCO", r"samples: expected smiles_1 and smiles_2 as text for input pair, got 'CCO'"),
        ("molecule", 7, r"samples: expected smiles as text for input molecule, got 7"),
        ("array", "CCO", r"samples: expected the path of an \.npz file for a model of input array"),
    ],
)
def test_other_samples_are_refused(input: InputKind, sample: Sample, message: str) -> None:
    with pytest.raises(InputError, match=message):
        list_to_frame([sample], input)


@pytest.mark.parametrize("missing", [None, float("nan"), pandas.NA])
def test_a_missing_sample_is_null(missing: Any) -> None:
    assert list_to_frame([missing, "CCO"], "molecule")[0].rows() == [(None,), ("CCO",)]
    pairs = [missing, ("CCO", missing), "CCO>>CCN"]
    assert list_to_frame(pairs, "pair")[0].rows() == [(None, None), ("CCO", None), ("CCO", "CCN")]


def test_missing_values_of_pandas_are_null_and_types_stay() -> None:
    given = pandas.DataFrame({"smiles": ["CCO", None], "count": [1, 2], "dose": [0.5, float("nan")]})
    frame = to_polars(given)
    assert frame.schema == {"smiles": polars.String, "count": polars.Int64, "dose": polars.Float64}
    assert frame.rows() == [("CCO", 1, 0.5), (None, 2, None)]
    assert like_given(frame, frame) is frame
    assert like_given(frame, ["CCO"]) is frame
    assert is_frame(given)
    assert is_frame(frame)
    assert not is_frame(["CCO"])


@pytest.mark.parametrize("column", [pandas.Series, pandas.Index, polars.Series])
def test_a_single_column_is_a_list_of_samples(column: Callable[[list[str]], Sequence[str]]) -> None:
    given = column(["CCO", "CCN"])
    assert not is_frame(given)
    frame, _ = list_to_frame(given, "molecule")
    assert frame.rows() == [("CCO",), ("CCN",)]
    assert like_given(frame, given) is frame


@pytest.mark.parametrize(
    "values",
    [
        ["a", 1],
        [1, "A2", None],
        [True, 1, "x"],
        [1, True],
        [0.5, "a", float("nan")],
        [1, 2.5],
        [Path("a"), Path("b")],
        [[1], ["a"]],
        [{"a": 1}, {"a": "x"}],
    ],
)
def test_a_column_without_a_type_is_the_text_that_pandas_writes(values: list[object], tmp_path: Path) -> None:
    given = pandas.DataFrame({"smiles": ["C"] * len(values), "x": pandas.Series(values, dtype=object)})
    given.to_csv(tmp_path / "given.csv", index=False)
    to_polars(given).write_parquet(tmp_path / "given.parquet")
    texts = polars.read_csv(tmp_path / "given.csv", infer_schema=False)
    assert polars.read_parquet(tmp_path / "given.parquet").equals(texts)


@pytest.mark.parametrize("names", [["smiles", "x", "x"], ["smiles", 1, "1"]])
def test_columns_of_one_name_are_refused(names: list[object]) -> None:
    message = rf"^samples: expected distinct column names, got '{names[-1]}' twice\.$"
    with pytest.raises(InputError, match=message):
        to_polars(pandas.DataFrame([["C", 0, 1]], columns=names))
