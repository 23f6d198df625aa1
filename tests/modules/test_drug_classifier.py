"""The LightningModule: steps, validation, prediction and checkpoints."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from unittest.mock import PropertyMock, patch

import pytest
import torch
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor

from base.errors import InputError
from datamodules.drug_datamodule import DrugDataModule
from modules.drug_classifier import DrugClassifier
from modules.encoders import FingerprintMLP
from modules.evaluation.logit_correction import PriorCorrection
from modules.heads.head import HeadSettings
from modules.losses import CrossEntropyLoss, SupervisedContrastiveLoss
from tests.modules.small_model import TASK, contrast, make_batch, make_model, step


def test_an_epoch_logs_the_mean_of_each_loss_and_of_their_sum() -> None:
    model = make_model(contrast=contrast(SupervisedContrastiveLoss(), view_probabilities=(0.0, 0.0))).eval()
    logged: dict[str, float] = {}

    def log(name: str, value: Tensor, **_: object) -> None:
        logged[name] = float(value)

    with (
        patch.object(DrugClassifier, "current_epoch", new_callable=PropertyMock, return_value=0),
        patch.object(model, "log", log),
    ):
        outputs = model.training_step(make_batch(), 0)
        model.training_step(make_batch(4), 1)
        assert not logged
        model.on_train_epoch_end()
    expected, second = step(model, make_batch()), step(model, make_batch(4))
    assert set(logged) == {"train/classification", "train/contrastive", "train/loss"}
    mean = (6 * float(expected.total.detach()) + 4 * float(second.total.detach())) / 10
    assert logged["train/loss"] == pytest.approx(mean, rel=1e-5)
    torch.testing.assert_close(outputs["loss"], expected.total)
    torch.testing.assert_close(outputs["embeddings"], expected.embeddings)
    torch.testing.assert_close(outputs["logits"], expected.logits)


def test_the_decision_is_fitted_at_validation_in_training_alone() -> None:
    model = make_model().eval()
    model.decision.use(PriorCorrection())
    batch = make_batch()
    # Correct for every sample after removing the bias towards the larger class.
    gap = (lambda logits: logits[:, 1] - logits[:, 0])(model.network(batch)[1].detach())
    batch = replace(batch, labels=(gap > gap.median()).long())
    model.network.classifier.state_dict()["0.bias"][0] += gap.median() + 1.0
    logits = model.network(batch)[1].detach()

    def validate(labels: Tensor, function: TrainerFn) -> None:
        model.validation_step(replace(batch, labels=labels), 0)
        with patch.object(model, "log"), patch.object(DrugClassifier, "trainer") as trainer:
            trainer.state.fn = function
            model.on_validation_epoch_end()

    validate(batch.labels, TrainerFn.FITTING)
    chosen = PriorCorrection().choose(logits, batch.labels, model.class_state.counts, model.network.classifier)
    strength, scale, offset = chosen
    assert strength > 0
    torch.testing.assert_close(model(batch)[:, :2], (scale * logits + offset)[:, :2])
    validate(1 - batch.labels, TrainerFn.VALIDATING)
    torch.testing.assert_close(model.decision.logit_offset, offset)


def saved_checkpoint(folder: Path, **settings: Any) -> tuple[DrugClassifier, Path]:
    """A model with sub-clusters and its checkpoint."""
    model = make_model(head=HeadSettings(hidden_dims=[5]), **settings).eval()
    model.class_state.subcluster_ids = torch.arange(26)
    model.class_state.temperatures.copy_(torch.tensor([0.1, 0.2, 0.3]))
    model.run_config = {
        "model": {
            "encoder": {"class_path": "modules.encoders.FingerprintMLP", "init_args": {"hidden_dims": [8]}},
            "classification_loss": {"class_path": "modules.losses.CrossEntropyLoss"},
            "head": {"hidden_dims": [5]},
        }
    }
    checkpoint: dict[str, Any] = {"state_dict": model.state_dict()}
    model.on_save_checkpoint(checkpoint)
    torch.save(checkpoint, folder / "saved.ckpt")
    return model, folder / "saved.ckpt"


def test_load_from_checkpoint_gives_the_model_that_was_saved(tmp_path: Path) -> None:
    saved, path = saved_checkpoint(tmp_path)
    loaded = DrugClassifier.load_from_checkpoint(path)
    assert not loaded.training
    assert loaded.task == TASK
    assert loaded.run_config == saved.run_config
    assert loaded.class_state.subcluster_ids.tolist() == list(range(26))
    assert torch.equal(loaded.class_state.temperatures, saved.class_state.temperatures)
    torch.testing.assert_close(loaded(make_batch()), saved(make_batch()))


def test_an_invalid_checkpoint_is_named_with_its_setting(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"checkpoint_path: expected a checkpoint file, but there is no file .*gone"):
        DrugClassifier.load_from_checkpoint(tmp_path / "gone.ckpt")
    (tmp_path / "text.ckpt").write_text("no checkpoint")
    with pytest.raises(InputError, match=r"teacher: .*text\.ckpt is not a valid tailmol checkpoint"):
        DrugClassifier.load_from_checkpoint(tmp_path / "text.ckpt", setting="teacher")


def test_the_trainer_restores_a_checkpoint_into_a_model_without_layers(tmp_path: Path) -> None:
    saved, path = saved_checkpoint(tmp_path)
    checkpoint = torch.load(path, weights_only=True)
    loaded = DrugClassifier(FingerprintMLP([8]), CrossEntropyLoss(), head=HeadSettings(hidden_dims=[5]))
    loaded.on_load_checkpoint(checkpoint)
    loaded.load_state_dict(checkpoint["state_dict"])
    torch.testing.assert_close(loaded.eval()(make_batch()), saved(make_batch()))


def test_predict_step_gives_probabilities_of_each_sample() -> None:
    model = make_model().eval()
    prediction = model.predict_step(make_batch(), 0)
    assert prediction.uncertainty is None
    assert prediction.sample_index.tolist() == list(range(6))
    assert (prediction.probabilities[:, 2] == 0).all()
    torch.testing.assert_close(prediction.probabilities.sum(1), torch.ones(6))
    torch.testing.assert_close(prediction.calibrated, prediction.probabilities)
    torch.testing.assert_close(prediction.embeddings, model.network.encoder(make_batch()))


def test_a_checkpoint_of_other_data_is_refused() -> None:
    checkpoint: dict[str, Any] = {}
    make_model().on_save_checkpoint(checkpoint)
    checkpoint["drug_task"]["class_counts"] = [21, 6, 0]
    with pytest.raises(
        ValueError,
        match=r"ckpt_path: expected a checkpoint with the classes.*got one with others \(27 samples of 3 classes\)",
    ):
        make_model().on_load_checkpoint(checkpoint)


def test_steps_are_seeded_by_their_number(monkeypatch: pytest.MonkeyPatch) -> None:
    model = make_model()
    model.trainer = cast(Any, SimpleNamespace(current_epoch=3, global_rank=0))

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
    model.trainer = cast(Any, SimpleNamespace(datamodule=data))
    model.configure_model()
    assert model.task == data.task
    assert model.class_state.counts.sum() == len(data.records.rows["train"])


def test_a_process_without_validation_samples_leaves_them_to_the_others() -> None:
    model = make_model()
    model.trainer = cast(Any, SimpleNamespace(state=SimpleNamespace(fn=TrainerFn.FITTING)))
    # Without other processes the metrics have no samples, which is an error.
    with (
        patch.object(DrugClassifier, "current_epoch", new_callable=PropertyMock, return_value=0),
        pytest.raises(ValueError, match="TailMetrics: expected at least one sample"),
    ):
        model.on_validation_epoch_end()
    assert float(model.decision.calibration.temperature) == 1.0


def test_scores_that_are_not_finite_are_an_input_error() -> None:
    model = make_model()
    batch = make_batch()
    model.scores.add(batch, torch.tensor([[0.5, float("nan"), 0.0]] * 6), batch.labels)
    with (
        patch.object(DrugClassifier, "current_epoch", new_callable=PropertyMock, return_value=3),
        pytest.raises(InputError, match=r"Epoch 3: the scores of validation samples are NaN or infinite; try a lower"),
    ):
        model.on_validation_epoch_end()


@pytest.mark.parametrize(
    ("rows", "batch_size", "refused"), [(6, 1, True), (7, 2, True), (6, 2, False), (7, 7, False), (5, 4, False)]
)
@pytest.mark.parametrize("normalizes", [True, False])
def test_batch_normalization_needs_two_samples_in_every_batch(
    tmp_path: Path, rows: int, batch_size: int, refused: bool, normalizes: bool
) -> None:
    table = tmp_path / "table.csv"
    parts = ["train"] * rows + ["validation", "test"]
    lines = [f"{'C' * (number + 1)},{'ab'[number % 2]},{part}" for number, part in enumerate(parts)]
    table.write_text("\n".join(["smiles,label,split", *lines, "CO,a,validation", "CCO,b,test"]))
    data = DrugDataModule(str(table), split="file", batch_size=batch_size, cache_folder=str(tmp_path))
    data.setup("fit")
    model = DrugClassifier(FingerprintMLP([8]), CrossEntropyLoss())
    model.build(data.task)
    if not normalizes:
        model.network.encoder.layers = torch.nn.Sequential()
    model._trainer = SimpleNamespace(datamodule=data)  # type: ignore[assignment]
    if refused and normalizes:
        with pytest.raises(
            InputError, match=rf"^data\.batch_size: expected a size .*, got {batch_size}, which leaves 1"
        ):
            model.on_fit_start()
    else:
        model.on_fit_start()


def test_a_test_of_a_model_with_nan_is_refused() -> None:
    model = make_model().eval()
    with torch.no_grad():
        next(model.network.classifier.parameters()).fill_(float("nan"))
    model.test_step(make_batch(), 0)
    with pytest.raises(InputError, match="ckpt_path: expected a model with finite scores, got NaN"):
        model.on_test_epoch_end()
