"""Rows that are the same sample under different labels."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import polars
from numpy.typing import NDArray

from datamodules.tables.drug_table import DrugTable


def conflicting_duplicates(table: DrugTable, groups: NDArray[Any], reasons: polars.Series) -> dict[int, str]:
    """Row to reason, for every usable row whose sample has more than one label.

    Rows of a group are candidates; which of them are the same sample, RDKit's canonical SMILES, the protein and the
    features decide.

    Args:
        table: With labels.
        groups: (rows,) int64, equal for rows of the same sample, and by chance for others.
        reasons: Why a row cannot be used, null where it can.
    """
    rows = polars.DataFrame({"group": groups, "label": table.labels}).with_row_index("row")
    usable = rows.filter(reasons.is_null())
    candidates = usable.filter(polars.col("label").n_unique().over("group") > 1)
    found: dict[tuple[str | bytes, ...], list[tuple[int, str]]] = {}
    labels = candidates["label"].to_list()
    for identity, row, label in zip(_identities(table, candidates["row"]), candidates["row"], labels, strict=True):
        found.setdefault(identity, []).append((row, label))
    what = "structure" if table.arrays is None else "array"
    conflicts: dict[int, str] = {}
    for members in found.values():
        distinct = sorted({label for _, label in members})
        if len(distinct) > 1:
            reason = f"conflicting duplicate: the {what} of row {members[0][0] + 1} has the labels"
            conflicts |= dict.fromkeys((row for row, _ in members), f"{reason} {', '.join(distinct)}")
    return conflicts


def _identities(table: DrugTable, rows: Iterable[int]) -> Iterator[tuple[str | bytes, ...]]:
    """What tells each sample from every other one."""
    if table.arrays is not None:
        yield from ((table.arrays.content(row),) for row in rows)
        return
    from rdkit import Chem

    canonical: dict[str, str] = {}
    for row in rows:
        texts = [column[row] for column in table.smiles]
        for text in texts:
            if text not in canonical:
                canonical[text] = Chem.MolToSmiles(Chem.MolFromSmiles(text))
        protein = "" if table.sequences is None else table.sequences[row]
        yield (*(canonical[text] for text in texts), protein)
