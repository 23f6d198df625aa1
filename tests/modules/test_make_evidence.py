"""The training samples of the evidence, where a sample may have several labels."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import numpy
import pytest
import torch

from datamodules.drug_datamodule import DrugDataModule
from modules import make_evidence
from modules.drug_classifier import DrugClassifier
from modules.encoders import FingerprintMLP
from modules.evaluation.applicability import Signals
from modules.evaluation.prediction_evidence import UnseenSamples
from modules.evaluation.split_scores import SplitScores
from modules.losses import BinaryCrossEntropyLoss
from modules.multilabel.decision import LabelDecision
from modules.neighbors.training_samples import Neighbors
from tests.datamodules.drug_module import data_module


def spread_rows() -> str:
    """Training molecules of 2 to 9 carbons; the second label of those with an odd number stands on a row of its own."""
    lines = ["smiles,amine,ether,part"]
    lines += [f"{'C' * size}{'N' * has},{has},,train" for size, has in product(range(2, 10), (0, 1))]
    lines += [f"{'C' * size}{'N' * has},,{size % 4 // 2},train" for size, has in product((9, 7, 5, 3), (0, 1))]
    others = [("OCCO", 1, "validation"), ("OCCCO", 0, "validation"), ("OCCCCO", 1, "test"), ("OCCCCCO", 0, "test")]
    lines += [f"{smiles},{has},{has},{part}" for smiles, has, part in others]
    return "\n".join(lines) + "\n"


def set_up(folder: Path) -> tuple[DrugClassifier, DrugDataModule]:
    data = data_module(
        folder,
        spread_rows(),
        labels="multi",
        label_column=["amine", "ether"],
        split="file",
        split_column="part",
        fingerprint_size=64,
    )
    data.setup("fit")
    model = DrugClassifier(FingerprintMLP([4]), BinaryCrossEntropyLoss())
    model.build(data.task)
    return model, data


def test_a_sample_has_each_label_that_one_of_its_rows_has(tmp_path: Path) -> None:
    samples = make_evidence.training_samples(*set_up(tmp_path))
    assert samples.names == [f"{'C' * size}{'N' * has}" for size, has in product(range(2, 10), (0, 1))]
    expected = [[has, size % 4 // 2 if size % 2 else -1] for size, has in product(range(2, 10), (0, 1))]
    assert samples.codes.tolist() == expected
    assert samples.codes.dtype == numpy.int8


def test_samples_are_drawn_by_the_labels_of_all_their_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(make_evidence, "MOST_TRAINING_SAMPLES", 6)
    codes = make_evidence.training_samples(*set_up(tmp_path)).codes
    assert len(codes) == 6
    # Of the four samples with the second label, which the first row of none has, its share of the six is drawn.
    assert (codes[:, 1] == 1).sum() == 2


def test_far_from_the_training_samples_a_label_is_one_of_several_or_none() -> None:
    labels = torch.tensor([[1, 0], [0, 1], [0, 0], [1, 1]]).repeat(5, 1)
    scores = SplitScores(torch.arange(20), labels, 8.0 * labels - 4, labels)
    nearness = numpy.full((20, 1), 0.5)
    unseen = UnseenSamples(numpy.arange(20), Neighbors(labels.numpy()[:, None].astype(numpy.int8), nearness, nearness))
    decision = LabelDecision(torch.tensor([10, 10]), BinaryCrossEntropyLoss())
    decision.loss.build(torch.tensor([20, 20]))
    estimate = make_evidence.estimate_of(decision, scores, unseen, by_tanimoto=True)
    known = numpy.array([[4.0, 0.5, 0.5]])
    assert estimate.estimate(Signals(known, numpy.array([[0.5, 0.5]])))[0] > 0.9
    assert estimate.estimate(Signals(known, numpy.array([[0.0, 0.1]])))[0] == pytest.approx(1 / 3)
