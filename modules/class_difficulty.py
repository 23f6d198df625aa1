"""Measures of class difficulty, and the class weights computed from them.

With two classes, each is the nearest class of the other, so the class distances of Su, Li and Wang (2025, arXiv
2504.04647) and the weights computed from them are equal. The measures in this module differ between two classes as
well. Each lies in 0..1 and is larger for a more difficult class. Functions compute no gradients.
"""

import torch
from torch import Tensor

from modules.class_distances import COLLAPSED_SPREAD, class_distances
from modules.unit_embeddings import check_rows, group_means, unit_embeddings

# Number of samples whose neighbors are searched, shared equally by the classes with samples.
MAX_QUERIES = 1_024
MIN_QUERIES_PER_CLASS = 8
# Samples whose similarities to the queries are in memory at a time.
_BLOCK = 2**14


@torch.no_grad()
def neighbor_overlap(
    embeddings: Tensor, labels: Tensor, num_classes: int, neighbors: int = 10, seed: int = 0
) -> Tensor:
    """Compute the share of each class's nearest neighbors that belong to other classes.

    The nearest neighbors of a sample of class c are the ``min(neighbors, n_c - 1)`` other samples of highest cosine
    similarity. Shares are averaged over the samples of the class, of large classes over a part of them (`MAX_QUERIES`);
    neighbors are always sought among all samples.

    Args:
        embeddings: Embeddings, floating point (N, d), of any norm.
        labels: Labels, int64 (N,) in 0..C-1.
        num_classes: Number of classes C.
        neighbors: Number of nearest neighbors of a sample, at least 1.
        seed: Random seed of the choice of samples whose neighbors are sought.

    Returns:
        fp32 (C,) in 0..1 on the device of the embeddings; NaN for a class without samples. The share is undefined for a
        class with a single sample, which gets the mean of the other classes, or 0 if there are none.

    Raises:
        ValueError: If `neighbors` is below 1, or a shape, label or embedding is invalid (see `check_rows`).
    """
    if neighbors < 1:
        raise ValueError(f"neighbors: expected 1 or more, got {neighbors}.")
    check_rows("embeddings", embeddings, labels, num_classes)
    classes = labels.to(embeddings.device)
    counts = torch.bincount(classes, minlength=num_classes)
    share = max(MAX_QUERIES // int((counts > 0).sum()), MIN_QUERIES_PER_CLASS)
    queries = _draw(classes, torch.full_like(counts, share), seed)
    own = classes[queries]
    # Similarities of at most so many queries to a block are in memory at a time.
    parts = torch.split(queries, MAX_QUERIES)
    found = classes[torch.cat([nearest_samples(embeddings, part, neighbors) for part in parts])]
    sought = (counts[own] - 1).clamp(max=found.shape[1])
    counted = torch.arange(found.shape[1], device=found.device) < sought.unsqueeze(1)
    foreign = ((found != own.unsqueeze(1)) & counted).sum(dim=1) / sought.clamp(min=1)
    overlap = foreign.new_zeros(num_classes).index_add_(0, own, foreign)
    overlap = overlap / torch.bincount(own, minlength=num_classes).clamp(min=1)
    known = counts > 1
    others = overlap[known].mean() if bool(known.any()) else overlap.new_zeros(())
    return torch.where(known, overlap, others).masked_fill(counts == 0, float("nan"))


@torch.no_grad()
def relative_spread(embeddings: Tensor, labels: Tensor, num_classes: int) -> Tensor:
    """Compute the spread of each class relative to its distance from the nearest other class.

    With mu_c the mean of the unit embeddings z_i of class c, ``s_c = mean_i ||z_i - mu_c||`` and
    ``d_c = min_{c' != c} ||mu_c - mu_c'||``, the measure is ``s_c / (s_c + d_c)``. It increases with s_c / d_c and is
    finite if class means coincide. As the mean of few samples lies close to them, s_c is multiplied by
    ``sqrt(n_c / (n_c - 1))``.

    Args:
        embeddings: Embeddings, floating point (N, d), of any norm.
        labels: Labels, int64 (N,) in 0..C-1.
        num_classes: Number of classes C.

    Returns:
        fp32 (C,) in 0..1 on the device of the embeddings; NaN for a class without samples, 0 for the only class with
        samples, 0.5 if its embeddings and those of the nearest other class coincide. A class with a single sample,
        whose spread is not known, gets the mean of the other classes, or 0.5 if they have one sample, too.

    Raises:
        ValueError: If a shape, label or embedding is invalid (see `check_rows`).
    """
    distances = class_distances(embeddings, labels, num_classes)
    unit, classes = unit_embeddings(embeddings), labels.to(embeddings.device)
    means, _ = group_means(unit, classes, num_classes)
    deviations = torch.linalg.vector_norm(unit - means[classes], dim=1, keepdim=True)
    spreads, counts = group_means(deviations, classes, num_classes)
    spreads = spreads.squeeze(1) * (counts / (counts - 1).clamp(min=1)).sqrt()
    total = spreads + distances
    collapsed = total < COLLAPSED_SPREAD
    relative = torch.where(collapsed, 0.5, spreads / total.masked_fill(collapsed, 1.0))
    several = relative[counts > 1]
    others = several.mean() if len(several) else relative.new_tensor(0.5)
    alone = (counts == 1) & distances.isfinite()
    return torch.where(alone, others, relative)


@torch.no_grad()
def confusion_rate(confusion: Tensor) -> Tensor:
    """Compute the share of each class's samples that are predicted as another class.

    Args:
        confusion: Confusion matrix of true class (rows) by predicted class (columns), at least 0, (C, C); counts or
            running averages of counts.

    Returns:
        fp32 (C,) in 0..1, one minus the recall; NaN for a class without samples.

    Raises:
        ValueError: If the matrix is not square.
    """
    if confusion.ndim != 2 or confusion.shape[0] != confusion.shape[1]:
        raise ValueError(f"confusion: expected shape (C, C), got {tuple(confusion.shape)}.")
    return (1 - confusion.diagonal() / confusion.sum(dim=1)).float()


@torch.no_grad()
def difficulty_weights(difficulty: Tensor, strength: float = 1.0) -> Tensor:
    """Compute class weights ``softmax(strength * difficulty)`` over the classes with samples.

    Args:
        difficulty: Difficulty of each class, (C,), larger for a more difficult class; NaN for a class without samples,
            which gets weight 0.
        strength: Inverse temperature of the softmax, at least 0; 0 gives equal weights.

    Returns:
        Weights that sum to 1, fp32 (C,); all 0 if no class has samples.

    Raises:
        ValueError: If the strength is out of range or a difficulty is infinite.
    """
    if not 0 <= strength < float("inf"):
        raise ValueError(f"strength: expected a finite number of 0 or more, got {strength}.")
    if difficulty.ndim != 1 or bool(difficulty.isinf().any()):
        raise ValueError(f"difficulty: expected shape (C,) without infinite values, got {difficulty.tolist()}.")
    missing = difficulty.isnan()
    weights = (strength * difficulty.float()).masked_fill(missing, -torch.inf).softmax(dim=0)
    return weights.masked_fill(missing, 0.0)


def nearest_samples(embeddings: Tensor, queries: Tensor, neighbors: int) -> Tensor:
    """Indices of the samples of highest cosine similarity to each query but itself, nearest first.

    Args:
        embeddings: Embeddings, floating point (N, d), of any norm.
        queries: Indices of the samples whose neighbors are sought, int64 (Q,).
        neighbors: Number of neighbors K. With K = N or more, there are N, and the last one is not defined.

    Returns:
        int64 (Q, min(K, N)).
    """
    neighbors = min(neighbors, len(embeddings))
    sought = unit_embeddings(embeddings.index_select(0, queries))
    similarities = sought.new_full((len(queries), neighbors), -torch.inf)
    nearest = queries.new_zeros(len(queries), neighbors)
    for start in range(0, len(embeddings), _BLOCK):
        block = unit_embeddings(embeddings[start : start + _BLOCK])
        similarity = sought @ block.T
        own = queries - start
        inside = ((own >= 0) & (own < len(block))).nonzero().squeeze(1)
        similarity[inside, own[inside]] = -torch.inf
        best, places = similarity.topk(min(neighbors, len(block)), dim=1)
        similarities, order = torch.cat([similarities, best], dim=1).topk(neighbors, dim=1)
        nearest = torch.cat([nearest, places + start], dim=1).gather(1, order)
    return nearest


def _draw(classes: Tensor, max_counts: Tensor, seed: int) -> Tensor:
    """Ascending indices of random samples, at most `max_counts` (C,) of each class."""
    order = torch.randperm(len(classes), generator=torch.Generator().manual_seed(seed)).to(classes.device)
    order = order[classes[order].argsort(stable=True)]
    counts = torch.bincount(classes, minlength=len(max_counts))
    place = torch.arange(len(order), device=order.device) - (counts.cumsum(0) - counts)[classes[order]]
    drawn: Tensor = order[place < max_counts[classes[order]]].sort().values
    return drawn
