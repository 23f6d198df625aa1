"""Class weights, temperatures and sub-clusters, and their checkpoints."""

from __future__ import annotations

import torch

from modules.class_state import ClassState
from modules.subclusters import Subclusters

COUNTS = torch.tensor([20, 6, 0])


def assigned(keep_centroids: bool) -> ClassState:
    """A state with three sub-clusters of 26 samples."""
    state = ClassState(COUNTS, 2, 0.2)
    ids = torch.tensor([0] * 12 + [1] * 8 + [2] * 6)
    centroids = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.6, 0.8]])
    found = Subclusters(ids, torch.tensor([0, 0, 1]), centroids)
    state.assign(found, torch.tensor([0.5, 0.25, 0.125]), torch.tensor([0.75, 0.25, 0.0]), keep_centroids)
    return state


def test_a_new_state_weights_the_classes_with_samples_equally() -> None:
    state = ClassState(COUNTS, 2, 0.2)
    assert state.weights.tolist() == [0.5, 0.5, 0.0]
    assert torch.equal(state.temperatures, torch.full((3,), 0.2))
    assert not state.reclustered
    labels = torch.tensor([0, 1, 1])
    assert state.subclusters_of(torch.tensor([4, 25, 21]), labels, torch.randn(3, 2)).tolist() == [0, 0, 0]


def test_a_reset_state_equals_a_new_one() -> None:
    state, fresh = assigned(True), ClassState(COUNTS, 2, 0.2)
    state.reset()
    for name, value in fresh.named_buffers():
        assert torch.equal(dict(state.named_buffers())[name], value), name
    for name, value in fresh.get_extra_state().items():
        assert torch.equal(state.get_extra_state()[name], value), name


def test_samples_have_their_stored_subcluster() -> None:
    found = assigned(False).subclusters_of(torch.tensor([0, 12, 25]), torch.tensor([0, 0, 1]), torch.randn(3, 2))
    assert found.tolist() == [0, 1, 2]


def test_with_centroids_samples_are_assigned_to_the_nearest_of_their_class() -> None:
    embeddings = torch.tensor([[5.0, 1.0], [0.0, 0.1], [-1.0, 0.0]])
    found = assigned(True).subclusters_of(torch.tensor([0, 1, 2]), torch.tensor([0, 0, 1]), embeddings)
    assert found.tolist() == [0, 1, 2]


def test_a_checkpoint_holds_the_state_except_the_counts() -> None:
    state, loaded = assigned(True), ClassState(COUNTS, 2)
    saved = state.state_dict()
    assert set(saved) == {"weights", "temperatures", "_extra_state"}
    loaded.load_state_dict(saved)
    assert loaded.reclustered
    assert torch.equal(loaded.subcluster_ids, state.subcluster_ids)
    assert torch.equal(loaded.subcluster_centroids, state.subcluster_centroids)
    assert torch.equal(loaded.subcluster_classes, state.subcluster_classes)
    assert torch.equal(loaded.weights, state.weights)
