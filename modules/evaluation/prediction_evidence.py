"""Evidence reported with predictions: the nearest sub-cluster and the distance from the training samples."""

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

NEIGHBOR_RANK = 5
"""Rank of the training sample that distances are measured to; small enough for classes with few samples."""


@dataclass(frozen=True)
class PredictionEvidence:
    """Training samples and sub-clusters that new samples are compared with.

    Attributes:
        checkpoint: `encoder_digest` of the weights that computed the embeddings.
        names: Names of the K sub-clusters: the class, followed by a number if the class has several.
        drugs: The most central training samples of each of the K sub-clusters, as text.
        centroids: Centroids of the sub-clusters, fp32 (K, d).
        training: Unit embeddings of a subsample of the training set, fp32 (S, d).
        distances: `neighbor_distances` of validation samples to `training`, fp32 (V,), ascending.
    """

    checkpoint: str
    names: list[str]
    drugs: list[str]
    centroids: Tensor
    training: Tensor
    distances: Tensor

    def nearest_subclusters(self, embeddings: Tensor) -> Tensor:
        """Find the sub-cluster of the nearest centroid to each unit embedding.

        Args:
            embeddings: Embeddings, floating point (B, d), of any norm.

        Returns:
            int64 (B,).
        """
        return nearest(unit_embeddings(embeddings), self.centroids.to(embeddings.device))

    def out_of_distribution(self, embeddings: Tensor) -> Tensor:
        """Compute the share of validation samples that are closer to the training samples than each sample.

        Args:
            embeddings: Embeddings, floating point (B, d), of any norm.

        Returns:
            fp32 (B,) in 0..1.
        """
        found = neighbor_distances(embeddings, self.training.to(embeddings.device))
        return torch.searchsorted(self.distances.to(found.device), found) / len(self.distances)

    def to(self, device: torch.device) -> PredictionEvidence:
        """Copy the evidence to a device.

        Args:
            device: Device of the tensors.
        """
        tensors = (tensor.to(device) for tensor in (self.centroids, self.training, self.distances))
        return PredictionEvidence(self.checkpoint, self.names, self.drugs, *tensors)

    def save(self, path: Path) -> None:
        """Write the evidence as an .npz file of plain arrays, with training embeddings in half precision.

        Args:
            path: Path of the file.
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
    """Path of the evidence of a checkpoint, such as `best.evidence.npz` beside `best.ckpt`."""
    return checkpoint.with_suffix(".evidence.npz")


def load_evidence(checkpoint: Path) -> PredictionEvidence | None:
    """Read the evidence of a checkpoint, without pickle.

    Args:
        checkpoint: Checkpoint written by `lightning fit`.

    Returns:
        The evidence; None, with a log message, if there is no file or it belongs to other weights.

    Raises:
        InputError: If the file is damaged.
    """
    path = evidence_path(checkpoint)
    if not path.is_file():
        _log.info(f"There is no {path}, so predictions come without sub-clusters and out_of_distribution.")
        return None
    try:
        # Opened here, since numpy leaves a file open that it cannot read.
        with path.open("rb") as opened, numpy.load(opened, allow_pickle=False) as file:
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
    """Compute a hash of the encoder's weights, which determine the embeddings.

    Args:
        checkpoint: Checkpoint written by `lightning fit`.

    Returns:
        32 hexadecimal digits.
    """
    state = torch.load(checkpoint, map_location="cpu", weights_only=True, mmap=True)["state_dict"]
    digest = hashlib.sha256()
    for name in sorted(state):
        if name.startswith(_ENCODER):
            digest.update(name.encode())
            digest.update(state[name].contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:32]


def neighbor_distances(embeddings: Tensor, training: Tensor) -> Tensor:
    """Compute one minus the cosine similarity to the `NEIGHBOR_RANK`-th nearest training sample.

    Deep nearest neighbors (Sun et al., 2022, arXiv 2204.06507) take the distance of unit vectors, whose order is the
    same.

    Args:
        embeddings: Embeddings, floating point (B, d), of any norm.
        training: Unit embeddings of training samples, fp32 (S, d); the farthest is used if there are fewer than
            `NEIGHBOR_RANK`.

    Returns:
        fp32 (B,) in 0..2.
    """
    similarity = unit_embeddings(embeddings) @ training.T
    return 1 - similarity.topk(min(NEIGHBOR_RANK, len(training)), dim=1).values[:, -1]


def central_samples(
    embeddings: Tensor, ids: Tensor, centroids: Tensor, texts: list[str], number: int
) -> list[list[str]]:
    """Find the distinct texts of the samples of each sub-cluster with the highest cosine similarity to its centroid.

    Args:
        embeddings: Embeddings, floating point (N, d), of any norm.
        ids: Sub-cluster of each sample, int64 (N,).
        centroids: Centroids, (K, d).
        texts: Text of each of the N samples.
        number: Largest number of texts of a sub-cluster.

    Returns:
        Texts of each sub-cluster, from the most central on.
    """
    similarity = (unit_embeddings(embeddings) * unit_embeddings(centroids)[ids]).sum(dim=1)
    found: list[dict[str, None]] = [{} for _ in range(len(centroids))]
    for sample in similarity.argsort(descending=True, stable=True).tolist():
        own = found[int(ids[sample])]
        if len(own) < number:
            own[texts[sample]] = None
    return [list(own) for own in found]
