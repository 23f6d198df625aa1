import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import modules.class_distances
from modules.class_distances import (
    class_distances,
    class_temperatures,
    distance_weights,
    subcluster_distances,
)

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "distances.json").read_text())


def random_embeddings(seed: int, samples: int, classes: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return (
        torch.randn(samples, 4, generator=generator) * 3,
        torch.randint(classes, (samples,), generator=generator),
    )


def looped_distances(centroids: Tensor, class_of: list[int], num_classes: int) -> list[float]:
    nearest = [math.inf if c in class_of else math.nan for c in range(num_classes)]
    for s, own in enumerate(class_of):
        for other, rival in enumerate(class_of):
            if own != rival:
                distance = float((centroids[s].double() - centroids[other].double()).norm())
                nearest[own] = min(nearest[own], distance)
    return nearest


def looped_temperatures(embeddings: Tensor, labels: Tensor, counts: list[int], tau: float) -> list[float]:
    unit = torch.nn.functional.normalize(embeddings.double(), dim=1)
    spreads = {}
    for c in sorted(set(labels.tolist())):
        members = unit[labels == c]
        distances = [float((member - members.mean(0)).norm()) for member in members]
        spreads[c] = sum(distances) / len(distances) / math.log(len(members) + 10)
    low, high = np.percentile(list(spreads.values()), [20, 80])
    spreads = {c: min(max(spread, low), high) for c, spread in spreads.items()}
    mean = sum(spreads.values()) / len(spreads)
    return [
        tau * math.exp(spreads[c] / mean) if counts[c] > 1 and c in spreads and mean > 1e-5 else tau
        for c in range(len(counts))
    ]


@pytest.mark.parametrize("case", GOLDEN, ids=lambda case: f"seed{case['seed']}")
def test_equals_the_golden_values(case: dict[str, list[float]]) -> None:
    embeddings, labels = torch.tensor(case["embeddings"]), torch.tensor(case["labels"])
    subclusters, per_class = torch.tensor(case["subclusters"]), torch.tensor(case["subclusters_per_class"])
    unit = torch.nn.functional.normalize(embeddings, dim=1)
    members = [subclusters == s for s in range(int(subclusters.max()) + 1)]
    centroids = torch.stack([unit[member].mean(0) for member in members])
    class_of = torch.stack([labels[member][0] for member in members])
    d = class_distances(embeddings, labels, len(per_class))
    d_prime = subcluster_distances(centroids, class_of, len(per_class))
    results = {
        "class_distances": d,
        "subcluster_distances": d_prime,
        "class_weights": distance_weights(d, d_prime),
        "class_temperatures": class_temperatures(embeddings, labels, per_class),
    }
    for name, result in results.items():
        torch.testing.assert_close(result, torch.tensor(case[name]), atol=1e-5, rtol=1e-5)


def test_class_distances_by_hand() -> None:
    embeddings = torch.tensor([[5.0, 0.0], [0.0, 2.0], [-1.0, 0.0]])
    distances = class_distances(embeddings, torch.tensor([0, 1, 1]), 2)
    # The mean of (0, 1) and (-1, 0) is (-1/2, 1/2), at sqrt(2.5) from (1, 0).
    torch.testing.assert_close(distances, torch.full((2,), math.sqrt(2.5)))


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), clusters=st.integers(1, 12), block=st.integers(1, 40))
def test_subcluster_distances_equal_a_loop_for_any_block_size(seed: int, clusters: int, block: int) -> None:
    centroids, class_of = random_embeddings(seed, clusters, 5)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(modules.class_distances, "BLOCK_ELEMENTS", block)
        actual = subcluster_distances(centroids, class_of, 5)
    expected = torch.tensor(looped_distances(centroids, class_of.tolist(), 5))
    torch.testing.assert_close(actual, expected, equal_nan=True)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), samples=st.integers(1, 30))
def test_class_distances_do_not_depend_on_order_or_length(seed: int, samples: int) -> None:
    embeddings, labels = random_embeddings(seed, samples, 4)
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(samples, generator=generator)
    scaled = (embeddings * (torch.rand(samples, 1, generator=generator) + 0.5))[order]
    torch.testing.assert_close(
        class_distances(scaled, labels[order], 4),
        class_distances(embeddings, labels, 4),
        equal_nan=True,
        atol=1e-5,
        rtol=1e-4,
    )


def test_nearly_equal_centroids_keep_their_distance() -> None:
    centroids = torch.full((60, 32), 0.1767767)
    centroids[30:, 0] += 1e-5
    distances = subcluster_distances(centroids, torch.arange(60) // 30, 2)
    torch.testing.assert_close(distances, torch.full((2,), 1e-5), atol=2e-7, rtol=0)


def test_duplicates_of_two_classes_have_distance_zero() -> None:
    distances = class_distances(torch.ones(6, 3), torch.tensor([0, 0, 0, 1, 1, 1]), 2)
    assert torch.equal(distances, torch.zeros(2))


def test_an_absent_class_is_nan_and_has_weight_zero() -> None:
    embeddings, _ = random_embeddings(0, 6, 1)
    labels = torch.tensor([0, 0, 2, 2, 3, 3])
    d = class_distances(embeddings, labels, 4)
    d_prime = subcluster_distances(embeddings, labels, 4)
    assert d.isnan().tolist() == d_prime.isnan().tolist() == [False, True, False, False]
    weights = distance_weights(d, d_prime)
    assert weights[1] == 0
    assert weights.sum().item() == pytest.approx(1)
    present = torch.tensor([0, 2, 3])
    torch.testing.assert_close(weights[present], distance_weights(d[present], d_prime[present]))


@pytest.mark.parametrize("strength", [0.0, 1.0, 50.0])
def test_a_single_class_has_infinite_distance_and_weight_one(strength: float) -> None:
    embeddings, _ = random_embeddings(0, 5, 1)
    labels = torch.full((5,), 2)
    d = class_distances(embeddings, labels, 4)
    assert d[2] == math.inf
    weights = distance_weights(d, subcluster_distances(embeddings, labels, 4), strength)
    assert weights.tolist() == [0, 0, 1, 0]


def test_weights_by_hand() -> None:
    weights = distance_weights(torch.tensor([0.0, math.log(3.0)]), torch.tensor([0.0, 0.0]))
    # softmax(0, -ln 3) = (3/4, 1/4) and softmax(0, 0) = (1/2, 1/2).
    torch.testing.assert_close(weights, torch.tensor([0.625, 0.375]))


def test_strength_sharpens_the_weights_and_stays_finite() -> None:
    d = torch.tensor([0.1, 0.5, 1.5])
    assert torch.equal(distance_weights(d, d, strength=0.0), torch.full((3,), 1 / 3))
    torch.testing.assert_close(distance_weights(d, d, strength=2.0), distance_weights(2 * d, 2 * d))
    torch.testing.assert_close(distance_weights(d, d, strength=1e6), torch.tensor([1.0, 0.0, 0.0]))


def test_two_classes_always_have_equal_weights() -> None:
    embeddings, labels = random_embeddings(1, 20, 2)
    d = class_distances(embeddings, labels, 2)
    torch.testing.assert_close(distance_weights(d, d, strength=9.0), torch.tensor([0.5, 0.5]))


def test_without_classes_all_weights_are_zero() -> None:
    missing = torch.full((3,), math.nan)
    assert distance_weights(missing, missing).tolist() == [0, 0, 0]


@pytest.mark.parametrize(
    ("d", "d_prime", "strength", "message"),
    [
        ([1.0], [1.0], -1.0, "strength: expected a finite number of 0 or more"),
        ([1.0], [1.0], math.nan, "strength: expected a finite number of 0 or more"),
        ([1.0, 2.0], [1.0], 1.0, r"d, d_prime: expected the same shape \(C,\), got \(2,\) and \(1,\)"),
        ([1.0, 2.0], [1.0, math.nan], 1.0, "d, d_prime: expected finite values for the same classes"),
    ],
)
def test_invalid_distances_are_named(d: list[float], d_prime: list[float], strength: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        distance_weights(torch.tensor(d), torch.tensor(d_prime), strength)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), samples=st.integers(1, 40), classes=st.integers(1, 6))
def test_temperatures_equal_a_loop(seed: int, samples: int, classes: int) -> None:
    embeddings, labels = random_embeddings(seed, samples, classes)
    counts = torch.randint(0, 4, (classes,), generator=torch.Generator().manual_seed(seed))
    actual = class_temperatures(embeddings, labels, counts, temperature=0.2)
    expected = looped_temperatures(embeddings, labels, counts.tolist(), 0.2)
    torch.testing.assert_close(actual, torch.tensor(expected), atol=1e-5, rtol=1e-4)


def test_a_single_class_with_several_subclusters_has_temperature_e_times_the_base() -> None:
    embeddings, _ = random_embeddings(0, 8, 1)
    temperatures = class_temperatures(embeddings, torch.zeros(8, dtype=torch.int64), torch.tensor([3, 0]))
    torch.testing.assert_close(temperatures, torch.tensor([0.1 * math.e, 0.1]))


def test_collapsed_embeddings_have_the_base_temperature() -> None:
    direction = torch.randn(1, 64, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(3000) % 3
    temperatures = class_temperatures(direction.expand(3000, 64), labels, torch.tensor([2, 2, 2]))
    assert torch.equal(temperatures, torch.full((3,), 0.1))


def test_low_precision_embeddings_give_fp32_results() -> None:
    embeddings, labels = random_embeddings(0, 30, 3)
    low = embeddings.bfloat16()
    assert torch.equal(class_distances(low, labels, 3), class_distances(low.float(), labels, 3))
    assert class_temperatures(low, labels, torch.tensor([2, 2, 2])).dtype == torch.float32


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_embeddings_that_are_not_finite_name_their_class(value: float) -> None:
    embeddings, _ = random_embeddings(0, 4, 1)
    embeddings[3, 1] = value
    labels = torch.tensor([0, 1, 2, 2])
    for function in (class_distances, subcluster_distances):
        with pytest.raises(ValueError, match=r"expected finite values.*classes \[2\]"):
            function(embeddings, labels, 3)
    with pytest.raises(ValueError, match=r"embeddings: expected finite values.*classes \[2\]"):
        class_temperatures(embeddings, labels, torch.ones(3))


def test_invalid_temperature_arguments_are_named() -> None:
    embeddings, labels = random_embeddings(0, 4, 2)
    with pytest.raises(ValueError, match="temperature: expected a positive finite number, got 0"):
        class_temperatures(embeddings, labels, torch.ones(2), temperature=0)
    with pytest.raises(ValueError, match=r"subclusters_per_class: expected shape \(C,\), got \(\)"):
        class_temperatures(embeddings, labels, torch.tensor(2))
