"""Inference loop."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import torch

from datamodules.batch import Batch
from datamodules.drug_task import DrugTask
from modules.drug_classifier import DrugClassifier
from modules.encoders import FingerprintMLP
from modules.heads.head import HeadSettings
from modules.inference import infer
from modules.losses import CrossEntropyLoss

MakeBatch = Callable[[list[list[str]]], Batch]
MakeTask = Callable[[str], DrugTask]
SMILES = [["CCO"], ["c1ccccc1"], ["CC(=O)O"], ["CCN"], ["C"]]


@pytest.fixture
def model(make_task: MakeTask) -> DrugClassifier:
    """A small model in training mode, with dropout and a part that is in evaluation mode."""
    torch.manual_seed(0)
    model = DrugClassifier(FingerprintMLP([8], dropout=0.5), CrossEntropyLoss(), head=HeadSettings([4], dropout=0.5))
    model.build(make_task("molecule"))
    model.train()
    model.network.encoder.eval()
    return model


def test_each_batch_has_the_prediction_of_evaluation_mode(model: DrugClassifier, make_batch: MakeBatch) -> None:
    batches = [make_batch(SMILES[:3]), make_batch(SMILES[3:])]
    found = list(infer(model, batches))
    assert [batch.labels.tolist() for batch, _ in found] == [batch.labels.tolist() for batch in batches]
    model.eval()
    for batch, prediction in found:
        with torch.no_grad():
            expected = model.predict_step(batch, 0)
        assert torch.equal(prediction.probabilities, expected.probabilities)
        assert torch.equal(prediction.embeddings, expected.embeddings)
        assert torch.equal(prediction.sample_index, batch.sample_index)
        assert not prediction.embeddings.requires_grad


def test_the_mode_of_each_module_is_restored_after_a_batch_and_after_an_error(
    model: DrugClassifier, make_batch: MakeBatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    modes = {name: module.training for name, module in model.named_modules()}
    assert set(modes.values()) == {True, False}
    for _ in infer(model, [make_batch(SMILES)] * 2):
        assert {name: module.training for name, module in model.named_modules()} == modes
        assert torch.is_grad_enabled()
    monkeypatch.setattr(model, "predict_step", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError, match="division by zero"):
        next(infer(model, [make_batch(SMILES)]))
    assert {name: module.training for name, module in model.named_modules()} == modes


def test_the_forward_pass_is_in_the_context_of_the_precision(model: DrugClassifier, make_batch: MakeBatch) -> None:
    entered = []

    @contextmanager
    def precision() -> Iterator[None]:
        entered.append(True)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            yield

    found = [prediction for _, prediction in infer(model, [make_batch(SMILES)] * 2, precision=precision)]
    assert entered == [True, True]
    assert {prediction.embeddings.dtype for prediction in found} == {torch.bfloat16}
