import math

import pytest
import torch
from torch import Tensor, nn

from modules.evaluation.logit_correction import LogitCorrection, PriorCorrection, TauNormalization
from modules.heads.cosine_linear import CosineLinear

CLASSIFIER = nn.Sequential(nn.Linear(3, 3))


def balanced_accuracy(scores: Tensor, labels: Tensor) -> float:
    recalls = [float((scores[labels == c].argmax(dim=1) == c).float().mean()) for c in set(labels.tolist())]
    return sum(recalls) / len(recalls)


def draw() -> tuple[Tensor, Tensor, Tensor]:
    """Logits of one feature with a bias towards larger classes."""
    generator = torch.Generator().manual_seed(0)
    counts = torch.tensor([800, 150, 50])
    labels = torch.arange(3).repeat_interleave(counts)
    logits = 1.5 * torch.eye(3)[labels] + torch.randn(1_000, 3, generator=generator) + counts.log()
    return logits, labels, counts


@pytest.mark.parametrize("correction", [PriorCorrection(2.0, 8), TauNormalization(1.0, 4)])
def test_the_best_strength_on_validation_is_chosen(correction: LogitCorrection) -> None:
    logits, labels, counts = draw()
    strength, scale, offset = correction.choose(logits, labels, counts, CLASSIFIER)
    tried = {}
    for step in range(correction.steps + 1):
        value = correction.max_strength * step / correction.steps
        own_scale, own_offset = correction.correction(value, counts, CLASSIFIER)
        tried[value] = balanced_accuracy(own_scale * logits + own_offset, labels)
    assert strength == max(tried, key=lambda value: (round(tried[value], 9), -value))
    assert balanced_accuracy(scale * logits + offset, labels) == pytest.approx(max(tried.values()))


def test_a_prior_in_the_logits_is_removed() -> None:
    logits, labels, counts = draw()
    strength, scale, offset = PriorCorrection(2.0, 8).choose(logits, labels, counts, CLASSIFIER)
    assert strength == pytest.approx(1.0, abs=0.3)
    assert scale.tolist() == [1, 1, 1]
    expected = torch.tensor([-strength * math.log(count / 1_000) for count in counts.tolist()])
    torch.testing.assert_close(offset, expected)


def test_tau_normalization_divides_by_the_norm_and_drops_the_bias() -> None:
    hidden = torch.randn(5, 3, generator=torch.Generator().manual_seed(1))
    layer = CLASSIFIER[0]
    assert isinstance(layer, nn.Linear)
    scale, offset = TauNormalization().correction(0.7, torch.ones(3), CLASSIFIER)
    expected = hidden @ (layer.weight / layer.weight.norm(dim=1, keepdim=True) ** 0.7).T
    torch.testing.assert_close(scale * layer(hidden) + offset, expected)
    scale, offset = TauNormalization().correction(0.0, torch.ones(3), CLASSIFIER)
    torch.testing.assert_close(scale * layer(hidden) + offset, layer(hidden))
    with pytest.raises(ValueError, match="ends with a linear layer, got CosineLinear"):
        TauNormalization().correction(1.0, torch.ones(3), nn.Sequential(CosineLinear(3, 3, 1.0)))


def test_a_class_without_training_samples_is_not_predicted() -> None:
    logits, labels = torch.tensor([[1.0, 0.0, 5.0], [0.0, 1.0, 5.0]]), torch.tensor([0, 1])
    strength, _, _ = PriorCorrection().choose(logits, labels, torch.tensor([5, 5, 0]), CLASSIFIER)
    assert strength == 0


def test_settings_out_of_range_are_named() -> None:
    with pytest.raises(ValueError, match="max_strength: expected a positive finite number"):
        PriorCorrection(0.0)
    with pytest.raises(ValueError, match="steps: expected 1 or more"):
        TauNormalization(1.0, 0)
