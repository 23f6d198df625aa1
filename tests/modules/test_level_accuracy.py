"""How often labels are right on each level: which rows count, and what counts as one sample."""

from __future__ import annotations

from pathlib import Path

import numpy
import torch

from modules import level_accuracy
from modules.decision import Decision
from modules.drug_classifier import DrugClassifier
from modules.embedding_pass import score_and_embed
from modules.encoders import FingerprintMLP
from modules.evaluation.split_scores import SplitScores
from modules.losses import CrossEntropyLoss
from modules.make_evidence import make_evidence, training_samples
from tests.datamodules.drug_module import data_module
from tests.modules.evaluation.made_evidence import made_evidence


def test_rows_of_unseen_classes_are_left_out_and_those_of_a_drug_are_one_sample(tmp_path: Path) -> None:
    lines = [f"{'C' * size}{end},{end},train" for size in range(1, 9) for end in "NO"]
    lines += [f"{'C' * size}{end},{end},validation" for size in range(9, 13) for end in "NO"]
    # The class S is in no training row; the first three test rows are spellings of one drug.
    lines += [f"{smiles},O,test" for smiles in ("CC(C)O", "OC(C)C", "C(C)(C)O", "CC(C)CO")]
    lines += [f"{smiles},S,{part}" for smiles, part in (("CS", "test"), ("CCS", "test"), ("CCCS", "validation"))]
    text = "\n".join(["smiles,label,part", *lines]) + "\n"
    data = data_module(tmp_path, text, split="file", split_column="part", fingerprint_size=64)
    data.setup("test")
    torch.manual_seed(0)
    model = DrugClassifier(FingerprintMLP([4]), CrossEntropyLoss())
    model.build(data.task)
    unseen = score_and_embed(model, data.val_dataloader())
    evidence = make_evidence("digest", training_samples(model, data), model, data, *unseen)
    # The estimate is not of the unseen class either.
    assert evidence.applicability.samples == 8
    scores, embeddings = score_and_embed(model, data.test_dataloader())
    levels = level_accuracy.tested_levels(model, data, scores, embeddings, evidence)
    assert sum(level["rows"] for level in levels) == 4
    assert sum(level["samples"] for level in levels) == 2
    predicted = model.decision.labels(model.decision.probabilities(scores.logits))
    known = model.decision.counts[scores.labels] > 0
    assert sum(level["right"] for level in levels) == int((predicted == scores.labels)[known].sum())


def test_each_fold_is_labeled_by_its_own_decision_and_leaves_out_the_same_rows() -> None:
    labels = torch.arange(50) % 3
    scores = SplitScores(torch.arange(50), labels, torch.zeros(50, 3), torch.zeros_like(labels))
    evidence = made_evidence()
    decisions = [Decision(torch.tensor([20, 6, 0]), CrossEntropyLoss()) for _ in range(2)]
    # Of the first fold all rows are predicted as the first class, of the second all as the second one.
    for code, decision in enumerate(decisions):
        decision.class_offset[code] = 1.0
    folds = [scores.part(labels.new_tensor(range(start, start + 25))) for start in (0, 25)]
    levels = level_accuracy.crossed_levels(decisions, folds, evidence, numpy.zeros(50, dtype=numpy.int64))
    # 17 rows of each of the first two classes, and 16 of the class without training samples.
    assert sum(level["rows"] for level in levels) == 34
    assert [level["samples"] for level in levels] == [min(level["rows"], 1) for level in levels]
    # 0, 3, ..., 24 are of the first class, 25, 28, ..., 49 of the second.
    assert sum(level["right"] for level in levels) == 9 + 9
