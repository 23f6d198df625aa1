"""Distances between classes in the embedding space, and the weights and temperatures that follow from them.

The formulas are those of Su, Li and Wang (2025, arXiv 2504.04647) and, for the temperatures, of Hou et al.
(ICCV 2023, arXiv 2306.15925). All of them run without gradients.
"""

import torch
from torch import Tensor

from modules.unit_embeddings import check_rows, group_means, unit_embeddings

# Distances held at once while sub-clusters are compared: 128 MiB of float64, half as much of float32.
BLOCK_ELEMENTS = 2**24
# Mean distances to the class mean below this are rounding of fp32 sums: such embeddings have collapsed.
COLLAPSED_SPREAD = 1e-5


@torch.no_grad()
def class_distances(embeddings: Tensor, labels: Tensor, num_classes: int) -> Tensor:
    """Compute how far each class's mean is from the nearest other class's mean.

    ``d_c = min_{c' != c} ||mu_c - mu_c'||``, mu the plain means of the unit embeddings.

    Args:
        embeddings: Floating point (N, d); normalized inside.
        labels: int64 (N,) in 0..C-1.
        num_classes: Number of classes C.

    Returns:
        fp32 (C,) on the embeddings' device, in 0..2. NaN for a class without samples; infinite for a
        class that is the only one with samples and so has no rival.

    Raises:
        ValueError: Where shapes, labels or embeddings are invalid (see `check_rows`).
    """
    check_rows("embeddings", embeddings, labels, num_classes)
    means, counts = group_means(unit_embeddings(embeddings), labels.to(embeddings.device), num_classes)
    present = counts.nonzero().squeeze(1)
    return subcluster_distances(means[present], present, num_classes)


@torch.no_grad()
def subcluster_distances(centroids: Tensor, class_of: Tensor, num_classes: int) -> Tensor:
    """Compute the smallest distance from each class's sub-clusters to any other class's.

    ``d'_c = min over s in c, s' in any other class of ||nu_s - nu_s'||``. Compared block by block, each pair of
    classes once; what may be the smallest is measured again in float64, because the fast form of the distance,
    |a|^2 + |b|^2 - 2ab, loses half of the digits.

    Args:
        centroids: Plain means nu of each sub-cluster's unit embeddings, floating point (K, d); used as they are.
        class_of: Class of each sub-cluster, int64 (K,) in 0..C-1.
        num_classes: Number of classes C.

    Returns:
        fp32 (C,) on the centroids' device, in 0..2; NaN and infinite as in `class_distances`.

    Raises:
        ValueError: Where shapes, classes or centroids are invalid (see `check_rows`).
    """
    check_rows("centroids", centroids, class_of, num_classes)
    classes, order = class_of.to(centroids.device).sort(stable=True)
    points = centroids[order].double()
    counts = torch.bincount(classes, minlength=num_classes)
    nearest = points.new_full((num_classes,), float("inf"))
    candidates = _possible_nearest(points, classes, counts)
    block_rows = max(1, BLOCK_ELEMENTS // len(points))
    for rows in torch.split(candidates, block_rows):
        distances = torch.cdist(points[rows], points, compute_mode="use_mm_for_euclid_dist")
        distances.masked_fill_(classes[rows].unsqueeze(1) == classes.unsqueeze(0), float("inf"))
        nearest.scatter_reduce_(0, classes[rows], distances.amin(dim=1), reduce="amin")
    return nearest.masked_fill(counts == 0, float("nan")).float()


def _possible_nearest(points: Tensor, classes: Tensor, counts: Tensor) -> Tensor:
    """Places of the points that may be the nearest of their class to another class.

    Args:
        points: float64 (K, d), ordered by class.
        classes: int64 (K,), ascending.
        counts: int64 (C,), points of each class.

    Returns:
        int64 places, ascending. Any point within rounding of the smallest distance is among them.
    """
    # On a GPU, products of fp32 may be rounded to fewer digits than fp32 has.
    screened = points.float() if points.device.type == "cpu" else points
    norms = screened.square().sum(dim=1)
    squares = torch.full_like(norms, float("inf"))
    first = 0
    for end in counts.cumsum(0).tolist():
        rivals = slice(end, None)
        block_rows = max(1, BLOCK_ELEMENTS // max(len(points) - end, 1))
        for start in range(first, end, block_rows) if end < len(points) else ():
            rows = slice(start, min(start + block_rows, end))
            block = torch.addmm(norms[rivals], screened[rows], screened[rivals].T, alpha=-2)
            block += norms[rows].unsqueeze(1)
            squares[rows] = torch.minimum(squares[rows], block.amin(dim=1))
            squares[rivals] = torch.minimum(squares[rivals], block.amin(dim=0))
        first = end
    smallest = squares.new_full((len(counts),), float("inf")).scatter_reduce_(0, classes, squares, reduce="amin")
    rounding = 8 * points.shape[1] * torch.finfo(screened.dtype).eps * norms.max()
    return (squares.isfinite() & (squares <= smallest[classes] + rounding)).nonzero().squeeze(1)


@torch.no_grad()
def distance_weights(d: Tensor, d_prime: Tensor, strength: float = 1.0) -> Tensor:
    """Turn distances into class weights: a class close to another one weighs more.

    ``w = ( softmax(-strength * d) + softmax(-strength * d') ) / 2``, over the classes with a finite distance.

    Args:
        d: Class distances, (C,); NaN for a class without samples, which gets weight 0.
        d_prime: Sub-cluster distances, (C,), with the same classes missing.
        strength: Contrast of the weights, at least 0: 1 in the paper, 0 for equal weights.

    Returns:
        Weights (C,) that sum to 1. Where no distance is finite, a class at infinite distance is the only one
        with samples, and gets weight 1. All 0 where no class has samples.

    Raises:
        ValueError: Where the shapes differ, different classes are missing or the strength is out of range.
    """
    if not 0 <= strength < float("inf"):
        raise ValueError(f"strength must be at least 0 and finite, got {strength}")
    if d.ndim != 1 or d.shape != d_prime.shape:
        raise ValueError(f"d and d_prime must have one shape (C,), got {tuple(d.shape)} and {tuple(d_prime.shape)}")
    if not torch.equal(d.isfinite(), d_prime.isfinite()):
        raise ValueError(
            f"d and d_prime must be finite for the same classes, got d={d.tolist()} and d_prime={d_prime.tolist()}"
        )
    return (_softmax_of_closeness(d, strength) + _softmax_of_closeness(d_prime, strength)) / 2


def _softmax_of_closeness(distances: Tensor, strength: float) -> Tensor:
    finite = distances.isfinite()
    compared = torch.where(finite.any(), finite, distances.isposinf())
    logits = torch.where(finite, -strength * distances, torch.zeros_like(distances))
    weights = logits.masked_fill(~compared, float("-inf")).softmax(dim=0)
    return weights.masked_fill(~compared, 0.0)


@torch.no_grad()
def class_temperatures(
    embeddings: Tensor,
    labels: Tensor,
    subclusters_per_class: Tensor,
    temperature: float = 0.1,
    class_counts: Tensor | None = None,
) -> Tensor:
    """Compute each class's temperature from the spread of its embeddings.

    With mu_c the plain mean of class c's unit embeddings, ``r_c = mean_i ||z_i - mu_c|| / ln(n_c + 10)``,
    clipped to the 20th and 80th percentile of the classes present (linear interpolation); then
    ``t_c = temperature * exp(r_c / mean_c r_c)``.

    Args:
        embeddings: Floating point (N, d); normalized inside.
        labels: int64 (N,) in 0..C-1.
        subclusters_per_class: Sub-clusters K_c of each class, (C,).
        temperature: The temperature tau that is scaled; positive.
        class_counts: n_c, (C,), where the embeddings are a sample of the class; else counted.

    Returns:
        fp32 (C,) on the embeddings' device. Equal to `temperature` for a class with a single sub-cluster or
        without samples, and for all classes where the mean of r is 0 (all embeddings of a class alike).

    Raises:
        ValueError: Where the temperature is out of range or shapes, labels or embeddings are invalid.
    """
    if not 0 < temperature < float("inf"):
        raise ValueError(f"temperature must be positive and finite, got {temperature}")
    if subclusters_per_class.ndim != 1:
        raise ValueError(f"subclusters_per_class must have shape (C,), got {tuple(subclusters_per_class.shape)}")
    num_classes = len(subclusters_per_class)
    check_rows("embeddings", embeddings, labels, num_classes)
    unit, classes = unit_embeddings(embeddings), labels.to(embeddings.device)
    means, counts = group_means(unit, classes, num_classes)
    deviations = torch.linalg.vector_norm(unit - means[classes], dim=1, keepdim=True)
    sizes = counts if class_counts is None else class_counts.to(counts.device)
    spreads = group_means(deviations, classes, num_classes)[0].squeeze(1) / (sizes + 10).float().log()
    present = counts > 0
    low, high = spreads[present].quantile(spreads.new_tensor([0.2, 0.8])).unbind()
    spreads = spreads.clamp(low, high)
    mean_spread = spreads[present].mean()
    scaled = (subclusters_per_class.to(counts.device) > 1) & present & (mean_spread > COLLAPSED_SPREAD)
    return torch.where(scaled, temperature * torch.exp(spreads / mean_spread), temperature)
