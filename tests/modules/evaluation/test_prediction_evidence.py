"""Evidence of predictions: neighbor distances, sub-clusters and the file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy
import pytest
import torch

from base.errors import InputError
from modules.evaluation.prediction_evidence import (
    NEIGHBOR_RANK,
    PredictionEvidence,
    central_samples,
    encoder_digest,
    evidence_path,
    load_evidence,
    neighbor_distances,
)
from modules.unit_embeddings import unit_embeddings


def make_evidence() -> PredictionEvidence:
    generator = torch.Generator().manual_seed(0)
    training = unit_embeddings(torch.randn(30, 4, generator=generator)).half().float()
    distances = neighbor_distances(torch.randn(50, 4, generator=generator), training).sort().values
    centroids = torch.tensor([[0.9, 0.0, 0.0, 0.0], [0.0, 0.5, 0.0, 0.0], [0.0, 0.0, 0.1, 0.0]])
    return PredictionEvidence("abc", ["a 1", "a 2", "b"], ["C; CC", "CCO", "N"], centroids, training, distances)


def test_distances_equal_a_loop() -> None:
    generator = torch.Generator().manual_seed(1)
    embeddings, training = torch.randn(20, 3, generator=generator), torch.randn(40, 3, generator=generator)
    found = neighbor_distances(embeddings, unit_embeddings(training))
    for row in range(20):
        cosines = sorted(float(torch.cosine_similarity(embeddings[row], other, dim=0)) for other in training)
        assert float(found[row]) == pytest.approx(1 - cosines[-NEIGHBOR_RANK], abs=1e-5)
    few = unit_embeddings(training[:2])
    farthest = 1 - (unit_embeddings(embeddings) @ few.T).amin(dim=1)
    torch.testing.assert_close(neighbor_distances(embeddings, few), farthest)


def test_out_of_distribution_is_the_share_of_nearer_validation_samples() -> None:
    evidence = make_evidence()
    embeddings = torch.randn(25, 4, generator=torch.Generator().manual_seed(2))
    own = neighbor_distances(embeddings, evidence.training)
    expected = (evidence.distances.unsqueeze(0) < own.unsqueeze(1)).float().mean(dim=1)
    torch.testing.assert_close(evidence.out_of_distribution(embeddings), expected)
    torch.testing.assert_close(evidence.out_of_distribution(7 * embeddings), expected)


def test_a_training_sample_is_in_distribution_and_its_opposite_is_not() -> None:
    direction = unit_embeddings(
        torch.eye(4)[:1] + 0.01 * torch.randn(20, 4, generator=torch.Generator().manual_seed(3))
    )
    distances = neighbor_distances(direction[10:], direction[:10]).sort().values
    evidence = PredictionEvidence("abc", ["a"], ["C"], direction[:1], direction[:10], distances)
    assert float(evidence.out_of_distribution(-torch.eye(4)[:1])) == 1.0
    assert float(evidence.out_of_distribution(direction[:10].mean(dim=0, keepdim=True))) < 0.5


def test_the_nearest_subcluster_is_that_of_the_nearest_centroid() -> None:
    evidence = make_evidence()
    embeddings = torch.randn(40, 4, generator=torch.Generator().manual_seed(4))
    expected = torch.cdist(unit_embeddings(embeddings), evidence.centroids).argmin(dim=1)
    assert torch.equal(evidence.nearest_subclusters(embeddings), expected)


def test_central_samples_are_the_nearest_of_their_subcluster_and_distinct() -> None:
    embeddings = torch.tensor([[1.0, 0.1], [1.0, 0.0], [1.0, 0.3], [1.0, 0.01], [0.0, 1.0]])
    ids = torch.tensor([0, 0, 0, 0, 1])
    texts = ["far", "same", "farthest", "same", "alone"]
    centroids = torch.tensor([[0.9, 0.0], [0.0, 0.7]])
    assert central_samples(embeddings, ids, centroids, texts, 2) == [["same", "far"], ["alone"]]


def write_checkpoint(path: Path, weight: float) -> str:
    """A file with the weight of an encoder, and its digest."""
    torch.save({"state_dict": {"network.encoder.weight": torch.tensor([weight]), "head": torch.ones(1)}}, path)
    return encoder_digest(path)


def test_the_file_holds_plain_arrays_and_belongs_to_its_weights(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    checkpoint = tmp_path / "best.ckpt"
    with caplog.at_level("INFO", logger="tailmol"):
        assert load_evidence(checkpoint) is None
    assert "so predictions come without sub-clusters" in caplog.text
    evidence = replace(make_evidence(), checkpoint=write_checkpoint(checkpoint, 1.0))
    evidence.save(evidence_path(checkpoint))
    read = load_evidence(checkpoint)
    assert read is not None
    assert (read.checkpoint, read.names, read.drugs) == (evidence.checkpoint, evidence.names, evidence.drugs)
    for name in ("centroids", "training", "distances"):
        assert torch.equal(getattr(read, name), getattr(evidence, name))
    with numpy.load(tmp_path / "best.evidence.npz", allow_pickle=False) as file:
        assert not any(file[name].dtype.hasobject for name in file)
    write_checkpoint(checkpoint, 2.0)
    assert load_evidence(checkpoint) is None
    assert "belongs to other weights than" in caplog.text


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    checkpoint = tmp_path / "best.ckpt"
    path = evidence_path(checkpoint)
    make_evidence().save(path)
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(InputError, match="is not a valid evidence file"):
        load_evidence(checkpoint)
