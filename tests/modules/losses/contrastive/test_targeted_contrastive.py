from functools import cache
from itertools import permutations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from modules.losses.contrastive.targeted_contrastive import TargetedContrastiveLoss, assign_targets, uniform_targets


@pytest.mark.parametrize(("number", "width"), [(2, 3), (4, 3), (7, 16)])
def test_few_targets_are_as_far_apart_as_points_can_be(number: int, width: int) -> None:
    targets = uniform_targets(number, width)
    # The corners of a simplex.
    expected = torch.full((number, number), -1 / (number - 1)).fill_diagonal_(1.0)
    torch.testing.assert_close(targets @ targets.T, expected, atol=0.02, rtol=0.0)
    assert torch.equal(targets, uniform_targets(number, width))
    assert uniform_targets(1, 5).norm().item() == pytest.approx(1.0)


# Placing them takes longer than all else.
placed = cache(uniform_targets)


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 1_000))
def test_targets_are_assigned_as_the_best_permutation(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    centers, targets = torch.randn(5, 3, generator=generator), placed(5, 3)
    cosines = torch.nn.functional.normalize(centers, dim=1) @ targets.T

    def total(order: tuple[int, ...]) -> float:
        return sum(float(cosines[row, column]) for row, column in enumerate(order))

    found = tuple(assign_targets(centers, targets).tolist())
    assert total(found) == pytest.approx(max(map(total, permutations(range(5)))), abs=1e-5)


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 1_000), weight=st.floats(0, 2))
def test_equals_a_loop(seed: int, weight: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    # Class 1 has no training samples.
    views, labels = torch.randn(5, 2, 4, generator=generator), 2 * torch.randint(2, (5,), generator=generator)
    loss = TargetedContrastiveLoss(100, weight, 0.2, 0.2)
    loss.build(torch.tensor([9, 0, 4]), 4)
    found = loss(views, labels)
    target_of = {0: int(loss.target_of[0]), 2: int(loss.target_of[2])}
    assert sorted(target_of.values()) == [0, 1]
    unit = torch.nn.functional.normalize(views.double().flatten(0, 1), dim=1)
    columns = torch.cat([unit, loss.targets.double()])
    classes = labels.repeat_interleave(2).tolist()
    total = 0.0
    for anchor in range(10):
        similarity = columns @ unit[anchor] / 0.2
        log_sum = float(similarity[[k for k in range(12) if k != anchor]].logsumexp(0))
        positives = [k for k in range(10) if k != anchor and classes[k] == classes[anchor]]
        total += sum(log_sum - float(similarity[p]) for p in positives) / len(positives) / 10
        total += weight * (log_sum - float(similarity[10 + target_of[classes[anchor]]])) / 10
    torch.testing.assert_close(found, torch.tensor(total, dtype=torch.float32), rtol=1e-5, atol=1e-5)


def test_centers_follow_the_class_means_and_are_saved() -> None:
    loss = TargetedContrastiveLoss()
    loss.build(torch.tensor([5, 5]), 3)
    assert torch.equal(loss.targets, torch.zeros(2, 3))
    first, second = torch.eye(3)[:2].unsqueeze(1), torch.eye(3)[[2, 1]].unsqueeze(1)
    loss(first, torch.tensor([0, 1]))
    torch.testing.assert_close(loss.centers, torch.eye(3)[:2])
    loss(second[:1], torch.tensor([0]))
    torch.testing.assert_close(loss.centers, torch.tensor([[0.9, 0.0, 0.1], [0.0, 1.0, 0.0]]))
    assert torch.equal(loss.targets, uniform_targets(2, 3))
    assert {"targets", "target_of", "centers", "calls"} <= set(loss.state_dict())


def test_targets_are_assigned_again_at_the_same_calls_after_resuming() -> None:
    whole, resumed = TargetedContrastiveLoss(0), TargetedContrastiveLoss(0)
    generator = torch.Generator().manual_seed(0)
    views = torch.randn(120, 4, 1, 3, generator=generator)
    for loss in (whole, resumed):
        loss.build(torch.tensor([5, 5, 5, 5]), 3)
    assigned = []
    for number, batch in enumerate(views):
        whole(batch, torch.arange(4))
        assigned.append(whole.target_of.tolist())
        if number == 70:
            resumed(views[0], torch.arange(4))
            resumed.load_state_dict(whole.state_dict())
        if number > 70:
            resumed(batch, torch.arange(4))
            assert resumed.target_of.tolist() == assigned[-1]
    changes = {number for number in range(1, 120) if assigned[number] != assigned[number - 1]}
    assert changes
    assert changes <= {50, 100}


def test_the_setting_is_checked() -> None:
    with pytest.raises(ValueError, match="target_weight: expected a finite number of 0 or more"):
        TargetedContrastiveLoss(6, -1.0)
