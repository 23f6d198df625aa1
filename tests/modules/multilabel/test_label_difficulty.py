"""Difficulty and sub-clusters of samples that may have several labels."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from modules.class_difficulty import neighbor_overlap
from modules.class_state import ClassState
from modules.multilabel.label_difficulty import label_overlap
from modules.subclusters import Subclusters


@given(st.integers(0, 1_000))
@settings(max_examples=25, deadline=None)
def test_overlap_is_that_of_all_neighbors_by_hand(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    embeddings = torch.randn(30, 5, generator=generator)
    labels = torch.randint(-1, 2, (30, 4), generator=generator)
    labels[:, 3] = 0
    found = label_overlap(embeddings, labels, neighbors=4)
    unit = torch.nn.functional.normalize(embeddings, dim=1)
    similarity = unit @ unit.T
    expected = []
    for label in range(4):
        own = (labels[:, label] == 1).nonzero().flatten().tolist()
        foreign = known = 0
        for row in own:
            ranked = [one for one in similarity[row].argsort(descending=True).tolist() if one != row]
            nearest = ranked[: min(4, len(own) - 1)]
            foreign += sum(1 for one in nearest if labels[one, label] == 0)
            known += sum(1 for one in nearest if labels[one, label] >= 0)
        expected.append(foreign / known if known else float("nan"))
    values = torch.tensor(expected)
    unknown = values.isnan() & (labels == 1).any(dim=0)
    values[unknown] = values.nanmean().nan_to_num(0.0)
    assert torch.allclose(found, values, atol=1e-6, equal_nan=True)


def test_with_one_label_a_sample_overlap_is_that_of_classes() -> None:
    generator = torch.Generator().manual_seed(1)
    embeddings, labels = torch.randn(60, 5, generator=generator), torch.arange(60) % 3
    several = torch.nn.functional.one_hot(labels, 3)
    assert torch.allclose(label_overlap(embeddings, several), neighbor_overlap(embeddings, labels, 3), atol=1e-6)


def test_a_rare_label_is_measured_among_any_number_of_samples() -> None:
    generator = torch.Generator().manual_seed(3)
    embeddings, labels = torch.randn(40_000, 2, generator=generator), torch.zeros(40_000, 2, dtype=torch.int64)
    labels[:20_000, 0] = 1
    # Three of the rare label lie side by side, far from a fourth one.
    embeddings[30_000:30_003], labels[30_000:30_003, 1] = torch.tensor([50.0, 0.001]), 1
    embeddings[:30_000, 1] = embeddings[:30_000, 1].abs() + 1
    embeddings[30_003:, 1] = embeddings[30_003:, 1].abs() + 1
    labels[10, 1] = 1
    # Each of the three has the other two and a foreign one; of the fourth one all three are foreign.
    assert label_overlap(embeddings, labels)[1].item() == pytest.approx(6 / 12)


def test_a_neighbor_that_shares_the_label_among_others_is_not_foreign() -> None:
    embeddings = torch.tensor([[1.0, 0.0], [1.0, 0.01], [0.0, 1.0], [0.01, 1.0]])
    found = label_overlap(embeddings, torch.tensor([[1, 1], [1, 0], [0, 1], [0, 1]]), neighbors=1)
    # The only neighbor of sample 0 has label 0, but not label 1.
    assert found.tolist() == pytest.approx([0.0, 1 / 3])


def entries(labels: torch.Tensor) -> list[tuple[int, int]]:
    return [(row, label) for row, own in enumerate(labels.tolist()) for label, value in enumerate(own) if value == 1]


def test_members_are_the_sub_clusters_of_each_label_of_a_sample() -> None:
    labels = torch.tensor([[1, 0, 1], [0, -1, 0], [1, 1, 1], [0, 1, 0]])
    state = ClassState(torch.tensor([2, 2, 2]), 4)
    assert torch.equal(state.subcluster_members(torch.arange(4), labels, torch.zeros(4, 4)), labels == 1)
    # Entries by sample and label: (0, 0), (0, 2), (2, 0), (2, 1), (2, 2), (3, 1).
    ids = torch.tensor([0, 3, 1, 2, 4, 2])
    clusters = Subclusters(ids, torch.tensor([0, 0, 1, 2, 2]), torch.zeros(5, 4))
    starts = torch.tensor([0, 2, 2, 5])
    state.assign(clusters, torch.ones(3), torch.ones(3), keep_centroids=False, entry_starts=starts)
    expected = torch.zeros(4, 5, dtype=torch.bool)
    for (row, _), cluster in zip(entries(labels), ids.tolist(), strict=True):
        expected[row, cluster] = True
    order = torch.tensor([2, 0, 3, 1])
    found = state.subcluster_members(order, labels[order], torch.zeros(4, 4))
    assert torch.equal(found, expected[order])
    # As a checkpoint restores it.
    again = ClassState(torch.tensor([2, 2, 2]), 4)
    again.load_state_dict(state.state_dict())
    assert torch.equal(again.subcluster_members(order, labels[order], torch.zeros(4, 4)), expected[order])


def test_with_centroids_each_label_takes_its_nearest_sub_cluster() -> None:
    labels = torch.tensor([[1, 1], [0, 1]])
    centroids = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [0.0, 1.0]])
    state = ClassState(torch.tensor([1, 2]), 2)
    clusters = Subclusters(torch.tensor([0, 2, 3]), torch.tensor([0, 0, 1, 1]), centroids)
    state.assign(clusters, torch.ones(2), torch.ones(2), keep_centroids=True, entry_starts=torch.tensor([0, 2]))
    found = state.subcluster_members(torch.tensor([0, 1]), labels, torch.tensor([[0.1, 1.0], [1.0, 0.2]]))
    assert found.tolist() == [[False, True, False, True], [False, False, True, False]]
    # The loss of such a step is NaN, of which the end of the epoch tells.
    broken = torch.tensor([[torch.nan, 1.0], [1.0, 0.2]])
    found = state.subcluster_members(torch.tensor([0, 1]), labels, broken)
    assert found.tolist() == [[False, False, False, False], [False, False, True, False]]


def test_a_neighbor_of_which_a_label_is_not_known_does_not_count() -> None:
    embeddings = torch.tensor([[1.0, 0.0], [1.0, 0.01], [1.0, 0.02], [0.0, 1.0]])
    labels = torch.tensor([[1], [-1], [1], [0]])
    # The nearest of sample 0 and of sample 2 is sample 1.
    assert label_overlap(embeddings, labels, neighbors=1).tolist() == [0.0]
    # It is no easier than the others, of which the second one has the foreign neighbor 1.
    second = torch.tensor([[1], [0], [0], [1]])
    assert label_overlap(embeddings, torch.cat([labels, second], dim=1), neighbors=1).tolist() == [1.0, 1.0]
