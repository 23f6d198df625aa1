"""Divide the records of a table into training, validation and test."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy
import polars
from numpy.typing import NDArray

from base.errors import InputError
from datamodules.chemistry.molecule_scaffolds import murcko_scaffolds
from datamodules.features import FeaturedTable
from datamodules.records import class_codes
from datamodules.splits.long_tail import thin_to_long_tail
from datamodules.splits.splitters import (
    SPLIT_NAMES,
    Fractions,
    SplitMethod,
    SplitName,
    SplitPart,
    cold_split,
    file_split,
    random_split,
    scaffold_split,
    standard_split,
)
from datamodules.tables.drug_table import DrugTable

_log = logging.getLogger("tailmol")


@dataclass(frozen=True)
class SplitSettings:
    """How to divide a table.

    Attributes:
        method: See `splitters`; all puts every row into each split.
        seed: Random seed.
        fractions: Shares of training, validation and test.
        part: The SMILES columns of pairs and reactions whose scaffold or drug must be new in a test row.
        imbalance: Imbalance ratio that the training split is thinned to, see `long_tail_counts`; None keeps it.
    """

    method: SplitMethod = "random"
    seed: int = 0
    fractions: Fractions = (0.7, 0.1, 0.2)
    part: SplitPart = "first"
    imbalance: float | None = None


@dataclass(frozen=True)
class DrugRecords:
    """The samples of a labeled table, divided.

    Attributes:
        classes: C labels.
        rows: The rows of the table in each split, int64 (n,).
        codes: Class code of each row of the table, int64 (rows,); -1 where the row is not used.
    """

    classes: tuple[str, ...]
    rows: dict[SplitName, NDArray[Any]]
    codes: NDArray[Any]

    @property
    def class_counts(self) -> tuple[int, ...]:
        """Training samples of each class, C counts."""
        counts = numpy.bincount(self.codes[self.rows["train"]], minlength=len(self.classes))
        return tuple(counts.tolist())

    def summary(self) -> str:
        """Numbers of classes and samples in words."""
        counts = [count for count in self.class_counts if count]
        sizes = ", ".join(f"{len(rows):,} {name}" for name, rows in self.rows.items())
        return f"{len(self.classes)} classes of {min(counts):,} to {max(counts):,} training samples; {sizes} samples"


def divide(
    featured: FeaturedTable,
    reasons: polars.Series,
    split: SplitSettings,
    classes: tuple[str, ...] | None,
    cache_folder: Path,
) -> DrugRecords:
    """Number the classes of the usable rows and divide the rows.

    Args:
        featured: A labeled table.
        reasons: One a row, null where the row is used.
        split: How to divide.
        classes: The classes of a trained model; those of the table if None.
        cache_folder: The cache of scaffolds.

    Raises:
        InputError: If there are fewer than two classes, a split has no row, or the split does not suit the table.
    """
    vocabulary, codes = class_codes(featured, reasons, classes)
    usable = reasons.is_null().arg_true()
    places = usable.to_numpy()
    split_of = _split_codes(featured, places, codes[places], split, cache_folder)
    if split.method == "all":
        rows = dict.fromkeys(SPLIT_NAMES, places.astype(numpy.int64))
    else:
        rows = {name: places[split_of == code].astype(numpy.int64) for code, name in enumerate(SPLIT_NAMES)}
    for name, members in rows.items():
        if not len(members):
            raise InputError(
                f"data.split: expected rows in every split, got none for {name} of {len(usable):,} usable rows."
            )
    if split.imbalance is not None:
        rows["train"] = _thinned(rows["train"], codes, split.imbalance, split.seed)
    left_out = int((split_of < 0).sum())
    if left_out:
        _log.warning(f"{left_out:,} of {len(usable):,} rows belong to no split, because they would join two of them.")
    records = DrugRecords(vocabulary, rows, codes)
    # Where all rows are in every split, one of them tells all.
    _warn_missing_classes(records, {"test": rows["test"]} if split.method == "all" else rows)
    return records


def split_listing(table: DrugTable, records: DrugRecords) -> polars.DataFrame:
    """The split of each used row, with the columns `row` (from 1), `split`, `label` and, if the table has it, `id`."""
    splits = [polars.DataFrame({"row": rows, "split": name}) for name, rows in records.rows.items()]
    listing = polars.concat(splits).sort("row", maintain_order=True)
    rows = listing["row"]
    assert table.labels is not None
    columns = [(rows + 1).alias("row"), listing["split"], table.labels.gather(rows).alias("label")]
    if table.columns.id:
        columns.append(table.frame[table.columns.id].gather(rows).alias("id"))
    return polars.DataFrame(columns)


def _thinned(rows: NDArray[Any], codes: NDArray[Any], imbalance: float, seed: int) -> NDArray[Any]:
    kept: NDArray[Any] = rows[thin_to_long_tail(codes[rows], imbalance, seed)]
    _log.info(f"data.imbalance keeps {len(kept):,} of {len(rows):,} training samples.")
    return kept


def _split_codes(
    featured: FeaturedTable, rows: NDArray[Any], codes: NDArray[Any], split: SplitSettings, cache_folder: Path
) -> NDArray[Any]:
    """The place of each usable row's split in `SPLIT_NAMES`."""
    table = featured.table
    parts = {"first": [0], "second": [1], "both": [0, 1]}[split.part] if featured.skeletons.shape[1] > 1 else [0]
    if split.method == "all":
        return numpy.zeros(len(rows), dtype=numpy.int64)
    if table.arrays is not None and split.method in ("cold", "scaffold"):
        raise InputError(
            f"data.split: expected random, standard, file or all for input array, got {split.method}, which needs "
            "molecules."
        )
    if split.method == "file":
        assert table.splits is not None
        return file_split(table.splits.gather(rows).to_list())
    if split.method == "cold":
        return cold_split(featured.skeletons[rows].view(numpy.int64), parts, split.fractions, split.seed)
    if split.method == "scaffold":
        if len(parts) > 1 or parts[0] >= len(table.smiles):
            raise InputError(
                f"data.split_part: expected first{' or second' if len(table.smiles) > 1 else ''} for a scaffold split, "
                f"got {split.part}."
            )
        texts = table.smiles[parts[0]].gather(rows)
        distinct = texts.unique(maintain_order=True).to_list()
        scaffold_of = dict(zip(distinct, murcko_scaffolds(distinct, cache_folder), strict=True))
        return scaffold_split([scaffold_of[text] for text in texts], split.fractions, split.seed)
    method = standard_split if split.method == "standard" else random_split
    return method(codes, featured.groups[rows], split.fractions, split.seed)


def _warn_missing_classes(records: DrugRecords, parts: Mapping[SplitName, NDArray[Any]]) -> None:
    for name, rows in parts.items():
        present = set(records.codes[rows].tolist())
        missing = [label for code, label in enumerate(records.classes) if code not in present]
        if missing:
            shown = ", ".join(missing[:10]) + (f" and {len(missing) - 10} more" if len(missing) > 10 else "")
            _log.warning(
                f"{len(missing)} of {len(records.classes)} classes have no sample in the {name} split and are left "
                f"out of its averages: {shown}."
            )
