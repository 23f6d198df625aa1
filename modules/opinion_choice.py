"""Letting a trained model ask for second opinions, as much as samples that training did not see advise."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy
import torch
from numpy.typing import NDArray
from torch import Tensor

from base.stratified import draw_stratified
from datamodules.drug_datamodule import DrugDataModule
from modules.drug_classifier import DrugClassifier
from modules.evaluation.opinion_weight import best_weight
from modules.evaluation.split_scores import SplitScores, joined
from modules.forest.settings import ForestSettings
from modules.losses.classification.class_priors import log_priors
from modules.neighbors.settings import NeighborSettings
from modules.sample_fingerprints import counts_width, features_of_rows, places_of_kinds
from modules.second_opinion import SecondOpinion

if TYPE_CHECKING:
    from scipy.sparse import csr_array

_ROWS_AT_ONCE = 10_000
"""Rows whose features are in memory at a time."""
MOST_IN_FOREST = 2**24
"""Largest product of classes and training samples of a forest, with which the time to grow it increases."""


@dataclass(frozen=True)
class OpinionSettings:
    """Settings of the second opinions, in the order in which they are added.

    Attributes:
        neighbors: The nearest training samples.
        forest: The forest.
    """

    neighbors: NeighborSettings = NeighborSettings()  # noqa: RUF009
    forest: ForestSettings = ForestSettings()  # noqa: RUF009

    def asked(self, model: DrugClassifier) -> list[_Asked]:
        """The opinions that are asked for, none for samples without molecules.

        Args:
            model: The model, built.
        """
        assert model.task is not None
        if counts_width(model.task) == 0:
            return []
        opinions, neighbors, forest = model.decision.opinions, self.neighbors, self.forest
        in_forest = MOST_IN_FOREST // model.task.num_classes
        # A leaf has two samples, so with fewer for each class it could not be of one class.
        trees = forest.trees if in_forest >= 2 * model.task.num_classes else 0
        asked = []
        if neighbors.number > 0:
            learn = partial(opinions.neighbors.learn, number=neighbors.number)
            asked.append(_Asked(opinions.neighbors, learn, neighbors.most))
        if trees > 0:
            learn = partial(opinions.forest.learn, trees=trees, kinds=places_of_kinds(model.task))
            asked.append(_Asked(opinions.forest, learn, min(forest.most, in_forest)))
        return asked


@dataclass(frozen=True)
class _Asked:
    """An opinion, and how it is learned.

    Attributes:
        opinion: The opinion.
        learn_features: Learns the features of training samples, fp32 (N, W), and their class codes, int64 (N,).
        most: Largest number of training samples that it learns.
    """

    opinion: SecondOpinion
    learn_features: Callable[[csr_array, NDArray[numpy.int64]], None]
    most: int

    def learn_rows(self, model: DrugClassifier, data: DrugDataModule, rows: NDArray[numpy.int64]) -> None:
        """Learn rows of a table, of many a part of the largest classes."""
        assert model.task is not None
        codes = data.records.codes
        kept = rows[draw_stratified(codes[rows], self.most)]
        features = features_of_rows(data, kept, model.task, self.opinion.features)
        self.learn_features(features, codes[kept].astype(numpy.int64))


def choose_opinions(
    model: DrugClassifier, data: DrugDataModule, folds: Sequence[SplitScores], settings: OpinionSettings
) -> list[SplitScores]:
    """Let the second opinions of a model learn its training samples, and choose how much each counts.

    Args:
        model: The model, whose opinions forget what they learned.
        data: The data module, set up, whose training rows are learned.
        folds: Scores, of all processes, without the opinions. If there is one set, training did not see its samples. If
            there are several, they are those of the folds, in order: the opinions on a fold are those of the rows that
            its member was trained on.
        settings: The settings.

    Returns:
        The scores with the opinions.
    """
    mixed = list(folds)
    model.decision.opinions.forget()
    for asked in settings.asked(model):
        mixed = _choose(model, data, mixed, asked)
    return mixed


def _choose(model: DrugClassifier, data: DrugDataModule, folds: list[SplitScores], asked: _Asked) -> list[SplitScores]:
    """The scores of folds with an opinion whose weight is chosen on them."""
    opinion, task = asked.opinion, model.task
    assert task is not None
    rows, together = numpy.sort(data.records.rows["train"]), joined(folds)
    if not len(together.rows):
        return folds
    opinions = []
    for fold, scores in enumerate(folds):
        tested = scores.rows.cpu().numpy()
        trained = rows[~numpy.isin(rows, tested)]
        if len(folds) > 1:
            assert data.records.touched is not None
            trained = trained[~(data.records.touched[trained] == fold).any(axis=1)]
        if not len(trained):
            opinion.forget()
            return folds
        asked.learn_rows(model, data, trained)
        parts = [tested[start : start + _ROWS_AT_ONCE] for start in range(0, len(tested), _ROWS_AT_ONCE)]
        found = [opinion.opinions(features_of_rows(data, part, task, opinion.features)) for part in parts]
        opinions.append(torch.cat([torch.zeros(0, task.num_classes), *found]))
    prior = (model.decision.uncorrected_strength() * log_priors(model.decision.counts)).cpu()
    weight, temperature = _best(model, together, torch.cat(opinions), prior)
    if weight == 0:
        opinion.forget()
        return folds
    if len(folds) > 1:
        asked.learn_rows(model, data, rows)
    opinion.weight, opinion.temperature, opinion.prior = weight, temperature, prior
    return [
        replace(scores, logits=opinion.mixed(scores.logits, own)) for scores, own in zip(folds, opinions, strict=True)
    ]


def learn_training_set(model: DrugClassifier, data: DrugDataModule, settings: OpinionSettings) -> None:
    """Let the second opinions learn the training rows of a data module in place of those before; the weights stay.

    Args:
        model: The model; opinions without weight stay as they are.
        data: The data module, set up.
        settings: The settings.
    """
    for asked in settings.asked(model):
        if asked.opinion.weight > 0:
            asked.learn_rows(model, data, numpy.sort(data.records.rows["train"]))


def _best(model: DrugClassifier, scores: SplitScores, opinions: Tensor, prior: Tensor) -> tuple[float, float]:
    decision, labels = model.decision, scores.labels.cpu()
    # Without the prior, as the opinions are; a correction scales both, and what it adds is added to their mixture.
    scale = decision.logit_scale.cpu()
    unbiased, opinions = scale * (scores.logits.cpu().float() - prior), scale * opinions
    known = decision.counts.cpu() > 0
    kept, place = known[labels], known.cumsum(dim=0) - 1
    return best_weight(unbiased[kept][:, known], opinions[kept][:, known], place[labels[kept]])
