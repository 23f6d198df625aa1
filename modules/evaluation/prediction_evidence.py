"""Evidence for predictions: the nearest sub-cluster, and the distance to the training samples."""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass
from pathlib import Path

import numpy
import torch
from torch import Tensor

from base.atomic_file import write_file
from base.errors import InputError
from modules.clustering.lloyd import nearest
from modules.unit_embeddings import unit_embeddings

_log = logging.getLogger("tailmol")

_ENCODER = "network.encoder."

NEIGHBOR = 5
"""Which nearest training sample a distance is to; no more than the smallest classes have samples."""


@dataclass(frozen=True)
class PredictionEvidence:
    """What is kept from the training set to compare new samples with.

    Attributes:
        checkpoint: `encoder_digest` of the weights that computed the embeddings.
        names: Name of each of the K sub-clusters: the class, and a number where the class has several.
        drugs: The most central training samples of each of the K sub-clusters, as text.
        centroids: fp32 (K, d).
        training: Unit embeddings of some training samples, fp32 (S, d).
        distances: `neighbor_distances` of validation samples to `training`, fp32 (V,), ascending.
    """

    checkpoint: str
    names: list[str]
    drugs: list[str]
    centroids: Tensor
    training: Tensor
    distances: Tensor

    def nearest_subclusters(self, embeddings: Tensor) -> Tensor:
        """The sub-cluster whose centroid is nearest to each unit embedding, int64 (B,).

        Args:
            embeddings: Floating point (B, d); normalized inside.
        """
        return nearest(unit_embeddings(embeddings), self.centroids.to(embeddings.device))

    def out_of_distribution(self, embeddings: Tensor) -> Tensor:
        """The share of validation samples that are nearer to the training samples than each sample is, fp32 (B,).

        Args:
            embeddings: Floating point (B, d); normalized inside.
        """
        found = neighbor_distances(embeddings, self.training.to(embeddings.device))
        return torch.searchsorted(self.distances.to(found.device), found) / len(self.distances)

    def to(self, device: torch.device) -> PredictionEvidence:
        """The same with its tensors on a device."""
        tensors = (tensor.to(device) for tensor in (self.centroids, self.training, self.distances))
        return PredictionEvidence(self.checkpoint, self.names, self.drugs, *tensors)

    def save(self, path: Path) -> None:
        """Write an .npz file of plain arrays, half precision for the training samples.

        Args:
            path: Where it goes.
        """
        arrays = {
            "checkpoint": numpy.array(self.checkpoint),
            "names": numpy.array(self.names),
            "drugs": numpy.array(self.drugs),
            "centroids": self.centroids.cpu().numpy(),
            "training": self.training.cpu().half().numpy(),
            "distances": self.distances.cpu().numpy(),
        }

        def write(temporary: Path) -> None:
            with temporary.open("wb") as file:
                numpy.savez_compressed(file, **arrays)  # type: ignore[arg-type]

        write_file(path, write)


def evidence_path(checkpoint: Path) -> Path:
    """Where the evidence of a checkpoint is: `best.evidence.npz` beside `best.ckpt`."""
    return checkpoint.with_suffix(".evidence.npz")


def load_evidence(checkpoint: Path) -> PredictionEvidence | None:
    """Read the evidence of a checkpoint, without pickle.

    Args:
        checkpoint: A checkpoint that `lightning fit` wrote.

    Returns:
        The evidence; None, which is logged, where there is no file or it is of other weights.

    Raises:
        InputError: If the file is damaged.
    """
    path = evidence_path(checkpoint)
    if not path.is_file():
        _log.info(f"There is no {path}, so predictions come without sub-clusters and out_of_distribution.")
        return None
    try:
        with numpy.load(path, allow_pickle=False) as file:
            tensors = (torch.from_numpy(file[name]).float() for name in ("centroids", "training", "distances"))
            digest, names, drugs = str(file["checkpoint"]), file["names"].tolist(), file["drugs"].tolist()
            evidence = PredictionEvidence(digest, names, drugs, *tensors)
    except Exception as error:
        raise InputError(f"evidence: {path} is not a valid evidence file ({error}); delete it.") from error
    if evidence.checkpoint != encoder_digest(checkpoint):
        _log.warning(f"{path} belongs to other weights than {checkpoint}; predictions come without it.")
        return None
    return evidence


def encoder_digest(checkpoint: Path) -> str:
    """A hash of the encoder's weights, which decide the embeddings.

    Args:
        checkpoint: A checkpoint that `lightning fit` wrote.
    """
    state = torch.load(checkpoint, map_location="cpu", weights_only=True, mmap=True)["state_dict"]
    digest = hashlib.sha256()
    for name in sorted(state):
        if name.startswith(_ENCODER):
            digest.update(name.encode())
            digest.update(state[name].contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:32]


def neighbor_distances(embeddings: Tensor, training: Tensor) -> Tensor:
    """One minus the cosine similarity to the `NEIGHBOR`-th nearest training sample.

    Deep nearest neighbors (Sun et al., 2022, arXiv 2204.06507) take the distance of unit vectors, whose order is the
    same.

    Args:
        embeddings: Floating point (B, d); normalized inside.
        training: Unit embeddings, fp32 (S, d); where there are fewer than `NEIGHBOR`, the farthest counts.

    Returns:
        fp32 (B,) in 0..2.
    """
    similarity = unit_embeddings(embeddings) @ training.T
    return 1 - similarity.topk(min(NEIGHBOR, len(training)), dim=1).values[:, -1]


def central_samples(
    embeddings: Tensor, ids: Tensor, centroids: Tensor, texts: list[str], number: int
) -> list[list[str]]:
    """The samples of each sub-cluster of highest cosine similarity with its centroid, different texts only.

    Args:
        embeddings: Floating point (N, d); normalized inside.
        ids: Sub-cluster of each sample, int64 (N,).
        centroids: (K, d).
        texts: What to call the N samples.
        number: How many of each sub-cluster, at most.
    """
    similarity = (unit_embeddings(embeddings) * unit_embeddings(centroids)[ids]).sum(dim=1)
    found: list[dict[str, None]] = [{} for _ in range(len(centroids))]
    for sample in similarity.argsort(descending=True, stable=True).tolist():
        own = found[int(ids[sample])]
        if len(own) < number:
            own[texts[sample]] = None
    return [list(own) for own in found]
