"""Scale and shift of the log odds of several labels."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from modules.evaluation.calibration import LARGEST_TEMPERATURE
from modules.multilabel.calibration import LabelCalibration, log_loss
from tests.modules.multilabel.drawn_labels import draw


def sample(temperature: float, shift: float, size: int = 4_000) -> tuple[Tensor, Tensor]:
    """Probabilities that are calibrated by a temperature and a shift; and labels, a fifth of them not known."""
    generator = torch.Generator().manual_seed(0)
    right = 1.5 * torch.randn(size, 3, generator=generator) - 1
    labels = torch.bernoulli(right.sigmoid(), generator=generator).long()
    unknown = torch.rand(size, 3, generator=generator) < 0.2
    return ((right - shift) * temperature).sigmoid(), labels.masked_fill(unknown, -1)


def fitted(probabilities: Tensor, labels: Tensor) -> LabelCalibration:
    found = LabelCalibration(torch.ones(labels.shape[1]))
    found.fit(probabilities, labels)
    return found


@pytest.mark.parametrize(("temperature", "shift"), [(1.0, 0.0), (0.5, 0.0), (1.0, -1.5), (2.0, 1.0), (0.6, -0.8)])
def test_a_known_scale_and_shift_are_found(temperature: float, shift: float) -> None:
    found = fitted(*sample(temperature, shift))
    assert float(found.temperature) == pytest.approx(temperature, rel=0.05)
    assert float(found.shift) == pytest.approx(shift, abs=0.07)


def test_no_other_scale_or_shift_has_a_smaller_loss() -> None:
    probabilities, labels = sample(0.6, -0.8, 500)
    found = fitted(probabilities, labels)

    def loss(scale: float, shift: float) -> float:
        found.temperature.fill_(scale)
        found.shift.fill_(shift)
        summed = float(log_loss(found(probabilities), labels)) * int((labels >= 0).sum())
        return summed + math.log(scale) ** 2 / (2 * 0.3**2) + shift**2 / 2

    scale, shift = float(found.temperature), float(found.shift)
    least = loss(scale, shift)
    for other_scale in (0.95 * scale, scale, 1.05 * scale):
        for other_shift in (shift - 0.05, shift, shift + 0.05):
            assert loss(other_scale, other_shift) >= least - 1e-3


@settings(max_examples=60)
@given(seed=st.integers(0, 10_000), scale=st.floats(1e-2, 10), size=st.integers(1, 30))
def test_the_loss_is_never_worse_than_that_of_the_identity(seed: int, scale: float, size: int) -> None:
    _, _, labels = draw(seed, size, 3)
    logits = scale * torch.randn(size, 3, generator=torch.Generator().manual_seed(seed))
    probabilities = logits.sigmoid()
    found = fitted(probabilities, labels)
    assert float(found.temperature) > 0
    before, after = log_loss(probabilities, labels), log_loss(found(probabilities), labels)
    assert bool(after.isnan() if before.isnan() else after <= before + 1e-5)


def test_what_is_not_known_is_ignored() -> None:
    probabilities, labels = sample(0.5, 1.0, 300)
    changed = probabilities.masked_fill(labels == -1, 0.999)
    first, second = fitted(probabilities, labels), fitted(changed, labels)
    assert (float(first.temperature), float(first.shift)) == (float(second.temperature), float(second.shift))


@pytest.mark.parametrize("size", [1, 20, 60])
def test_labels_that_are_told_apart_do_not_make_all_others_certain(size: int) -> None:
    probabilities, _ = sample(1.0, 0.0, size)
    told_apart = fitted(probabilities, (probabilities > 0.5).long())
    assert 1 / 8 < float(told_apart.temperature) <= 1
    assert abs(float(told_apart.shift)) < 2


def test_the_wrong_order_is_not_turned_over() -> None:
    probabilities, labels = sample(1.0, 0.0, 4_000)
    found = fitted(1 - probabilities, labels)
    assert 5 < float(found.temperature) <= LARGEST_TEMPERATURE
    rate = float((labels == 1).sum() / (labels >= 0).sum())
    assert float(found(probabilities).mean()) == pytest.approx(rate, abs=0.1)


def test_without_samples_it_is_the_identity() -> None:
    probabilities, labels = sample(0.5, 1.0, 300)
    again = fitted(probabilities, labels)
    again.fit(probabilities[:0], labels[:0])
    assert (float(again.temperature), float(again.shift)) == (1.0, 0.0)


def test_a_label_without_training_samples_keeps_probability_0_and_is_ignored() -> None:
    probabilities, labels = sample(0.5, 1.0, 300)
    found = LabelCalibration(torch.tensor([3, 0, 2]))
    plain = fitted(probabilities[:, [0, 2]], labels[:, [0, 2]])
    probabilities[:, 1] = 0
    found.fit(probabilities, labels)
    assert (float(found.temperature), float(found.shift)) == (float(plain.temperature), float(plain.shift))
    assert float(found.shift) > 0
    assert found(probabilities)[:, 1].tolist() == [0] * 300
    torch.testing.assert_close(found(probabilities)[:, [0, 2]], plain(probabilities[:, [0, 2]]))
