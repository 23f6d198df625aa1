"""Training stages, in real training on the bundled drugs."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from unittest.mock import patch

import lightning
import numpy
import pytest
import torch
from lightning.pytorch.callbacks import EarlyStopping

from base.errors import InputError
from callbacks.recluster import Recluster
from callbacks.training_stages import TrainingStages
from datamodules.drug_datamodule import DrugDataModule
from datamodules.drug_task import DrugTask
from datamodules.sampling import PowerSampling
from modules.drug_classifier import DrugClassifier
from modules.embedding_pass import embed_training_set
from modules.encoders import FingerprintMLP
from modules.evaluation.logit_correction import PriorCorrection, TauNormalization
from modules.heads.head import HeadSettings
from modules.losses import CrossEntropyLoss
from modules.losses.classification.class_weighting import InverseFrequency
from modules.network import Part
from modules.training.distillation import Distillation
from modules.training.mixing import Mixup
from modules.training.stages import Stage
from tests.callbacks.quiet_trainer import quiet_trainer
from tests.callbacks.staged_training import KeepWeights, assert_equal_states, train

RETRAINED: dict[str, Any] = {"frozen": ["encoder"], "reset": ["classifier"]}


def test_a_frozen_encoder_stays_and_a_reset_classifier_starts_again(tmp_path: Path) -> None:
    model, kept, _ = train(tmp_path, [Stage(2, **RETRAINED)], 4)
    stage, end = kept.states[2], model.network.state_dict()
    encoder = [name for name in end if name.startswith("encoder.")]
    assert any(not torch.equal(kept.states[1][name], stage[name]) for name in encoder)
    assert all(torch.equal(stage[name], end[name]) for name in encoder)
    weight = "classifier.0.weight"
    assert not torch.equal(kept.states[3][weight], end[weight])
    # A new layer of 16 inputs starts within 1 / sqrt(16).
    assert stage[weight].abs().max() <= 0.25
    assert not torch.equal(kept.states[1][weight], stage[weight])


def test_a_stage_ends_when_the_next_begins(tmp_path: Path) -> None:
    model, kept, _ = train(tmp_path, [Stage(1, frozen=["encoder"]), Stage(2)], 3)
    for name in ("encoder.layers.0.weight", "encoder.layers.1.running_mean"):
        assert torch.equal(kept.states[1][name], kept.states[2][name])
        assert not torch.equal(kept.states[2][name], model.network.state_dict()[name])


def test_the_decision_knows_which_prior_a_stage_removes(tmp_path: Path) -> None:
    removed: list[float] = []

    class KeepRemoved(lightning.Callback):
        def on_validation_batch_start(self, trainer: Any, pl_module: Any, batch: Any, *_: Any) -> None:
            removed.append(float(pl_module.decision.removed_prior))

    model = DrugClassifier(FingerprintMLP([16]), CrossEntropyLoss())
    stages = TrainingStages([Stage(1, weighting=InverseFrequency(0.5), sampling=PowerSampling(0.5))])
    trainer = quiet_trainer(tmp_path, 2, stages, KeepRemoved())
    trainer.limit_train_batches, trainer.limit_val_batches = 1, 1
    trainer.fit(model, datamodule=DrugDataModule(batch_size=128, fingerprint_size=256))
    assert removed == pytest.approx([0.0, 1.0], abs=1e-5)
    assert model.decision.prior_strength() == pytest.approx(0.0, abs=1e-5)
    logits = torch.randn(40, len(model.decision.counts), generator=torch.Generator().manual_seed(0))
    expected = (logits + model.decision.counts.log()).argmax(dim=1)
    assert torch.equal(model.decision.labels_at_prior(logits), expected)


def test_the_modes_of_a_stage_outlast_validation(tmp_path: Path) -> None:
    modes: list[tuple[bool, bool]] = []

    class KeepModes(lightning.Callback):
        def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
            modes.append((pl_module.network.encoder.training, pl_module.network.classifier.training))

    model = DrugClassifier(FingerprintMLP([16]), CrossEntropyLoss())
    trainer = quiet_trainer(tmp_path, 3, TrainingStages([Stage(0, frozen=["encoder"]), Stage(2)]), KeepModes())
    trainer.limit_train_batches, trainer.limit_val_batches = 1, 1
    trainer.fit(model, datamodule=DrugDataModule(batch_size=128, fingerprint_size=256))
    assert modes == [(False, True), (False, True), (True, True)]


def test_an_encoder_trains_with_a_frozen_classifier_and_all_can_train_in_the_end(tmp_path: Path) -> None:
    model, kept, _ = train(tmp_path, [Stage(1, frozen=["classifier"])], 2)
    for name, value in model.network.state_dict().items():
        assert torch.equal(kept.states[1][name], value) == name.startswith("classifier."), name
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_a_resumed_stage_goes_on(tmp_path: Path) -> None:
    stages = [Stage(1, **RETRAINED, sampling=PowerSampling(0), weighting=InverseFrequency())]
    whole, _, _ = train(tmp_path, stages, 3)
    train(tmp_path, stages, 2)
    resumed, kept, callback = train(tmp_path, stages, 3, ckpt_path=tmp_path / "2.ckpt")
    assert len(kept.states) == 1
    assert callback.current is stages[0]
    assert_equal_states(whole, resumed)


def test_a_finished_run_can_get_a_new_classifier(tmp_path: Path) -> None:
    first, _, _ = train(tmp_path, [], 2)
    later, _, _ = train(tmp_path, [Stage(2, **RETRAINED)], 3, ckpt_path=tmp_path / "2.ckpt")
    for name, value in first.network.state_dict().items():
        same = torch.equal(later.network.state_dict()[name], value)
        assert same == (not name.startswith("classifier."))


def test_class_factors_train_alone(tmp_path: Path) -> None:
    scaled = {"head": HeadSettings(class_scales=True)}
    model, kept, _ = train(tmp_path, [Stage(1, frozen=["encoder", "classifier"])], 3, scaled)
    assert torch.equal(kept.states[1]["classifier.1.weight"], torch.ones(73))
    for name, value in model.network.state_dict().items():
        assert torch.equal(kept.states[1][name], value) == (name != "classifier.1.weight")


def test_the_stage_decides_how_classes_are_sampled_and_weighted(tmp_path: Path) -> None:
    seen: list[numpy.ndarray[Any, Any]] = []
    weighted: list[bool] = []

    class Count(lightning.Callback):
        def on_train_epoch_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
            seen.append(numpy.zeros(73))
            weighted.append(pl_module.objective.weighting is not None)  # type: ignore[union-attr]

        def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
            numpy.add.at(seen[-1], batch.labels.numpy(), 1)

    stages = [Stage(1, sampling=PowerSampling(0)), Stage(2, weighting=InverseFrequency())]
    model = DrugClassifier(FingerprintMLP([16]), CrossEntropyLoss())
    trainer = quiet_trainer(tmp_path, 3, TrainingStages(stages), Count())
    trainer.fit(model, datamodule=DrugDataModule(batch_size=128, fingerprint_size=256))
    counts = model.class_state.counts.numpy()
    assert seen[0].tolist() == counts.tolist()
    # The samples of an epoch divided among 73 classes, rounded.
    assert abs(seen[1] - counts.sum() / 73).max() <= 1
    assert seen[2].tolist() == counts.tolist()
    assert weighted == [False, False, True]


def test_the_learning_rate_and_the_patience_start_again(tmp_path: Path) -> None:
    rates: list[float] = []

    class KeepRate(lightning.Callback):
        def on_train_epoch_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
            rates.append(trainer.optimizers[0].param_groups[0]["lr"])

    model = DrugClassifier(
        FingerprintMLP([16]),
        CrossEntropyLoss(),
        lr_scheduler=lambda optimizer: torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5),
    )
    stopping = EarlyStopping("val/balanced_accuracy", patience=9)
    quiet: dict[str, Any] = dict.fromkeys(
        ("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False
    )
    trainer = lightning.Trainer(
        default_root_dir=tmp_path,
        max_epochs=5,
        accelerator="cpu",
        devices=1,
        use_distributed_sampler=False,
        callbacks=[TrainingStages([Stage(3, **RETRAINED)]), KeepRate(), stopping],
        **quiet,
    )
    stopping.wait_count = 5
    trainer.fit(model, datamodule=DrugDataModule(batch_size=128, fingerprint_size=256))
    assert rates == pytest.approx([1e-3, 5e-4, 2.5e-4, 1e-3, 5e-4])
    assert stopping.wait_count <= 2


@pytest.mark.parametrize(("reset", "seen"), [(["encoder"], 1.0), (["classifier"], 1.75)])
def test_a_reset_encoder_is_embedded_anew_by_a_recluster_before_the_same_epoch(
    tmp_path: Path, reset: list[Part], seen: float
) -> None:
    recluster = Recluster(2, min_size=5, embeddings="running", difficulty="confusion")
    with patch("callbacks.recluster.embed_training_set", side_effect=embed_training_set) as embed:
        model, _, _ = train(tmp_path, [Stage(2, reset=reset)], 3, others=[recluster])
    assert recluster._confusion is not None
    # Each epoch halves the counts of those before, of which a new encoder has none.
    torch.testing.assert_close(recluster._confusion.matrix.sum(dim=1), seen * model.class_state.counts.float())
    assert embed.call_count == (1 if reset == ["encoder"] else 0)
    assert model.class_state.reclustered


def test_a_correction_is_handed_to_the_decision(tmp_path: Path) -> None:
    correction = PriorCorrection()
    model, _, _ = train(tmp_path, [Stage(0, correction=correction)], 1)
    assert model.decision.correction is correction


def test_a_correction_ends_with_its_stage(tmp_path: Path) -> None:
    model, _, _ = train(tmp_path, [Stage(0, correction=PriorCorrection())], 1)
    model.decision.logit_offset.fill_(1.0)
    trainer = quiet_trainer(tmp_path, 1, TrainingStages([Stage(0)]))
    trainer.fit(model, datamodule=DrugDataModule(batch_size=128, fingerprint_size=256), weights_only=True)
    assert model.decision.correction is None
    assert not model.decision.logit_offset.any()


class Shifted(FingerprintMLP):
    """An encoder with a parameter of its own."""

    def build(self, task: DrugTask) -> None:
        """Add it."""
        super().build(task)
        self.shift = torch.nn.Parameter(torch.zeros(self.output_dim))


def test_a_layer_that_cannot_be_reset_is_refused_before_the_first_epoch(tmp_path: Path) -> None:
    kept = KeepWeights()
    trainer = quiet_trainer(tmp_path, 3, TrainingStages([Stage(2, reset=["encoder"])]), kept)
    with pytest.raises(InputError, match=r"stages\.reset: expected .* got Shifted without"):
        trainer.fit(
            DrugClassifier(Shifted([16]), CrossEntropyLoss()),
            datamodule=DrugDataModule(batch_size=128, fingerprint_size=256),
        )
    assert not kept.states


@pytest.mark.parametrize(
    ("stage", "settings", "message"),
    [
        (
            Stage(1, distillation=Distillation()),
            {"mixing": Mixup()},
            r"stages\.distillation: expected null with model\.mixing",
        ),
        (
            Stage(1, frozen=["encoder", "classifier"]),
            {},
            r"stages\.frozen: expected model\.head\.class_scales to be true with a frozen encoder and classifier",
        ),
        (
            Stage(1),
            {"head": HeadSettings(class_scales=True)},
            r"model\.head\.class_scales: expected a stage that freezes the classifier",
        ),
        (
            Stage(0, correction=TauNormalization()),
            {"head": HeadSettings(experts=2)},
            r"stages\.correction: expected model\.head without experts, .*, got TauNormalization",
        ),
        (
            Stage(0, correction=TauNormalization()),
            {"head": HeadSettings(cosine_scale=10.0)},
            r"stages\.correction: expected model\.head without experts, .*, got TauNormalization",
        ),
        (
            Stage(0, distillation=Distillation(teacher="gone.ckpt")),
            {},
            r"stages\.distillation\.teacher: .* there is no file gone\.ckpt",
        ),
    ],
)
def test_stages_that_do_not_fit_the_model_are_refused(
    tmp_path: Path, stage: Stage, settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        train(tmp_path, [stage], 1, settings)
