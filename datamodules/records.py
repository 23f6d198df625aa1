"""From featured rows to records: rows with one label each, and the codes of their classes."""

from __future__ import annotations

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
    rows = polars.DataFrame({"sample": identity.samples, "label": table.labels}).with_row_index("row")
    usable = rows.filter(reasons.is_null())
    candidates = usable.filter(polars.col("label").n_unique().over("sample") > 1)
    members: dict[tuple[str, ...], list[tuple[int, str]]] = {}
    structures = identity.structures(table, candidates["row"].to_numpy())
    for structure, row, label in zip(structures, candidates["row"], candidates["label"], strict=True):
        members.setdefault(structure, []).append((row, label))
    what = "structure" if table.arrays is None else "array"
    conflicts: dict[int, str] = {}
    for own in members.values():
        distinct = sorted({label for _, label in own})
        if len(distinct) > 1:
            reason = f"conflicting duplicate: the {what} of row {own[0][0] + 1} has the labels"
            conflicts |= dict.fromkeys((row for row, _ in own), f"{reason} {', '.join(distinct)}")
    return conflicts


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
        raise InputError(
            f"data.label_column: expected two or more classes in column {table.columns.label!r}, got the single class "
            f"{vocabulary[0]!r}."
        )
    codes = numpy.full(len(reasons), -1, dtype=numpy.int64)
    code_of = {label: code for code, label in enumerate(vocabulary)}
    codes[usable.to_numpy()] = labels.replace_strict(code_of, return_dtype=polars.Int64).to_numpy()
    return vocabulary, codes
