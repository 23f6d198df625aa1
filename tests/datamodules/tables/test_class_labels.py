"""Class labels: missing ones, spellings of one label, measured numbers and sets."""

import logging
import time
from collections.abc import Sequence
from pathlib import Path

import numpy
import pandas
import polars
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from base.errors import InputError
from datamodules.tables.class_labels import (
    MISSING_LABELS,
    LabelSettings,
    class_vocabulary,
    read_labels,
    threshold_classes,
)
from datamodules.tables.source_table import read_table

PATH = Path("drugs.csv")


def read(texts: Sequence[str | None], settings: LabelSettings | None = None) -> list[str | None]:
    """Labels, or the reason of a row without one."""
    cells = polars.Series("label", texts, dtype=polars.String)
    labels, reasons = read_labels(cells, settings or LabelSettings(), "column label", PATH)
    assert (labels.is_null() == reasons.is_not_null()).all()
    return [label if reason is None else f"! {reason}" for label, reason in zip(labels, reasons, strict=True)]


def test_what_pandas_reads_as_missing_is_missing(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_text("label,other\n" + "".join(f'"{token}",1\n' for token in (*MISSING_LABELS, "active", "")))
    missing = pandas.read_csv(path)["label"].isna().tolist()
    found = read([*MISSING_LABELS, "active", None])
    assert [label.startswith("! missing label in column label") for label in found if label] == [
        *[True] * len(MISSING_LABELS),
        False,
        True,
    ]
    # A lone dash and a question mark are the only ones that pandas takes for text.
    assert [not one for one in missing[: len(MISSING_LABELS)]] == [token in "-?" for token in MISSING_LABELS]


def test_the_missing_labels_are_a_setting() -> None:
    assert read(["NA", "none", "x"], LabelSettings(missing=("x",))) == ["NA", "none", "! missing label in column label"]
    assert read(["NA", "-", "a"], LabelSettings(missing=())) == ["NA", "-", "a"]
    assert read(["-9.0", "-9", "not  tested", "a"], LabelSettings(missing=("-9.0", "not  tested"))) == [
        *["! missing label in column label"] * 3,
        "a",
    ]


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("1.0", "1"),
        ("1.", "1"),
        ("+1", "1"),
        ("-1.00", "-1"),
        ("-0", "0"),
        ("007", "007"),
        ("1.10", "1.10"),
        ("1.0.0", "1.0.0"),
        ("a\u00a0 b", "a b"),
        ("a\u200bb", "ab"),
        ("\ufeffa", "a"),
        ("a\t\tb", "a b"),
        ("soft\u00adhyphen", "softhyphen"),
        ("\u00b5-opioid", "\u00b5-opioid"),
    ],
)
def test_a_label_has_one_spelling(text: str, label: str) -> None:
    assert read([text, "other"]) == [label, "other"]


def test_numbers_are_the_same_classes_in_text_and_in_parquet(tmp_path: Path) -> None:
    given = [0.0, 1.0, 2.0] * 4
    texts = ["0.0", "1", "2.0", "0", "1.0", "2"] * 2
    polars.DataFrame({"smiles": ["C"] * 12, "label": given}).write_parquet(tmp_path / "a.parquet")
    polars.DataFrame({"smiles": ["C"] * 12, "label": texts}).write_csv(tmp_path / "a.csv")
    found = [read_table(tmp_path / name).labels for name in ("a.parquet", "a.csv")]
    assert [labels is not None and labels.to_list() for labels in found] == [["0", "1", "2"] * 4] * 2


def test_an_invisible_label_is_missing_and_a_long_one_refused() -> None:
    assert read(["\u200b", "a" * 201, "a" * 200]) == [
        "! missing label in column label",
        "! label of 201 characters in column label, of which 200 are allowed",
        "a" * 200,
    ]


def test_labels_that_look_alike_are_told(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "tailmol"):
        read(["Active", "active", "in\u200bert", "inert", "1", "1.0", "\u00b5", "\u03bc"])
    differ = "in column label differ only in case, spaces or invisible characters and"
    own = "are classes of their own; write them in one way in the table to join them"
    assert caplog.messages == [
        f"The labels 'Active' and 'active' {differ} {own}.",
        f"The labels 'inert' and 'in\\u200bert' {differ} are read as one class.",
        f"The labels '\u00b5' and '\u03bc' {differ} {own}.",
    ]


def test_sets_of_labels_are_told_with_their_separator(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "tailmol"):
        read(["agonist", "antagonist", "agonist|antagonist", "inhibitor", "inhibitor|agonist", "a;b", "C|D"])
    (message,) = caplog.messages
    sets = "(agonist|antagonist, inhibitor|agonist)"
    assert message.startswith(f"2 of 7 classes in column label are made of others, joined by '|' {sets}; a row has one")
    caplog.clear()
    with caplog.at_level(logging.WARNING, "tailmol"):
        read(["agonist", "antagonist", "agonist|antagonist"])
    assert caplog.messages[0].startswith("1 of 3 classes in column label is made of others, joined by '|'")
    caplog.clear()
    with caplog.at_level(logging.WARNING, "tailmol"):
        read(["x;y", "x; z", "y;z"])
    assert caplog.messages[0].startswith(
        "3 of 3 classes in column label are made of others, joined by ';' (x; z, x;y, "
    )
    caplog.clear()
    with caplog.at_level(logging.WARNING, "tailmol"):
        read(["kinase|oncology", "steroid|oncology", "statin", "beta-lactam;cephem", "cephem;oral"])
    # Steroid and kinase never stand alone, but a bar is hardly a part of a name.
    (message,) = caplog.messages
    assert message.startswith("2 of 5 classes in column label are made of others, joined by '|' (kinase|oncology, ")


def test_a_column_of_names_given_by_mistake_is_no_hang() -> None:
    # With a comparison of each part to each name, this takes more than a minute.
    begun = time.process_time()
    assert len(read([f"{n}-methyl,{n}-ethyl,{n}-propane" for n in range(15_000)])) == 15_000
    assert time.process_time() - begun < 10


def test_a_part_that_one_set_repeats_is_no_label(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "tailmol"):
        read(["a|a", "b", "c;d"])
    assert caplog.messages == []


MEASURED = [f"{value:.3f}" for value in numpy.random.default_rng(0).normal(size=300)]


@pytest.mark.parametrize(
    ("texts", "number"),
    [
        (MEASURED, len(set(MEASURED))),
        ([text.replace(".", ",") for text in MEASURED], len(set(MEASURED))),
        ([*MEASURED, ">9", "<-9"], len(set(MEASURED)) + 2),
        ([*MEASURED, *(f"> {text}" for text in MEASURED[:90])], len({*MEASURED}) + len({*MEASURED[:90]})),
        ([f"{number + 0.5}%" for number in range(60)], 60),
        (["0.5", "1.5", "2.5", "3.5", "1", "7"], 6),
        ([str(number) for number in range(40)] * 2, 40),
        # A measurement that was rounded, and one of few rows a value.
        ([f"{4 + number / 10:.1f}" for number in range(51)] * 200, 51),
        ([f"{4 + number / 10:.1f}" for number in range(24)] * 99, 24),
    ],
)
def test_measured_numbers_are_refused_with_the_remedy(texts: list[str], number: int) -> None:
    message = rf"expected classes, got {number} different numbers in column label of drugs\.csv; give the bounds of"
    with pytest.raises(InputError, match=rf"data\.label_column: {message} classes, such as --data\.label_thresholds"):
        read(texts)


@pytest.mark.parametrize(
    "texts", [["0.5", "1.0", "1.5"] * 5, [str(n % 30) for n in range(91)], [f"a{n}" for n in range(50)], ["1", "2"]]
)
def test_codes_and_names_of_classes_are_no_measured_numbers(texts: list[str]) -> None:
    assert len(read(texts)) == len(texts)


EC_CODES = [f"{first}.{second}" for first in range(1, 7) for second in range(1, 5)]


def test_fractions_with_many_rows_each_are_codes(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "tailmol"):
        assert read(EC_CODES * 100) == EC_CODES * 100
    assert caplog.messages == [
        "Each of 24 numbers in column label is read as the name of a class; if they are measured, "
        "--data.label_thresholds makes classes of them."
    ]


def test_codes_with_underscores_are_names() -> None:
    codes = [f"{first}_{second}" for first in (10, 2) for second in range(1, 13)]
    assert read(codes) == codes
    assert class_vocabulary(["3_1", "4", "30"]) == ("4", "30", "3_1")
    assert read(["3_1"], LabelSettings(thresholds=(5,))) == ["! label '3_1' in column label is not a number"]


def test_the_classes_of_a_model_are_no_measured_numbers() -> None:
    codes = [str(number) for number in range(25)]
    trained = LabelSettings(known=tuple(codes))
    assert read(codes, trained) == codes
    assert read(EC_CODES, LabelSettings(known=tuple(EC_CODES[:13]))) == EC_CODES
    with pytest.raises(InputError, match="expected classes, got 24 different numbers"):
        read(EC_CODES, LabelSettings(known=tuple(EC_CODES[:11])))
    with pytest.raises(InputError, match="expected classes, got"):
        read(MEASURED, trained)


def test_thresholds_make_classes() -> None:
    settings = LabelSettings(thresholds=(-1, 0.5))
    assert threshold_classes((-1, 0.5)) == ["below -1", "-1 to 0.5", "0.5 or above"]
    assert read(["-2", "-1", "0.4999", "0.5", "1e3", ">10", "nan", "inf"], settings) == [
        "below -1",
        "-1 to 0.5",
        "-1 to 0.5",
        "0.5 or above",
        "0.5 or above",
        "! label '>10' in column label is not a number",
        "! missing label in column label",
        "! label 'inf' in column label is not a number",
    ]
    assert len(set(read(MEASURED, LabelSettings(thresholds=(0,))))) == 2


@pytest.mark.parametrize("thresholds", [(), (1, 1), (2, 1), (float("nan"),), (0, float("inf"))])
def test_thresholds_that_are_no_bounds_are_refused(thresholds: tuple[float, ...]) -> None:
    with pytest.raises(
        ValueError, match=r"^data\.label_thresholds: expected one or more numbers in ascending order, got"
    ):
        LabelSettings(thresholds=thresholds)


WRITTEN = {
    "1": ["1", "1.0", "+1", "1.", " 1.00"],
    "0": ["0", "-0", "0.0", "+0.000"],
    "beta blocker": ["beta blocker", "beta  blocker", "beta\u00a0blocker", "be\u200bta blocker", "\ufeffbeta\tblocker"],
    "agonist": ["agonist", "ago\u00adnist", " agonist\u3000"],
    None: [*MISSING_LABELS, "", "\u200b", " NA ", "\u00a0-"],
}
CELLS = st.sampled_from(list(WRITTEN)).flatmap(lambda label: st.tuples(st.just(label), st.sampled_from(WRITTEN[label])))


@settings(max_examples=200)
@given(st.lists(CELLS, min_size=1, max_size=40))
def test_a_column_in_any_spelling_has_the_labels_that_were_meant(drawn: list[tuple[str | None, str]]) -> None:
    missing = "! missing label in column label"
    assert read([text for _, text in drawn]) == [missing if label is None else label for label, _ in drawn]
