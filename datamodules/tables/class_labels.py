"""Class labels from the cells of a table: missing ones, spellings of one label, and measured numbers."""

from __future__ import annotations

import logging
import math
import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Literal

import polars

from base.errors import InputError

_log = logging.getLogger("tailmol")

# The tokens of pandas.read_csv, a lone dash and a question mark.
MISSING_LABELS = (
    *("#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>", "N/A", "NA"),
    *("NULL", "NaN", "None", "n/a", "nan", "null", "-", "?"),
)
"""Labels that mean that there is none."""

NO_LABEL, NOTHING_KNOWN = "missing label", "no label is known"
"""What the reasons of rows without a label begin with, of a single label or a list, and of a column for each label."""

LONGEST_LABEL = 200
"""Largest number of characters of a class label, which names columns, files and plots."""

_WHOLE_NUMBER = re.compile(r"\+?(-?[0-9]+)(?:\.0*)?")
_SEPARATORS = "|;,/&+"
_DECIMAL_COMMA = re.compile(r"[+-]?[0-9]+,[0-9]+")
_FEW_NUMBERS = 20
_MOST_FRACTIONS, _ROWS_OF_FRACTION = 50, 100


LabelKind = Literal["single", "multi"]


@dataclass(frozen=True)
class LabelSettings:
    """How labels are read.

    Attributes:
        missing: Labels that mean that there is none, beside the empty cell.
        thresholds: Bounds, ascending, that make classes of measured numbers; None takes labels as names.
        kind: Whether a row has a single label, or any number of several.
        separator: For several labels in one column: what stands between them; None finds it.
        known: Classes of a trained model, which are names even where they look like measured numbers.

    Raises:
        ValueError: If the thresholds are not finite and ascending, or there are none.
    """

    missing: tuple[str, ...] = MISSING_LABELS
    thresholds: tuple[float, ...] | None = None
    kind: LabelKind = "single"
    separator: str | None = None
    known: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        bounds = self.thresholds
        if bounds is not None and not (
            bounds and all(map(math.isfinite, bounds)) and all(one < other for one, other in pairwise(bounds))
        ):
            listed = list(bounds)
            raise ValueError(f"data.label_thresholds: expected one or more numbers in ascending order, got {listed}.")

    @property
    def empty(self) -> frozenset[str]:
        """The missing labels in the one spelling of labels, and the empty one."""
        return frozenset(("", *map(normal_label, self.missing)))


def read_labels(
    cells: polars.Series, settings: LabelSettings, where: str, path: Path
) -> tuple[polars.Series, polars.Series]:
    """The labels of a whole column, and why some of them cannot be used.

    White space within a label becomes a single space, invisible characters are removed, and a whole number such as 1.0
    becomes 1. With thresholds, numbers become the names of the classes between them.

    Args:
        cells: Text, null where a cell is empty.
        settings: How labels are read.
        where: The column or array, for messages, such as `column label`.
        path: The file, for messages.

    Returns:
        Labels, null where there is none; and reasons, null where the label can be used.

    Raises:
        InputError: If the column holds measured numbers and there are no thresholds.
    """
    given = cells.drop_nulls().unique(maintain_order=True).to_list()
    label_of = {text: normal_label(text) for text in given}
    empty = settings.empty
    reason_of = {text: f"{NO_LABEL} in {where}" for text, label in label_of.items() if label in empty}
    reason_of |= {
        text: f"label of {len(label):,} characters in {where}, of which {LONGEST_LABEL} are allowed"
        for text, label in label_of.items()
        if len(label) > LONGEST_LABEL
    }
    named = {text: label for text, label in label_of.items() if text not in reason_of}
    if settings.thresholds is None:
        _refuse_measured(cells, named, settings.known, where, path)
        warn_similar(named, where)
        _warn_sets(set(named.values()), where)
    else:
        for text, label in named.items():
            value = _number(label)
            if value is None:
                reason_of[text] = f"label {label!r} in {where} is not a number"
            else:
                named[text] = _class_of(value, settings.thresholds)
    missing = polars.when(cells.is_null()).then(polars.lit(f"{NO_LABEL} in {where}"))
    reasons = polars.select(missing.otherwise(_replaced(cells, reason_of)).alias("reason"))["reason"]
    labels = _replaced(cells, {text: label for text, label in named.items() if text not in reason_of})
    return labels.alias(cells.name), reasons.cast(polars.String)


def lacks_label(reasons: polars.Series) -> polars.Series:
    """Which rows cannot be used only because they have no label.

    Args:
        reasons: Why a row cannot be used, null where it can.
    """
    return (reasons.str.starts_with(NO_LABEL) | reasons.str.starts_with(NOTHING_KNOWN)).fill_null(False)


def threshold_classes(thresholds: Sequence[float]) -> list[str]:
    """The names of the classes between thresholds, from the smallest numbers to the largest.

    Args:
        thresholds: Bounds, ascending; a number that equals one belongs to the class above.
    """
    bounds = [f"{bound:g}" for bound in thresholds]
    return [f"below {bounds[0]}", *(f"{low} to {high}" for low, high in pairwise(bounds)), f"{bounds[-1]} or above"]


def class_vocabulary(labels: Sequence[str]) -> tuple[str, ...]:
    """The distinct labels in order: numbers by value, then names."""

    def order(label: str) -> tuple[int, float, str]:
        number = _decimal(label)
        return (1, 0.0, label) if number is None else (0, number, label)

    return tuple(sorted(set(labels), key=order))


def split_texts(cells: polars.Series) -> polars.Series:
    """Names of splits or folds: a whole number such as 1.0 becomes 1, and missing ones become null.

    Args:
        cells: Text, null where a cell is empty.
    """
    texts = {text: normal_label(text) for text in cells.drop_nulls().unique().to_list()}
    named = {text: name for text, name in texts.items() if name and name not in MISSING_LABELS}
    return _replaced(cells, named).alias(cells.name)


def _replaced(cells: polars.Series, values: dict[str, str]) -> polars.Series:
    return cells.replace_strict(values, default=None, return_dtype=polars.String)


def normal_label(text: str) -> str:
    """A label in its one spelling.

    White space becomes a single space, invisible characters are removed, and a whole number such as 1.0 becomes 1.

    Args:
        text: A label as given.
    """
    visible = "".join(one for one in text if unicodedata.category(one) not in ("Cf", "Cc") or one.isspace())
    label = " ".join(visible.split())
    whole = _WHOLE_NUMBER.fullmatch(label)
    if whole is None:
        return label
    return "0" if whole[1] == "-0" else whole[1]


def _number(label: str) -> float | None:
    return _decimal(label.replace(",", ".") if _DECIMAL_COMMA.fullmatch(label) else label)


def _decimal(text: str) -> float | None:
    # Python reads 3_1 as 31, but in a table it is a name.
    if "_" in text:
        return None
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _class_of(value: float, thresholds: Sequence[float]) -> str:
    return threshold_classes(thresholds)[sum(value >= bound for bound in thresholds)]


def _refuse_measured(cells: polars.Series, named: dict[str, str], known: Sequence[str], where: str, path: Path) -> None:
    labels = set(named.values())
    # Rows of the other labels are rejected one by one, since the model does not know them.
    if len(labels.difference(known)) <= len(labels) / 2:
        return
    # Some values of a measurement are bounds, such as >10.
    values = [
        value for value in (_number(label.lstrip("<>=~≤≥ ").rstrip("% ")) for label in labels) if value is not None
    ]
    if len(values) < 0.9 * len(labels):
        return
    rows = len(cells) - cells.null_count()
    fractions = not all(value.is_integer() for value in values)
    many = len(labels) > _FEW_NUMBERS
    # Codes of classes are whole numbers, or fractions such as those of EC numbers, of which each has many rows.
    repeated = len(labels) <= _MOST_FRACTIONS and rows >= _ROWS_OF_FRACTION * len(labels)
    if not fractions:
        measured = many and len(labels) > rows / 3
    else:
        measured = not repeated if many else len(labels) > max(5, rows / 2)
    if measured:
        raise InputError(
            f"data.label_column: expected classes, got {len(values):,} different numbers in {where} of "
            f"{path}; give the bounds of classes, such as --data.label_thresholds '[{_middle(values):g}]', or another "
            "column."
        )
    if fractions and many:
        _log.warning(
            f"Each of {len(labels):,} numbers in {where} is read as the name of a class; if they are measured, "
            "--data.label_thresholds makes classes of them."
        )


def _middle(values: Sequence[float]) -> float:
    return sorted(values)[len(values) // 2]


def warn_similar(named: dict[str, str], where: str) -> None:
    """Warn of labels that differ only in case, spaces or invisible characters.

    Args:
        named: Label by its text as given.
        where: The column or array, for the message.
    """
    spellings: dict[str, list[str]] = {}
    for text, label in named.items():
        # A number has one spelling as text and another as a number, which says nothing of a mistake.
        if _WHOLE_NUMBER.fullmatch(label) is None:
            spellings.setdefault(label.casefold(), []).append(text)
    similar = [sorted(texts) for texts in spellings.values() if len(texts) > 1]
    for texts in similar[:10]:
        classes = len({named[text] for text in texts})
        kept = "are read as one class"
        if classes > 1:
            kept = "are classes of their own; write them in one way in the table to join them"
        _log.warning(
            f"The labels {' and '.join(map(ascii_text, texts))} in {where} differ only in case, spaces or "
            f"invisible characters and {kept}."
        )
    if len(similar) > 10:
        _log.warning(f"{len(similar) - 10:,} more groups of labels in {where} differ only so.")


def ascii_text(text: str) -> str:
    """Text in quotes in which no character is invisible."""
    return "".join(one if one.isprintable() else ascii(one)[1:-1] for one in repr(text))


def _warn_sets(labels: set[str], where: str) -> None:
    for separator in _SEPARATORS:
        parts_of = {label: [part.strip() for part in label.split(separator)] for label in labels if separator in label}
        # A part that two sets share is a label, even where it never stands alone.
        sets_with = Counter(part for parts in parts_of.values() for part in set(parts))
        shared = labels.union(part for part, number in sets_with.items() if number > 1)
        # Names have commas and semicolons of their own, but hardly bars: one known part is enough beside a bar.
        enough = any if separator == "|" else all
        sets = sorted(label for label, parts in parts_of.items() if enough(part in shared for part in parts))
        if sets:
            shown = ", ".join(sets[:3]) + (", ..." if len(sets) > 3 else "")
            are = "is" if len(sets) == 1 else "are"
            _log.warning(
                f"{len(sets):,} of {len(labels):,} classes in {where} {are} made of others, joined by "
                f"{separator!r} ({shown}); a row has one class here, so each set is learned as a class of its own. "
                "With --data.labels multi a row has each of its labels (docs/multilabel.md)."
            )
