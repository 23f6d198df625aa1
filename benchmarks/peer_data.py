"""What the peers are fitted on: the samples of a data module, divided as those of our models are."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy
import polars
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, hstack
from torch import Tensor

from datamodules.drug_datamodule import DrugDataModule
from datamodules.splits.splitters import SPLIT_NAMES, SplitName
from datamodules.tables.drug_table import DrugTable

DESCRIPTORS = (
    "MolWt",
    "MolLogP",
    "MolMR",
    "TPSA",
    "NumHDonors",
    "NumHAcceptors",
    "NumRotatableBonds",
    "RingCount",
    "NumAromaticRings",
    "FractionCSP3",
    "HeavyAtomCount",
    "NumHeteroatoms",
)
"""The descriptors of RDKit that gradient boosting gets beside the fingerprints."""


@dataclass(frozen=True)
class PeerData:
    """The samples of each split.

    Attributes:
        features: (n, F) fingerprint counts, of a reaction product minus reactants, of a pair both; or the values of
            arrays.
        descriptors: (n, D) descriptors, joined in the same way; D is 0 for arrays.
        smiles: A column for each molecule of a sample, `molecule_1` and so on; none for arrays.
        codes: (n,) class codes.
        class_counts: Training samples of each class, C counts.
    """

    features: Mapping[SplitName, csr_matrix]
    descriptors: Mapping[SplitName, NDArray[Any]]
    smiles: Mapping[SplitName, polars.DataFrame]
    codes: Mapping[SplitName, NDArray[Any]]
    class_counts: tuple[int, ...]

    @property
    def counts(self) -> Tensor:
        """Training samples of each class, int64 (C,)."""
        return torch.tensor(self.class_counts)

    def labels(self, split: SplitName) -> Tensor:
        """Class codes of a split, int64 (n,)."""
        return torch.from_numpy(self.codes[split])

    @property
    def has_molecules(self) -> bool:
        """Whether samples have molecules."""
        return all(frame.width > 0 for frame in self.smiles.values())


@dataclass(frozen=True)
class Fitted:
    """Class probabilities of a fitted peer.

    Attributes:
        validation: fp32 (n, C).
        test: fp32 (m, C).
        prior_removed: See `peer_decision.decision_samples`.
    """

    validation: Tensor
    test: Tensor
    prior_removed: float = 0.0


Fit = Callable[[PeerData, int], Fitted]
"""From the data and a seed to probabilities."""


def peer_data(data: DrugDataModule) -> PeerData:
    """The samples of a data module that is set up for fit."""
    rows, table = data.records.rows, data.table.table
    smiles = {split: _smiles(table, rows[split]) for split in SPLIT_NAMES}
    without = {split: numpy.empty((len(rows[split]), 0)) for split in SPLIT_NAMES}
    return PeerData(
        {split: _features(data, rows[split]) for split in SPLIT_NAMES},
        _descriptors(smiles, data.task.input == "reaction") if table.smiles else without,
        smiles,
        {split: data.records.codes[rows[split]] for split in SPLIT_NAMES},
        data.task.class_counts,
    )


def _features(data: DrugDataModule, rows: NDArray[Any]) -> csr_matrix:
    batch = data.table.store.batch(rows, rows, data.records.codes[rows])
    if batch.arrays is not None:
        return csr_matrix(batch.arrays.flatten(start_dim=1).numpy())
    fingerprints = batch.fingerprints
    assert fingerprints is not None
    places = (fingerprints.molecule.numpy(), fingerprints.bin.numpy())
    counts = csr_matrix((fingerprints.count.numpy(), places), fingerprints.shape)
    if counts.shape[0] == len(rows):
        return counts
    return _joined([counts[0::2], counts[1::2]], data.task.input == "reaction", lambda parts: hstack(parts).tocsr())


def _smiles(table: DrugTable, rows: NDArray[Any]) -> polars.DataFrame:
    parts = enumerate(table.smiles, start=1)
    return polars.DataFrame({f"molecule_{number}": texts.gather(rows) for number, texts in parts})


def _descriptors(smiles: Mapping[SplitName, polars.DataFrame], reaction: bool) -> dict[SplitName, NDArray[Any]]:
    from rdkit import rdBase
    from rdkit.Chem import Descriptors

    from datamodules.chemistry.molecule_graphs import SmilesReader

    read, known = SmilesReader(), dict[str, list[float]]()
    functions = [getattr(Descriptors, name) for name in DESCRIPTORS]

    def of_molecule(text: str) -> list[float]:
        if text not in known:
            molecule = read(text)
            known[text] = [float(function(molecule)) for function in functions]
        return known[text]

    found = {}
    with rdBase.BlockLogs():
        for split, frame in smiles.items():
            parts = [numpy.array([of_molecule(text) for text in frame[name]]) for name in frame.columns]
            found[split] = _joined(parts, reaction, numpy.hstack)
    return found


def _joined(parts: list[Any], reaction: bool, join: Callable[[list[Any]], Any]) -> Any:
    """One part as it is; of two the second minus the first for a reaction, else both side by side."""
    if len(parts) == 1:
        return parts[0]
    return parts[1] - parts[0] if reaction else join(parts)
