"""From featured rows to records: rows with one label each, and the codes of their classes."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import numpy
import polars
from numpy.typing import NDArray

from base.errors import InputError
from datamodules.features import FeaturedTable
from datamodules.identity import SampleIdentity
from datamodules.tables.class_labels import class_vocabulary
from datamodules.tables.drug_table import DrugTable
from datamodules.tables.label_sets import LabelSets, check_several_labels

_log = logging.getLogger("tailmol")


def reject_unusable(featured: FeaturedTable, identity: SampleIdentity, classes: Sequence[str] | None) -> polars.Series:
    """The reasons of a table, and those of rows whose label is unknown or contradicts that of another row.

    Args:
        featured: A labeled table.
        identity: Which rows are the same sample.
        classes: The classes of a trained model; None accepts every label.

    Returns:
        One reason a row, null where the row is used.
    """
    # `scatter` changes a series in place.
    reasons, labels = featured.reasons.clone(), featured.table.labels
    assert labels is not None
    if featured.table.label_sets is not None:
        return _reject_label_sets(featured.table, featured.table.label_sets, identity, reasons, classes)
    if classes is not None:
        unknown = reasons.is_null() & ~labels.is_in(list(classes))
        rows = unknown.arg_true()
        sentences = [f"label {label!r} is not a class of the trained model" for label in labels.gather(rows)]
        reasons = reasons.scatter(rows, sentences) if len(rows) else reasons
    conflicts = _conflicting_duplicates(featured.table, identity, reasons)
    return reasons.scatter(list(conflicts), list(conflicts.values())) if conflicts else reasons


def _conflicting_duplicates(table: DrugTable, identity: SampleIdentity, reasons: polars.Series) -> dict[int, str]:
    """Row to reason, for each usable row whose structure occurs with other labels too.

    Args:
        table: A labeled table.
        identity: Which rows are the same sample.
        reasons: Why a row cannot be used, null where it can.
    """
    labels = table.labels
    assert labels is not None
    conflicts: dict[int, str] = {}
    for own in _equal_structures(table, identity, reasons):
        distinct = sorted(set(labels.gather(own).to_list()))
        reason = f"conflicting duplicate: the {_structure_word(table)} of row {own[0] + 1} has the labels"
        conflicts |= dict.fromkeys(own, f"{reason} {', '.join(distinct)}")
    return conflicts


def _structure_word(table: DrugTable) -> str:
    return "structure" if table.arrays is None else "array"


def _equal_structures(table: DrugTable, identity: SampleIdentity, reasons: polars.Series) -> list[list[int]]:
    """The usable rows of each structure that occurs with different labels."""
    rows = polars.DataFrame({"sample": identity.samples, "label": table.labels}).with_row_index("row")
    usable = rows.filter(reasons.is_null())
    candidates = usable.filter(polars.col("label").n_unique().over("sample") > 1)
    members: dict[tuple[str, ...], list[tuple[int, str]]] = {}
    structures = identity.structures(table, candidates["row"].to_numpy())
    for structure, row, label in zip(structures, candidates["row"], candidates["label"], strict=True):
        members.setdefault(structure, []).append((row, label))
    return [[row for row, _ in own] for own in members.values() if len({label for _, label in own}) > 1]


def _reject_label_sets(
    table: DrugTable, sets: LabelSets, identity: SampleIdentity, reasons: polars.Series, classes: Sequence[str] | None
) -> polars.Series:
    """As `reject_unusable`, where a row may have several labels."""
    reasons = _unknown_labels(sets, reasons, classes)
    if isinstance(table.columns.label, str):
        return reasons
    found: dict[int, str] = {}
    of_model = numpy.array([classes is None or name in classes for name in sets.names])
    for row in numpy.flatnonzero(reasons.is_null().to_numpy() & (sets.values[:, of_model] < 0).all(axis=1)).tolist():
        found[row] = "no label of the trained model is known"
    for own in _equal_structures(table, identity, reasons):
        both = _contradicted(sets.values[own])
        names = ", ".join(sets.names[place] for place in numpy.flatnonzero(both))
        reason = f"conflicting duplicate: the {_structure_word(table)} of row {own[0] + 1} has 0 and 1 for {names}"
        for row in own:
            if row not in found and not (sets.values[row, ~both & of_model] >= 0).any():
                found[row] = reason
    return reasons.scatter(list(found), list(found.values())) if found else reasons


def _unknown_labels(sets: LabelSets, reasons: polars.Series, classes: Sequence[str] | None) -> polars.Series:
    """Reasons, and those of rows that have a label which is not one of a trained model's."""
    if classes is None:
        return reasons
    unknown = [place for place, name in enumerate(sets.names) if name not in classes]
    found: dict[int, str] = {}
    for row in numpy.flatnonzero(reasons.is_null().to_numpy() & (sets.values[:, unknown] == 1).any(axis=1)).tolist():
        name = next(sets.names[place] for place in unknown if sets.values[row, place] == 1)
        found[row] = f"label {name!r} is not a label of the trained model"
    return reasons.scatter(list(found), list(found.values())) if found else reasons


def _contradicted(values: NDArray[Any]) -> NDArray[Any]:
    """Which labels some of the rows have and others have not, bool (L,), from int8 (n, L)."""
    found: NDArray[Any] = (values == 0).any(axis=0) & (values == 1).any(axis=0)
    return found


def label_values(
    featured: FeaturedTable, reasons: polars.Series, identity: SampleIdentity, labels: tuple[str, ...] | None
) -> tuple[tuple[str, ...], NDArray[Any]]:
    """Which labels the usable rows have, where a row may have several.

    Where one column lists the labels, all rows of the same structure have the labels of each of them, since a list is
    not said to be complete. Where each label has a column, a label that rows of the same structure disagree on is not
    known for them.

    Args:
        featured: A labeled table.
        reasons: One a row, null where the row is used.
        identity: Which rows are the same sample.
        labels: The labels of a trained model; those that a usable row has if None.

    Returns:
        L labels, and (rows, L) int8: 1 the row has the label, 0 it does not, -1 not known or the row is not used.

    Raises:
        InputError: If usable rows have fewer than two labels.
    """
    table, sets = featured.table, featured.table.label_sets
    assert sets is not None
    values = sets.values.copy()
    entries = 0
    # A row that is rejected because nothing else is known of it contradicts the other rows still.
    for own in _equal_structures(table, identity, _unknown_labels(sets, featured.reasons.clone(), labels)):
        if isinstance(table.columns.label, str):
            values[own] = values[own].max(axis=0)
        else:
            disputed = numpy.ix_(numpy.array(own), _contradicted(values[own]))
            entries += int((values[disputed] >= 0).sum())
            values[disputed] = -1
    if entries:
        _log.warning(f"{entries:,} labels contradict those of rows with the same structure and count as not known.")
    values[reasons.is_not_null().to_numpy()] = -1
    if labels is None:
        had = (values == 1).any(axis=0)
        kept = tuple(name for name, one in zip(sets.names, had, strict=True) if one)
        without = [name for name in sets.names if name not in kept]
        check_several_labels(kept, "usable rows")
        if without:
            shown = ", ".join(without[:10]) + (f" and {len(without) - 10} more" if len(without) > 10 else "")
            _log.warning(f"{len(without)} labels that no usable row has are left out: {shown}.")
        return kept, values[:, had]
    # A list that does not name a label says that the row does not have it; a column that is missing says nothing.
    absent = 0 if isinstance(table.columns.label, str) else -1
    of_model = numpy.full((len(values), len(labels)), absent, dtype=numpy.int8)
    of_model[reasons.is_not_null().to_numpy()] = -1
    for place, name in enumerate(sets.names):
        if name in labels:
            of_model[:, labels.index(name)] = values[:, place]
    return labels, of_model


def class_codes(
    featured: FeaturedTable, reasons: polars.Series, classes: tuple[str, ...] | None
) -> tuple[tuple[str, ...], NDArray[Any]]:
    """Number the classes of the usable rows.

    Args:
        featured: A labeled table.
        reasons: One a row, null where the row is used.
        classes: The classes of a trained model; those of the rows if None.

    Returns:
        C labels, and (rows,) int64 codes, -1 where the row is not used.

    Raises:
        InputError: If there are fewer than two classes.
    """
    table = featured.table
    assert table.labels is not None
    usable = reasons.is_null().arg_true()
    labels = table.labels.gather(usable)
    vocabulary = classes or class_vocabulary(labels.unique().to_list())
    if len(vocabulary) < 2:
        found = f"the single class {vocabulary[0]!r}" if vocabulary else "none"
        raise InputError(
            f"data.label_column: expected two or more classes in column {table.columns.label!r}, got {found}."
        )
    codes = numpy.full(len(reasons), -1, dtype=numpy.int64)
    code_of = {label: code for code, label in enumerate(vocabulary)}
    codes[usable.to_numpy()] = labels.replace_strict(code_of, return_dtype=polars.Int64).to_numpy()
    return vocabulary, codes
