import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import digamma
from torch.distributions import Dirichlet, kl_divergence

from modules.losses.classification.evidential import EvidentialLoss, evidence
from tests.modules.losses.drawn import draw_batch, weighted_mean


@given(seed=st.integers(0, 1_000), factor=st.floats(0, 2))
def test_equals_a_loop_and_the_divergence_of_torch(seed: int, factor: float) -> None:
    logits, labels, weights, counts = draw_batch(seed)
    losses = []
    for row, label in zip(logits.double().tolist(), labels.tolist(), strict=True):
        alphas = [1 + math.exp(value) for value in row]
        wrong = torch.tensor([1.0 if code == label else alpha for code, alpha in enumerate(alphas)])
        divergence = kl_divergence(Dirichlet(wrong.double()), Dirichlet(torch.ones(4, dtype=torch.float64)))
        losses.append(digamma(sum(alphas)) - digamma(alphas[label]) + factor * float(divergence))
    value = EvidentialLoss(factor, 0)(logits, labels, weights, counts)
    assert float(value) == pytest.approx(weighted_mean(losses, labels, weights), rel=1e-5, abs=1e-6)


def test_the_penalty_rises_over_the_epochs() -> None:
    batch = draw_batch(0)
    loss, none, whole = EvidentialLoss(0.4, 10), EvidentialLoss(0.0), EvidentialLoss(0.4, 0)
    assert loss(*batch) == none(*batch)
    loss.set_epoch(5)
    torch.testing.assert_close(loss(*batch), (none(*batch) + whole(*batch)) / 2)
    loss.set_epoch(50)
    assert loss(*batch) == whole(*batch)


def test_probabilities_and_uncertainty() -> None:
    logits = torch.tensor([[math.log(3.0), 0.0, -1e4], [-50.0, -50.0, -1e4]])
    counts = torch.tensor([5, 9, 0])
    loss = EvidentialLoss()
    # Evidence 3 and 1 for two classes; the third is excluded.
    torch.testing.assert_close(loss.probabilities(logits, counts), torch.tensor([[4 / 6, 2 / 6, 0], [0.5, 0.5, 0]]))
    torch.testing.assert_close(loss.uncertainty(logits, counts), torch.tensor([2 / 6, 1.0]))


def test_evidence_continues_as_a_tangent() -> None:
    assert evidence(torch.tensor([0.0, 10.0, 12.0])).tolist() == pytest.approx(
        [1, math.exp(10), 3 * math.exp(10)], rel=1e-6
    )


def test_settings_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match="regularization: expected a finite number of 0 or more"):
        EvidentialLoss(-1)
    with pytest.raises(ValueError, match="annealing_epochs: expected 0 or more"):
        EvidentialLoss(annealing_epochs=-1)
