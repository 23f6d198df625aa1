"""Distances between classes in the embedding space, and the class weights and class temperatures computed from them.

The formulas are from Su, Li and Wang (2025, arXiv 2504.04647) and, for the temperatures, from Hou et al. (ICCV 2023,
arXiv 2306.15925). Functions compute no gradients.
"""

import torch
from torch import Tensor

from modules.unit_embeddings import check_rows, group_means, unit_embeddings

# Bounds the block of pairwise distances held in memory: 128 MiB in float64, 64 MiB in float32.
BLOCK_ELEMENTS = 2**24
# Smaller mean distances to the class mean are rounding errors of fp32 sums of collapsed embeddings.
COLLAPSED_SPREAD = 1e-5


@torch.no_grad()
def class_distances(embeddings: Tensor, labels: Tensor, num_classes: int) -> Tensor:
    """Compute the distance from the mean of each class to the nearest mean of another class.

    ``d_c = min_{c' != c} ||mu_c - mu_c'||``, with mu_c the mean of the unit embeddings of class c.

    Args:
        embeddings: Embeddings, floating point (N, d), of any norm.
        labels: Labels, int64 (N,) in 0..C-1.
        num_classes: Number of classes C.

    Returns:
        fp32 (C,) in 0..2 on the device of the embeddings; NaN for a class without samples, infinite for the only class
        with samples.

    Raises:
        ValueError: If a shape, label or embedding is invalid (see `check_rows`).
    """
    check_rows("embeddings", embeddings, labels, num_classes)
    means, counts = group_means(unit_embeddings(embeddings), labels.to(embeddings.device), num_classes)
    present = counts.nonzero().squeeze(1)
    return subcluster_distances(means[present], present, num_classes)


@torch.no_grad()
def subcluster_distances(centroids: Tensor, class_of: Tensor, num_classes: int) -> Tensor:
    """Compute the smallest distance between centroids of each class and centroids of any other class.

    ``d'_c = min over sub-clusters s of c and s' of other classes of ||nu_s - nu_s'||``. Pairs are screened block by
    block with |a|^2 + |b|^2 - 2ab, which is fast but loses half of the digits; candidates for the minimum are then
    measured in float64.

    Args:
        centroids: Means nu of the unit embeddings of each sub-cluster, floating point (K, d); not normalized.
        class_of: Class of each sub-cluster, int64 (K,) in 0..C-1.
        num_classes: Number of classes C.

    Returns:
        fp32 (C,) in 0..2 on the device of the centroids; NaN and infinite as in `class_distances`.

    Raises:
        ValueError: If a shape, class or centroid is invalid (see `check_rows`).
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
    """Indices of the points that may be the nearest of their class to another class.

    Args:
        points: Centroids, float64 (K, d), ordered by class.
        classes: Class of each point, int64 (K,), ascending.
        counts: Number of points of each class, int64 (C,).

    Returns:
        Ascending indices, int64, which include all points within rounding error of the smallest distance.
    """
    # A GPU may compute fp32 products in TF32, whose rounding error exceeds the bound below.
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
    """Compute class weights that are larger for classes close to another class.

    ``w = ( softmax(-strength * d) + softmax(-strength * d') ) / 2`` over the classes with a finite distance.

    Args:
        d: Class distances, (C,); NaN for a class without samples, which gets weight 0.
        d_prime: Sub-cluster distances, (C,), finite for the same classes as `d`.
        strength: Inverse temperature of the softmax, at least 0; 1 in the paper, 0 gives equal weights.

    Returns:
        Weights that sum to 1, (C,). The only class with samples, at infinite distance, gets weight 1. All 0 if no
        class has samples.

    Raises:
        ValueError: If the shapes differ, different classes are finite or the strength is out of range.
    """
    if not 0 <= strength < float("inf"):
        raise ValueError(f"strength: expected a finite number of 0 or more, got {strength}.")
    if d.ndim != 1 or d.shape != d_prime.shape:
        raise ValueError(f"d, d_prime: expected the same shape (C,), got {tuple(d.shape)} and {tuple(d_prime.shape)}.")
    if not torch.equal(d.isfinite(), d_prime.isfinite()):
        raise ValueError(
            f"d, d_prime: expected finite values for the same classes, got {d.tolist()} and {d_prime.tolist()}."
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
    """Compute the temperature of each class from the spread of its embeddings.

    With mu_c the mean of the unit embeddings of class c, ``r_c = mean_i ||z_i - mu_c|| / ln(n_c + 10)``, clipped to the
    20th and 80th percentiles over the classes with samples (linear interpolation), and
    ``t_c = temperature * exp(r_c / mean_c r_c)``.

    Args:
        embeddings: Embeddings, floating point (N, d), of any norm.
        labels: Labels, int64 (N,) in 0..C-1.
        subclusters_per_class: Number of sub-clusters of each class, (C,).
        temperature: Positive base temperature.
        class_counts: Samples n_c of each class, (C,), if the embeddings are a subsample; counted from `labels` if None.

    Returns:
        fp32 (C,) on the device of the embeddings. Equal to `temperature` for a class with a single sub-cluster or
        without samples, and for all classes if the mean of r is 0, when all embeddings of each class coincide.

    Raises:
        ValueError: If the temperature is out of range, or a shape, label or embedding is invalid.
    """
    if not 0 < temperature < float("inf"):
        raise ValueError(f"temperature: expected a positive finite number, got {temperature}.")
    if subclusters_per_class.ndim != 1:
        raise ValueError(f"subclusters_per_class: expected shape (C,), got {tuple(subclusters_per_class.shape)}.")
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
