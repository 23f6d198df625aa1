"""From logits to the probabilities of several labels, and which of them are predicted."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from base.errors import InputError
from modules import tested_predictions
from modules.decisions.label_thresholds import choose_thresholds
from modules.decisions.objectives import AsTrained, HeadKept, MacroF1
from modules.evaluation.class_groups import ClassGroups
from modules.evaluation.logit_correction import PriorCorrection
from modules.evaluation.split_scores import SplitScores
from modules.losses import AsymmetricLoss, BinaryCrossEntropyLoss, MultilabelLoss
from modules.multilabel.calibration import LabelCalibration, label_logits
from modules.multilabel.decision import LabelDecision
from modules.multilabel.metrics import LabelMetrics

# The last label has no training sample.
COUNTS, KNOWN = torch.tensor([60, 6, 0]), torch.tensor([100, 90, 1_000_000])
ODDS = torch.log((COUNTS + 0.5) / (KNOWN - COUNTS + 0.5))


def built(loss: MultilabelLoss) -> MultilabelLoss:
    loss.build(KNOWN)
    return loss


def decision(logit_adjustment: float = 0.0) -> LabelDecision:
    return LabelDecision(COUNTS, built(BinaryCrossEntropyLoss(logit_adjustment=logit_adjustment)))


def scores(samples: int = 300) -> SplitScores:
    """Scores that tell something of the labels, in no order of the rows."""
    generator = torch.Generator().manual_seed(0)
    logits = 1.5 * torch.randn(samples, 3, generator=generator) + ODDS.clamp(min=-4)
    labels = torch.bernoulli((1.5 * logits).sigmoid(), generator=generator).long()
    labels[torch.rand(samples, 3, generator=generator) < 0.2] = -1
    rows = torch.randperm(samples, generator=generator)
    return SplitScores(rows, labels, logits, (logits > 0).long())


@pytest.mark.parametrize("adjustment", [0.0, 0.5, 1.0])
def test_probabilities_have_the_prior_that_the_loss_has_removed(adjustment: float) -> None:
    logits = torch.randn(5, 3, generator=torch.Generator().manual_seed(0))
    found = decision(adjustment).probabilities(logits)
    torch.testing.assert_close(found[:, :2], (logits + adjustment * ODDS).sigmoid()[:, :2])
    assert found[:, 2].tolist() == [0.0] * 5
    assert found.dtype == torch.float32


def test_a_model_trained_with_logit_adjustment_has_calibrated_probabilities() -> None:
    labels = torch.zeros(100, 3, dtype=torch.int64)
    labels[:60, 0], labels[:6, 1] = 1, 1
    labels[90:, 1] = -1
    loss = built(BinaryCrossEntropyLoss(logit_adjustment=1.0))
    shares = torch.tensor([60 / 100, 6 / 90, 0.5])
    bias = (shares.logit() - ODDS).requires_grad_()
    # No other constant logits have a smaller loss.
    (slope,) = torch.autograd.grad(loss(bias.expand(100, 3), labels, torch.ones(3), COUNTS), bias)
    torch.testing.assert_close(slope, torch.zeros(3), atol=1e-6, rtol=0)
    found = LabelDecision(COUNTS, loss).probabilities(bias.detach()[None])
    torch.testing.assert_close(found, torch.tensor([[60 / 100, 6 / 90, 0.0]]))
    # What is left of the logits is close to nothing, since the prior explains all.
    assert bool((bias[:2].abs() < 0.1).all())


def test_without_a_choice_labels_of_one_half_and_more_are_predicted() -> None:
    plain = decision(1.0)
    logits = scores().logits
    probabilities = plain.probabilities(logits)
    assert torch.equal(plain.labels(probabilities), (probabilities > 0.5).long())
    assert torch.equal(plain.labels_at_prior(logits), plain.labels(probabilities))
    assert plain.labels(probabilities).dtype == torch.int64


def test_labels_above_their_thresholds_are_predicted() -> None:
    plain = decision()
    plain.class_offset.copy_(torch.tensor([-1.0, 2.0, 50.0]))
    logits = torch.tensor([[1.01, -1.99, 0.0], [0.99, -2.01, 9.0]])
    found = plain.labels(plain.probabilities(logits))
    # A label without training samples is not predicted, whatever its threshold.
    assert found.tolist() == [[1, 1, 0], [0, 0, 0]]
    # Thresholds are of predictions alone.
    assert plain.labels_at_prior(logits).tolist() == [[1, 0, 0], [1, 0, 0]]
    torch.testing.assert_close(plain.probabilities(logits)[:, :2], logits.sigmoid()[:, :2])


def test_a_choice_takes_the_thresholds_and_calibrates() -> None:
    given, chosen = scores(), decision(0.5)
    chosen.choose(given, MacroF1(), [])
    probabilities, labels = chosen.probabilities(given.logits), given.labels.clone()
    labels[:, 2] = -1
    expected = choose_thresholds(label_logits(probabilities), labels, ODDS)
    torch.testing.assert_close(chosen.class_offset, -expected)
    calibration = LabelCalibration(COUNTS)
    calibration.fit(probabilities, given.labels)
    torch.testing.assert_close(chosen.calibration.state_dict(), calibration.state_dict())
    assert bool(calibration.shift)
    # The order of the samples does not matter.
    again, order = decision(0.5), torch.arange(299, -1, -1)
    again.choose(SplitScores(*(values[order] for values in given.__dict__.values())), MacroF1(), [])
    assert torch.equal(again.class_offset, chosen.class_offset)
    metrics = LabelMetrics(COUNTS, ClassGroups())
    plain = float(decision(0.5).evaluate(given, metrics)[0]["macro_f1"])
    assert float(chosen.evaluate(given, metrics)[0]["macro_f1"]) > plain


def test_as_trained_takes_the_thresholds_back_and_calibrates() -> None:
    given, chosen = scores(), decision(0.5)
    chosen.choose(given, MacroF1(), [])
    calibration = chosen.calibration.state_dict()
    chosen.choose(given, AsTrained(), [])
    probabilities = chosen.probabilities(given.logits)
    assert torch.equal(chosen.labels(probabilities), (probabilities > 0.5).long())
    torch.testing.assert_close(chosen.calibration.state_dict(), calibration)


def test_an_objective_for_a_single_label_is_refused() -> None:
    with pytest.raises(InputError, match=r"^objective: expected one for several labels a sample, got HeadKept\.$"):
        decision().choose(scores(), HeadKept(), [])


def test_a_fit_forgets_the_thresholds() -> None:
    given, chosen = scores(), decision()
    chosen.choose(given, MacroF1(), [])
    before = float(chosen.calibration.temperature)
    assert bool(chosen.class_offset.any())
    assert chosen.fit(given.logits, given.labels, nn.Identity()) is None
    assert not bool(chosen.class_offset.any())
    assert float(chosen.calibration.temperature) == pytest.approx(before)


def test_a_decision_survives_its_state() -> None:
    given, chosen = scores(), LabelDecision(COUNTS, built(AsymmetricLoss(logit_adjustment=1.0)))
    chosen.choose(given, MacroF1(), [])
    loaded = LabelDecision(COUNTS, built(AsymmetricLoss(logit_adjustment=1.0)))
    loaded.load_state_dict(chosen.state_dict())
    probabilities = chosen.probabilities(given.logits)
    assert torch.equal(loaded.probabilities(given.logits), probabilities)
    assert torch.equal(loaded.labels(probabilities), chosen.labels(probabilities))
    assert torch.equal(loaded.calibration(probabilities), chosen.calibration(probabilities))


def test_a_choice_without_samples_is_none() -> None:
    none = SplitScores(*(values[:0] for values in scores().__dict__.values()))
    chosen = decision()
    chosen.choose(none, MacroF1(), [])
    assert not bool(chosen.class_offset.any())
    state = chosen.calibration.state_dict()
    assert (float(state["temperature"]), float(state["shift"])) == (1.0, 0.0)


def test_corrections_of_classes_that_exclude_each_other_are_refused() -> None:
    decision().use(None)
    with pytest.raises(ValueError, match=r"^stages: expected no correction with data\.labels multi, got PriorCorrect"):
        decision().use(PriorCorrection())


def test_tested_samples_of_several_decisions_are_joined() -> None:
    given, first, second = scores(), decision(), decision()
    second.class_offset.fill_(1.0)
    parts = [SplitScores(*(values[own] for values in given.__dict__.values())) for own in (slice(200), slice(200, 300))]
    joined = tested_predictions.joined_samples([first, second], parts)
    for part, own, place in zip(parts, (first, second), (slice(200), slice(200, 300)), strict=True):
        alone = tested_predictions.tested_samples(own, part)
        for name in ("rows", "labels", "predicted", "calibrated"):
            assert torch.equal(getattr(joined, name)[place], getattr(alone, name))
        probabilities = own.probabilities(part.logits)
        assert torch.equal(alone.predicted, own.labels(probabilities))
        assert torch.equal(joined.calibrated[place], own.calibrated(part.logits))


def test_calibration_keeps_the_digits_of_probabilities_near_1() -> None:
    own = decision()
    own.calibration.temperature.fill_(5.0)
    own.calibration.shift.fill_(-0.5)
    steps = torch.linspace(-15.0, 16.0, 400)
    logits = steps[:, None].repeat(1, len(own.counts))
    seen = own.counts > 0
    expected = torch.sigmoid(own.corrected(logits).double() / 5 - 0.5).masked_fill(~seen, 0)
    torch.testing.assert_close(own.calibrated(logits).double(), expected, atol=1e-6, rtol=0)
    # Less is left of them in 32 bits; where more is, both are the same.
    probabilities = own.probabilities(logits)
    near = own.calibration(probabilities)
    assert float((near - expected).abs().max()) > 1e-3
    torch.testing.assert_close(near[probabilities < 0.99], own.calibrated(logits)[probabilities < 0.99])
    # Log odds are bounded as those that the calibration is fitted to.
    far = own.calibrated(torch.full((1, len(own.counts)), 90.0))
    assert far[:, seen] == pytest.approx(torch.sigmoid(torch.tensor(16.118 / 5 - 0.5)).item(), abs=1e-4)
