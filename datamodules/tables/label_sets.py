"""Several labels of each row of a table: from one column of sets, or from one column a label."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy
import polars
from numpy.typing import NDArray

from base.errors import InputError
from datamodules.tables.class_labels import (
    LONGEST_LABEL,
    NO_LABEL,
    NOTHING_KNOWN,
    LabelSettings,
    class_vocabulary,
    normal_label,
    warn_similar,
)

_log = logging.getLogger("tailmol")

_SEPARATORS = ("|", ";", ",")
_JOINED = "; "
_NONE = "none"
_ANSWERS = dict.fromkeys(("1", "true", "yes", "active", "positive", "y", "t", "+"), 1)
_ANSWERS |= dict.fromkeys(("0", "false", "no", "inactive", "negative", "n", "f"), 0)
_NOT_KNOWN = -1
_NO_ANSWER = 2
_MOST_NAMES = 5


@dataclass(frozen=True)
class LabelSets:
    """Which of L labels each row of a table has.

    Attributes:
        names: L labels.
        values: (rows, L) int8: 1 the row has the label, 0 it does not, -1 not known; all -1 in a row without any label.
    """

    names: tuple[str, ...]
    values: NDArray[Any]

    def joined(self) -> polars.Series:
        """The labels of each row as one text.

        Returns:
            The names that a row has, joined by `; ` in the order of `names`; `none` if it has none of them but some
            entry is known; null where nothing is known.
        """
        rows, labels = numpy.nonzero(self.values == 1)
        had = polars.DataFrame({"row": rows, "name": polars.Series(self.names, dtype=polars.String).gather(labels)})
        texts = had.group_by("row", maintain_order=True).agg(polars.col("name").str.join(_JOINED))
        known = (self.values != _NOT_KNOWN).any(axis=1)
        joined = polars.select(polars.when(polars.Series(known)).then(polars.lit(_NONE)).alias("labels"))["labels"]
        return joined.scatter(texts["row"], texts["name"])


def unclear_names(names: Sequence[str]) -> list[str]:
    """Names of labels that `split_joined` cannot find for certain: `none`, and those with `; ` in them.

    Args:
        names: L labels.
    """
    return [name for name in names if name == _NONE or _JOINED in name]


def split_joined(texts: polars.Series, names: Sequence[str]) -> NDArray[Any]:
    """Which labels texts by `LabelSets.joined` name, bool (rows, L); none of them in a null text.

    Args:
        texts: Text of each row.
        names: L labels without `unclear_names`.
    """
    has = numpy.zeros((len(texts), len(names)), dtype=bool)
    named = polars.DataFrame({"row": numpy.arange(len(texts)), "name": texts.str.split(_JOINED)}).explode("name")
    named = named.join(polars.DataFrame({"name": names, "label": numpy.arange(len(names))}), on="name")
    has[named["row"].to_numpy(), named["label"].to_numpy()] = True
    return has


def separated_labels(
    cells: polars.Series, settings: LabelSettings, separator: str | None, where: str
) -> tuple[LabelSets, polars.Series]:
    """Read cells that hold several labels each, such as `a|b`.

    Labels are spelled as `read_labels` spells them. Empty and missing ones are ignored, and a row is known to have no
    other labels than those of its cell. The labels are ordered as classes are.

    Args:
        cells: Text, null where a cell is empty.
        settings: How labels are read.
        separator: What stands between labels; None takes the first of `|`, `;` and `,` that is in any cell.
        where: The column or array, for messages, such as `column label`.

    Returns:
        The labels that usable rows have; and reasons, null where the row can be used.

    Raises:
        InputError: If the separator is empty, or there are thresholds.
    """
    _refuse_thresholds(settings)
    if separator == "":
        raise InputError("data.label_separator: expected one or more characters, got ''.")
    # A token for a missing cell may have a separator in it.
    cells = cells.set(cells.is_in(settings.missing), None)
    separator = separator or find_separator(cells, settings, where) or _SEPARATORS[0]
    parts = polars.DataFrame({"row": numpy.arange(len(cells)), "text": cells.str.split(separator)})
    parts = parts.explode("text").with_columns(polars.col("text").str.strip_chars()).drop_nulls()
    label_of = {text: normal_label(text) for text in parts["text"].unique(maintain_order=True).to_list()}
    empty_labels = settings.empty
    label_of = {text: label for text, label in label_of.items() if label not in empty_labels}
    label = polars.col("text").replace_strict(label_of, default=None, return_dtype=polars.String)
    parts = parts.with_columns(label.alias("label")).drop_nulls()
    empty = numpy.ones(len(cells), dtype=bool)
    empty[parts["row"].to_numpy()] = False
    reason_of = dict.fromkeys(numpy.flatnonzero(empty).tolist(), f"{NO_LABEL} in {where}")
    long = parts.filter(polars.col("label").str.len_chars() > LONGEST_LABEL)
    for row, one in long.unique("row", keep="first").select("row", "label").iter_rows():
        reason_of[row] = f"label of {len(one):,} characters in {where}, of which {LONGEST_LABEL} are allowed"
    warn_similar({text: one for text, one in label_of.items() if len(one) <= LONGEST_LABEL}, where)
    usable = parts.filter(~polars.col("row").is_in(long["row"].implode()))
    names = class_vocabulary(usable["label"].unique().to_list())
    code_of = {name: code for code, name in enumerate(names)}
    codes = usable["label"].replace_strict(code_of, default=None, return_dtype=polars.Int64)
    values = numpy.zeros((len(cells), len(names)), dtype=numpy.int8)
    values[usable["row"].to_numpy(), codes.to_numpy()] = 1
    return _usable(names, values, reason_of)


def label_columns(columns: Mapping[str, polars.Series], settings: LabelSettings) -> tuple[LabelSets, polars.Series]:
    """Read columns that each say of one label whether a row has it.

    A cell says yes (1, true, yes, active, positive, y, t, +), no (0, false, no, inactive, negative, n, f), in upper or
    lower case, or nothing, if it is empty or a missing label. A dash says no in a column with a +.

    Args:
        columns: Text by the name of the label, null where a cell is empty; one length.
        settings: How labels are read.

    Returns:
        The labels in the order of the columns; and reasons, null where the row can be used.

    Raises:
        InputError: If there are thresholds.
    """
    _refuse_thresholds(settings)
    names = tuple(columns)
    reason_of: dict[int, str] = {}
    answers, empty = [], settings.empty
    for name, cells in columns.items():
        given = {text: normal_label(text) for text in cells.drop_nulls().unique().to_list()}
        answer_of = {text: _answer(label, empty) for text, label in given.items()}
        if "+" in given.values():
            answer_of |= {text: 0 for text, label in given.items() if label == "-"}
        own = cells.replace_strict(answer_of, default=None, return_dtype=polars.Int8).fill_null(_NOT_KNOWN)
        wrong = (own == _NO_ANSWER).arg_true()
        for row, text in zip(wrong.to_list(), cells.gather(wrong).to_list(), strict=True):
            reason = f"label {given[text]!r} in column {name} is neither yes (1) nor no (0)"
            reason_of.setdefault(row, reason)
        answers.append(own.to_numpy())
    values = numpy.stack(answers, axis=1) if answers else numpy.zeros((0, 0), dtype=numpy.int8)
    more = f" and {len(names) - _MOST_NAMES:,} more" if len(names) > _MOST_NAMES else ""
    nothing = f"{NOTHING_KNOWN} in columns {', '.join(names[:_MOST_NAMES])}{more}"
    unknown = numpy.flatnonzero((values == _NOT_KNOWN).all(axis=1))
    return _usable(names, values, dict.fromkeys(unknown.tolist(), nothing) | reason_of)


def check_lists(sets: LabelSets, where: str) -> None:
    """Check that cells list labels, and do not say yes or no to a single one.

    Args:
        sets: What was read as lists.
        where: Where it was read, for the message, such as `column label`.

    Raises:
        InputError: If every cell is a single yes or no.
    """
    answers = bool(sets.names) and all(name.casefold() in _ANSWERS for name in sets.names)
    if answers and int((sets.values == 1).sum(axis=1).max(initial=0)) <= 1:
        raise InputError(
            f"data.label_column: expected lists of labels with data.labels multi, got yes or no in {where}; name the "
            "columns of several labels, or set --data.labels single."
        )


def check_several_labels(names: Sequence[str], where: str) -> None:
    """Check that rows can differ in more than one label.

    Args:
        names: The labels.
        where: Where they are from, for the message, such as `column label`.

    Raises:
        InputError: If there are fewer than two.
    """
    if len(names) < 2:
        found = f"the single label {names[0]!r}" if names else "none"
        raise InputError(f"data.label_column: expected two or more labels in {where}, got {found}.")


def _refuse_thresholds(settings: LabelSettings) -> None:
    if settings.thresholds is not None:
        got = list(settings.thresholds)
        raise InputError(f"data.label_thresholds: expected null with data.labels multi, got {got}.")


def find_separator(cells: polars.Series, settings: LabelSettings, where: str) -> str | None:
    """The first of `|`, `;` and `,` that is in any cell with labels, which the log names; None without any.

    Args:
        cells: Text, null where a cell is empty.
        settings: How labels are read.
        where: The column or array, for messages, such as `column label`.
    """
    cells = cells.set(cells.is_in(settings.missing), None)
    for separator in _SEPARATORS:
        if cells.str.contains(separator, literal=True).any():
            _log.info(f"The labels in {where} are separated by {separator!r}; --data.label_separator can name another.")
            return separator
    if cells.null_count() < len(cells):
        _log.warning(
            f"Each cell in {where} is read as one label, since none holds a separator ({', '.join(_SEPARATORS)}); "
            "--data.label_separator can name another."
        )
    return None


def _answer(label: str, empty: Collection[str]) -> int:
    if label in empty:
        return _NOT_KNOWN
    return _ANSWERS.get(label.casefold(), _NO_ANSWER)


def _usable(names: tuple[str, ...], values: NDArray[Any], reason_of: dict[int, str]) -> tuple[LabelSets, polars.Series]:
    """Labels, not known where there is a reason; and the reasons as a series."""
    values[list(reason_of)] = _NOT_KNOWN
    reasons = polars.Series("reason", [None], dtype=polars.String).new_from_index(0, len(values))
    return LabelSets(names, values), reasons.scatter(list(reason_of), list(reason_of.values()))
