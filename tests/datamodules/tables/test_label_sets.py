"""Several labels of a row: sets in one column, one column a label, and why rows cannot be used."""

import logging
import random
from collections.abc import Sequence
from pathlib import Path

import numpy
import polars
import pytest
from hypothesis import given
from hypothesis import strategies as st

from base.errors import InputError
from datamodules.tables.class_labels import MISSING_LABELS, LabelSettings, class_vocabulary, read_labels
from datamodules.tables.label_sets import (
    LabelSets,
    check_lists,
    check_several_labels,
    label_columns,
    separated_labels,
    split_joined,
    unclear_names,
)

PATH = Path("drugs.csv")
MISSING = "missing label in column label"


def series(texts: Sequence[str | None]) -> polars.Series:
    """Cells of a column."""
    return polars.Series("label", texts, dtype=polars.String)


def separate(
    texts: Sequence[str | None], separator: str | None = "|", settings: LabelSettings | None = None
) -> tuple[LabelSets, list[str | None]]:
    """Labels and reasons of cells with sets."""
    sets, reasons = separated_labels(series(texts), settings or LabelSettings(), separator, "column label")
    check_form(sets, reasons)
    return sets, reasons.to_list()


def from_columns(columns: dict[str, list[str | None]]) -> tuple[LabelSets, list[str | None]]:
    """Labels and reasons of one column a label."""
    sets, reasons = label_columns({name: series(texts) for name, texts in columns.items()}, LabelSettings())
    check_form(sets, reasons)
    return sets, reasons.to_list()


def check_form(sets: LabelSets, reasons: polars.Series) -> None:
    """A row has labels, or a reason why not."""
    assert sets.values.shape == (len(reasons), len(sets.names))
    assert sets.values.dtype == numpy.int8
    assert reasons.dtype == sets.joined().dtype == polars.String
    assert reasons.is_null().to_list() == (sets.values != -1).any(axis=1).tolist()
    assert reasons.is_null().to_list() == sets.joined().is_not_null().to_list()


# Sets in one column


def test_cells_with_sets_are_read() -> None:
    sets, reasons = separate(["b|a", "a", None, " 2.0 | b|b", "10|c\u200bd| |NA", "?|", "a  x|A"])
    assert sets.names == ("2", "10", "A", "a", "a x", "b", "cd")
    assert sets.values.tolist() == [
        [0, 0, 0, 1, 0, 1, 0],
        [0, 0, 0, 1, 0, 0, 0],
        [-1] * 7,
        [1, 0, 0, 0, 0, 1, 0],
        [0, 1, 0, 0, 0, 0, 1],
        [-1] * 7,
        [0, 0, 1, 0, 1, 0, 0],
    ]
    assert reasons == [None, None, MISSING, None, None, MISSING, None]
    assert sets.joined().to_list() == ["a; b", "a", None, "2; b", "10; cd", None, "A; a x"]


@pytest.mark.parametrize(
    ("texts", "separator", "names"),
    [
        (["a,b", "c;d", "e|f,g"], "|", ("a,b", "c;d", "e", "f,g")),
        (["a,b", "c;d", "e;f,g"], ";", ("a,b", "c", "d", "e", "f,g")),
        (["a, b", "c", None], ",", ("a", "b", "c")),
    ],
)
def test_the_separator_is_the_first_that_is_in_a_cell(
    texts: list[str | None], separator: str, names: tuple[str, ...], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "tailmol"):
        assert separate(texts, None)[0].names == names
    sentence = f"The labels in column label are separated by {separator!r}; --data.label_separator can name another."
    assert caplog.messages == [sentence]


def test_without_a_separator_each_cell_is_one_label(caplog: pytest.LogCaptureFixture) -> None:
    sets, _ = separate(["a b", "c/d", None], None)
    assert sets.names == ("a b", "c/d")
    assert sets.joined().to_list() == ["a b", "c/d", None]
    assert caplog.messages == [
        "Each cell in column label is read as one label, since none holds a separator (|, ;, ,); "
        "--data.label_separator can name another."
    ]


def test_any_text_can_separate() -> None:
    assert separate(["a and b", "b and c|d"], " and ")[0].names == ("a", "b", "c|d")
    assert separate(["a; b|c", "c"])[0].joined().to_list() == ["a; b; c", "c"]
    with pytest.raises(InputError, match=r"^data\.label_separator: expected one or more characters, got ''\.$"):
        separate(["a"], "")


def test_a_missing_cell_does_not_tell_the_separator() -> None:
    settings = LabelSettings(missing=("none | unknown", "x"))
    sets, reasons = separate(["none | unknown", "a;b", "NA;x"], None, settings)
    assert sets.names == ("NA", "a", "b")
    assert reasons == [MISSING, None, None]


def test_a_long_label_makes_its_row_unusable() -> None:
    sets, reasons = separate(["a|" + "x" * 201 + "|" + "y" * 300, "b|" + "x" * 200, "c"])
    assert sets.names == ("b", "c", "x" * 200)
    long = "label of 201 characters in column label, of which 200 are allowed"
    assert reasons == [long, None, None]


def test_similar_labels_are_told(caplog: pytest.LogCaptureFixture) -> None:
    separate(["Kinase|ion", "kinase | ion", "kinase|" + "x" * 201, "KINASE" + "x" * 201])
    assert caplog.messages == [
        "The labels 'Kinase' and 'kinase' in column label differ only in case, spaces or invisible characters and are "
        "classes of their own; write them in one way in the table to join them."
    ]


PARTS = st.sampled_from(["a", "b", " a", "B", "1", "1.0", "10", "2", "", " ", "NA", "?", "x" * 201, "c\u200b", "c"])


@given(st.lists(st.none() | st.lists(PARTS, min_size=1, max_size=4).map("|".join)))
def test_a_reader_of_one_row_at_a_time_finds_the_same(texts: list[str | None]) -> None:
    wanted: list[set[str] | None] = []
    for text in texts:
        labels = read_labels(series((text or "").split("|")), LabelSettings(), "column label", PATH)
        usable, reasons = labels[0].drop_nulls().to_list(), labels[1].drop_nulls().to_list()
        wanted.append(set(usable) if usable and not any("characters" in reason for reason in reasons) else None)
    names = class_vocabulary(list(set().union(*(own for own in wanted if own))))
    sets, _ = separate(texts)
    assert sets.names == names
    assert sets.values.tolist() == [[-1 if own is None else int(name in own) for name in names] for own in wanted]


@given(st.lists(st.lists(st.sampled_from(["a", "b", "c", "1", "10", "2"]), min_size=1)), st.randoms())
def test_the_order_of_rows_changes_only_the_order_of_rows(rows: list[list[str]], source: random.Random) -> None:
    order = source.sample(range(len(rows)), len(rows))
    sets, _ = separate(["|".join(row) for row in rows])
    shuffled, _ = separate(["|".join(source.sample(rows[row], len(rows[row]))) for row in order])
    assert shuffled.names == sets.names
    numpy.testing.assert_array_equal(shuffled.values, sets.values[order])


@pytest.mark.parametrize("texts", [[], [None, None], ["NA", "?"]])
def test_a_column_without_labels_has_reasons_only(texts: list[str | None], caplog: pytest.LogCaptureFixture) -> None:
    sets, reasons = separate(texts, None)
    assert sets.names == ()
    assert reasons == [MISSING] * len(texts)
    assert not caplog.messages


# One column a label


def test_columns_say_yes_no_or_nothing() -> None:
    yes, no = ["1", "1.0", "+1", "true", "YES", "Active", "positive", "y", "T"], ["0", "0.0", "-0", "False", "NO"]
    no += ["inactive", "negative", "N", "f"]
    nothing = [None, *MISSING_LABELS]
    texts = [*yes, *no, *nothing]
    sets, reasons = from_columns({"b": texts, "a": ["1"] * len(texts)})
    assert sets.names == ("b", "a")
    assert sets.values[:, 0].tolist() == [1] * len(yes) + [0] * len(no) + [-1] * len(nothing)
    assert reasons == [None] * len(texts)


def test_a_dash_says_no_beside_a_plus_and_nothing_elsewhere() -> None:
    sets, reasons = from_columns({"a": ["+", "-", "?", "-", "1"], "b": ["1", "-", "1", "0", "-"]})
    assert sets.values.tolist() == [[1, 1], [0, -1], [-1, 1], [0, 0], [1, -1]]
    assert reasons == [None] * 5


def test_a_row_has_the_names_of_its_labels_in_the_order_of_the_columns() -> None:
    sets, _ = from_columns({"b": ["1", "0", "1", None, None], "a": ["1", "0", None, "0", None]})
    assert sets.joined().to_list() == ["b; a", "none", "b", "none", None]


def test_other_cells_make_a_row_unusable() -> None:
    sets, reasons = from_columns(
        {"NR-AR": ["1", "0", "1"], "SR-p53": ["0.7", "1", "maybe"], "SR-ARE": ["x", None, "0"]}
    )
    assert reasons == [
        "label '0.7' in column SR-p53 is neither yes (1) nor no (0)",
        None,
        "label 'maybe' in column SR-p53 is neither yes (1) nor no (0)",
    ]
    assert sets.values.tolist() == [[-1] * 3, [0, 1, -1], [-1] * 3]


def test_a_row_in_which_nothing_is_known_is_unusable() -> None:
    assert from_columns({name: ["1", None] for name in "ABCDE"})[1] == [
        None,
        "no label is known in columns A, B, C, D, E",
    ]
    assert from_columns({name: ["NA"] for name in "ABCDEFG"})[1] == [
        "no label is known in columns A, B, C, D, E and 2 more"
    ]


def test_missing_labels_are_a_setting() -> None:
    cells = {"a": series(["0", "NA"]), "b": series(["1", "1"])}
    sets, reasons = label_columns(cells, LabelSettings(missing=("0",)))
    assert sets.values.tolist() == [[-1, 1], [-1, -1]]
    assert reasons[1] == "label 'NA' in column a is neither yes (1) nor no (0)"
    cells = {"a": series(["-9.0", "-9", "1"]), "b": series(["0", "0", "0"])}
    sets, _ = label_columns(cells, LabelSettings(missing=("-9.0",)))
    assert sets.values.tolist() == [[-1, 0], [-1, 0], [1, 0]]


CELLS = st.sampled_from(["1", "0", "yes", "No", None, "NA", "?", "2"])


@given(st.integers(1, 4).flatmap(lambda width: st.lists(st.tuples(*[CELLS] * width), min_size=1)))
def test_a_reader_of_one_cell_at_a_time_finds_the_same(rows: list[tuple[str | None, ...]]) -> None:
    columns = {f"label {place}": list(cells) for place, cells in enumerate(zip(*rows, strict=True))}
    meaning = {"1": 1, "0": 0, "yes": 1, "No": 0}
    sets, reasons = from_columns(columns)
    for row, values, reason in zip(rows, sets.values.tolist(), reasons, strict=True):
        if "2" in row:
            wrong = f"label '2' in column label {row.index('2')} is neither yes (1) nor no (0)"
            assert (values, reason) == ([-1] * len(row), wrong)
        elif not any(cell in meaning for cell in row):
            names = ", ".join(columns)
            assert (values, reason) == ([-1] * len(row), f"no label is known in columns {names}")
        else:
            assert (values, reason) == ([meaning.get(cell or "", -1) for cell in row], None)


# Both


def test_thresholds_are_refused() -> None:
    settings = LabelSettings(thresholds=(0.5, 1.0))
    sentence = r"^data\.label_thresholds: expected null with data\.labels multi, got \[0\.5, 1\.0\]\.$"
    with pytest.raises(InputError, match=sentence):
        separated_labels(series(["a"]), settings, "|", "column label")
    with pytest.raises(InputError, match=sentence):
        label_columns({"a": series(["1"])}, settings)


def test_one_label_is_not_enough() -> None:
    check_several_labels(("a", "b"), "column label")
    for names, found in (((), "none"), (("a",), "the single label 'a'")):
        sentence = rf"^data\.label_column: expected two or more labels in column label, got {found}\.$"
        with pytest.raises(InputError, match=sentence):
            check_several_labels(names, "column label")


def test_one_column_of_yes_and_no_is_no_list() -> None:
    settings = LabelSettings(kind="multi")
    yes_no, _ = separated_labels(polars.Series("y", ["1", "0", None, "1"]), settings, None, "column y")
    with pytest.raises(
        InputError, match=r"^data\.label_column: expected lists of labels with data\.labels multi, got yes"
    ):
        check_lists(yes_no, "column y")
    for cells in (["1|0", "0"], ["1", "2"], ["a", "yes"]):
        sets, _ = separated_labels(polars.Series("y", cells), settings, "|", "column y")
        check_lists(sets, "column y")


# Texts of labels


@given(st.lists(st.lists(st.sampled_from([-1, 0, 1]), min_size=4, max_size=4), max_size=6))
def test_joined_labels_are_found_again(rows: list[list[int]]) -> None:
    sets = LabelSets(("a", "b", "a b", "None"), numpy.array(rows, dtype=numpy.int8).reshape(-1, 4))
    assert split_joined(sets.joined(), sets.names).tolist() == [[value == 1 for value in row] for row in rows]


def test_names_that_look_like_joined_texts_are_unclear() -> None:
    assert unclear_names(["a", "none", "b; c", "b;c", "nonester"]) == ["none", "b; c"]
