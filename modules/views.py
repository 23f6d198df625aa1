"""Views: augmented copies of a batch, by dropping edges, bins of fingerprints or features of arrays."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from datamodules.batch import Batch, FingerprintBatch, MoleculeBatch

_LARGEST_DROP_PROBABILITY = 0.7


def edge_drop_probabilities(target: Tensor, num_atoms: int, probability: float) -> Tensor:
    """The drop probability of each edge: edges into well-connected atoms are spared.

    With deg the in-degree of an edge's target and max and mean over the edges: `s = ln deg`,
    `w = (max s - s) / (max s - mean s)`, drop probability `min(w / mean(w) * probability, 0.7)` (Zhu et al. 2021,
    arXiv 2010.14945). Where every degree is equal it is `probability`.

    Args:
        target: (E,) int64, the atom that each edge enters.
        num_atoms: A.
        probability: Mean share of edges to drop.

    Returns:
        (E,) float32.
    """
    if len(target) == 0:
        return torch.zeros(0, device=target.device)
    degree = torch.bincount(target, minlength=num_atoms)[target]
    # The denominator of w cancels in w / mean(w), and at equal degrees rounding could keep it from being zero.
    gap = degree.max().float().log() - degree.float().log()
    weight = torch.where(degree.max() > degree.min(), gap / gap.mean(), torch.ones_like(gap))
    return (weight * probability).clamp(0, _LARGEST_DROP_PROBABILITY)


def make_view(batch: Batch, probability: float) -> Batch:
    """A copy of a batch without some directed edges and fingerprint bins, or without some features of its arrays.

    Each edge is drawn on its own, and so is each bin of a sample, from torch's global random state.

    Args:
        batch: Any batch.
        probability: Mean share of edges, and share of bins or features, to drop.

    Raises:
        ValueError: If `probability` is not in [0, 1).
    """
    if not 0 <= probability < 1:
        raise ValueError(f"probability: expected a number from 0 to below 1, got {probability}.")
    if batch.molecules is not None:
        batch = replace(batch, molecules=_drop_edges(batch.molecules, probability))
    if batch.fingerprints is not None:
        batch = replace(batch, fingerprints=_drop_bins(batch.fingerprints, len(batch), probability))
    if batch.arrays is not None:
        batch = replace(batch, arrays=_drop_features(batch.arrays, probability))
    return batch


def _drop_edges(molecules: MoleculeBatch, probability: float) -> MoleculeBatch:
    drop = edge_drop_probabilities(molecules.target, len(molecules.atom_codes), probability)
    kept = torch.rand_like(drop) >= drop
    source, target, bond_codes = (part[kept] for part in (molecules.source, molecules.target, molecules.bond_codes))
    return replace(molecules, source=source, target=target, bond_codes=bond_codes)


def _drop_bins(fingerprints: FingerprintBatch, num_samples: int, probability: float) -> FingerprintBatch:
    num_molecules, width = fingerprints.shape
    # One draw for a bin of a sample, so that what both sides of a reaction share still cancels.
    sample = fingerprints.molecule // max(1, num_molecules // max(1, num_samples))
    draws = torch.rand(num_samples, width, device=sample.device)
    kept = draws[sample, fingerprints.bin] >= probability
    molecule, bin, count = (part[kept] for part in (fingerprints.molecule, fingerprints.bin, fingerprints.count))
    return replace(fingerprints, molecule=molecule, bin=bin, count=count)


def _drop_features(arrays: Tensor, probability: float) -> Tensor:
    draws = torch.rand(len(arrays), arrays[0].numel() if len(arrays) else 0, device=arrays.device)
    return arrays.masked_fill(draws.view_as(arrays) < probability, 0)
