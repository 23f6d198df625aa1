"""Models that ask the nearest training samples: what they remember, and that no sample is asked about itself."""

from __future__ import annotations

from pathlib import Path

import numpy
import pytest
import torch

import tailmol
from datamodules.drug_datamodule import DrugDataModule
from modules.decisions.settings import DecisionSettings
from modules.drug_classifier import DrugClassifier
from modules.evaluation.opinion_weight import best_weight
from modules.evaluation.split_scores import SplitScores, scores_path
from modules.losses.classification.class_priors import log_priors
from modules.neighbors.nearest_samples import NearestSamples
from modules.neighbors.settings import NeighborSettings
from modules.opinion_choice import OpinionSettings, choose_opinions
from modules.sample_fingerprints import sample_bits
from tests.workflows.opinion_runs import data_of, trained_with, trained_without
from workflows.decide import decide


def trained(folder: Path, *options: str) -> tuple[DrugClassifier, SplitScores, Path]:
    """A model without a forest, see `trained_with`."""
    return trained_with(folder, "--forest.trees=0", *options)


def opinions(model: DrugClassifier, data: DrugDataModule, known: list[int], asked: list[int]) -> torch.Tensor:
    """The opinions of some rows on others."""
    assert model.task is not None
    (batch,) = list(data.batches_of(numpy.arange(37)))
    bits = sample_bits(batch, model.task)
    neighbors = NearestSamples(3)
    neighbors.learn(bits[known], data.records.codes[known], 3)
    return neighbors.opinions(bits[asked])


def test_validation_samples_are_asked_of_the_training_samples(tmp_path: Path) -> None:
    model, scores, _ = trained(tmp_path)
    neighbors, task, data = model.decision.opinions.neighbors, model.task, data_of(tmp_path)
    assert neighbors.weight > 0
    assert task is not None
    (batch,) = list(data.batches_of(scores.rows.numpy()))
    with torch.no_grad():
        alone = model.network(batch)[1]
        found = model.predict_step(batch, 0)
    torch.testing.assert_close(found.logits, scores.logits)
    opinion = neighbors.opinions(sample_bits(batch, task))
    torch.testing.assert_close(found.logits, (alone + neighbors.weight * opinion) / neighbors.temperature)
    assert numpy.bincount(neighbors.codes).tolist() == list(task.class_counts)


def test_samples_of_a_fold_are_asked_of_the_other_folds(tmp_path: Path) -> None:
    model, scores, run = trained(tmp_path, "--folds=3")
    neighbors, data = model.decision.opinions.neighbors, data_of(tmp_path)
    assert neighbors.weight > 0
    assert sorted(scores.rows.tolist()) == list(range(36))
    for fold in range(3):
        own = SplitScores.load(scores_path(run / "folds" / str(fold) / "checkpoints" / "best.ckpt"), 3)
        rows = own.rows.tolist()
        others = [row for row in range(37) if row not in rows]
        expected = (own.logits + neighbors.weight * opinions(model, data, others, rows)) / neighbors.temperature
        torch.testing.assert_close(scores.part(torch.isin(scores.rows, own.rows)).logits, expected)
    # In the end it remembers all, the drug that no fold tests too.
    assert numpy.bincount(model.decision.opinions.neighbors.codes).tolist() == [12, 24, 1]
    assert tailmol.load(run).predict(["CCCCCCN"])["predicted_label"].to_list() == ["amine"]


@pytest.mark.parametrize(("scale", "strength", "contained"), [([1.0, 1.0, 1.0], 0.5, 1.0), ([2.0, 1.0, 0.5], 0.0, 0.0)])
def test_a_correction_is_that_of_the_mixture(
    tmp_path: Path, scale: list[float], strength: float, contained: float
) -> None:
    model, _, _ = trained(tmp_path)
    decision = model.decision
    priors, scales = log_priors(decision.counts), torch.tensor(scale)
    decision.removed_prior.fill_(0.0)
    decision.logit_scale.copy_(scales)
    decision.logit_offset.copy_(-strength * priors)
    data = DrugDataModule(str(tmp_path / "drugs.csv"), fingerprint_size=256, fingerprint_kinds=("path", "morgan"))
    data.setup("fit")
    rows = data.records.rows["validation"]
    (batch,) = list(data.batches_of(rows))
    with torch.no_grad():
        alone = model.network(batch)[1]
    labels = torch.from_numpy(data.records.codes[rows])
    found = SplitScores(torch.from_numpy(rows), labels, alone, labels)
    (mixed,) = choose_opinions(model, data, [found], OpinionSettings(NeighborSettings(number=3)))
    assert model.task is not None
    opinion = scales * decision.opinions.neighbors.opinions(sample_bits(batch, model.task))
    logits = scales * (alone - contained * priors)
    known = decision.counts > 0
    weight, temperature = best_weight(logits[:, known], opinion[:, known], labels)
    assert (decision.opinions.neighbors.weight, decision.opinions.neighbors.temperature) == (weight, temperature)
    assert weight > 0
    assert temperature != pytest.approx(1, abs=0.01)
    unbiased = decision.corrected(mixed.logits) - decision.prior_strength() * priors
    torch.testing.assert_close(unbiased[:, known], ((logits + weight * opinion) / temperature)[:, known])


@pytest.mark.parametrize("options", [["--neighbors.number=0"], ["--config=method/cross_entropy.yaml"]])
def test_without_neighbors_nothing_is_remembered(tmp_path: Path, options: list[str]) -> None:
    model = trained_without(tmp_path, *options)
    assert model.decision.opinions.neighbors.bits is None
    assert model.decision.opinions.neighbors.weight == 0


def test_the_largest_classes_are_drawn_from_if_there_are_too_many(tmp_path: Path) -> None:
    model, _, _ = trained(tmp_path, "--folds=3", "--neighbors.most=11")
    assert numpy.bincount(model.decision.opinions.neighbors.codes).tolist() == [5, 5, 1]


def test_a_refit_remembers_all_rows_with_the_weight_that_was_chosen(tmp_path: Path) -> None:
    best, _, folder = trained(tmp_path, "--refit=true")
    path = folder / "checkpoints" / "final.ckpt"
    for objective in (None, "accuracy"):
        if objective is not None:
            decide(folder, DecisionSettings(objective))
        final = DrugClassifier.load_from_checkpoint(path)
        neighbors = final.decision.opinions.neighbors
        assert numpy.bincount(neighbors.codes).tolist() == [12, 24, 1]
        assert (neighbors.weight, neighbors.temperature) == (
            best.decision.opinions.neighbors.weight,
            best.decision.opinions.neighbors.temperature,
        )
    model = tailmol.load(folder)
    model.decide("balanced_accuracy")
    assert len(model.classifier.decision.opinions.neighbors.codes) == 37
