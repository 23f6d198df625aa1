"""From a table to the samples that can be used: features, class codes, splits, and what was rejected."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy
import polars
from numpy.typing import NDArray

from base.errors import InputError
from datamodules.chemistry.molecule_features import FEATURE_VERSION, Features, FeatureSettings, featurise
from datamodules.chemistry.molecule_scaffolds import murcko_scaffolds
from datamodules.chemistry.protein_sequences import ProteinSequences
from datamodules.feature_cache import cache_key, cached_arrays
from datamodules.molecule_batch import MoleculeStore
from datamodules.part_files import write_parts
from datamodules.sample_arrays import SampleArrays
from datamodules.splits.duplicates import conflicting_duplicates
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
from datamodules.tables.drug_table import DrugTable, class_vocabulary

_log = logging.getLogger("tailmol")


@dataclass(frozen=True)
class FeaturedTable:
    """A table whose SMILES were read by RDKit, or whose samples are arrays.

    Attributes:
        table: The table.
        store: Serves batches by row of the table.
        skeletons: (rows, P) uint64, `skeleton_hashes` of each row's molecules; behind them the hash of the protein,
            where rows have one. Of an array its hash.
        reasons: Why a row cannot be used, null where it can.
        settings: What was computed.
    """

    table: DrugTable
    store: MoleculeStore
    skeletons: NDArray[Any]
    reasons: polars.Series
    settings: FeatureSettings

    @property
    def groups(self) -> NDArray[Any]:
        """(rows,) int64, the same for rows of the same skeletons in the same order."""
        combined = numpy.zeros(len(self.skeletons), dtype=numpy.uint64)
        for column in self.skeletons.T:
            combined = combined * numpy.uint64(0x9E3779B97F4A7C15) + column
        return combined.view(numpy.int64)


@dataclass(frozen=True)
class SplitSettings:
    """How to divide a table.

    Attributes:
        method: See `splits`.
        seed: Of every method but file.
        fractions: Shares of training, validation and test.
        part: Of pairs and reactions, whose scaffold or whose drug must be new: the first column's, the second's, or
            both.
        imbalance: Training is thinned to a long tail of this ratio (`long_tail_counts`); None keeps it whole.
    """

    method: SplitMethod = "random"
    seed: int = 0
    fractions: Fractions = (0.7, 0.1, 0.2)
    part: SplitPart = "first"
    imbalance: float | None = None


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
    """Featurise each distinct SMILES once, and name the rows that RDKit cannot read; arrays are taken as they are.

    Args:
        table: Its rows with a reason already keep it.
        settings: What to compute.
        cache_folder: Where features are kept from one run to the next.

    Raises:
        InputError: If arrays do not have the shape that the settings of a trained model say.
    """
    import rdkit

    def cached(texts: list[str]) -> Features:
        key = cache_key(texts, settings, FEATURE_VERSION, rdkit.__version__)
        compute = partial(featurise, settings=settings)
        return cached_arrays(cache_folder, key, lambda folder: write_parts(texts, compute, folder, "Featurising"))

    return featurise_with(table, settings, cached)


def featurise_with(
    table: DrugTable, settings: FeatureSettings, features_of: Callable[[list[str]], Features]
) -> FeaturedTable:
    """The same, with features from wherever the caller has them.

    Args:
        table: Its rows with a reason already keep it.
        settings: What to compute.
        features_of: Gives the features of distinct SMILES, the empty text among them.

    Raises:
        InputError: If arrays do not have the shape that the settings of a trained model say.
    """
    if table.arrays is not None:
        return _featurise_arrays(table, table.arrays, settings)
    cells = polars.concat([column.rename("text") for column in table.smiles]).fill_null("")
    distinct = polars.concat([polars.Series("text", [""]), cells]).unique(maintain_order=True)
    numbered = cells.to_frame().join(
        distinct.to_frame().with_row_index("number"), on="text", how="left", maintain_order="left"
    )
    molecules = numbered["number"].to_numpy().astype(numpy.int64).reshape(len(table.smiles), -1).T
    features = features_of(distinct.to_list())
    readable = features["atoms"] > 0
    reasons = table.reasons
    for name, column in reversed(list(zip(table.columns.smiles, molecules.T, strict=True))):
        unreadable = polars.Series(~readable[column]) & table.reasons.is_null()
        reasons = reasons.set(unreadable, f"SMILES that RDKit cannot read in column {name}")
    skeletons = features["skeletons"][molecules]
    proteins = None
    if table.sequences is not None:
        proteins = ProteinSequences(table.sequences.set(reasons.is_not_null(), None))
        skeletons = numpy.column_stack([skeletons, proteins.hashes])
    return FeaturedTable(table, MoleculeStore(features, molecules, proteins), skeletons, reasons, settings)


def _featurise_arrays(table: DrugTable, arrays: SampleArrays, settings: FeatureSettings) -> FeaturedTable:
    if settings.array_shape not in ((), arrays.shape):
        raise InputError(
            f"data.source: the model was trained on samples of shape {settings.array_shape}, got {arrays.shape}."
        )
    features = arrays.features()
    rows = numpy.arange(len(arrays)).reshape(-1, 1)
    settings = replace(settings, array_shape=arrays.shape)
    return FeaturedTable(table, MoleculeStore(features, rows), features["skeletons"][rows], table.reasons, settings)


def reject_unusable(featured: FeaturedTable, classes: Sequence[str] | None) -> polars.Series:
    """The reasons of `featured`, and those of rows whose label contradicts another row's or is not known.

    Args:
        featured: A labelled table.
        classes: The labels that a trained model knows; None takes any.
    """
    reasons, labels = featured.reasons, featured.table.labels
    assert labels is not None
    if classes is not None:
        unknown = reasons.is_null() & ~labels.is_in(list(classes))
        rows = unknown.arg_true()
        sentences = [f"label {label!r} is not a class of the trained model" for label in labels.gather(rows)]
        reasons = reasons.scatter(rows, sentences) if len(rows) else reasons
    conflicts = conflicting_duplicates(featured.table, featured.groups, reasons)
    return reasons.scatter(list(conflicts), list(conflicts.values())) if conflicts else reasons


def divide(
    featured: FeaturedTable,
    reasons: polars.Series,
    split: SplitSettings,
    classes: tuple[str, ...] | None,
    cache_folder: Path,
) -> DrugRecords:
    """Number the classes of the usable rows and divide the rows.

    Args:
        featured: A labelled table.
        reasons: One a row, null where it is used.
        split: How to divide.
        classes: The classes of a trained model, or None for those of the table.
        cache_folder: Where scaffolds are kept from one run to the next.

    Raises:
        InputError: If there are fewer than two classes, a split has no row, or the split does not fit the table.
    """
    table = featured.table
    assert table.labels is not None
    usable = reasons.is_null().arg_true()
    labels = table.labels.gather(usable)
    vocabulary = classes or class_vocabulary(labels.unique().to_list())
    if len(vocabulary) < 2:
        raise InputError(
            f"data.label_column: column {table.columns.label!r} has the single class {vocabulary[0]!r}; "
            "expected two or more."
        )
    codes = numpy.full(len(reasons), -1, dtype=numpy.int64)
    places = usable.to_numpy()
    code_of = {label: code for code, label in enumerate(vocabulary)}
    codes[places] = labels.replace_strict(code_of, return_dtype=polars.Int64).to_numpy()
    split_of = _split_codes(featured, places, codes[places], split, cache_folder)
    if split.method == "all":
        rows = dict.fromkeys(SPLIT_NAMES, places.astype(numpy.int64))
    else:
        rows = {name: places[split_of == code].astype(numpy.int64) for code, name in enumerate(SPLIT_NAMES)}
    for name, members in rows.items():
        if not len(members):
            raise InputError(f"data.split: the {name} split has no rows; {len(usable)} usable rows are too few for it.")
    if split.imbalance is not None:
        rows["train"] = _thinned(rows["train"], codes, split.imbalance, split.seed)
    left_out = int((split_of < 0).sum())
    if left_out:
        _log.warning(f"{left_out:,} of {len(usable):,} rows belong to no split, because they would join two of them.")
    records = DrugRecords(vocabulary, rows, codes)
    _warn_missing_classes(records)
    return records


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
            f"data.split: {split.method} needs molecules, and the input is array; expected random, standard, file or "
            "all."
        )
    if split.method == "file":
        assert table.splits is not None
        return file_split(table.splits.gather(rows).to_list())
    if split.method == "cold":
        return cold_split(featured.skeletons[rows].view(numpy.int64), parts, split.fractions, split.seed)
    if split.method == "scaffold":
        if len(parts) > 1 or parts[0] >= len(table.smiles):
            raise InputError(
                f"data.split_part: a scaffold split keeps one SMILES column apart, got {split.part}; expected first"
                f"{' or second' if len(table.smiles) > 1 else ''}."
            )
        texts = table.smiles[parts[0]].gather(rows)
        distinct = texts.unique(maintain_order=True).to_list()
        scaffold_of = dict(zip(distinct, murcko_scaffolds(distinct, cache_folder), strict=True))
        return scaffold_split([scaffold_of[text] for text in texts], split.fractions, split.seed)
    method = standard_split if split.method == "standard" else random_split
    return method(codes, featured.groups[rows], split.fractions, split.seed)


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
