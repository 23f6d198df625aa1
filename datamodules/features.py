"""From a table to the features of its samples; rows whose molecules RDKit cannot read get a reason."""

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
from datamodules.chemistry.molecule_features import FeatureSettings, MoleculeFeatures, feature_arrays, featurize
from datamodules.chemistry.molecule_graphs import why_refused
from datamodules.chemistry.pretrained_vectors import check_installed, model_version
from datamodules.chemistry.protein_sequences import ProteinSequences
from datamodules.feature_cache import FEATURE_VERSION, Setting, cache_key, cached_arrays
from datamodules.part_files import write_parts
from datamodules.sample_store import SampleMolecules, SampleStore
from datamodules.tables.drug_table import DrugTable
from datamodules.tables.sample_arrays import SampleArrays

_log = logging.getLogger("tailmol")

Featurize = Callable[[Sequence[str], FeatureSettings], MoleculeFeatures]
"""From distinct SMILES, the empty text among them, and settings to features."""


@dataclass(frozen=True)
class FeaturedTable:
    """A table with the features of its samples.

    Attributes:
        table: The table.
        store: The samples, by row of the table.
        skeletons: (rows, P) uint64, `skeleton_hashes` of the molecules of each row, then the hash of its protein if
            samples have proteins; or the hash of its array.
        parents: (rows, P) uint64, the same with the parents of the molecules.
        reasons: Why a row cannot be used, null where it can.
        settings: Settings of the features.
    """

    table: DrugTable
    store: SampleStore
    skeletons: NDArray[Any]
    parents: NDArray[Any]
    reasons: polars.Series
    settings: FeatureSettings

    @property
    def usable_rows(self) -> NDArray[Any]:
        """Rows without a reason, int64 (n,)."""
        return self.reasons.is_null().arg_true().to_numpy().astype(numpy.int64)


def featurize_cached(smiles: Sequence[str], settings: FeatureSettings, cache_folder: Path) -> MoleculeFeatures:
    """The features of molecules from the cache, computed first if they are not there.

    Args:
        smiles: M SMILES.
        settings: What to compute.
        cache_folder: The cache.
    """
    import rdkit

    named: dict[str, Setting] = {
        "computed": "features",
        "version": FEATURE_VERSION,
        "rdkit": rdkit.__version__,
        "fingerprint_radius": settings.fingerprint_radius,
        "fingerprint_size": settings.fingerprint_size,
        "fingerprint_kinds": list(settings.fingerprint_kinds),
        "pretrained": model_version(settings.pretrained) if settings.pretrained else "",
    }
    key = cache_key(smiles, named)
    compute = partial(feature_arrays, settings=settings)
    arrays = cached_arrays(cache_folder, key, lambda folder: write_parts(smiles, compute, folder, "Featurizing"))
    return MoleculeFeatures.from_arrays(arrays)


def featurize_table(
    table: DrugTable, settings: FeatureSettings, featurize_smiles: Featurize = featurize
) -> FeaturedTable:
    """Featurize each distinct SMILES of a table once; arrays are taken as they are.

    Args:
        table: A row that has a reason already keeps it.
        settings: What to compute.
        featurize_smiles: Computes the features of molecules, or takes them from a cache.

    Raises:
        InputError: If arrays do not have the shape that a trained model expects, or the package of the pretrained model
            is not installed.
    """
    if table.arrays is not None:
        return _with_arrays(table, table.arrays, settings)
    cells = polars.concat([column.rename("text") for column in table.smiles]).fill_null("")
    distinct = polars.concat([polars.Series("text", [""]), cells]).unique(maintain_order=True)
    numbered = cells.to_frame().join(
        distinct.to_frame().with_row_index("number"), on="text", how="left", maintain_order="left"
    )
    molecules_of_row = numbered["number"].to_numpy().astype(numpy.int64).reshape(len(table.smiles), -1).T
    if settings.pretrained:
        check_installed(settings.pretrained)
    features = featurize_smiles(distinct.to_list(), settings)
    readable = features.graphs.atom_counts > 0
    if settings.pretrained:
        unread = int(numpy.count_nonzero(readable & ~features.vectors.any(axis=1)))
        if unread:
            _log.warning(
                f"{settings.pretrained} cannot read {unread:,} of {numpy.count_nonzero(readable):,} molecules; their "
                "pretrained vectors are zeros."
            )
    reasons = table.reasons
    refused = numpy.full(len(distinct), None, dtype=object)
    for number in numpy.flatnonzero(~readable).tolist():
        refused[number] = why_refused(distinct[number])
    for name, molecules in reversed(list(zip(table.smiles_names, molecules_of_row.T, strict=True))):
        own = polars.Series("reason", refused[molecules].tolist(), dtype=polars.String)
        reasons = polars.select(
            polars.when(own.is_not_null() & table.reasons.is_null()).then(own + f" in column {name}").otherwise(reasons)
        ).to_series()
    hashes = [features.skeletons[molecules_of_row], features.parents[molecules_of_row]]
    proteins = None
    if table.sequences is not None:
        proteins = ProteinSequences(table.sequences.set(reasons.is_not_null(), None))
        hashes = [numpy.column_stack([own, proteins.hashes]) for own in hashes]
    store = SampleStore(SampleMolecules(features, molecules_of_row, settings.fingerprint_width), proteins)
    return FeaturedTable(table, store, hashes[0], hashes[1], reasons, settings)


def _with_arrays(table: DrugTable, arrays: SampleArrays, settings: FeatureSettings) -> FeaturedTable:
    if settings.array_shape not in ((), arrays.shape):
        raise InputError(
            f"data.source: expected samples of shape {settings.array_shape}, as the model was trained on; "
            f"got {arrays.shape}."
        )
    settings = replace(settings, array_shape=arrays.shape)
    hashes = arrays.hashes().reshape(-1, 1)
    return FeaturedTable(table, SampleStore(arrays=arrays), hashes, hashes, table.reasons, settings)
