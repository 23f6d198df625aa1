"""Views: copies of a batch augmented by dropping edges, fingerprint bins or array features."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache

import torch
from torch import Tensor

from datamodules.batch import Batch, FingerprintBatch, MoleculeBatch
from modules.unit_embeddings import group_sizes

_LARGEST_DROP_PROBABILITY = 0.7


def edge_drop_probabilities(target: Tensor, num_atoms: int, probability: float) -> Tensor:
    """Compute the drop probability of each edge, which is lower for edges into atoms of high degree.

    With deg the in-degree of the target atom of an edge, `s = ln deg` and `w = (max s - s) / (max s - mean s)`, max and
    mean over the edges, the drop probability is `min(w / mean(w) * probability, 0.7)` (Zhu et al., 2021, arXiv
    2010.14945). If all degrees are equal it is `probability`.

    Args:
        target: Target atom of each edge, int64 (E,).
        num_atoms: Number of atoms A.
        probability: Mean drop probability.

    Returns:
        float32 (E,).
    """
    if len(target) == 0:
        return torch.zeros(0, device=target.device)
    degree = group_sizes(target, num_atoms)[target]
    # The denominator of w cancels in w / mean(w); computing it would divide by rounding errors at equal degrees.
    gap = degree.max().float().log() - degree.float().log()
    weight = torch.where(degree.max() > degree.min(), gap / gap.mean(), torch.ones_like(gap))
    return (weight * probability).clamp(0, _LARGEST_DROP_PROBABILITY)


def make_views(batch: Batch, probabilities: Sequence[float]) -> list[Batch]:
    """Create several views of a batch, see `make_view`.

    What is dropped decides the shapes of a view, and the CPU must wait for them. On a GPU, views are made on a stream
    of their own, so that it does not wait for the steps before.

    Args:
        batch: Batch to augment, which is not changed.
        probabilities: Drop probability of each view.
    """
    if batch.copied is None:
        return [make_view(batch, probability) for probability in probabilities]
    device = batch.labels.device
    stream, training = _stream(device), torch.cuda.current_stream(device)
    stream.wait_event(batch.copied)
    with torch.cuda.stream(stream):
        views = [make_view(batch, probability) for probability in probabilities]
    training.wait_stream(stream)
    for view in views:
        view.record_stream(training)
    return views


@cache
def _stream(device: torch.device) -> torch.cuda.Stream:
    # Before the kernels of training, which would make the CPU wait.
    return torch.cuda.Stream(device, priority=-1)  # type: ignore[no-untyped-call]


def make_view(batch: Batch, probability: float) -> Batch:
    """Create a view of a batch by dropping edges, fingerprint bins or array features at random.

    Directed edges, and the bins or features of each sample, are dropped independently, with torch's global random
    state.

    Args:
        batch: Batch to augment, which is not changed.
        probability: Mean drop probability of edges, and drop probability of bins and features, in [0, 1).

    Returns:
        The view.

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
    # The places, since each mask that is an index would be searched again.
    kept = (torch.rand_like(drop) >= drop).nonzero().squeeze(1)
    source, target, bond_codes = (part[kept] for part in (molecules.source, molecules.target, molecules.bond_codes))
    return replace(molecules, source=source, target=target, bond_codes=bond_codes)


def _drop_bins(fingerprints: FingerprintBatch, num_samples: int, probability: float) -> FingerprintBatch:
    num_molecules, width = fingerprints.shape
    if num_molecules == num_samples:
        # Most bins are zero, and need no draw.
        draws = torch.rand_like(fingerprints.count)
    else:
        # One draw per bin of a sample, so that counts common to both sides of a reaction still cancel.
        sample = fingerprints.molecule // max(1, num_molecules // max(1, num_samples))
        draws = torch.rand(num_samples, width, device=sample.device)[sample, fingerprints.bin]
    kept = (draws >= probability).nonzero().squeeze(1)
    molecule, bin, count = (part[kept] for part in (fingerprints.molecule, fingerprints.bin, fingerprints.count))
    return replace(fingerprints, molecule=molecule, bin=bin, count=count)


def _drop_features(arrays: Tensor, probability: float) -> Tensor:
    draws = torch.rand(len(arrays), arrays[0].numel() if len(arrays) else 0, device=arrays.device)
    return arrays.masked_fill(draws.view_as(arrays) < probability, 0)
