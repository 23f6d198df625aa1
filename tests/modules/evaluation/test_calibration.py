"""Temperature scaling and the log-losses before and after it."""

from __future__ import annotations

import math

import numpy
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from modules.evaluation.calibration import LARGEST_TEMPERATURE, LogLosses, TemperatureScaling, share_strength


def sample(temperature: float, classes: int = 4, size: int = 4_000) -> tuple[Tensor, Tensor]:
    """Logits that are calibrated after division by a temperature, and labels drawn from them."""
    generator = torch.Generator().manual_seed(0)
    right = 1.5 * torch.randn(size, classes, generator=generator)
    labels = torch.multinomial(right.softmax(dim=1), 1, generator=generator).squeeze(1)
    return right * temperature, labels


def fitted(logits: Tensor, labels: Tensor, counts: Tensor | None = None) -> TemperatureScaling:
    scaling = TemperatureScaling(torch.ones(logits.shape[1]) if counts is None else counts)
    scaling.fit(logits.softmax(dim=1), labels)
    return scaling


@pytest.mark.parametrize("temperature", [0.25, 1.0, 3.0])
def test_the_temperature_is_that_of_a_fine_grid(temperature: float) -> None:
    logits, labels = sample(temperature)
    grid = torch.logspace(-1.5, 1.5, 3_001)

    def loss(value: float) -> float:
        likelihood = functional.cross_entropy((logits / value).double(), labels, reduction="sum")
        return float(likelihood) + math.log(value) ** 2 / (2 * 0.3**2)

    found = float(fitted(logits, labels).temperature)
    assert found == pytest.approx(float(grid[numpy.argmin([loss(float(value)) for value in grid])]), rel=0.01)
    assert found == pytest.approx(temperature, rel=0.1)
    assert loss(found) <= min(loss(float(value)) for value in grid) + 0.01


def test_two_logits_by_hand() -> None:
    # Three of four are right at odds of e^2 to 1: calibrated odds are 3 to 1, so T = 2 / ln 3.
    logits = torch.tensor([[2.0, 0.0]]).repeat(400_000, 1)
    scaling = fitted(logits, torch.tensor([0, 0, 0, 1]).repeat(100_000))
    assert float(scaling.temperature) == pytest.approx(2 / math.log(3), rel=1e-3)
    torch.testing.assert_close(scaling(logits.softmax(dim=1))[0], torch.tensor([0.75, 0.25]), atol=1e-3, rtol=0)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000), scale=st.floats(1e-3, 300), size=st.integers(1, 40))
def test_the_likelihood_never_decreases(seed: int, scale: float, size: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    probabilities = (scale * torch.randn(size, 3, generator=generator)).softmax(dim=1)
    labels = torch.randint(3, (size,), generator=generator)
    scaling, losses = TemperatureScaling(torch.ones(3)), LogLosses()
    scaling.fit(probabilities, labels)
    losses.update(probabilities, labels, scaling)
    means = losses.compute()
    assert means["calibrated_nll"] <= means["nll"] + 1e-6
    assert float(scaling.temperature) * 1.0001 >= 1 / LARGEST_TEMPERATURE
    assert float(scaling.temperature) <= LARGEST_TEMPERATURE * 1.0001


@settings(max_examples=60, deadline=None)
@given(size=st.integers(1, 60), margin=st.floats(2, 20))
def test_few_samples_that_are_told_apart_do_not_make_all_others_certain(size: int, margin: float) -> None:
    logits = margin * torch.eye(3).repeat(20, 1)[:size]
    scaling = fitted(logits, logits.argmax(dim=1))
    assert 1 / 4 < float(scaling.temperature) <= 1
    # One that is not as clear keeps its doubt.
    unclear = scaling(torch.tensor([[0.6, 0.3, 0.1]]))
    assert 0.6 <= float(unclear[0, 0]) < 0.95


def test_classes_without_training_samples_are_excluded() -> None:
    logits, labels = sample(2.0, classes=3)
    counts = torch.tensor([5, 5, 0])
    seen = labels < 2
    limited = logits.masked_fill(counts == 0, -1e4)
    scaling = fitted(limited, labels, counts)
    assert float(scaling.temperature) == pytest.approx(
        float(fitted(logits[seen, :2], labels[seen]).temperature), rel=1e-3
    )
    probabilities = limited.softmax(dim=1)
    assert (scaling(probabilities)[:, 2] == 0).all()
    losses = LogLosses()
    losses.update(probabilities, labels, scaling)
    expected = functional.cross_entropy(logits[seen, :2], labels[seen])
    torch.testing.assert_close(losses.compute()["nll"], expected)
    scaling.fit(probabilities[~seen], labels[~seen])
    assert float(scaling.temperature) == 1
    losses.reset()
    losses.update(probabilities[~seen], labels[~seen], scaling)
    assert losses.compute()["nll"].isnan()


def test_log_losses_are_means_over_batches_before_and_after() -> None:
    logits, labels = sample(3.0)
    scaling, losses = fitted(logits, labels), LogLosses()
    for part in (slice(0, 10), slice(10, None)):
        losses.update(logits[part].softmax(dim=1), labels[part], scaling)
    means = losses.compute()
    torch.testing.assert_close(means["nll"], functional.cross_entropy(logits, labels))
    torch.testing.assert_close(means["calibrated_nll"], functional.cross_entropy(logits / scaling.temperature, labels))


COUNTS = torch.tensor([60, 25, 10, 5, 0])


@pytest.mark.parametrize("shares", [(60, 25, 10, 5), (25, 25, 25, 25), (5, 3, 2, 1), (3, 0, 0, 0)])
def test_the_strength_of_the_shares_is_that_of_a_fine_grid(shares: tuple[int, ...]) -> None:
    labels = torch.arange(4).repeat_interleave(torch.tensor(shares))
    priors = (COUNTS[:4].double() / 100).log()

    def cost(strength: float) -> float:
        likelihoods = (strength * priors).log_softmax(dim=0)[labels]
        return float(-likelihoods.sum()) + (strength - 1) ** 2 / (2 * 0.3**2)

    grid = torch.linspace(-3, 4, 7_001).tolist()
    assert share_strength(labels, COUNTS) == pytest.approx(min(grid, key=cost), abs=2e-3)


def test_shares_like_those_of_training_have_strength_1_and_equal_ones_0() -> None:
    assert share_strength(torch.arange(4).repeat_interleave(COUNTS[:4]), COUNTS) == pytest.approx(1, abs=1e-4)
    assert share_strength(torch.arange(4).repeat(1_000), COUNTS) == pytest.approx(0, abs=0.01)
    assert share_strength(torch.zeros(0, dtype=torch.int64), COUNTS) == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("contained", [0.0, 0.4, 1.0])
def test_what_probabilities_contain_is_replaced_by_the_shares_of_the_classes(contained: float) -> None:
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(4).repeat_interleave(40 * COUNTS[:4])
    likelihoods = torch.randn(len(labels), 5, generator=generator)
    likelihoods[torch.arange(len(labels)), labels] += 1
    priors = (COUNTS.clamp(min=1) / 100).log()
    scores = (2 * likelihoods + contained * priors).masked_fill(COUNTS == 0, -1e4)
    scaling = TemperatureScaling(COUNTS)
    scaling.fit_with_prior(scores.softmax(dim=1), labels, contained * priors)
    assert float(scaling.temperature) == pytest.approx(2, rel=0.05)
    expected = (likelihoods + priors).masked_fill(COUNTS == 0, -torch.inf).softmax(dim=1)
    torch.testing.assert_close(scaling(scores.softmax(dim=1)), expected, atol=0.02, rtol=0)


def test_samples_that_the_classes_share_evenly_are_expected_to_be_so() -> None:
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(4).repeat(1_000)
    likelihoods = torch.randn(len(labels), 5, generator=generator)
    likelihoods[torch.arange(len(labels)), labels] += 1
    scores = (2 * likelihoods).masked_fill(COUNTS == 0, -1e4)
    # A sample of a class without training samples says nothing.
    given, known = torch.cat([scores, scores[:500]]), torch.cat([labels, torch.full((500,), 4)])
    scaling = TemperatureScaling(COUNTS)
    scaling.fit_with_prior(given.softmax(dim=1), known, torch.zeros(5))
    expected = likelihoods.masked_fill(COUNTS == 0, -torch.inf).softmax(dim=1)
    torch.testing.assert_close(scaling(scores.softmax(dim=1)), expected, atol=0.03, rtol=0)


def test_the_ranking_of_classes_is_preserved() -> None:
    logits, labels = sample(4.0)
    probabilities = logits.softmax(dim=1)
    calibrated = fitted(logits, labels)(probabilities)
    assert torch.equal(calibrated.argmax(dim=1), probabilities.argmax(dim=1))
    torch.testing.assert_close(calibrated.sum(dim=1), torch.ones(len(labels)))
