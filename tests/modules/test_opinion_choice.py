"""What the folds of an ensemble are asked of: the rows that the member of each was trained on."""

from __future__ import annotations

from itertools import combinations_with_replacement
from pathlib import Path

import numpy
import torch

from datamodules.drug_datamodule import DrugDataModule
from modules.drug_classifier import DrugClassifier
from modules.encoders import FingerprintMLP
from modules.evaluation.split_scores import SplitScores
from modules.losses import CrossEntropyLoss
from modules.neighbors.nearest_samples import NearestSamples
from modules.neighbors.settings import NeighborSettings
from modules.opinion_choice import OpinionSettings, choose_opinions
from modules.sample_fingerprints import bits_of_rows

DRUGS = [f"{'C' * size}{end}" for size in range(3, 9) for end in ("N", "OC")]


def test_a_cold_fold_is_asked_of_what_its_member_was_trained_on(tmp_path: Path) -> None:
    pairs = combinations_with_replacement(DRUGS, 2)
    rows = [f"{first},{second},{''.join(sorted(first[-1] + second[-1]))}" for first, second in pairs]
    (tmp_path / "pairs.csv").write_text("\n".join(["x1,x2,label", *rows]) + "\n")

    def data(fold: int | None) -> DrugDataModule:
        source, cache = str(tmp_path / "pairs.csv"), str(tmp_path / "cache")
        return DrugDataModule(
            *(source, "pair"), split="cold", folds=3, fold=fold, cache_folder=cache, fingerprint_size=64
        )

    whole, members = data(None), [data(fold) for fold in range(3)]
    whole.setup("test")
    for member in members:
        member.setup("fit")
    task, codes = whole.task, whole.records.codes
    model = DrugClassifier(FingerprintMLP([4]), CrossEntropyLoss())
    model.build(task)
    scores = []
    for member in members:
        tested = torch.from_numpy(member.records.rows["test"])
        labels = torch.from_numpy(codes)[tested]
        scores.append(SplitScores(tested, labels, torch.zeros(len(tested), task.num_classes), labels))
    found = choose_opinions(model, whole, scores, OpinionSettings(NeighborSettings(3)))
    chosen = model.decision.opinions.neighbors
    assert chosen.weight > 0
    for member, given, mixed in zip(members, scores, found, strict=True):
        trained, rows_of_fold = member.records.rows["train"], given.rows.numpy()
        assert len(trained) + len(rows_of_fold) < len(codes)
        alone = NearestSamples(task.num_classes)
        alone.learn(bits_of_rows(whole, numpy.sort(trained), task), codes[numpy.sort(trained)], 3)
        expected = chosen.mixed(given.logits, alone.opinions(bits_of_rows(whole, rows_of_fold, task)))
        torch.testing.assert_close(mixed.logits, expected)
    # In the end it remembers every row.
    assert len(chosen.codes) == len(codes)
    # Nothing of an earlier choice is part of the next one.
    again = choose_opinions(model, whole, scores, OpinionSettings(NeighborSettings(3)))
    assert all(torch.equal(one.logits, other.logits) for one, other in zip(again, found, strict=True))
