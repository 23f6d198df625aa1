"""A batch of samples as tensors: molecules with their fingerprints, proteins, or arrays."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, replace
from typing import Any, Self

import torch
from torch import Tensor


@dataclass(frozen=True)
class _Tensors:
    """A group of tensors that move between devices together."""

    def to(self, device: torch.device | str, non_blocking: bool = False) -> Self:
        """The same with every tensor on `device`; itself if they are there."""
        device = torch.device(device)
        if all(tensor.device == device for tensor in self._tensors()):
            return self
        return self._map(lambda tensor: tensor.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> Self:
        """The same in page-locked memory, from which a loader copies to a GPU in the background."""
        return self._map(lambda tensor: tensor.pin_memory())

    def record_stream(self, stream: torch.cuda.Stream) -> None:
        """Say that a stream uses the tensors, other than the one that they were made on, so that it can finish."""
        for tensor in self._tensors():
            tensor.record_stream(stream)

    def _tensors(self) -> Iterator[Tensor]:
        for value in vars(self).values():
            if isinstance(value, Tensor):
                yield value
            elif isinstance(value, _Tensors):
                yield from value._tensors()

    def _map(self, change: Callable[[Tensor], Tensor]) -> Self:
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        tensors = {name: change(value) for name, value in values.items() if isinstance(value, Tensor)}
        groups = {name: value._map(change) for name, value in values.items() if isinstance(value, _Tensors)}
        return replace(self, **tensors, **groups)


@dataclass(frozen=True)
class MoleculeBatch(_Tensors):
    """Graphs of M molecules with A atoms and E directed bonds in all; the molecules of one sample follow each other.

    Attributes:
        atom_codes: (A, 10) uint8, the columns of `atom_codes.ATOM_CODE_SIZES`.
        bond_codes: (E,) uint8, values below `atom_codes.BOND_CODE_SIZE`.
        source: (E,) int64, the atom that a bond leaves; bonds are sorted by target.
        target: (E,) int64, the atom that a bond enters.
        atoms_per_molecule: (M,) int64.
    """

    atom_codes: Tensor
    bond_codes: Tensor
    source: Tensor
    target: Tensor
    atoms_per_molecule: Tensor

    def __len__(self) -> int:
        """M."""
        return self.atoms_per_molecule.shape[0]

    @property
    def molecule_of_atom(self) -> Tensor:
        """(A,) int64."""
        molecules = torch.arange(len(self), device=self.atoms_per_molecule.device)
        return molecules.repeat_interleave(self.atoms_per_molecule, output_size=self.atom_codes.shape[0])

    def to_dgl(self) -> Any:
        """One batched DGL graph of M molecules, with `codes` on atoms and bonds.

        Raises:
            RuntimeError: If DGL is not installed, or was built without support for the device.
        """
        try:
            import dgl
        except ImportError as error:
            raise RuntimeError(
                "The DGL graph needs dgl==1.1.3, which has no wheel for Python 3.12 and later; use Python 3.11, or an "
                "encoder in plain torch such as modules.encoders.GIN."
            ) from error
        device = self.atoms_per_molecule.device
        graph = dgl.graph((self.source.cpu(), self.target.cpu()), num_nodes=self.atom_codes.shape[0])
        graph.set_batch_num_nodes(self.atoms_per_molecule.cpu())
        graph.set_batch_num_edges(torch.bincount(self.molecule_of_atom[self.target].cpu(), minlength=len(self)))
        graph.ndata["codes"] = self.atom_codes.cpu()
        graph.edata["codes"] = self.bond_codes.cpu()
        try:
            return graph.to(device)
        except dgl.DGLError as error:
            raise RuntimeError(
                f"The installed DGL does not support device {device}; train this encoder with "
                "--trainer.accelerator cpu, or use an encoder in plain torch such as modules.encoders.GIN."
            ) from error


@dataclass(frozen=True)
class FingerprintBatch(_Tensors):
    """Count fingerprints of M molecules with F bins that are not zero in all.

    Attributes:
        molecule: (F,) int64, the molecule of each of these bins, ascending.
        bin: (F,) int64.
        count: (F,) float32.
        shape: M and the number of bins of a molecule.
    """

    molecule: Tensor
    bin: Tensor
    count: Tensor
    shape: tuple[int, int]

    def dense(self) -> Tensor:
        """All counts, (M, bins) float32."""
        dense = torch.zeros(self.shape, device=self.count.device)
        return dense.index_put_((self.molecule, self.bin), self.count)

    def differences(self) -> FingerprintBatch:
        """The counts of each second molecule minus those of the one before it, of M / 2 pairs of molecules."""
        pairs, width = self.shape[0] // 2, self.shape[1]
        places, entry = torch.unique(self.molecule // 2 * width + self.bin, return_inverse=True)
        signed = torch.where(self.molecule % 2 == 1, self.count, -self.count)
        count = torch.zeros(len(places), device=signed.device).index_add_(0, entry, signed)
        return FingerprintBatch(places // width, places % width, count, (pairs, width))


@dataclass(frozen=True)
class ProteinBatch(_Tensors):
    """Q distinct proteins with R residues in all, and which of them each of B samples has.

    Attributes:
        residue_codes: (R,) uint8, place in the alphabet of each amino-acid letter, the proteins end to end.
        residues_per_protein: (Q,) int64.
        protein_of_sample: (B,) int64.
    """

    residue_codes: Tensor
    residues_per_protein: Tensor
    protein_of_sample: Tensor


@dataclass(frozen=True)
class Batch(_Tensors):
    """B samples: either arrays, or molecules with their fingerprints and, for some data, proteins.

    Attributes:
        sample_index: (B,) int64; in training the sample's place in the training split, else its row in the table.
        labels: (B,) int64 class codes; -1 for samples to predict. Where a sample may have several labels, (B, C): 1 it
            has the label, 0 it does not, -1 not known.
        molecules: Graphs of M = B P molecules, P for each sample.
        fingerprints: Fingerprints of the same molecules.
        vectors: (M, D) float32, the pretrained vectors of the same molecules.
        proteins: The protein of each sample.
        arrays: (B, ...) float32, features or images.
        copied: Event after which any stream of a GPU may read the tensors; None if they were not copied by a stream of
            their own.
    """

    sample_index: Tensor
    labels: Tensor
    molecules: MoleculeBatch | None = None
    fingerprints: FingerprintBatch | None = None
    vectors: Tensor | None = None
    proteins: ProteinBatch | None = None
    arrays: Tensor | None = None
    copied: torch.cuda.Event | None = None

    def __len__(self) -> int:
        """B."""
        return self.labels.shape[0]
