"""A batch of samples as flat tensors, and how it is sliced from the features of all molecules."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import numpy
import torch
from numpy.typing import NDArray
from torch import Tensor

from datamodules.chemistry.molecule_features import Features
from datamodules.chemistry.protein_sequences import ProteinSequences

_NO_PROTEINS = (numpy.empty(0, dtype=numpy.uint8), numpy.empty(0, dtype=numpy.int64), numpy.empty(0, dtype=numpy.int64))


@dataclass(frozen=True)
class MoleculeBatch:
    """B samples of P molecules each (M = B P), with A atoms, E directed bonds, F fingerprint entries, R residues.

    An array is carried as a molecule without atoms, whose fingerprint entries are its features other than zero.

    Attributes:
        atom_codes: (A, 10) uint8, the columns of `molecule_graphs.ATOM_CODE_SIZES`.
        bond_codes: (E,) uint8, values below `molecule_graphs.BOND_CODE_SIZE`.
        source: (E,) int64, the atom that a bond leaves; bonds are sorted by target.
        target: (E,) int64, the atom that a bond enters.
        atoms_per_molecule: (M,) int64.
        fingerprint_molecule: (F,) int64, the molecule of each entry.
        fingerprint_bin: (F,) int64.
        fingerprint_count: (F,) float32, counts of a molecule or values of an array.
        sample_index: (B,) int64; in training the sample's place in the training split, else its row in the table.
        labels: (B,) int64 class codes; -1 where there is none.
        molecules_per_sample: P; the molecules of one sample follow each other.
        residue_codes: (R,) uint8, place in the alphabet of each amino-acid letter, the Q distinct proteins end to end.
        residues_per_protein: (Q,) int64; Q is 0 where samples have no protein.
        protein_of_sample: (B,) int64, which of the Q proteins a sample has, or (0,).
    """

    atom_codes: Tensor
    bond_codes: Tensor
    source: Tensor
    target: Tensor
    atoms_per_molecule: Tensor
    fingerprint_molecule: Tensor
    fingerprint_bin: Tensor
    fingerprint_count: Tensor
    sample_index: Tensor
    labels: Tensor
    molecules_per_sample: int
    residue_codes: Tensor
    residues_per_protein: Tensor
    protein_of_sample: Tensor

    def __len__(self) -> int:
        """B."""
        return self.labels.shape[0]

    @property
    def num_molecules(self) -> int:
        """M."""
        return self.atoms_per_molecule.shape[0]

    @property
    def molecule_of_atom(self) -> Tensor:
        """(A,) int64."""
        molecules = torch.arange(self.num_molecules, device=self.atoms_per_molecule.device)
        return molecules.repeat_interleave(self.atoms_per_molecule, output_size=self.atom_codes.shape[0])

    def fingerprints(self, width: int) -> Tensor:
        """Dense counts, (M, width) float32, of fingerprints of `width` bins in all, or the arrays of samples."""
        dense = torch.zeros(self.num_molecules, width, device=self.fingerprint_count.device)
        return dense.index_put_((self.fingerprint_molecule, self.fingerprint_bin), self.fingerprint_count)

    def to(self, device: torch.device | str, non_blocking: bool = False) -> MoleculeBatch:
        """The same batch with every tensor on `device`."""
        return self._map(lambda tensor: tensor.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> MoleculeBatch:
        """The same batch in page-locked memory, which the loader asks for before a copy to a GPU."""
        return self._map(lambda tensor: tensor.pin_memory())

    def to_dgl(self) -> Any:
        """One batched DGL graph of M molecules, with `codes` on atoms and bonds.

        Raises:
            RuntimeError: If DGL is not installed, or was built without support for the batch's device.
        """
        try:
            import dgl
        except ImportError as error:
            raise RuntimeError(
                "The DGL graph needs dgl==1.1.3, which has no wheel for this Python; use Python 3.10 or 3.11, "
                "or an encoder in plain torch such as modules.encoders.GIN."
            ) from error
        graph = dgl.graph((self.source.cpu(), self.target.cpu()), num_nodes=self.atom_codes.shape[0])
        graph.set_batch_num_nodes(self.atoms_per_molecule.cpu())
        bonds = torch.bincount(self.molecule_of_atom[self.target].cpu(), minlength=self.num_molecules)
        graph.set_batch_num_edges(bonds)
        graph.ndata["codes"] = self.atom_codes.cpu()
        graph.edata["codes"] = self.bond_codes.cpu()
        try:
            return graph.to(self.labels.device)
        except dgl.DGLError as error:
            raise RuntimeError(
                f"The installed DGL does not support device {self.labels.device}; train this encoder with "
                "--trainer.accelerator cpu, or use an encoder in plain torch such as modules.encoders.GIN."
            ) from error

    def _map(self, change: Any) -> MoleculeBatch:
        tensors = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "molecules_per_sample"}
        return replace(self, **{name: change(tensor) for name, tensor in tensors.items()})


class MoleculeStore:
    """The features of all molecules of a table, from which batches are sliced without a Python object a molecule."""

    def __init__(self, features: Features, molecules: NDArray[Any], proteins: ProteinSequences | None = None) -> None:
        """Index the arrays.

        Args:
            features: Flat arrays, see `molecule_features.Features`.
            molecules: (rows, P) int64, which molecules each row of the table is made of.
            proteins: The protein of each row, where rows have one.
        """
        self._features = features
        self._molecules = molecules
        self._proteins = proteins
        self._starts = {name: numpy.cumsum(features[name]) - features[name] for name in ("atoms", "bonds", "entries")}

    def batch(self, rows: NDArray[Any], sample_index: NDArray[Any], labels: NDArray[Any]) -> MoleculeBatch:
        """The samples of some rows.

        Args:
            rows: (B,) rows of the table.
            sample_index: (B,) int64, handed on.
            labels: (B,) int64 class codes, handed on.
        """
        molecules = self._molecules[rows].reshape(-1)
        atoms, _, atom_places = self._gather("atoms", molecules)
        _, bond_molecule, bond_places = self._gather("bonds", molecules)
        _, entry_molecule, entry_places = self._gather("entries", molecules)
        first_atom = numpy.cumsum(atoms) - atoms
        shift = first_atom[bond_molecule]
        residues, lengths, proteins = self._proteins.gather(rows) if self._proteins else _NO_PROTEINS
        features = self._features
        return MoleculeBatch(
            atom_codes=torch.from_numpy(features["atom_codes"][atom_places]),
            bond_codes=torch.from_numpy(features["bond_codes"][bond_places]),
            source=torch.from_numpy(features["source"][bond_places] + shift),
            target=torch.from_numpy(features["target"][bond_places] + shift),
            atoms_per_molecule=torch.from_numpy(atoms),
            fingerprint_molecule=torch.from_numpy(entry_molecule),
            fingerprint_bin=torch.from_numpy(features["bins"][entry_places].astype(numpy.int64)),
            fingerprint_count=torch.from_numpy(features["counts"][entry_places].astype(numpy.float32)),
            sample_index=torch.from_numpy(sample_index.astype(numpy.int64)),
            labels=torch.from_numpy(labels.astype(numpy.int64)),
            molecules_per_sample=self._molecules.shape[1],
            residue_codes=torch.from_numpy(residues),
            residues_per_protein=torch.from_numpy(lengths),
            protein_of_sample=torch.from_numpy(proteins),
        )

    def _gather(self, name: str, molecules: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
        """How many items each molecule has, the molecule of each item in the batch, its place in the flat array."""
        lengths = self._features[name][molecules]
        owner = numpy.repeat(numpy.arange(len(molecules)), lengths)
        ends = numpy.cumsum(lengths)
        places = numpy.arange(len(owner)) + (self._starts[name][molecules] - ends + lengths)[owner]
        return lengths, owner, places
