"""Augmented copies of a batch, by dropping edges and fingerprint entries or features of arrays."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from datamodules.molecule_batch import MoleculeBatch

_LARGEST_DROP_PROBABILITY = 0.7


def edge_drop_probabilities(target: Tensor, num_atoms: int, probability: float) -> Tensor:
    """How likely each edge is to be dropped: edges into well-connected atoms are spared.

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


def make_view(batch: MoleculeBatch, probability: float, fingerprint_width: int) -> MoleculeBatch:
    """A copy of a batch without some of its directed edges and fingerprint bins, or features of arrays.

    Each edge is drawn on its own, and so is each bin of a sample.

    Draws from torch's random state.

    Args:
        batch: Any batch.
        probability: Mean share of edges, and share of fingerprint bins, to drop.
        fingerprint_width: Number of bins of all fingerprints, or of features of an array.

    Raises:
        ValueError: If `probability` is outside [0, 1).
    """
    if not 0 <= probability < 1:
        raise ValueError(f"probability: expected a number from 0 to below 1, got {probability}.")
    drop = edge_drop_probabilities(batch.target, batch.atom_codes.shape[0], probability)
    edges = torch.rand_like(drop) >= drop
    # One draw for a bin of a sample, so that what both sides of a reaction share still cancels.
    sample_of_entry = batch.fingerprint_molecule // batch.molecules_per_sample
    draws = torch.rand(len(batch), fingerprint_width, device=batch.labels.device)
    entries = draws[sample_of_entry, batch.fingerprint_bin] >= probability
    return replace(
        batch,
        source=batch.source[edges],
        target=batch.target[edges],
        bond_codes=batch.bond_codes[edges],
        fingerprint_molecule=batch.fingerprint_molecule[entries],
        fingerprint_bin=batch.fingerprint_bin[entries],
        fingerprint_count=batch.fingerprint_count[entries],
    )
