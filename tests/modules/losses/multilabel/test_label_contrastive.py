"""Contrast of samples with several labels."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from modules.losses import LabelContrastiveLoss, SubclusterContrastiveLoss
from modules.losses.contrastive.contrastive_terms import Share

TEMPERATURES = torch.tensor([0.1, 0.15, 0.2])


def made(seed: int = 0, samples: int = 7, views: int = 2) -> tuple[Tensor, Tensor, Tensor]:
    """Views, labels with unknown ones, and members of five sub-clusters: two of label 0, two of 1, one of 2."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(-1, 2, (samples, 3), generator=generator)
    labels[0], labels[1] = torch.tensor([0, 0, 0]), torch.tensor([1, 1, 1])
    half = torch.randint(0, 2, (samples, 2), generator=generator)
    members = torch.zeros(samples, 5, dtype=torch.bool)
    for row in range(samples):
        for label in range(3):
            if labels[row, label] == 1:
                members[row, 4 if label == 2 else 2 * label + int(half[row, label])] = True
    return torch.randn(samples, views, 4, generator=generator), labels, members


def brute_force(views: Tensor, labels: Tensor, members: Tensor, weight: float = 0.25) -> float:
    """The two terms of the docstring, one anchor and one key at a time."""
    keys = [
        (sample, torch.nn.functional.normalize(view, dim=0))
        for sample, own in enumerate(views.double())
        for view in own
    ]
    sums: dict[str, list[float]] = {"inner": [], "label": []}
    for place, (sample, anchor) in enumerate(keys):
        own = [label for label in range(3) if labels[sample, label] == 1]
        heat = sum(float(TEMPERATURES[label]) for label in own) / len(own) if own else 0.1
        terms: dict[str, list[tuple[float, float]]] = {"inner": [], "label": []}
        for other, (rival, key) in enumerate(keys):
            if other == place:
                continue
            similarity = float(anchor @ key)
            clusters = int((members[sample] & members[rival]).sum())
            shared = sum(1 for label in own if labels[rival, label] == 1)
            terms["inner"].append((similarity / 0.1, max(clusters, 1) if rival == sample else clusters))
            if rival == sample or clusters == 0:
                terms["label"].append((similarity / heat, 1 if rival == sample else shared))
        for name, found in terms.items():
            positives = sum(count for _, count in found)
            if positives:
                log_sum = math.log(sum(math.exp(value) for value, _ in found))
                sums[name].append(-sum(count * (value - log_sum) for value, count in found) / positives)
    inner, label = (sum(own) / len(own) if own else 0.0 for own in sums.values())
    return 0.1 / 0.07 * inner + weight * label


@pytest.mark.parametrize("seed", range(4))
def test_it_is_the_sum_over_anchors_and_keys(seed: int) -> None:
    views, labels, members = made(seed)
    found = LabelContrastiveLoss()(views, labels, members, TEMPERATURES)
    assert float(found) == pytest.approx(brute_force(views, labels, members), rel=1e-5)


def test_with_one_label_a_sample_it_is_the_contrast_over_sub_clusters() -> None:
    views, _, _ = made(samples=9)
    labels = torch.tensor([0, 0, 0, 0, 1, 1, 1, 2, 2])
    subclusters = torch.tensor([0, 0, 1, 1, 2, 3, 3, 4, 4])
    expected = SubclusterContrastiveLoss()(views, labels, subclusters, TEMPERATURES)
    several = torch.nn.functional.one_hot(labels, 3), torch.nn.functional.one_hot(subclusters, 5).bool()
    assert torch.allclose(LabelContrastiveLoss()(views, *several, TEMPERATURES), expected, atol=1e-6)


def test_shares_add_up_to_the_whole_batch() -> None:
    views, labels, members = made(3)
    loss = LabelContrastiveLoss()
    whole = loss(views, labels, members, TEMPERATURES)
    # Every anchor has its other view as a positive, so that the number of anchors is that of all views.
    shares = [Share(0, 3, lambda _: torch.tensor(14)), Share(3, 7, lambda _: torch.tensor(14))]
    parts = [loss(views, labels, members, TEMPERATURES, share) for share in shares]
    assert torch.allclose(torch.stack(parts).sum(), whole, atol=1e-6)


def test_an_unknown_label_counts_as_not_shared() -> None:
    views, labels, members = made(1)
    known = labels.clamp(min=0)
    loss = LabelContrastiveLoss()
    assert torch.equal(loss(views, labels, members, TEMPERATURES), loss(views, known, members, TEMPERATURES))


def test_it_pulls_samples_that_share_a_label_together() -> None:
    torch.manual_seed(0)
    views = torch.randn(8, 2, 6, requires_grad=True)
    labels = torch.tensor([[1, 0]] * 4 + [[0, 1]] * 4)
    optimizer = torch.optim.SGD([views], lr=5.0)
    for _ in range(100):
        optimizer.zero_grad()
        LabelContrastiveLoss()(views, labels, labels == 1, torch.tensor([0.1, 0.1])).backward()
        optimizer.step()
    unit = torch.nn.functional.normalize(views.detach()[:, 0], dim=1)
    similarity = unit @ unit.T
    assert float(similarity[:4, :4].min()) > 0.9 > 0.5 > float(similarity[:4, 4:].max())


def test_missing_tensors_and_wrong_shapes_are_refused() -> None:
    views, labels, members = made()
    with pytest.raises(ValueError, match=r"^subclusters, class_temperatures: expected both tensors, got None"):
        LabelContrastiveLoss()(views, labels)
    with pytest.raises(ValueError, match=r"^labels: expected shape \(7,\), got \(6,\)"):
        LabelContrastiveLoss()(views, labels[:6], members, TEMPERATURES)
    with pytest.raises(ValueError, match=r"^class_term_weight"):
        LabelContrastiveLoss(class_term_weight=-1)
