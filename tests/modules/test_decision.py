"""From logits to probabilities: correction, calibration, and classes that are never predicted."""

from __future__ import annotations

import pytest
import torch

from modules.decision import Decision
from modules.decisions.objectives import Accuracy, AsTrained, BalancedAccuracy, CostMatrix, DecisionObjective
from modules.evaluation.calibration import TemperatureScaling
from modules.evaluation.logit_correction import PriorCorrection
from modules.evaluation.split_scores import SplitScores
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


def test_calibration_is_that_of_the_training_prior_with_a_correction_and_without() -> None:
    logits, labels = drawn()
    decision, plain = Decision(COUNTS, CrossEntropyLoss()), Decision(COUNTS, CrossEntropyLoss())
    decision.use(PriorCorrection())
    assert decision.fit(logits, labels, torch.nn.Identity())
    plain.fit(logits, labels, torch.nn.Identity())
    assert not torch.equal(decision.probabilities(logits), plain.probabilities(logits))
    torch.testing.assert_close(decision.calibrated(logits), plain.calibrated(logits), atol=5e-4, rtol=2e-3)
    assert float(decision.calibration.temperature) != 1.0


@pytest.mark.parametrize("removed", [0.0, 1.0])
@pytest.mark.parametrize("objective", [AsTrained(), BalancedAccuracy(), Accuracy()], ids=lambda one: type(one).__name__)
def test_calibrated_probabilities_are_frequencies_whatever_the_loss_and_the_objective(
    removed: float, objective: DecisionObjective
) -> None:
    counts, generator = torch.tensor([9_700, 300]), torch.Generator().manual_seed(0)
    labels = (torch.rand(40_000, generator=generator) < 0.03).long()
    # The logarithm of a ratio of two normal densities, of distance 3.
    ratio = torch.where(labels == 1, 4.5, -4.5) + 3 * torch.randn(len(labels), generator=generator)
    likelihoods = torch.stack([torch.zeros_like(ratio), ratio], dim=1)
    logits = 1.5 * likelihoods + (1 - removed) * (counts / 10_000).log()
    decision = Decision(counts, CrossEntropyLoss(removed))
    at_prior = decision.labels_at_prior(logits)
    scores = SplitScores(torch.arange(len(labels)), labels, logits, at_prior)
    decision.choose(scores.part(torch.arange(20_000)), objective, [0])
    assert float(decision.calibration.temperature) == pytest.approx(1.5, abs=0.05)
    posterior = (likelihoods + (counts / 10_000).log()).softmax(dim=1)
    torch.testing.assert_close(decision.calibrated(logits)[20_000:], posterior[20_000:], atol=0.02, rtol=0)


def test_evidential_probabilities_are_calibrated_by_a_temperature_alone() -> None:
    logits, labels = drawn(200)
    decision, plain = Decision(COUNTS, EvidentialLoss()), TemperatureScaling(COUNTS)
    decision.choose(scores_of(logits, labels), BalancedAccuracy(), [0])
    plain.fit(decision.probabilities(logits), labels)
    assert not decision.calibration.offset.any()
    assert torch.equal(decision.calibration.temperature, plain.temperature)


def test_costs_count_frequencies_as_among_the_samples() -> None:
    # Classes share training samples 20 to 6, and those of the choice evenly; equal costs ask for the likeliest class.
    logits = torch.randn(4_000, 3, generator=torch.Generator().manual_seed(0))
    labels = torch.multinomial(logits[:, :2].softmax(dim=1), 1, generator=torch.Generator().manual_seed(1))[:, 0]
    decision = Decision(COUNTS, CrossEntropyLoss(1.0))
    decision.choose(scores_of(logits, labels), CostMatrix(1 - torch.eye(3)), [0])
    found = decision.labels(decision.probabilities(logits))
    assert float((found == logits[:, :2].argmax(dim=1)).double().mean()) > 0.97


def test_an_objective_changes_neither_uncertainty_nor_the_amount_of_evidence() -> None:
    logits, labels = drawn(200)
    decision = Decision(COUNTS, EvidentialLoss())
    before = decision.uncertainty(logits)
    decision.choose(scores_of(logits, labels), BalancedAccuracy(), [0])
    after = decision.uncertainty(logits)
    assert before is not None
    assert after is not None
    assert torch.equal(before, after)
    assert bool(decision.class_offset.any())
    assert float(decision.class_offset[:2].sum()) == pytest.approx(0, abs=1e-6)


def test_uncertainty_is_defined_by_the_loss() -> None:
    logits, _ = drawn()
    assert not Decision(COUNTS, CrossEntropyLoss()).has_uncertainty
    decision = Decision(COUNTS, EvidentialLoss())
    assert decision.has_uncertainty
    uncertainty = decision.uncertainty(logits)
    assert uncertainty is not None
    # Two classes with samples and evidence exp z: K / S with S = sum(1 + exp z).
    torch.testing.assert_close(uncertainty, 2 / (2 + logits[:, :2].exp().sum(dim=1)))


def scores_of(logits: torch.Tensor, labels: torch.Tensor) -> SplitScores:
    at_prior = Decision(COUNTS, CrossEntropyLoss()).labels_at_prior(logits)
    return SplitScores(torch.arange(len(labels)), labels, logits, at_prior)


def chosen(objective: DecisionObjective, loss: float = 0.0) -> Decision:
    decision = Decision(COUNTS, CrossEntropyLoss(loss))
    decision.choose(scores_of(*drawn(200)), objective, [0])
    return decision


def test_a_choice_adds_its_offset_whose_mean_is_0() -> None:
    logits, labels = drawn(200)
    decision = chosen(BalancedAccuracy())
    samples = Decision(COUNTS, CrossEntropyLoss()).samples(scores_of(logits, labels), [0])
    offset = BalancedAccuracy().choose(samples).offset
    offset -= offset[:2].mean()
    torch.testing.assert_close(decision.scores(logits)[:, :2], (logits + offset)[:, :2])
    probabilities = decision.probabilities(logits)
    assert torch.equal(decision.labels(probabilities), probabilities.argmax(dim=1))


def test_as_trained_is_the_decision_of_the_last_fit_also_with_a_correction() -> None:
    logits, labels = drawn(200)
    decision = Decision(COUNTS, CrossEntropyLoss())
    decision.use(PriorCorrection())
    decision.fit(logits, labels, torch.nn.Identity())
    before = decision.probabilities(logits), float(decision.calibration.temperature)
    decision.choose(scores_of(logits, labels), CostMatrix(1 - torch.eye(3)), [0])
    assert not torch.equal(decision.probabilities(logits), before[0])
    decision.choose(scores_of(logits, labels), AsTrained(), [0])
    assert torch.equal(decision.probabilities(logits), before[0])
    assert float(decision.calibration.temperature) == before[1]


def test_training_on_forgets_the_choice() -> None:
    logits, labels = drawn(200)
    decision = chosen(CostMatrix(torch.tensor([[0.0, 9.0, 9.0], [1.0, 0.0, 9.0], [9.0, 9.0, 0.0]])))
    scores = scores_of(logits, labels)
    assert set(decision.compared_labels(scores)) == {"head_kept", "at_prior"}
    decision.fit(logits, labels, torch.nn.Identity())
    assert torch.equal(decision.scores(logits)[:, :2], logits[:, :2])
    assert decision.costs is None
    assert decision.compared_labels(scores) == {}


def test_costs_are_minimized_in_expectation_by_calibrated_probabilities_at_the_training_prior() -> None:
    costs = torch.tensor([[0.0, 1.0, -5.0], [7.0, 0.0, -5.0], [9.0, 9.0, -5.0]])
    logits, _ = drawn(200)
    logits = logits - torch.tensor([20 / 26, 6 / 26, 1.0]).log()
    decision = chosen(CostMatrix(costs), loss=1.0)
    probabilities = decision.probabilities(logits)
    prior = (logits + torch.tensor([20 / 26, 6 / 26, 0.0]).log()).softmax(dim=1)
    torch.testing.assert_close(probabilities, prior, atol=1e-5, rtol=1e-4)
    calibrated = decision.calibration(probabilities).double()
    for row, label in zip(calibrated.tolist(), decision.labels(probabilities).tolist(), strict=True):
        expected = [sum(row[true] * float(costs[true, told]) for true in (0, 1)) for told in (0, 1)]
        # The third class is the cheapest, but has no training samples.
        assert expected[label] == min(expected)
    assert not torch.equal(decision.labels(probabilities), probabilities.argmax(dim=1))


def test_a_choice_is_saved() -> None:
    logits, drawn_labels = drawn(200)
    scores = scores_of(logits, drawn_labels)
    costs = torch.tensor([[0.0, 1.0, 1.0], [9.0, 0.0, 1.0], [1.0, 1.0, 0.0]])
    for objective in (CostMatrix(costs), BalancedAccuracy()):
        decision, loaded = chosen(objective), Decision(COUNTS, CrossEntropyLoss())
        loaded.load_state_dict(decision.state_dict())
        probabilities = loaded.probabilities(logits)
        assert torch.equal(probabilities, decision.probabilities(logits))
        assert torch.equal(loaded.labels(probabilities), decision.labels(probabilities))
        for name, labels in decision.compared_labels(scores).items():
            assert torch.equal(loaded.compared_labels(scores)[name], labels)


@pytest.mark.parametrize(
    "costs",
    [torch.zeros(2, 3), torch.zeros(10_000), torch.full((3, 3), torch.nan), torch.zeros(3, 3).char(), "x"],
)
def test_costs_of_a_checkpoint_that_are_none_are_refused(costs: object) -> None:
    state = chosen(BalancedAccuracy()).state_dict()
    state["_extra_state"] = {"costs": costs}
    with pytest.raises(ValueError, match=r"^costs: expected finite float32 \(3, 3\)"):
        Decision(COUNTS, CrossEntropyLoss()).load_state_dict(state)


def test_nothing_is_chosen_without_samples() -> None:
    decision = Decision(COUNTS, CrossEntropyLoss())
    decision.choose(scores_of(torch.zeros(3, 3), torch.full((3,), 2)), BalancedAccuracy(), [0])
    assert not decision.class_offset.any()
    assert float(decision.calibration.temperature) == 1.0
    decision.class_offset.fill_(2)
    decision.head_kept_offset.fill_(1)
    decision.choose(scores_of(torch.zeros(3, 3), torch.full((3,), 2)), BalancedAccuracy(), [0])
    assert not decision.class_offset.any()
    assert decision.head_kept_offset.isnan().all()
