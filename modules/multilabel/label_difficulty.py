"""How difficult each label is, where samples may have several."""

from __future__ import annotations

import torch
from torch import Tensor

from modules.class_difficulty import MAX_QUERIES, MIN_QUERIES_PER_CLASS, nearest_samples


@torch.no_grad()
def label_overlap(embeddings: Tensor, labels: Tensor, neighbors: int = 10, seed: int = 0) -> Tensor:
    """Compute the share of the nearest neighbors of each label's samples that do not have the label.

    As `neighbor_overlap` for classes: the nearest neighbors of a sample of a label that n samples have are the
    ``min(neighbors, n - 1)`` other samples of highest cosine similarity. A sample that has several labels is a neighbor
    once, and foreign to none of its labels. A neighbor does not count where it is not known whether it has the label.
    Of the samples of frequent labels, a part is drawn; neighbors are always sought among all samples.

    Args:
        embeddings: Embeddings, floating point (N, d), of any norm.
        labels: 1 the sample has the label, 0 it does not, -1 not known, integers (N, L).
        neighbors: Number of nearest neighbors of a sample.
        seed: Random seed of the choice of samples whose neighbors are sought.

    Returns:
        fp32 (L,) in 0..1; NaN for a label without samples. A label of a single sample, or without a neighbor that
        counts, gets the mean of the others, or 0 if there are none.
    """
    generator = torch.Generator().manual_seed(seed)
    counts = (labels == 1).sum(dim=0)
    order = torch.randperm(len(embeddings), generator=generator).to(embeddings.device)
    most = max(MAX_QUERIES // max(int((counts > 0).sum()), 1), MIN_QUERIES_PER_CLASS)
    shares = torch.full((labels.shape[1],), torch.nan, device=embeddings.device)
    several = torch.nonzero(counts > 1).flatten().tolist()
    queries = [order[labels[order, label] == 1][:most] for label in several]
    # All embeddings are read for each part.
    parts = torch.split(torch.cat([order[:0], *queries]), MAX_QUERIES)
    nearest = torch.cat([nearest_samples(embeddings, part, neighbors) for part in parts])
    for label, found in zip(several, torch.split(nearest, [len(own) for own in queries]), strict=True):
        near = labels[found[:, : int(counts[label]) - 1], label]
        shares[label] = (near == 0).sum() / (near >= 0).sum()
    others = shares.nanmean().nan_to_num(0.0)
    return torch.where(shares.isnan() & (counts > 0), others, shares)
