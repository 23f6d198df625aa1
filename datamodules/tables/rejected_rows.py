"""Rows that cannot be used: their listing, and an error if there are too many."""

from __future__ import annotations

import logging

import polars
from polars import selectors

from base.errors import InputError
from datamodules.tables.drug_table import DrugTable

_log = logging.getLogger("tailmol")


def rejected_rows(table: DrugTable, reasons: polars.Series) -> polars.DataFrame:
    """The rows with a reason, as given, after the columns `row` (from 1, below the header) and `reason`.

    Columns of lists, structures or bytes, which CSV cannot hold, are left out, as is one that equals `row`.
    """
    rejected = reasons.is_not_null()
    notes = polars.DataFrame({"row": rejected.arg_true().cast(polars.Int64) + 1, "reason": reasons.filter(rejected)})
    given = table.frame.filter(rejected).select(~(selectors.nested() | selectors.binary()))
    if "row" in given.columns and given["row"].equals(notes["row"]):
        given = given.drop("row")
    return notes.hstack(given.rename({name: f"{name} (given)" for name in given.columns if name in notes.columns}))


def check_rejected(table: DrugTable, reasons: polars.Series, max_rejected: float, where: str) -> None:
    """Log the number of rows that are left out.

    Args:
        table: The table.
        reasons: Why each row is left out, null where it is used.
        max_rejected: Largest share of rows that may be left out.
        where: The file that lists them, for the message.

    Raises:
        InputError: If more rows are left out, or all.
    """
    rows = reasons.is_not_null().arg_true().to_numpy()
    if not len(rows):
        return
    (name,) = table.ids(rows[:1])
    first = f"row {rows[0] + 1}{f' ({name})' if name else ''}: {reasons[int(rows[0])]}"
    message = f"{len(rows):,} of {len(reasons):,} rows cannot be used, the first is {first}; all are in {where}."
    if len(rows) > max_rejected * len(reasons) or len(rows) == len(reasons):
        raise InputError(f"{message} data.max_rejected allows {max_rejected:.0%}.")
    _log.warning(message)
