"""Which labels the rows have, where a row may have several: duplicates, contradictions and trained models."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy
import polars
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from base.errors import InputError
from datamodules.chemistry.molecule_features import FeatureSettings
from datamodules.features import featurize_table
from datamodules.identity import identify
from datamodules.records import label_values, reject_unusable
from datamodules.tables.class_labels import LabelSettings
from datamodules.tables.columns import ColumnNames
from datamodules.tables.source_table import read_table

# Structures, each in two spellings.
SPELLINGS = [("CCO", "OCC"), ("CCN", "NCC"), ("C[C@H](N)O", "N[C@H](O)C"), ("C[C@@H](N)O", "N[C@@H](O)C")]


def read(
    folder: Path, text: str, label: str | Sequence[str], classes: tuple[str, ...] | None = None
) -> tuple[list[str | None], tuple[str, ...], NDArray[Any]]:
    """The reason of each row, and the labels and values of a table."""
    path = folder / "drugs.csv"
    path.write_text(text)
    table = read_table(path, names=ColumnNames(label=label), label_settings=LabelSettings(kind="multi"))
    featured = featurize_table(table, FeatureSettings(2, 64))
    with TemporaryDirectory() as cache:
        identity = identify(featured, "parent", True, Path(cache))
        reasons = reject_unusable(featured, identity, classes)
        return reasons.to_list(), *label_values(featured, reasons, identity, classes)


def columns(rows: Sequence[str], names: str = "ab") -> str:
    return f"smiles,{','.join(names)}\n" + "\n".join(rows) + "\n"


# One column that lists the labels


def test_rows_of_a_structure_have_the_labels_of_all_their_lists(tmp_path: Path) -> None:
    text = "smiles,label\nCCO,a\nOCC,b|c\nCCN,a\nC(C)O,c\nCC,\nC1,d\n"
    reasons, names, values = read(tmp_path, text, "label")
    assert names == ("a", "b", "c")
    assert values.dtype == numpy.int8
    assert values.tolist() == [[1, 1, 1], [1, 1, 1], [1, 0, 0], [1, 1, 1], [-1] * 3, [-1] * 3]
    assert [reason is None for reason in reasons] == [True] * 4 + [False] * 2


def test_stereoisomers_keep_the_labels_of_their_own(tmp_path: Path) -> None:
    text = "smiles,label\nC[C@H](N)O,a\nC[C@@H](N)O,b\nN[C@H](O)C,c\n"
    assert read(tmp_path, text, "label")[2].tolist() == [[1, 0, 1], [0, 1, 0], [1, 0, 1]]


def test_a_list_without_a_label_of_the_trained_model_says_no(tmp_path: Path) -> None:
    text = "smiles,label\nCC,b|a\nCCC,b\nCCO,b|new\nOCC,a\nC1,a\n"
    reasons, names, values = read(tmp_path, text, "label", ("c", "b", "a"))
    assert names == ("c", "b", "a")
    # What a rejected row says of a structure is not taken over.
    assert values.tolist() == [[0, 1, 1], [0, 1, 0], [-1] * 3, [0, 0, 1], [-1] * 3]
    assert reasons[2] == "label 'new' is not a label of the trained model"
    assert [row for row, reason in enumerate(reasons) if reason] == [2, 4]


def test_a_single_label_in_all_usable_rows_is_refused(tmp_path: Path) -> None:
    message = r"^data\.label_column: expected two or more labels in usable rows, got the single label 'a'\.$"
    with pytest.raises(InputError, match=message):
        read(tmp_path, "smiles,label\nCC,a\nCCC,a\nC1,b|a\n", "label")


# A column for each label


def test_what_rows_of_a_structure_disagree_on_is_not_known(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    rows = ["CCO,1,1,0", "OCC,0,1,", "CCN,0,1,1", "CCCC,1,0,1"]
    with caplog.at_level(logging.WARNING, "tailmol"):
        reasons, names, values = read(tmp_path, columns(rows, "abc"), list("abc"))
    assert reasons == [None] * 4
    assert names == ("a", "b", "c")
    # What only one row of the structure knows stays with this row.
    assert values.tolist() == [[-1, 1, 0], [-1, 1, -1], [0, 1, 1], [1, 0, 1]]
    assert caplog.messages == ["2 labels contradict those of rows with the same structure and count as not known."]


def test_a_row_of_which_nothing_else_is_known_is_rejected_and_still_contradicts(tmp_path: Path) -> None:
    rows = ["CCC,1,1", "CCO,1,", "OCC,0,1", "CCN,1,0", "NCC,0,1", "C(C)O,,0"]
    reasons, _, values = read(tmp_path, columns(rows), list("ab"))
    ethanol, amine = (f"conflicting duplicate: the structure of row {row} has 0 and 1 for a, b" for row in (2, 4))
    assert reasons == [None, ethanol, ethanol, amine, amine, ethanol]
    assert values.tolist() == [[1, 1]] + [[-1, -1]] * 5
    rows = ["CCC,1,1", "CCO,1,", "OCC,0,1"]
    reasons, _, values = read(tmp_path, columns(rows), list("ab"))
    assert reasons == [None, "conflicting duplicate: the structure of row 2 has 0 and 1 for a", None]
    # The rejected row says 1 where the other one says 0, so a is not known.
    assert values.tolist() == [[1, 1], [-1, -1], [-1, 1]]


def test_labels_that_no_usable_row_has_are_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    rows = ["CCO,1,0,0,1", "CCN,0,,0,1", "C1,1,1,1,1", "CCC,1,1,0,0", "CCC,1,0,0,0"]
    with caplog.at_level(logging.WARNING, "tailmol"):
        _, names, values = read(tmp_path, columns(rows, "abcd"), list("abcd"))
    assert names == ("a", "d")
    assert values.tolist() == [[1, 1], [0, 1], [-1, -1], [1, 0], [1, 0]]
    # The only rows with label b contradict each other.
    assert caplog.messages[-1] == "2 labels that no usable row has are left out: b, c."


def test_a_long_list_of_labels_left_out_is_cut(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    names = "abcdefghijklmn"
    with caplog.at_level(logging.WARNING, "tailmol"):
        read(tmp_path, columns(["CCO,1,1" + ",0" * 12, "CC,1,1" + ",0" * 12], names), list(names))
    assert caplog.messages == [
        "12 labels that no usable row has are left out: c, d, e, f, g, h, i, j, k, l and 2 more."
    ]


def test_a_missing_column_of_a_trained_model_says_nothing(tmp_path: Path) -> None:
    rows = ["CC,1,0,0", "CCC,0,1,1", "CCO,0,,", "CCN,,,0"]
    reasons, names, values = read(tmp_path, columns(rows, "bax"), list("bax"), ("a", "b", "c"))
    assert names == ("a", "b", "c")
    assert reasons == [
        None,
        "label 'x' is not a label of the trained model",
        None,
        "no label of the trained model is known",
    ]
    assert values.tolist() == [[0, 1, -1], [-1] * 3, [-1, 0, -1], [-1] * 3]


def test_a_row_that_is_rejected_for_its_label_contradicts_nobody(tmp_path: Path) -> None:
    rows = ["CCO,1,0,0", "OCC,0,0,1", "CC,0,1,0"]
    reasons, _, values = read(tmp_path, columns(rows, "abx"), list("abx"), ("a", "b"))
    assert reasons == [None, "label 'x' is not a label of the trained model", None]
    assert values.tolist() == [[1, 0], [-1, -1], [0, 1]]


ENTRY = st.sampled_from(["0", "1", ""])


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 1), ENTRY, ENTRY, ENTRY), min_size=1, max_size=9))
def test_values_are_those_of_a_loop_over_the_rows(tmp_path: Path, rows: list[tuple[int, int, str, str, str]]) -> None:
    lines = [f"{SPELLINGS[structure][number]},{','.join(own)}" for structure, number, *own in rows]
    # Both rows have all labels, so that none is left out.
    reasons, _, values = read(tmp_path, columns([*lines, "CC,1,1,1", "CCC,1,1,1"], "abc"), list("abc"))
    expected = []
    for structure, _, *own in rows:
        known = []
        for place, entry in enumerate(own):
            said = {other[2 + place] for other in rows if other[0] == structure and any(other[2:])}
            known.append(-1 if entry == "" or {"0", "1"} <= said else int(entry))
        expected.append(known)
    assert values[:-2].tolist() == expected
    assert [reason is None for reason in reasons[:-2]] == [max(known) >= 0 for known in expected]


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 1), st.sets(st.sampled_from("abc"))), max_size=9))
def test_lists_are_united_as_a_loop_unites_them(tmp_path: Path, rows: list[tuple[int, int, set[str]]]) -> None:
    lines = [f"{SPELLINGS[structure][number]},{'|'.join(sorted(own))}" for structure, number, own in rows]
    text = "\n".join(["smiles,label", *lines, "CC,a|b", "CCC,c"]) + "\n"
    reasons, names, values = read(tmp_path, text, "label")
    for (structure, _, own), reason, found in zip(rows, reasons, values, strict=False):
        assert (reason is None) == bool(own)
        union = set().union(*(other for place, _, other in rows if place == structure))
        assert found.tolist() == ([int(name in union) for name in names] if own else [-1] * 3)


def test_nothing_given_is_changed(tmp_path: Path) -> None:
    path = tmp_path / "drugs.csv"
    path.write_text(columns(["CCO,1,1", "OCC,0,1", "CCC,1,"]))
    table = read_table(path, names=ColumnNames(label=["a", "b"]), label_settings=LabelSettings(kind="multi"))
    featured = featurize_table(table, FeatureSettings(2, 64))
    identity = identify(featured, "parent", True, tmp_path)
    assert table.label_sets is not None
    before = table.label_sets.values.copy()
    reasons = reject_unusable(featured, identity, ("a",))
    label_values(featured, reasons, identity, ("a",))
    assert featured.reasons.to_list() == [None] * 3
    assert isinstance(reasons, polars.Series)
    assert table.label_sets.values.tolist() == before.tolist()
