import json
import math
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from modules.losses import SubclusterContrastiveLoss, SupervisedContrastiveLoss

GOLDEN = json.loads((Path(__file__).parents[3] / "golden" / "contrastive.json").read_text())
CLASS_TEMPERATURES = torch.tensor([0.1, 0.2, 0.35])


def random_batch(seed: int, samples: int, views: int) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    subclusters = torch.randint(6, (samples,), generator=generator)
    return torch.randn(samples, views, 5, generator=generator), subclusters // 2, subclusters


def mean_loss(scores: list[dict[int, float]], positives: list[list[int]]) -> float:
    losses = []
    for score, chosen in zip(scores, positives, strict=True):
        if chosen:
            log_sum = math.log(sum(math.exp(value) for value in score.values()))
            losses.append(-sum(score[p] - log_sum for p in chosen) / len(chosen))
    return sum(losses) / len(losses) if losses else 0.0


def looped_loss(views: Tensor, labels: Tensor, subclusters: Tensor, temperatures: Tensor) -> float:
    unit = torch.nn.functional.normalize(views.double(), dim=-1)
    samples = [b for b in range(len(views)) for _ in range(views.shape[1])]
    anchors = unit.flatten(0, 1)
    y = [int(labels[b]) for b in samples]
    s = [int(subclusters[b]) for b in samples]
    inner_scores, inner_positives, class_scores, class_positives = [], [], [], []
    for a in range(len(samples)):
        similarity = {k: float(anchors[a] @ anchors[k]) for k in range(len(samples)) if k != a}
        own = {k for k in similarity if samples[k] == samples[a]}
        inner_scores.append({k: value / 0.1 for k, value in similarity.items()})
        inner_positives.append([k for k in similarity if s[k] == s[a]])
        compared = {k for k in similarity if s[k] != s[a]} | own
        class_scores.append({k: similarity[k] / float(temperatures[y[a]]) for k in compared})
        class_positives.append([k for k in compared if k in own or y[k] == y[a]])
    inner, outer = mean_loss(inner_scores, inner_positives), mean_loss(class_scores, class_positives)
    return 0.1 / 0.07 * inner + 0.25 * outer


@pytest.mark.parametrize("case", GOLDEN, ids=lambda case: f"seed{case['seed']}")
def test_equals_the_golden_values(case: dict[str, list[float]]) -> None:
    loss = SubclusterContrastiveLoss()(
        torch.tensor(case["views"]),
        torch.tensor(case["labels"]),
        torch.tensor(case["subclusters"]),
        torch.tensor(case["class_temperatures"]),
    )
    assert loss.item() == pytest.approx(case["subcluster_contrastive"], rel=1e-5)


def test_two_subclusters_of_one_class_by_hand() -> None:
    views = torch.tensor([[[1.0, 0.0], [1.0, 0.0]], [[0.0, 1.0], [0.0, 1.0]]])
    loss = SubclusterContrastiveLoss(temperature=1.0, base_temperature=0.5, class_term_weight=3.0)(
        views, torch.tensor([0, 0]), torch.tensor([0, 1]), torch.tensor([2.0])
    )
    inner = math.log(math.e + 2) - 1
    # The class term's positives are all three others: similarity 1 to the own view, 0 to the other sub-cluster.
    outer = math.log(math.exp(0.5) + 2) - 0.5 / 3
    assert loss.item() == pytest.approx(2 * inner + 3 * outer, rel=1e-6)


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 10_000), samples=st.integers(1, 9), views=st.integers(1, 3))
def test_equals_a_loop_over_anchors(seed: int, samples: int, views: int) -> None:
    batch, labels, subclusters = random_batch(seed, samples, views)
    loss = SubclusterContrastiveLoss()(batch, labels, subclusters, CLASS_TEMPERATURES)
    expected = looped_loss(batch, labels, subclusters, CLASS_TEMPERATURES)
    assert loss.item() == pytest.approx(expected, rel=1e-4, abs=1e-5)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000), samples=st.integers(2, 9))
def test_order_of_samples_and_names_of_subclusters_do_not_matter(seed: int, samples: int) -> None:
    batch, labels, subclusters = random_batch(seed, samples, 2)
    loss = SubclusterContrastiveLoss()
    expected = loss(batch, labels, subclusters, CLASS_TEMPERATURES).item()
    order = torch.randperm(samples, generator=torch.Generator().manual_seed(seed))
    permuted = loss(batch[order], labels[order], 100 - subclusters[order], CLASS_TEMPERATURES)
    assert permuted.item() == pytest.approx(expected, rel=1e-5)


def test_without_the_class_term_and_one_subcluster_a_class_it_is_supervised_contrastive_loss() -> None:
    batch, labels, _ = random_batch(0, 8, 2)
    loss = SubclusterContrastiveLoss(class_term_weight=0.0)(batch, labels, labels, CLASS_TEMPERATURES)
    assert loss.item() == pytest.approx(SupervisedContrastiveLoss()(batch, labels).item(), rel=1e-6)


def test_a_batch_of_singletons_has_finite_loss_and_gradient() -> None:
    batch = torch.randn(6, 2, 5, generator=torch.Generator().manual_seed(0)).requires_grad_()
    loss = SubclusterContrastiveLoss()(batch, torch.arange(6), torch.arange(6), torch.full((6,), 0.1))
    loss.backward()
    assert loss.item() > 0
    assert batch.grad is not None
    assert batch.grad.isfinite().all()
    assert batch.grad.abs().sum() > 0


@pytest.mark.parametrize("samples", [1, 4])
def test_one_view_of_singletons_is_a_zero_connected_to_the_graph(samples: int) -> None:
    batch = torch.randn(samples, 1, 5, generator=torch.Generator().manual_seed(0)).requires_grad_()
    loss = SubclusterContrastiveLoss()(batch, torch.arange(samples), torch.arange(samples), torch.full((samples,), 0.1))
    loss.backward()
    assert loss.item() == 0
    assert batch.grad is not None
    assert torch.equal(batch.grad, torch.zeros_like(batch))


def test_one_view_and_a_single_subcluster_leave_only_the_inner_term() -> None:
    batch = torch.randn(4, 1, 5, generator=torch.Generator().manual_seed(0)).requires_grad_()
    zeros = torch.zeros(4, dtype=torch.int64)
    loss = SubclusterContrastiveLoss()(batch, zeros, zeros, CLASS_TEMPERATURES)
    loss.backward()
    assert loss.item() == pytest.approx(SupervisedContrastiveLoss()(batch, zeros).item(), rel=1e-6)
    assert batch.grad is not None
    assert batch.grad.isfinite().all()


@pytest.mark.parametrize("scale", [0.0, 1e-30, 1e30])
def test_extreme_lengths_and_identical_views_have_finite_gradients(scale: float) -> None:
    batch = (torch.ones(4, 2, 5) * scale).requires_grad_()
    labels, subclusters = torch.tensor([0, 0, 1, 1]), torch.tensor([0, 1, 2, 2])
    loss = SubclusterContrastiveLoss(temperature=1e-3)(batch, labels, subclusters, CLASS_TEMPERATURES)
    loss.backward()
    assert loss.isfinite()
    assert batch.grad is not None
    assert batch.grad.isfinite().all()


def test_nan_in_the_views_is_not_hidden() -> None:
    batch, labels, subclusters = random_batch(0, 5, 2)
    batch[0, 0, 0] = math.nan
    assert SubclusterContrastiveLoss()(batch, labels, subclusters, CLASS_TEMPERATURES).isnan()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_low_precision_inputs_and_autocast_are_computed_in_fp32(dtype: torch.dtype) -> None:
    batch, labels, subclusters = random_batch(0, 8, 2)
    loss = SubclusterContrastiveLoss()
    expected = loss(batch.to(dtype).float(), labels, subclusters, CLASS_TEMPERATURES)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        actual = loss(batch.to(dtype), labels, subclusters, CLASS_TEMPERATURES)
    assert actual.dtype == torch.float32
    assert torch.equal(actual, expected)


@pytest.mark.parametrize("value", [-0.1, math.inf, math.nan])
def test_the_class_term_weight_must_not_be_negative(value: float) -> None:
    with pytest.raises(ValueError, match="class_term_weight: expected a finite number of 0 or more"):
        SubclusterContrastiveLoss(class_term_weight=value)


def test_the_temperature_must_be_positive() -> None:
    with pytest.raises(ValueError, match="temperature: expected a positive finite number, got 0"):
        SubclusterContrastiveLoss(temperature=0)


@pytest.mark.parametrize(
    ("labels", "subclusters", "temperatures", "message"),
    [
        (torch.zeros(4), torch.zeros(3), torch.ones(2), r"labels: expected shape \(3,\), got \(4,\)"),
        (torch.zeros(3), torch.zeros(3, 2), torch.ones(2), r"subclusters: .* \(3,\), got \(3, 2\)"),
        (torch.zeros(3), torch.zeros(3), torch.tensor(0.1), r"class_temperatures: .* \(C,\), got \(\)"),
    ],
)
def test_wrong_shapes_are_named(labels: Tensor, subclusters: Tensor, temperatures: Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SubclusterContrastiveLoss()(torch.ones(3, 2, 4), labels, subclusters, temperatures)
