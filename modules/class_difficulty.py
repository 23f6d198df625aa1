"""How hard each class is to tell from the others, for class weights where the paper's distances say nothing.

With two classes the nearest rival of each is the other, so that the distances of Su, Li and Wang (2025, arXiv
2504.04647) and the weights that follow from them are equal. The measures here differ between two classes as well. Each
lies in 0..1 and is larger for a harder class. All of them run without gradients.
"""

import torch
from torch import Tensor

from modules.class_distances import class_distances
from modules.unit_embeddings import check_rows, group_means, unit_embeddings

# Samples whose neighbors are looked up, for all classes together; each class gets an equal share, but 8 at least.
QUERIES = 1_024
LEAST_QUERIES = 8
# Samples among which neighbors are sought. Beyond this number each class is thinned alike, to 64 at least.
CANDIDATES = 2**14
LEAST_CANDIDATES = 64


@torch.no_grad()
def neighbor_overlap(
    embeddings: Tensor, labels: Tensor, num_classes: int, neighbors: int = 10, seed: int = 0
) -> Tensor:
    """Compute the share of a class's nearest neighbors that belong to other classes.

    For a sample of class c these are the ``min(neighbors, n_c - 1)`` other samples of highest cosine similarity; the
    shares are averaged over the class. Large classes and large sets are sampled (see `QUERIES` and `CANDIDATES`).

    Args:
        embeddings: Floating point (N, d); normalized inside.
        labels: int64 (N,) in 0..C-1.
        num_classes: Number of classes C.
        neighbors: Neighbors of a sample, at least 1.
        seed: Of the samples drawn where there are too many.

    Returns:
        fp32 (C,) in 0..1 on the embeddings' device. NaN for a class without samples. A class of one sample has no
        neighbor of its own, which says nothing; it gets the mean of the others, or 0.

    Raises:
        ValueError: Where `neighbors` is below 1, or shapes, labels or embeddings are invalid (see `check_rows`).
    """
    if neighbors < 1:
        raise ValueError(f"neighbors must be at least 1, got {neighbors}")
    check_rows("embeddings", embeddings, labels, num_classes)
    classes = labels.to(embeddings.device)
    counts = torch.bincount(classes, minlength=num_classes)
    thinned = counts * min(1.0, CANDIDATES / len(labels))
    candidates = _draw(classes, thinned.long().clamp(min=LEAST_CANDIDATES), seed)
    unit, classes = unit_embeddings(embeddings.index_select(0, candidates)), classes[candidates]
    counts = torch.bincount(classes, minlength=num_classes)
    share = max(QUERIES // int((counts > 0).sum()), LEAST_QUERIES)
    queries = _draw(classes, torch.full_like(counts, share), seed)
    shares = unit.new_zeros(num_classes)
    for places in torch.split(queries, max(1, 2**24 // len(unit))):
        similarity = unit[places] @ unit.T
        similarity[torch.arange(len(places), device=places.device), places] = -torch.inf
        found = similarity.topk(min(neighbors, len(unit)), dim=1).indices
        own = classes[places]
        sought = (counts[own] - 1).clamp(max=found.shape[1])
        counted = torch.arange(found.shape[1], device=places.device) < sought.unsqueeze(1)
        foreign = ((classes[found] != own.unsqueeze(1)) & counted).sum(dim=1) / sought.clamp(min=1)
        shares.index_add_(0, own, foreign)
    overlap = shares / torch.bincount(classes[queries], minlength=num_classes).clamp(min=1)
    known = counts > 1
    others = overlap[known].mean() if bool(known.any()) else overlap.new_zeros(())
    return torch.where(known, overlap, others).masked_fill(counts == 0, float("nan"))


@torch.no_grad()
def relative_spread(embeddings: Tensor, labels: Tensor, num_classes: int) -> Tensor:
    """Compare how far a class spreads with how far its nearest rival is.

    With mu the plain means of the unit embeddings z, ``s_c = mean_i ||z_i - mu_c||`` and
    ``d_c = min_{c' != c} ||mu_c - mu_c'||``, this is ``s_c / (s_c + d_c)``: it grows with the ratio s_c / d_c and stays
    finite where means coincide.

    Args:
        embeddings: Floating point (N, d); normalized inside.
        labels: int64 (N,) in 0..C-1.
        num_classes: Number of classes C.

    Returns:
        fp32 (C,) in 0..1 on the embeddings' device. NaN for a class without samples; 0 for the only class.

    Raises:
        ValueError: Where shapes, labels or embeddings are invalid (see `check_rows`).
    """
    distances = class_distances(embeddings, labels, num_classes)
    unit, classes = unit_embeddings(embeddings), labels.to(embeddings.device)
    means, _ = group_means(unit, classes, num_classes)
    deviations = torch.linalg.vector_norm(unit - means[classes], dim=1, keepdim=True)
    spreads = group_means(deviations, classes, num_classes)[0].squeeze(1)
    total = spreads + distances
    return torch.where(total == 0, 0.5, spreads / total.masked_fill(total == 0, 1.0))


@torch.no_grad()
def confusion_rate(confusion: Tensor) -> Tensor:
    """Compute the share of each class's samples that were taken for another class.

    Args:
        confusion: Samples by true class (rows) and predicted class (columns), at least 0, (C, C); running averages of
            counts as well.

    Returns:
        fp32 (C,) in 0..1, one minus the recall; NaN for a class without samples.

    Raises:
        ValueError: If the table is not square.
    """
    if confusion.ndim != 2 or confusion.shape[0] != confusion.shape[1]:
        raise ValueError(f"confusion must have shape (C, C), got {tuple(confusion.shape)}")
    return (1 - confusion.diagonal() / confusion.sum(dim=1)).float()


@torch.no_grad()
def difficulty_weights(difficulty: Tensor, strength: float = 1.0) -> Tensor:
    """Turn difficulties into class weights: ``softmax(strength * difficulty)`` over the classes that have one.

    Args:
        difficulty: (C,), larger for a harder class; NaN for a class without samples, which gets weight 0.
        strength: Contrast of the weights, at least 0; 0 for equal weights.

    Returns:
        fp32 (C,) that sum to 1; all 0 where no class has samples.

    Raises:
        ValueError: If the strength is out of range or a difficulty infinite.
    """
    if not 0 <= strength < float("inf"):
        raise ValueError(f"strength must be at least 0 and finite, got {strength}")
    if difficulty.ndim != 1 or bool(difficulty.isinf().any()):
        raise ValueError(f"difficulty must have shape (C,) and no infinite value, got {difficulty.tolist()}")
    missing = difficulty.isnan()
    weights = (strength * difficulty.float()).masked_fill(missing, -torch.inf).softmax(dim=0)
    return weights.masked_fill(missing, 0.0)


def _draw(classes: Tensor, most: Tensor, seed: int) -> Tensor:
    """Places of random samples, ascending, at most so many of each class."""
    order = torch.randperm(len(classes), generator=torch.Generator().manual_seed(seed)).to(classes.device)
    order = order[classes[order].argsort(stable=True)]
    counts = torch.bincount(classes, minlength=len(most))
    place = torch.arange(len(order), device=order.device) - (counts.cumsum(0) - counts)[classes[order]]
    drawn: Tensor = order[place < most[classes[order]]].sort().values
    return drawn
