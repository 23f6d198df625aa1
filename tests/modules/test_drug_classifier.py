"""The LightningModule: schedule, losses, buffers, checkpoints."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast
from unittest.mock import PropertyMock, patch

import pytest
import torch
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor

from base.errors import InputError
from datamodules.batch import Batch, FingerprintBatch
from datamodules.chemistry.molecule_features import FeatureSettings
from datamodules.drug_datamodule import DrugDataModule
from datamodules.drug_task import DrugTask
from modules.distillation import Distillation
from modules.drug_classifier import DrugClassifier
from modules.encoders import FingerprintMLP
from modules.evaluation.logit_correction import PriorCorrection, TauNormalisation
from modules.heads.experts import diversity
from modules.losses import CrossEntropyLoss, SubclusterContrastiveLoss, SupervisedContrastiveLoss
from modules.losses.classification.influence_balanced import InfluenceBalancedLoss
from modules.losses.contrastive.balanced_contrastive import BalancedContrastiveLoss
from modules.losses.contrastive.instance_balanced_contrastive import InstanceBalancedContrastiveLoss
from modules.mixing import Mixup

TASK = DrugTask("molecule", ("a", "b", "c"), (20, 6, 0), FeatureSettings(2, 64))


def make_model(**settings: Any) -> DrugClassifier:
    """A small model built for `TASK`."""
    torch.manual_seed(0)
    model = DrugClassifier(FingerprintMLP([8]), **{"classification_loss": CrossEntropyLoss(), **settings})
    model.build(TASK)
    return model


def make_batch(size: int = 6) -> Batch:
    """Samples of four fingerprint bins each and no graphs."""
    generator = torch.Generator().manual_seed(1)
    fingerprints = FingerprintBatch(
        molecule=torch.arange(size).repeat_interleave(4),
        bin=torch.randint(64, (4 * size,), generator=generator),
        count=torch.ones(4 * size),
        shape=(size, 64),
    )
    return Batch(torch.arange(size), torch.arange(size) % 2, fingerprints=fingerprints)


def step(model: DrugClassifier, batch: Batch, epoch: int) -> tuple[Tensor, dict[str, float]]:
    """The loss of one training step at an epoch, and what it logs."""
    logged: dict[str, float] = {}

    def log(name: str, value: Tensor, *_: object, **__: object) -> None:
        logged[name] = float(value)

    with (
        patch.object(DrugClassifier, "current_epoch", new_callable=PropertyMock, return_value=epoch),
        patch.object(model, "log", log),
    ):
        return model.training_step(batch, 0)["loss"], logged


def test_a_fresh_model_weighs_the_classes_with_samples_alike_and_has_no_subclusters() -> None:
    model = make_model()
    assert model.class_weights.tolist() == [0.5, 0.5, 0.0]
    assert len(model.subcluster_ids) == len(model.subcluster_centroids) == len(model.subcluster_classes) == 0
    assert not model.reclustered


def test_without_subclusters_again_all_is_as_in_a_fresh_model() -> None:
    model, fresh = make_model(), make_model()
    model.class_weights = torch.tensor([0.75, 0.25, 0.0])
    model.class_temperatures = torch.tensor([0.5, 0.25, 0.125])
    model.subcluster_ids = torch.zeros(26, dtype=torch.int64)
    model.forget_subclusters()
    for name, value in fresh.state_dict().items():
        assert torch.equal(model.state_dict()[name], value), name


@pytest.mark.parametrize(
    "settings",
    [
        {"view_probabilities": (1.0, 0.1)},
        {"dropout": 1.0},
        {"head_fraction": 0.0},
        {"head_fraction": 0.6, "tail_fraction": 0.5},
        {"correction": TauNormalisation(), "experts": 2},
        {"correction": TauNormalisation(), "cosine_scale": 10.0},
    ],
    ids=str,
)
def test_settings_that_cannot_work_are_refused_before_there_are_data(settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(settings))):
        DrugClassifier(FingerprintMLP([8]), CrossEntropyLoss(), **settings)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, False),
        ({"projection_dims": [4]}, True),
        ({"classification_start_epoch": 1, "contrastive": SupervisedContrastiveLoss()}, True),
        ({"contrastive": SupervisedContrastiveLoss(), "projection_dims": [4]}, False),
        ({"contrastive": SupervisedContrastiveLoss(), "projection_dims": [4], "contrastive_weight": 0.0}, True),
        ({"contrastive": SubclusterContrastiveLoss()}, False),
        ({"contrastive": SubclusterContrastiveLoss(), "projection_dims": [4]}, True),
        ({"contrastive": SubclusterContrastiveLoss(), "warmup_contrastive": BalancedContrastiveLoss()}, True),
        ({"contrastive": BalancedContrastiveLoss()}, False),
    ],
    ids=str,
)
def test_parameters_that_some_step_leaves_out_are_known(settings: dict[str, Any], expected: bool) -> None:
    model = make_model(view_probabilities=(0.1, 0.1), **settings)
    assert model.has_unused_parameters == expected
    without_gradient = set()
    for found in (0, 26):
        model.subcluster_ids = torch.zeros(found, dtype=torch.int64)
        model.zero_grad(set_to_none=True)
        step(model, make_batch(), 0)[0].backward()  # type: ignore[no-untyped-call]
        without_gradient |= {name for name, parameter in model.named_parameters() if parameter.grad is None}
    assert bool(without_gradient) == expected


def test_plain_cross_entropy_step_is_the_loss_of_the_forward_pass() -> None:
    model = make_model().eval()
    batch = make_batch()
    loss, logged = step(model, batch, 0)
    expected = torch.nn.functional.cross_entropy(model.classifier(model.encoder(batch)), batch.labels)
    torch.testing.assert_close(loss, expected)
    assert set(logged) == {"train/classification", "train/loss"}


def test_schedule_of_the_two_losses() -> None:
    model = make_model(
        contrastive=SubclusterContrastiveLoss(),
        warmup_contrastive=SupervisedContrastiveLoss(),
        view_probabilities=(0.1, 0.1),
        classification_start_epoch=2,
    )
    batch = make_batch()
    _, logged = step(model, batch, 1)
    assert set(logged) == {"train/contrastive", "train/loss"}
    assert model._current_contrastive() is model.warmup_contrastive
    model.subcluster_ids = torch.zeros(26, dtype=torch.int64)
    assert model._current_contrastive() is model.contrastive
    loss, logged = step(model, batch, 2)
    assert set(logged) == {"train/contrastive", "train/classification", "train/loss"}
    assert logged["train/loss"] == pytest.approx(logged["train/contrastive"] + logged["train/classification"], rel=1e-5)
    loss.backward()  # type: ignore[no-untyped-call]
    assert all(p.grad is not None and bool(p.grad.isfinite().all()) for p in model.parameters())


def test_the_contrastive_weight_scales_its_loss() -> None:
    settings: dict[str, Any] = {"contrastive": SupervisedContrastiveLoss(), "view_probabilities": (0.0, 0.0)}
    _, one = step(make_model(**settings).eval(), make_batch(), 0)
    _, half = step(make_model(contrastive_weight=0.5, **settings).eval(), make_batch(), 0)
    assert half["train/contrastive"] == pytest.approx(one["train/contrastive"] / 2)
    assert half["train/classification"] == pytest.approx(one["train/classification"])


def test_before_the_first_recluster_without_warmup_only_the_classifier_trains() -> None:
    model = make_model(contrastive=SubclusterContrastiveLoss(), view_probabilities=(0.1, 0.1))
    assert set(step(model, make_batch(), 0)[1]) == {"train/classification", "train/loss"}


def test_an_epoch_without_any_loss_is_an_error() -> None:
    with pytest.raises(ValueError, match="epoch 0 has no loss to train on"):
        step(make_model(classification_start_epoch=1), make_batch(), 0)


def test_settings_out_of_range_are_named() -> None:
    with pytest.raises(ValueError, match=r"view_probabilities: a contrastive loss needs two numbers"):
        make_model(contrastive=SupervisedContrastiveLoss())
    with pytest.raises(ValueError, match=r"contrastive_weight and classification_start_epoch: .* got -1 and 0"):
        make_model(contrastive_weight=-1)


@pytest.mark.parametrize("classifier_dims", [None, [6]])
def test_a_cosine_classifier_is_bounded_by_its_scale(classifier_dims: list[int] | None) -> None:
    model = make_model(cosine_scale=3.0, classifier_dims=classifier_dims).eval()
    logits = model.classifier(100 * torch.randn(20, model.encoder.output_dim))
    assert logits.shape == (20, 3)
    assert logits.abs().max() <= 3.0001
    with pytest.raises(ValueError, match="cosine_scale: expected a number above 0, got 0"):
        make_model(cosine_scale=0.0)


def test_the_loss_knows_the_epoch_and_sees_the_embeddings() -> None:
    model = make_model(classification_loss=InfluenceBalancedLoss(start_epoch=2)).eval()
    batch = make_batch()
    for epoch in (1, 2):
        model.classification_loss.set_epoch(epoch)
        embeddings = model.encoder(batch)
        arguments = batch.labels, model.class_weights, model.class_counts, embeddings
        expected = model.classification_loss(model.classifier(embeddings), *arguments)
        torch.testing.assert_close(step(model, batch, epoch)[0], expected)
    assert model.classification_loss.epoch == 2


def test_mixtures_are_classified_by_both_labels() -> None:
    model = make_model(mixing=Mixup(1.0)).eval()
    batch = make_batch()
    torch.manual_seed(5)
    found, _ = step(model, batch, 0)
    torch.manual_seed(5)
    mixed = Mixup(1.0).mix(model.encoder(batch), batch.labels, model.class_counts)
    log_probabilities = model.classifier(mixed.embeddings).log_softmax(dim=1)
    own, other = (
        -log_probabilities.gather(1, y.unsqueeze(1)).mean() for y in (batch.labels, batch.labels[mixed.partners])
    )
    share = mixed.label_shares[0]
    torch.testing.assert_close(found, share * own + (1 - share) * other)


def test_the_correction_is_chosen_at_validation_and_used_outside_training() -> None:
    model = make_model(correction=PriorCorrection()).eval()
    batch = make_batch()
    # Right for every sample once the bias towards the larger class is taken away.
    gap = (lambda logits: logits[:, 1] - logits[:, 0])(model.classifier(model.encoder(batch)).detach())
    batch = replace(batch, labels=(gap > gap.median()).long())
    model.classifier.state_dict()["0.bias"][0] += gap.median() + 1.0
    logits = model.classifier(model.encoder(batch)).detach()
    torch.testing.assert_close(model(batch)[:, :2], logits[:, :2])
    model.validation_step(batch, 0)
    with patch.object(model, "log"), patch.object(DrugClassifier, "trainer") as trainer:
        trainer.state.fn = TrainerFn.FITTING
        model.on_validation_epoch_end()
    strength, scale, offset = PriorCorrection().choose(logits, batch.labels, model.class_counts, model.classifier)
    assert strength > 0
    torch.testing.assert_close(model(batch)[:, :2], (scale * logits + offset)[:, :2])
    assert {"logit_scale", "logit_offset"} <= set(model.state_dict())
    with patch.object(model, "log"), patch.object(DrugClassifier, "trainer") as trainer:
        trainer.state.fn = TrainerFn.VALIDATING
        model.validation_step(replace(batch, labels=1 - batch.labels), 0)
        model.on_validation_epoch_end()
    torch.testing.assert_close(model.logit_offset, offset)
    again = make_model(correction=PriorCorrection())
    again.load_state_dict(model.state_dict())
    torch.testing.assert_close(again.eval()(batch), model(batch))


def test_a_frozen_encoder_gets_no_gradient_and_keeps_its_statistics() -> None:
    model = make_model(contrastive=SupervisedContrastiveLoss(), view_probabilities=(0.1, 0.1)).train()
    model.encoder_frozen = True
    before = {name: value.clone() for name, value in model.encoder.state_dict().items()}
    loss, logged = step(model, make_batch(), 0)
    loss.backward()  # type: ignore[no-untyped-call]
    assert set(logged) == {"train/classification", "train/loss"}
    assert all(parameter.grad is None for parameter in model.encoder.parameters())
    assert all(parameter.grad is not None for parameter in model.classifier.parameters())
    assert all(torch.equal(value, before[name]) for name, value in model.encoder.state_dict().items())


def test_experts_share_the_loss_and_are_rewarded_for_differing() -> None:
    model = make_model(experts=2, expert_diversity=0.5).eval()
    batch = make_batch()
    found, _ = step(model, batch, 0)
    outputs = model.classifier.training_outputs(model.encoder(batch), False)
    losses = [torch.nn.functional.cross_entropy(output, batch.labels) for output in outputs]
    torch.testing.assert_close(found, sum(losses) / 2 - 0.5 * diversity(outputs))
    torch.testing.assert_close(model(batch)[:, :2], torch.stack(outputs).mean(dim=0)[:, :2])
    with pytest.raises(ValueError, match=r"experts and expert_diversity: .* got 0 and 0\.2"):
        make_model(experts=0)


def test_class_weights_reach_the_loss() -> None:
    model = make_model().eval()
    batch = make_batch()
    model.class_weights.copy_(torch.tensor([0.2, 0.8, 0.0]))
    loss, _ = step(model, batch, 0)
    expected = torch.nn.functional.cross_entropy(
        model.classifier(model.encoder(batch)), batch.labels, weight=model.class_weights
    )
    torch.testing.assert_close(loss, expected)


def test_a_checkpoint_builds_the_model_and_carries_the_buffers() -> None:
    saved = make_model(projection_dims=[4], classifier_dims=[5])
    saved.subcluster_ids = torch.arange(26)
    saved.class_temperatures.copy_(torch.tensor([0.1, 0.2, 0.3]))
    checkpoint: dict[str, Any] = {"state_dict": saved.state_dict()}
    saved.on_save_checkpoint(checkpoint)
    loaded = DrugClassifier(FingerprintMLP([8]), CrossEntropyLoss(), projection_dims=[4], classifier_dims=[5])
    loaded.on_load_checkpoint(checkpoint)
    loaded.load_state_dict(checkpoint["state_dict"])
    assert loaded.task == TASK
    assert loaded.subcluster_ids.tolist() == list(range(26))
    torch.testing.assert_close(loaded.eval()(make_batch()), saved.eval()(make_batch()))
    assert {"subcluster_ids", "class_temperatures", "class_weights"} <= set(checkpoint["state_dict"])


def test_a_checkpoint_of_other_data_is_refused() -> None:
    checkpoint: dict[str, Any] = {}
    make_model().on_save_checkpoint(checkpoint)
    checkpoint["drug_task"]["class_counts"] = [21, 6, 0]
    with pytest.raises(ValueError, match=r"ckpt_path: the checkpoint was trained on 27 samples of 3 classes"):
        make_model().on_load_checkpoint(checkpoint)


def test_a_class_without_training_samples_is_never_predicted() -> None:
    model = make_model().eval()
    assert isinstance(model.classifier, torch.nn.Sequential)
    last = model.classifier[-1]
    assert isinstance(last, torch.nn.Linear)
    with torch.no_grad():
        last.bias[2] = 50.0
    prediction = model.predict_step(make_batch(), 0)
    assert (prediction.probabilities[:, 2] == 0).all()
    assert (prediction.calibrated[:, 2] == 0).all()


def test_predict_step_gives_probabilities_of_each_sample() -> None:
    model = make_model().eval()
    prediction = model.predict_step(make_batch(), 0)
    assert prediction.uncertainty is None
    assert not model.has_uncertainty
    assert prediction.sample_index.tolist() == list(range(6))
    torch.testing.assert_close(prediction.probabilities.sum(1), torch.ones(6))
    torch.testing.assert_close(prediction.calibrated, prediction.probabilities)
    torch.testing.assert_close(prediction.embeddings, model.embed(make_batch()))


def test_steps_are_seeded_by_their_number(monkeypatch: pytest.MonkeyPatch) -> None:
    model = make_model()
    model._trainer = type("Trainer", (), {"current_epoch": 3, "global_rank": 0})()

    def draw(batch_index: int) -> float:
        model.on_train_batch_start(make_batch(), batch_index)
        return float(torch.rand(()))

    first, second = draw(0), draw(1)
    assert (draw(0), draw(1)) == (first, second)
    assert first != second
    monkeypatch.setenv("PL_GLOBAL_SEED", "1")
    assert draw(0) != first


def test_the_task_comes_from_the_data_module() -> None:
    data = DrugDataModule(fingerprint_size=64)
    data.setup("fit")
    model = DrugClassifier(FingerprintMLP([8]), CrossEntropyLoss())
    model._trainer = type("Trainer", (), {"datamodule": data})()
    model.configure_model()
    assert model.task == data.task
    assert model.class_counts.sum() == len(data.records.rows["train"])


def test_instance_balance_splits_each_sample_between_the_losses() -> None:
    loss = InstanceBalancedContrastiveLoss(0.5)
    model = make_model(contrastive=loss, view_probabilities=(0.0, 0.0))
    _, logged = step(model, make_batch(), 0)
    # Three samples of each class, so five positives for every anchor.
    share = 1 / (1 + 0.5 * 5)
    plain, _ = step(make_model(view_probabilities=(0.0, 0.0)), make_batch(), 0)
    assert logged["train/classification"] == pytest.approx(share * float(plain), rel=1e-5)


def test_a_student_follows_its_teacher_by_the_weight() -> None:
    batch = make_batch()
    plain, _ = step(make_model(), batch, 0)
    model = make_model(distillation=Distillation(0.25, 1.0))
    without, _ = step(model, batch, 0)
    assert float(without) == pytest.approx(float(plain), rel=1e-6)
    model.teacher = lambda given: torch.zeros(len(given), 3)
    _, logged = step(model, batch, 0)
    assert logged["train/classification"] == pytest.approx(0.75 * float(plain), rel=1e-5)
    assert logged["train/distillation"] > 0
    with pytest.raises(ValueError, match="mixing and distillation: a teacher has no answer for mixtures"):
        make_model(distillation=Distillation(), mixing=Mixup())


def test_a_process_without_validation_samples_leaves_them_to_the_others() -> None:
    model = make_model()
    model.trainer = cast(Any, SimpleNamespace(state=SimpleNamespace(fn=TrainerFn.FITTING)))
    # There are no others here, which only the metrics notice.
    with pytest.raises(ValueError, match="TailMetrics got no samples"):
        model.on_validation_epoch_end()
    assert float(model.calibration.temperature) == 1.0


def test_scores_that_are_not_finite_stop_the_run_with_a_sentence() -> None:
    model = make_model()
    model._validation_logits = [(torch.tensor([[0.5, float("nan"), 0.0]]), torch.tensor([0]))]
    with (
        patch.object(DrugClassifier, "current_epoch", new_callable=PropertyMock, return_value=3),
        pytest.raises(InputError, match=r"Epoch 3: the scores of validation samples are NaN or infinite; try a lower"),
    ):
        model.on_validation_epoch_end()
