"""Losses of a training step and their schedule."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from datamodules.sampling import PowerSampling
from modules.heads.experts import diversity
from modules.heads.head import HeadSettings
from modules.losses import ClassificationLoss, CrossEntropyLoss, SubclusterContrastiveLoss, SupervisedContrastiveLoss
from modules.losses.classification.class_weighting import ClassWeighting, InverseFrequency
from modules.losses.classification.influence_balanced import InfluenceBalancedLoss
from modules.losses.classification.reweighting import Reweighted, WeightsAsOffsets
from modules.losses.contrastive.balanced_contrastive import BalancedContrastiveLoss
from modules.losses.contrastive.instance_balanced_contrastive import InstanceBalancedContrastiveLoss
from modules.training.contrast import Contrast
from modules.training.distillation import Distillation
from modules.training.mixing import Mixup
from tests.modules.small_model import contrast, make_batch, make_model, step


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, False),
        ({"classification_start_epoch": 1, "contrast": contrast(SupervisedContrastiveLoss())}, True),
        ({"contrast": contrast(SupervisedContrastiveLoss(), projection_dims=[4])}, False),
        ({"contrast": contrast(SupervisedContrastiveLoss(), projection_dims=[4], weight=0.0)}, True),
        ({"contrast": contrast(SubclusterContrastiveLoss())}, False),
        ({"contrast": contrast(SubclusterContrastiveLoss(), projection_dims=[4])}, True),
        ({"contrast": contrast(SubclusterContrastiveLoss(), BalancedContrastiveLoss())}, True),
        ({"contrast": contrast(BalancedContrastiveLoss())}, False),
    ],
    ids=lambda value: str(value)[:80],
)
def test_unused_parameters_are_reported(settings: dict[str, Any], expected: bool) -> None:
    model = make_model(**settings)
    assert model.objective.has_unused_parameters == expected
    without_gradient = set()
    for found in (0, 26):
        model.class_state.subcluster_ids = torch.zeros(found, dtype=torch.int64)
        model.zero_grad(set_to_none=True)
        step(model, make_batch()).total.backward()  # type: ignore[no-untyped-call]
        without_gradient |= {name for name, parameter in model.named_parameters() if parameter.grad is None}
    assert bool(without_gradient) == expected


def test_plain_cross_entropy_is_the_loss_of_the_forward_pass() -> None:
    model = make_model().eval()
    batch = make_batch()
    found = step(model, batch)
    expected = torch.nn.functional.cross_entropy(model.network(batch)[1], batch.labels)
    torch.testing.assert_close(found.total, expected)
    assert set(found.losses) == {"classification"}


def test_schedule_of_the_two_losses() -> None:
    losses = contrast(SubclusterContrastiveLoss(), SupervisedContrastiveLoss())
    model = make_model(contrast=losses, classification_start_epoch=2)
    batch = make_batch()
    assert set(step(model, batch, 1).losses) == {"contrastive"}
    assert model.objective.current_contrastive(model.network, model.class_state) is losses.warmup
    model.class_state.subcluster_ids = torch.zeros(26, dtype=torch.int64)
    assert model.objective.current_contrastive(model.network, model.class_state) is losses.loss
    found = step(model, batch, 2)
    assert set(found.losses) == {"contrastive", "classification"}
    torch.testing.assert_close(found.total, found.losses["contrastive"] + found.losses["classification"])
    found.total.backward()  # type: ignore[no-untyped-call]
    assert all(p.grad is not None and bool(p.grad.isfinite().all()) for p in model.parameters())


def test_the_contrastive_weight_scales_its_loss() -> None:
    model = make_model(contrast=contrast(SupervisedContrastiveLoss(), view_probabilities=(0.0, 0.0))).eval()
    half = make_model(contrast=contrast(SupervisedContrastiveLoss(), view_probabilities=(0.0, 0.0), weight=0.5)).eval()
    one, other = step(model, make_batch()).losses, step(half, make_batch()).losses
    torch.testing.assert_close(other["contrastive"], one["contrastive"] / 2)
    torch.testing.assert_close(other["classification"], one["classification"])


def test_before_the_first_recluster_without_warmup_only_the_classification_trains() -> None:
    model = make_model(contrast=contrast(SubclusterContrastiveLoss()))
    assert set(step(model, make_batch()).losses) == {"classification"}


def test_an_epoch_without_a_loss_is_an_error() -> None:
    with pytest.raises(ValueError, match="expected a loss in every epoch, got none in epoch 0"):
        step(make_model(classification_start_epoch=1), make_batch())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"weight": -1.0}, r"model\.contrast\.weight: expected a finite number of 0 or more, got -1\.0"),
        ({"view_probabilities": (1.0, 0.1)}, r"model\.contrast\.view_probabilities: .* got \[1\.0, 0\.1\]"),
    ],
)
def test_contrast_settings_out_of_range_are_named(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Contrast(SupervisedContrastiveLoss(), **settings)


def test_a_negative_start_of_the_classification_is_named() -> None:
    with pytest.raises(ValueError, match=r"model\.classification_start_epoch: expected 0 or more, got -1"):
        make_model(classification_start_epoch=-1)


def test_the_loss_knows_the_epoch_and_sees_the_embeddings() -> None:
    loss = InfluenceBalancedLoss(start_epoch=2)
    model = make_model(classification_loss=loss).eval()
    batch, state = make_batch(), model.class_state
    for epoch in (1, 2):
        loss.set_epoch(epoch)
        embeddings, logits = model.network(batch)
        expected = loss(logits, batch.labels, state.weights, state.counts, embeddings)
        torch.testing.assert_close(step(model, batch, epoch).total, expected)
    assert loss.epoch == 2


def test_mixtures_are_classified_by_both_labels() -> None:
    model = make_model(mixing=Mixup(1.0)).eval()
    batch = make_batch()
    torch.manual_seed(5)
    found = step(model, batch).total
    torch.manual_seed(5)
    mixed = Mixup(1.0).mix(model.network(batch)[0], batch.labels, model.class_state.counts)
    log_probabilities = model.network.classifier(mixed.embeddings).log_softmax(dim=1)
    own, other = (
        -log_probabilities.gather(1, y.unsqueeze(1)).mean() for y in (batch.labels, batch.labels[mixed.partners])
    )
    share = mixed.label_shares[0]
    torch.testing.assert_close(found, share * own + (1 - share) * other)


def test_the_loss_is_the_mean_over_experts_minus_their_diversity() -> None:
    model = make_model(head=HeadSettings(experts=2, expert_diversity=0.5)).eval()
    batch = make_batch()
    outputs = model.network.training_logits(model.network(batch)[0])
    losses = [torch.nn.functional.cross_entropy(output, batch.labels) for output in outputs]
    torch.testing.assert_close(step(model, batch).total, sum(losses) / 2 - 0.5 * diversity(outputs))
    torch.testing.assert_close(model(batch)[:, :2], torch.stack(outputs).mean(dim=0)[:, :2])


def test_class_weights_reach_the_loss() -> None:
    model = make_model().eval()
    batch = make_batch()
    model.class_state.weights.copy_(torch.tensor([0.2, 0.8, 0.0]))
    weights = model.class_state.weights
    expected = torch.nn.functional.cross_entropy(model.network(batch)[1], batch.labels, weight=weights)
    torch.testing.assert_close(step(model, batch).total, expected)


def test_a_weighting_multiplies_the_class_weights() -> None:
    model = make_model().eval()
    model.class_state.weights.copy_(torch.tensor([0.2, 0.8, 0.0]))
    model.objective.weighting = InverseFrequency()
    # 1/20 and 1/6 with a mean of 1 are 6/13 and 20/13.
    expected = torch.tensor([0.2 * 6 / 13, 0.8 * 20 / 13, 0.0])
    torch.testing.assert_close(model.objective.class_weights(model.class_state), expected)


@pytest.mark.parametrize(
    ("loss", "weighting", "power", "removed"),
    [
        (CrossEntropyLoss(), None, 1.0, 0.0),
        (CrossEntropyLoss(0.5), None, 1.0, 0.5),
        (CrossEntropyLoss(), InverseFrequency(), 1.0, 1.0),
        (Reweighted(CrossEntropyLoss(), InverseFrequency(0.5)), None, 1.0, 0.5),
        (Reweighted(CrossEntropyLoss(), InverseFrequency(), start_epoch=1), None, 1.0, 0.0),
        (CrossEntropyLoss(), None, 0.0, 1.0),
        (WeightsAsOffsets(Reweighted(CrossEntropyLoss(0.25), InverseFrequency(0.25))), InverseFrequency(0.1), 0.5, 1.1),
        (WeightsAsOffsets(CrossEntropyLoss(), 0.5), InverseFrequency(), 1.0, 0.5),
        (Reweighted(WeightsAsOffsets(CrossEntropyLoss(), 2.0), InverseFrequency(0.5)), None, 1.0, 1.0),
    ],
)
def test_the_prior_is_removed_by_the_loss_by_weights_and_by_sampling(
    loss: ClassificationLoss, weighting: ClassWeighting | None, power: float, removed: float
) -> None:
    model, counts = make_model(classification_loss=loss), torch.tensor([100, 10, 0, 3])
    model.objective.weighting = weighting
    shares = torch.from_numpy(PowerSampling(power).shares(counts.numpy(), 0)).float()
    assert model.objective.removed_prior(counts, shares) == pytest.approx(removed, abs=1e-5)


def test_instance_balance_weights_the_classification_loss_of_each_sample() -> None:
    model = make_model(contrast=contrast(InstanceBalancedContrastiveLoss(0.5), view_probabilities=(0.0, 0.0)))
    found = step(model, make_batch()).losses
    # Three samples of each class, so five positives for every anchor.
    share = 1 / (1 + 0.5 * 5)
    plain = step(make_model(), make_batch()).total
    assert float(found["classification"].detach()) == pytest.approx(share * float(plain.detach()), rel=1e-5)


@pytest.mark.parametrize(
    ("loss", "weights"),
    [
        (CrossEntropyLoss(), [0.1, 0.9]),
        # 0.1 and 0.9 times the inverse of 20 and 6.
        (Reweighted(CrossEntropyLoss(), InverseFrequency()), [0.1 / 20, 0.9 / 6]),
        (WeightsAsOffsets(CrossEntropyLoss()), [1.0, 1.0]),
    ],
)
def test_shares_of_samples_multiply_their_losses_whatever_the_class_weights(
    loss: ClassificationLoss, weights: list[float]
) -> None:
    model = make_model(classification_loss=loss)
    model.class_state.weights.copy_(torch.tensor([0.1, 0.9, 0.0]))
    embeddings, labels = torch.randn(4, 8, generator=torch.Generator().manual_seed(0)), torch.tensor([0, 0, 0, 1])
    shares = torch.tensor([0.1, 0.2, 0.3, 0.8])
    with torch.no_grad():
        outputs, found = model.objective._classify(embeddings, labels, model.network, model.class_state, shares)
    of_one = [
        loss(row[None], label[None], model.class_state.weights, model.class_state.counts)
        for row, label in zip(outputs, labels, strict=True)
    ]
    losses, own = torch.stack(of_one), torch.tensor(weights)[labels]
    assert float(found) == pytest.approx(float((own * shares * losses).sum() / own.sum()), rel=1e-4)


def test_shares_of_samples_of_weight_0_give_a_loss_of_0() -> None:
    model = make_model(contrast=contrast(InstanceBalancedContrastiveLoss(0.5)))
    model.class_state.weights.zero_()
    losses = step(model, make_batch()).losses
    assert float(losses["classification"].detach()) == 0
    losses["classification"].backward()  # type: ignore[no-untyped-call]
    gradients = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
    assert all(bool(gradient.isfinite().all()) for gradient in gradients)


def test_a_student_follows_its_teacher_by_the_weight() -> None:
    batch = make_batch()
    plain = float(step(make_model(), batch).total.detach())
    model = make_model()
    model.objective.distillation = Distillation(0.25, 1.0)
    assert float(step(model, batch).total.detach()) == pytest.approx(plain, rel=1e-6)
    model.objective.teacher = lambda given: torch.zeros(len(given), 3)
    found = step(model, batch).losses
    assert float(found["classification"].detach()) == pytest.approx(0.75 * plain, rel=1e-5)
    assert found["distillation"] > 0
