"""Computes the evidence that is stored with a checkpoint."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy
import torch
from numpy.typing import NDArray
from torch import Tensor

from datamodules.sampling import draw_per_class
from modules.evaluation.prediction_evidence import PredictionEvidence, central_samples, neighbor_distances
from modules.reclustering import ReclusterSettings
from modules.subclusters import Subclusters, subcluster
from modules.unit_embeddings import group_means, unit_embeddings

CENTRAL_DRUGS = 3
"""Number of training samples that represent a sub-cluster."""
MAX_SUBCLUSTERS = 1_000
"""Approximate limit of the number of sub-clusters of all classes; each class has at least one."""
MAX_TRAINING_SAMPLES = 4_096
MAX_VALIDATION_SAMPLES = 10_000


@torch.no_grad()
def make_evidence(
    checkpoint: str,
    training: tuple[Tensor, Tensor],
    validation: Tensor,
    classes: Sequence[str],
    texts: list[str],
    settings: ReclusterSettings | None,
    seed: int = 0,
) -> PredictionEvidence:
    """Compute the evidence from embeddings.

    Args:
        checkpoint: `encoder_digest` of the weights that computed the embeddings.
        training: Embeddings, fp32 (S, d), and labels, int64 (S,), of training samples.
        validation: Embeddings of validation samples, fp32 (V, d), in any order.
        classes: Names of the C classes.
        texts: Text that represents each training sample, such as its SMILES.
        settings: Settings of the reclustering of the run; None uses a single sub-cluster for each class.
        seed: Random seed of the subsample of training samples.

    Returns:
        The evidence.
    """
    embeddings, labels = training
    found = _subclusters(embeddings, labels, len(classes), settings)
    central = central_samples(embeddings.cpu(), found.ids.cpu(), found.centroids.cpu(), texts, CENTRAL_DRUGS)
    codes = labels.cpu().numpy()
    kept = draw_per_class(codes, _class_bound(codes, MAX_TRAINING_SAMPLES), seed)
    # The file stores half precision, and distances must match those of the evidence read from it.
    unit = unit_embeddings(embeddings[torch.from_numpy(kept).to(embeddings.device)]).half().float()
    distances = neighbor_distances(validation, unit).sort().values
    if len(distances) > MAX_VALIDATION_SAMPLES:
        places = torch.linspace(0, len(distances) - 1, MAX_VALIDATION_SAMPLES, dtype=torch.float64)
        distances = distances[places.long().to(distances.device)]
    names = _names(found.class_of.tolist(), classes)
    return PredictionEvidence(checkpoint, names, ["; ".join(own) for own in central], found.centroids, unit, distances)


def _subclusters(
    embeddings: Tensor, labels: Tensor, num_classes: int, settings: ReclusterSettings | None
) -> Subclusters:
    if settings is None:
        present = torch.bincount(labels, minlength=num_classes).nonzero().squeeze(1)
        means, _ = group_means(unit_embeddings(embeddings), labels, num_classes)
        return Subclusters(torch.searchsorted(present, labels), present, means[present])
    least = max(settings.min_size, len(labels) // MAX_SUBCLUSTERS)
    how = settings.method, settings.seed, None, settings.backend
    return subcluster(embeddings, labels, num_classes, least, *how)


def _class_bound(codes: NDArray[Any], limit: int) -> int:
    """Largest bound of the samples of a class, at least 1, with which all classes have at most `limit` samples."""
    counts = numpy.bincount(codes)
    fits = [bound for bound in range(1, limit + 1) if numpy.minimum(counts, bound).sum() <= limit]
    return fits[-1] if fits else 1


def _names(class_of: list[int], classes: Sequence[str]) -> list[str]:
    """Name of each sub-cluster: its class, followed by a number from 1 if the class has several."""
    numbers: dict[int, int] = {}
    names = []
    for code in class_of:
        numbers[code] = numbers.get(code, 0) + 1
        names.append(f"{classes[code]} {numbers[code]}" if class_of.count(code) > 1 else classes[code])
    return names
