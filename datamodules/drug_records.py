"""From a table to the samples that can be used: features, class codes, splits, and what was rejected."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy
import polars
from numpy.typing import NDArray
from polars import selectors

from datamodules.drug_table import DrugTable, InputError, class_vocabulary, conflicting_duplicates
from datamodules.feature_cache import cache_key, cached_arrays
from datamodules.molecule_batch import MoleculeStore
from datamodules.molecule_features import FEATURE_VERSION, FeatureSettings, canonical_smiles, featurise
from datamodules.splits import SPLIT_NAMES, SplitMethod, SplitName, file_split, random_split

_log = logging.getLogger("tailmol")


@dataclass(frozen=True)
class FeaturedTable:
    """A table whose SMILES were read by RDKit.

    Attributes:
        table: The table.
        store: Serves batches by row of the table.
        structures: One a row: the canonical SMILES of its molecules.
        reasons: One a row: why it cannot be used, or None.
    """

    table: DrugTable
    store: MoleculeStore
    structures: list[tuple[str, ...]]
    reasons: list[str | None]


@dataclass(frozen=True)
class DrugRecords:
    """The samples of a labelled table.

    Attributes:
        classes: C labels.
        rows: One array of table rows a split.
        codes: (rows of the table,) int64 class codes, -1 where the row is not used.
    """

    classes: tuple[str, ...]
    rows: dict[SplitName, NDArray[Any]]
    codes: NDArray[Any]

    @property
    def class_counts(self) -> tuple[int, ...]:
        """C counts of training samples."""
        counts = numpy.bincount(self.codes[self.rows["train"]], minlength=len(self.classes))
        return tuple(counts.tolist())


def featurise_table(table: DrugTable, settings: FeatureSettings, cache_folder: Path) -> FeaturedTable:
    """Featurise each distinct SMILES once, and name the rows that RDKit cannot read.

    Args:
        table: Its rows with a reason already are left out.
        settings: What to compute.
        cache_folder: Where features are kept from one run to the next.
    """
    import rdkit

    numbers: dict[str, int] = {"": 0}
    molecules = numpy.zeros((len(table.smiles), len(table.columns.smiles)), dtype=numpy.int64)
    for row, cells in enumerate(table.smiles):
        for part, cell in enumerate(cells):
            molecules[row, part] = numbers.setdefault(cell or "", len(numbers))
    distinct = list(numbers)
    key = cache_key(distinct, settings, FEATURE_VERSION, rdkit.__version__)
    features = cached_arrays(cache_folder, key, lambda: featurise(distinct, settings))
    canonical = canonical_smiles(features)
    valid = features["valid"]
    reasons = list(table.reasons)
    for row in numpy.flatnonzero(~valid[molecules].all(axis=1)).tolist():
        part = int(numpy.argmin(valid[molecules[row]]))
        if reasons[row] is None:
            reasons[row] = f"SMILES that RDKit cannot read in column {table.columns.smiles[part]}"
    structures = [tuple(canonical[number] for number in numbers) for numbers in molecules.tolist()]
    return FeaturedTable(table, MoleculeStore(features, molecules), structures, reasons)


def reject_unusable(featured: FeaturedTable, classes: Sequence[str] | None) -> list[str | None]:
    """The reasons of `featured`, and those of rows whose label contradicts another row's or is not known.

    Args:
        featured: A labelled table.
        classes: The labels that a trained model knows; None takes any.
    """
    reasons = list(featured.reasons)
    labels = featured.table.labels
    if classes is not None:
        known = set(classes)
        for row, label in enumerate(labels):
            if reasons[row] is None and label not in known:
                reasons[row] = f"label {label!r} is not a class of the trained model"
    usable = [row for row, reason in enumerate(reasons) if reason is None]
    structures = [featured.structures[row] for row in usable]
    conflicts = conflicting_duplicates(structures, [labels[row] for row in usable], usable)
    for row, reason in conflicts.items():
        reasons[row] = reason
    return reasons


def rejected_rows(table: DrugTable, reasons: Sequence[str | None]) -> polars.DataFrame:
    """The rows with a reason, as given, behind `row` (1 is the first below the header) and `reason`.

    Columns of lists, structures or bytes, which CSV cannot hold, are left out.
    """
    rows = [row for row, reason in enumerate(reasons) if reason is not None]
    notes = {"row": [row + 1 for row in rows], "reason": [reasons[row] for row in rows]}
    given = table.frame[rows].select(~(selectors.nested() | selectors.binary()))
    given = given.rename({name: f"{name} (given)" for name in given.columns if name in notes})
    return polars.DataFrame(notes, schema={"row": polars.Int64, "reason": polars.String}).hstack(given)


def check_rejected(reasons: Sequence[str | None], max_rejected: float, where: str) -> None:
    """Log how many rows are left out, and stop when they are too many.

    Args:
        reasons: One a row, None where it is used.
        max_rejected: Largest share of rows that may be left out.
        where: The file that lists them, for the message.

    Raises:
        InputError: If more are left out, or all.
    """
    rejected = sum(reason is not None for reason in reasons)
    if not rejected:
        return
    first = next(f"row {row + 1}: {reason}" for row, reason in enumerate(reasons) if reason)
    message = f"{rejected:,} of {len(reasons):,} rows cannot be used, the first is {first}; all are in {where}."
    if rejected > max_rejected * len(reasons) or rejected == len(reasons):
        raise InputError(f"{message} data.max_rejected allows {max_rejected:.0%}.")
    _log.warning(message)


def divide(
    featured: FeaturedTable,
    reasons: Sequence[str | None],
    split: SplitMethod,
    fractions: tuple[float, float, float],
    seed: int,
    classes: tuple[str, ...] | None,
) -> DrugRecords:
    """Number the classes of the usable rows and divide the rows.

    Args:
        featured: A labelled table.
        reasons: One a row, None where it is used.
        split: How to divide.
        fractions: Shares of training, validation and test of a random split.
        seed: Of a random split.
        classes: The classes of a trained model, or None for those of the table.

    Raises:
        InputError: If there are fewer than two classes, or a split has no row.
    """
    table = featured.table
    usable = [row for row, reason in enumerate(reasons) if reason is None]
    labels = [str(table.labels[row]) for row in usable]
    vocabulary = classes or class_vocabulary(labels)
    if len(vocabulary) < 2:
        raise InputError(
            f"data.label_column: column {table.columns.label!r} has the single class {vocabulary[0]!r}; "
            "expected two or more."
        )
    if split == "file":
        names = file_split([table.splits[row] for row in usable])
    else:
        names = random_split(labels, [featured.structures[row] for row in usable], fractions, seed)
    code_of = {label: code for code, label in enumerate(vocabulary)}
    codes = numpy.full(len(reasons), -1, dtype=numpy.int64)
    codes[usable] = [code_of[label] for label in labels]
    rows = {
        name: numpy.array([row for row, given in zip(usable, names, strict=True) if given == name], dtype=numpy.int64)
        for name in SPLIT_NAMES
    }
    for name, members in rows.items():
        if not len(members):
            raise InputError(f"data.split: the {name} split has no rows; {len(usable)} usable rows are too few for it.")
    records = DrugRecords(vocabulary, rows, codes)
    _warn_missing_classes(records)
    return records


def _warn_missing_classes(records: DrugRecords) -> None:
    for name, rows in records.rows.items():
        present = set(records.codes[rows].tolist())
        missing = [label for code, label in enumerate(records.classes) if code not in present]
        if missing:
            shown = ", ".join(missing[:10]) + (f" and {len(missing) - 10} more" if len(missing) > 10 else "")
            _log.warning(
                f"{len(missing)} of {len(records.classes)} classes have no sample in the {name} split and are left "
                f"out of its averages: {shown}."
            )
