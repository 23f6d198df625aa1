"""The features of all samples of a table, and how batches are sliced from them."""

from __future__ import annotations

from typing import Any

import numpy
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from datamodules.batch import Batch, FingerprintBatch, MoleculeBatch, ProteinBatch
from datamodules.chemistry.molecule_features import MoleculeFeatures
from datamodules.chemistry.protein_sequences import ProteinSequences
from datamodules.tables.sample_arrays import SampleArrays


class SampleMolecules:
    """The molecules of each row of a table."""

    def __init__(self, features: MoleculeFeatures, molecules_of_row: NDArray[Any], fingerprint_width: int) -> None:
        """Index the features.

        Args:
            features: Features of all distinct molecules.
            molecules_of_row: (rows, P) int64, the molecules of each row, by their place in `features`.
            fingerprint_width: Number of bins of all fingerprints together.
        """
        graphs, fingerprints = features.graphs, features.fingerprints
        self._graphs, self._fingerprints = graphs, fingerprints
        self._vectors = features.vectors
        self._molecules_of_row, self._width = molecules_of_row, fingerprint_width
        counts = (graphs.atom_counts, graphs.bond_counts, fingerprints.entry_counts)
        self._starts = [numpy.cumsum(own) - own for own in counts]

    def gather(self, rows: NDArray[Any]) -> tuple[MoleculeBatch, FingerprintBatch, Tensor | None]:
        """Graphs, fingerprints and any pretrained vectors of the molecules of some rows.

        Args:
            rows: (B,) rows of the table.
        """
        # Slicing flat arrays makes no Python object for a molecule.
        graphs, fingerprints = self._graphs, self._fingerprints
        atom_starts, bond_starts, entry_starts = self._starts
        molecules = self._molecules_of_row[rows].reshape(-1)
        atom_places, atoms = _flat_places(atom_starts, graphs.atom_counts, molecules)
        bond_places, bonds = _flat_places(bond_starts, graphs.bond_counts, molecules)
        entry_places, entries = _flat_places(entry_starts, fingerprints.entry_counts, molecules)
        shift = numpy.repeat(numpy.cumsum(atoms) - atoms, bonds)
        molecule_batch = MoleculeBatch(
            # numpy copies whole rows with `take`, but single numbers with brackets.
            atom_codes=torch.from_numpy(graphs.atom_codes.take(atom_places, axis=0)),
            bond_codes=torch.from_numpy(graphs.bond_codes[bond_places]),
            source=torch.from_numpy(graphs.source[bond_places] + shift),
            target=torch.from_numpy(graphs.target[bond_places] + shift),
            atoms_per_molecule=torch.from_numpy(atoms),
        )
        fingerprint_batch = FingerprintBatch(
            molecule=torch.from_numpy(numpy.repeat(numpy.arange(len(molecules)), entries)),
            # torch converts them faster than numpy.
            bin=torch.from_numpy(fingerprints.bins[entry_places]).long(),
            count=torch.from_numpy(fingerprints.counts[entry_places]).float(),
            shape=(len(molecules), self._width),
        )
        vectors = torch.from_numpy(self._vectors[molecules]) if self._vectors.shape[1] else None
        return molecule_batch, fingerprint_batch, vectors


def _flat_places(
    starts: NDArray[Any], counts: NDArray[Any], molecules: NDArray[Any]
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Of the items of some molecules: the place of each in the flat array, and how many each molecule has."""
    lengths = counts[molecules]
    ends = numpy.cumsum(lengths)
    places = numpy.repeat(starts[molecules] - ends + lengths, lengths)
    places += numpy.arange(len(places))
    return places, lengths


class SampleStore:
    """The features of the samples of a table, by row."""

    def __init__(
        self,
        molecules: SampleMolecules | None = None,
        proteins: ProteinSequences | None = None,
        arrays: SampleArrays | None = None,
    ) -> None:
        """Collect the parts of samples.

        Args:
            molecules: The molecules of each row; None if samples have none.
            proteins: The protein of each row; None if samples have none.
            arrays: The array of each row; None if samples are not arrays.
        """
        self._molecules, self._proteins, self._arrays = molecules, proteins, arrays

    def batch(self, rows: NDArray[Any], sample_index: NDArray[Any], labels: NDArray[Any]) -> Batch:
        """The samples of some rows.

        Args:
            rows: (B,) rows of the table.
            sample_index: (B,) integers, see `Batch`.
            labels: (B,) class codes or (B, C) labels, see `Batch`.
        """
        molecules, fingerprints, vectors = None, None, None
        if self._molecules is not None:
            molecules, fingerprints, vectors = self._molecules.gather(rows)
        proteins = None if self._proteins is None else map(torch.from_numpy, self._proteins.gather(rows))
        return Batch(
            sample_index=torch.from_numpy(sample_index.astype(numpy.int64)),
            labels=torch.from_numpy(labels.astype(numpy.int64)),
            molecules=molecules,
            fingerprints=fingerprints,
            vectors=vectors,
            proteins=None if proteins is None else ProteinBatch(*proteins),
            arrays=None if self._arrays is None else torch.from_numpy(self._arrays.dense(rows)),
        )


class SampleRows(Dataset[Batch]):
    """Some rows of a table; an array of places among them gives a batch."""

    def __init__(self, store: SampleStore, rows: NDArray[Any], codes: NDArray[Any], index: NDArray[Any]) -> None:
        """Refer to the samples.

        Args:
            store: The samples of the table.
            rows: (n,) rows of the table.
            codes: (n,) class codes, or (n, C) labels.
            index: (n,) `Batch.sample_index` of each.
        """
        self._store, self._rows, self._codes, self._index = store, rows, codes, index

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, places: NDArray[Any]) -> Batch:
        return self._store.batch(self._rows[places], self._index[places], self._codes[places])
