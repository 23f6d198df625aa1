import json
import math
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from modules.losses import SupervisedContrastiveLoss

GOLDEN = json.loads((Path(__file__).parents[3] / "golden" / "contrastive.json").read_text())


def random_batch(seed: int, samples: int, views: int, classes: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return (
        torch.randn(samples, views, 5, generator=generator),
        torch.randint(classes, (samples,), generator=generator),
    )


def looped_loss(views: Tensor, labels: Tensor, temperature: float, base_temperature: float) -> float:
    unit = torch.nn.functional.normalize(views.double(), dim=-1)
    anchors = [(unit[b, v], int(labels[b])) for b in range(len(views)) for v in range(views.shape[1])]
    losses = []
    for a, (anchor, label) in enumerate(anchors):
        scores = {k: float(anchor @ other) / temperature for k, (other, _) in enumerate(anchors) if k != a}
        positives = [k for k in scores if anchors[k][1] == label]
        if positives:
            log_sum = math.log(sum(math.exp(score) for score in scores.values()))
            losses.append(-sum(scores[p] - log_sum for p in positives) / len(positives))
    return temperature / base_temperature * sum(losses) / len(losses) if losses else 0.0


@pytest.mark.parametrize("case", GOLDEN, ids=lambda case: f"seed{case['seed']}")
def test_equals_the_golden_values(case: dict[str, list[float]]) -> None:
    loss = SupervisedContrastiveLoss()(torch.tensor(case["views"]), torch.tensor(case["labels"]))
    assert loss.item() == pytest.approx(case["supervised_contrastive"], rel=1e-5)


def test_two_orthogonal_classes_by_hand() -> None:
    views = torch.tensor([[[1.0, 0.0], [1.0, 0.0]], [[0.0, 1.0], [0.0, 1.0]]])
    loss = SupervisedContrastiveLoss(temperature=0.5, base_temperature=0.25)(views, torch.tensor([0, 1]))
    # Each anchor: one positive of similarity 1 and two others of similarity 0, all divided by 0.5; scaled by 2.
    assert loss.item() == pytest.approx(2 * math.log((math.exp(2) + 2) / math.exp(2)), rel=1e-6)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    samples=st.integers(1, 7),
    views=st.integers(1, 3),
    classes=st.integers(1, 4),
    temperature=st.sampled_from([0.05, 0.1, 1.0]),
)
def test_equals_a_loop_over_anchors(seed: int, samples: int, views: int, classes: int, temperature: float) -> None:
    batch, labels = random_batch(seed, samples, views, classes)
    loss = SupervisedContrastiveLoss(temperature, 0.07)(batch, labels)
    assert loss.item() == pytest.approx(looped_loss(batch, labels, temperature, 0.07), rel=1e-4, abs=1e-5)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000), samples=st.integers(2, 9))
def test_order_of_samples_and_views_does_not_matter(seed: int, samples: int) -> None:
    batch, labels = random_batch(seed, samples, 2, 3)
    order = torch.randperm(samples, generator=torch.Generator().manual_seed(seed))
    loss = SupervisedContrastiveLoss()(batch, labels)
    assert SupervisedContrastiveLoss()(batch[order], labels[order]).item() == pytest.approx(loss.item(), rel=1e-5)
    assert SupervisedContrastiveLoss()(batch.flip(1), labels).item() == pytest.approx(loss.item(), rel=1e-5)


def test_length_of_embeddings_does_not_matter() -> None:
    batch, labels = random_batch(0, 6, 2, 3)
    expected = SupervisedContrastiveLoss()(batch, labels).item()
    for scale in (1e-6, 1e6, 1e30):
        assert SupervisedContrastiveLoss()(batch * scale, labels).item() == pytest.approx(expected, rel=1e-5)


def test_subclusters_and_temperatures_are_accepted_and_unused() -> None:
    batch, labels = random_batch(0, 6, 2, 3)
    loss = SupervisedContrastiveLoss()
    assert torch.equal(loss(batch, labels, torch.arange(6), torch.rand(3)), loss(batch, labels))


def test_one_view_and_no_shared_class_is_a_zero_connected_to_the_graph() -> None:
    batch = torch.randn(4, 1, 5, generator=torch.Generator().manual_seed(0)).requires_grad_()
    loss = SupervisedContrastiveLoss()(batch, torch.arange(4))
    loss.backward()
    assert loss.item() == 0
    assert batch.grad is not None
    assert torch.equal(batch.grad, torch.zeros_like(batch))


def test_a_lone_sample_does_not_change_the_positives_of_others_with_one_view() -> None:
    batch, _ = random_batch(0, 3, 1, 1)
    labels = torch.tensor([0, 0, 1])
    assert SupervisedContrastiveLoss()(batch, labels).item() == pytest.approx(
        looped_loss(batch, labels, 0.1, 0.07), rel=1e-5
    )


def test_low_precision_inputs_and_autocast_are_computed_in_fp32() -> None:
    batch, labels = random_batch(0, 8, 2, 3)
    loss = SupervisedContrastiveLoss()
    low = loss(batch.bfloat16(), labels)
    assert low.dtype == torch.float32
    assert torch.equal(low, loss(batch.bfloat16().float(), labels))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = loss(batch, labels)
    assert torch.equal(inside, loss(batch, labels))


@pytest.mark.parametrize("name", ["temperature", "base_temperature"])
@pytest.mark.parametrize("value", [0.0, -1.0, math.inf, math.nan])
def test_temperatures_must_be_positive_and_finite(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"^{name}: expected a positive finite number"):
        SupervisedContrastiveLoss(**{name: value})


@pytest.mark.parametrize(
    ("views", "labels", "message"),
    [
        (torch.zeros(3, 4), torch.zeros(3), r"views: expected a non-empty floating-point tensor of shape \(B, V, d\)"),
        (torch.zeros(0, 2, 4), torch.zeros(0), r"views: .* got torch.float32 \(0, 2, 4\)"),
        (torch.zeros(3, 2, 4, dtype=torch.int64), torch.zeros(3), "views: .* got torch.int64"),
        (torch.zeros(3, 2, 4), torch.zeros(6), r"labels: expected shape \(3,\), got \(6,\)"),
    ],
)
def test_wrong_shapes_are_named(views: Tensor, labels: Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SupervisedContrastiveLoss()(views, labels)
