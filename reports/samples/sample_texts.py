"""What a page shows of single samples: name, drawings and SMILES."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy
from numpy.typing import NDArray

from reports.samples.drawings import draw_samples

if TYPE_CHECKING:
    from datamodules.drug_datamodule import DrugDataModule


class SampleText(NamedTuple):
    """What the page shows of a sample.

    Attributes:
        name: Its id, or its row in the table.
        drawings: Its drawings, see `draw_samples`.
        smiles: Its SMILES to copy; those of a pair are separated by a tab, those of a reaction by `>>`; empty for an
            array.
    """

    name: str
    drawings: list[str]
    smiles: str


SampleTexts = dict[int, SampleText]
"""Texts and drawings of samples, by index."""


def sample_texts(data: DrugDataModule, rows: NDArray[Any], indices: list[int]) -> SampleTexts:
    """Names, drawings and SMILES of some samples.

    Args:
        data: The data module, after `setup`.
        rows: int (n,), rows of the samples in the table.
        indices: Indices of the samples to describe.
    """
    table = data.table.table
    rows = rows[indices] if indices else numpy.empty(0, dtype=numpy.int64)
    names = [f"row {row + 1}" for row in rows.tolist()]
    if table.columns.id is not None:
        given = table.frame[table.columns.id].gather(rows).cast(str).to_list()
        names = [name if text is None else text for name, text in zip(names, given, strict=True)]
    joint = ">>" if data.task.input == "reaction" else "\t"
    parts = [series.gather(rows).fill_null("").to_list() for series in table.smiles]
    smiles = [joint.join(own) for own in zip(*parts, strict=True)] if parts else [""] * len(rows)
    shown = zip(names, draw_samples(table, rows), smiles, strict=True)
    return dict(zip(indices, (SampleText(*one) for one in shown), strict=True))
