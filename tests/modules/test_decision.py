"""From logits to probabilities: correction, calibration, and classes that are never predicted."""

from __future__ import annotations

import pytest
import torch

from modules.decision import Decision
from modules.evaluation.logit_correction import PriorCorrection
from modules.losses import CrossEntropyLoss
from modules.losses.classification.evidential import EvidentialLoss

COUNTS = torch.tensor([20, 6, 0])


def drawn(samples: int = 40) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits that favor class 0 by 1.5, and the labels of the classes that they favor without that."""
    logits = torch.randn(samples, 3, generator=torch.Generator().manual_seed(0))
    labels = logits[:, :2].argmax(dim=1)
    logits[:, 0] += 1.5
    return logits, labels


def test_a_class_without_training_samples_is_never_predicted() -> None:
    decision = Decision(COUNTS, CrossEntropyLoss())
    probabilities = decision.probabilities(torch.tensor([[0.0, 0.0, 50.0]]))
    assert probabilities.tolist() == [[0.5, 0.5, 0.0]]
    assert decision.calibration(probabilities)[0, 2] == 0


def test_without_correction_scores_are_the_logits() -> None:
    logits, labels = drawn()
    decision = Decision(COUNTS, CrossEntropyLoss())
    assert decision.fit(logits, labels, torch.nn.Identity()) is None
    assert torch.equal(decision.scores(logits)[:, :2], logits[:, :2])


def test_the_correction_is_chosen_where_it_is_best() -> None:
    logits, labels = drawn()
    decision = Decision(COUNTS, CrossEntropyLoss())
    decision.use(PriorCorrection())
    strength = decision.fit(logits, labels, torch.nn.Identity())
    expected, scale, offset = PriorCorrection().choose(logits, labels, COUNTS, torch.nn.Identity())
    assert strength == expected
    assert expected > 0
    torch.testing.assert_close(decision.scores(logits)[:, :2], (scale * logits + offset)[:, :2])
    loaded = Decision(COUNTS, CrossEntropyLoss())
    loaded.load_state_dict(decision.state_dict())
    assert torch.equal(loaded.probabilities(logits), decision.probabilities(logits))


def test_a_correction_ends_when_none_follows_it() -> None:
    logits, labels = drawn()
    decision = Decision(COUNTS, CrossEntropyLoss())
    decision.use(PriorCorrection())
    decision.fit(logits, labels, torch.nn.Identity())
    assert not torch.equal(decision.scores(logits)[:, :2], logits[:, :2])
    decision.use(None)
    decision.fit(logits, labels, torch.nn.Identity())
    assert torch.equal(decision.scores(logits)[:, :2], logits[:, :2])


def test_calibration_is_fitted_on_corrected_probabilities() -> None:
    logits, labels = drawn()
    decision, plain = Decision(COUNTS, CrossEntropyLoss()), Decision(COUNTS, CrossEntropyLoss())
    decision.use(PriorCorrection())
    decision.fit(logits, labels, torch.nn.Identity())
    plain.calibration.fit(decision.probabilities(logits), labels)
    assert float(decision.calibration.temperature) == pytest.approx(float(plain.calibration.temperature))
    assert float(decision.calibration.temperature) != 1.0


def test_uncertainty_is_defined_by_the_loss() -> None:
    logits, _ = drawn()
    assert not Decision(COUNTS, CrossEntropyLoss()).has_uncertainty
    decision = Decision(COUNTS, EvidentialLoss())
    assert decision.has_uncertainty
    uncertainty = decision.uncertainty(logits)
    assert uncertainty is not None
    # Two classes with samples and evidence exp z: K / S with S = sum(1 + exp z).
    torch.testing.assert_close(uncertainty, 2 / (2 + logits[:, :2].exp().sum(dim=1)))
