"""Models that ask a forest: what it is grown on, and that no sample is asked about itself."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import numpy
import pytest
import torch

import tailmol
from callbacks.decision_writer import DecisionWriter
from datamodules.drug_datamodule import DrugDataModule
from modules import opinion_choice
from modules.decisions.settings import DecisionSettings
from modules.drug_classifier import DrugClassifier
from modules.evaluation.split_scores import SplitScores, scores_path
from modules.forest.forest import Forest
from modules.forest.settings import ForestSettings
from modules.neighbors.settings import NeighborSettings
from modules.opinion_choice import OpinionSettings
from modules.sample_fingerprints import places_of_kinds, sample_bits, sample_counts
from tests.workflows.opinion_runs import data_of, trained_with, trained_without
from workflows.decide import decide


def test_the_opinion_of_the_forest_is_added_after_that_of_the_neighbors(tmp_path: Path) -> None:
    model, scores, _ = trained_with(tmp_path)
    opinions, task = model.decision.opinions, model.task
    assert task is not None
    assert opinions.neighbors.weight > 0
    assert opinions.forest.weight > 0
    assert opinions.forest.trees is not None
    assert len(opinions.forest.trees.roots) == 6
    assert opinions.forest.trees.class_counts.tolist() == list(task.class_counts)
    (batch,) = list(data_of(tmp_path).batches_of(scores.rows.numpy()))
    with torch.no_grad():
        alone = model.network(batch)[1]
        found = model.predict_step(batch, 0)
    torch.testing.assert_close(found.logits, scores.logits)
    nearest = opinions.neighbors.mixed(alone, opinions.neighbors.opinions(sample_bits(batch, task)))
    expected = opinions.forest.mixed(nearest, opinions.forest.opinions(sample_counts(batch, task)))
    torch.testing.assert_close(found.logits, expected)


def test_a_decided_checkpoint_is_decided_again_without_its_opinions(tmp_path: Path) -> None:
    model, scores, _ = trained_with(tmp_path)
    data = DrugDataModule(str(tmp_path / "drugs.csv"), fingerprint_size=256, fingerprint_kinds=("path", "morgan"))
    data.setup("fit")
    precision = SimpleNamespace(forward_context=nullcontext)
    trainer: Any = SimpleNamespace(datamodule=data, precision_plugin=precision, is_global_zero=False)
    writer = DecisionWriter(DecisionSettings(), OpinionSettings(NeighborSettings(3), ForestSettings(6)))
    writer.on_test_start(trainer, model)
    assert model.decision.opinions.forest.weight > 0
    (batch,) = list(data.batches_of(scores.rows.numpy()))
    torch.testing.assert_close(model.predict_step(batch, 0).logits, scores.logits)


def test_trees_of_other_features_are_refused(tmp_path: Path) -> None:
    model, scores, _ = trained_with(tmp_path)
    (batch,) = list(data_of(tmp_path).batches_of(scores.rows.numpy()))
    model.decision.opinions.forest._width = 256
    with pytest.raises(ValueError, match=r"^forest: expected 512 features, got 256\.$"):
        model.predict_step(batch, 0)


def test_samples_of_a_fold_are_asked_of_a_forest_on_the_other_folds(tmp_path: Path) -> None:
    model, scores, run = trained_with(tmp_path, "--folds=3", "--neighbors.number=0")
    forest, data, task = model.decision.opinions.forest, data_of(tmp_path), model.task
    assert task is not None
    assert forest.weight > 0
    (batch,) = list(data.batches_of(numpy.arange(37)))
    counts = sample_counts(batch, task)
    for fold in range(3):
        own = SplitScores.load(scores_path(run / "folds" / str(fold) / "checkpoints" / "best.ckpt"), 3)
        rows = own.rows.tolist()
        others = [row for row in range(37) if row not in rows]
        alone = Forest(3)
        alone.learn(counts[others], data.records.codes[others], 6, places_of_kinds(task))
        expected = forest.mixed(own.logits, alone.opinions(counts[rows]))
        torch.testing.assert_close(scores.part(torch.isin(scores.rows, own.rows)).logits, expected)
    # In the end it is grown on all, the drug that no fold tests too.
    assert forest.trees is not None
    assert forest.trees.class_counts.tolist() == [12, 24, 1]
    assert tailmol.load(run).predict(["CCCCCCN"])["predicted_label"].to_list() == ["amine"]


@pytest.mark.parametrize("options", [["--forest.trees=0"], ["--config=method/cross_entropy.yaml"]])
def test_without_trees_there_is_no_forest(tmp_path: Path, options: list[str]) -> None:
    forest = trained_without(tmp_path, *options).decision.opinions.forest
    assert (forest.trees, forest.weight) == (None, 0.0)


def test_the_largest_classes_are_drawn_from_if_there_are_too_many(tmp_path: Path) -> None:
    model, _, _ = trained_with(tmp_path, "--folds=3", "--forest.most=11")
    trees = model.decision.opinions.forest.trees
    assert trees is not None
    assert trees.class_counts.tolist() == [5, 5, 1]


@pytest.mark.parametrize(("most", "expected"), [(3 * 11, [5, 5, 1]), (3 * 6 - 1, None)])
def test_many_classes_make_it_smaller(tmp_path: Path, most: int, expected: list[int] | None) -> None:
    with patch.object(opinion_choice, "MOST_IN_FOREST", most):
        model, _, _ = trained_with(tmp_path, "--folds=3")
    trees = model.decision.opinions.forest.trees
    assert (None if trees is None else trees.class_counts.tolist()) == expected
    assert model.decision.opinions.neighbors.weight > 0


def test_the_forest_of_a_refit_is_grown_on_all_rows_and_keeps_its_weight(tmp_path: Path) -> None:
    best, _, folder = trained_with(tmp_path, "--refit=true")
    chosen = best.decision.opinions.forest
    assert chosen.weight > 0
    for objective in (None, "accuracy"):
        if objective is not None:
            decide(folder, DecisionSettings(objective))
        final = DrugClassifier.load_from_checkpoint(folder / "checkpoints" / "final.ckpt").decision.opinions.forest
        assert final.trees is not None
        assert final.trees.class_counts.tolist() == [12, 24, 1]
        assert (final.weight, final.temperature) == (chosen.weight, chosen.temperature)
