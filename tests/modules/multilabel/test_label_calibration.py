"""Scale and shift of the log odds of several labels."""

from __future__ import annotations

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
    least = float(log_loss(found(probabilities), labels))
    scale, shift = float(found.temperature), float(found.shift)
    for other_scale in (0.9 * scale, scale, 1.1 * scale):
        for other_shift in (shift - 0.1, shift, shift + 0.1):
            found.temperature.fill_(other_scale)
            found.shift.fill_(other_shift)
            assert float(log_loss(found(probabilities), labels)) >= least - 1e-6


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


def test_the_temperature_is_bounded() -> None:
    probabilities, labels = sample(1.0, 0.0, 300)
    # Labels that are told apart without an error, or of the wrong order, which is not turned over.
    told_apart = fitted(probabilities, (probabilities > 0.5).long())
    assert float(told_apart.temperature) == pytest.approx(1 / LARGEST_TEMPERATURE)
    found = fitted(1 - probabilities, labels)
    assert float(found.temperature) == pytest.approx(LARGEST_TEMPERATURE)
    rate = float((labels == 1).sum() / (labels >= 0).sum())
    torch.testing.assert_close(found(probabilities), torch.full((300, 3), rate), atol=0.02, rtol=0)


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
