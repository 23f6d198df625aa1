"""Letting a trained model ask the nearest training samples, as much as samples that training did not see advise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy
import torch
from numpy.typing import NDArray
from torch import Tensor

from base.stratified import draw_stratified
from datamodules.drug_datamodule import DrugDataModule
from modules.drug_classifier import DrugClassifier
from modules.evaluation.neighbor_weight import best_weight
from modules.evaluation.split_scores import SplitScores, joined
from modules.losses.classification.class_priors import log_priors
from modules.neighbors.sample_bits import bits_of_rows, bits_width
from modules.neighbors.settings import NeighborSettings

_ROWS_AT_ONCE = 50_000
"""Rows whose bins are in memory at a time."""


def choose_neighbors(
    model: DrugClassifier, data: DrugDataModule, folds: Sequence[SplitScores], settings: NeighborSettings
) -> list[SplitScores]:
    """Let a model remember its training samples, and choose how much their opinion counts.

    Args:
        model: The model, which forgets what it remembered.
        data: The data module, set up, whose training rows are remembered.
        folds: Scores, of all processes, without the opinion. If there is one set, training did not see its samples. If
            there are several, they are those of the folds, in order: the opinion on a fold is that of the rows that its
            member was trained on.
        settings: The settings.

    Returns:
        The scores with the opinion.
    """
    neighbors, task = model.decision.neighbors, model.task
    assert task is not None
    neighbors.forget()
    rows, codes, together = numpy.sort(data.records.rows["train"]), data.records.codes, joined(folds)
    if not settings.number or not bits_width(task) or not len(together.rows):
        return list(folds)

    def remember(kept: NDArray[numpy.int64]) -> None:
        kept = kept[draw_stratified(codes[kept], settings.most)]
        neighbors.remember(bits_of_rows(data, kept, task), codes[kept].astype(numpy.int64), settings.number)

    opinions = []
    for fold, scores in enumerate(folds):
        tested = scores.rows.cpu().numpy()
        trained = rows[~numpy.isin(rows, tested)]
        if len(folds) > 1:
            assert data.records.touched is not None
            trained = trained[~(data.records.touched[trained] == fold).any(axis=1)]
        remember(trained)
        parts = [tested[start : start + _ROWS_AT_ONCE] for start in range(0, len(tested), _ROWS_AT_ONCE)]
        found = [neighbors.opinions(bits_of_rows(data, part, task)) for part in parts]
        opinions.append(torch.cat([torch.zeros(0, task.num_classes), *found]))
    remember(rows)
    prior = (model.decision.uncorrected_strength() * log_priors(model.decision.counts)).cpu()
    weight, temperature = _best(model, together, torch.cat(opinions), prior)
    if weight == 0:
        neighbors.forget()
        return list(folds)
    neighbors.weight, neighbors.temperature, neighbors.prior = weight, temperature, prior
    return [
        replace(scores, logits=neighbors.mixed(scores.logits, opinion))
        for scores, opinion in zip(folds, opinions, strict=True)
    ]


def remember_training_set(model: DrugClassifier, data: DrugDataModule, settings: NeighborSettings) -> None:
    """Let a model remember the training rows of a data module in place of those before; the weight stays.

    Args:
        model: The model; nothing changes if it asks no neighbors.
        data: The data module, set up.
        settings: The settings.
    """
    neighbors, codes = model.decision.neighbors, data.records.codes
    assert model.task is not None
    if neighbors.weight > 0:
        rows = numpy.sort(data.records.rows["train"])
        kept = rows[draw_stratified(codes[rows], settings.most)]
        neighbors.remember(bits_of_rows(data, kept, model.task), codes[kept].astype(numpy.int64), neighbors.number)


def _best(model: DrugClassifier, scores: SplitScores, opinions: Tensor, prior: Tensor) -> tuple[float, float]:
    decision, labels = model.decision, scores.labels.cpu()
    # Without the prior, as the opinions are; a correction scales both, and what it adds is added to their mixture.
    scale = decision.logit_scale.cpu()
    unbiased, opinions = scale * (scores.logits.cpu().float() - prior), scale * opinions
    known = decision.counts.cpu() > 0
    kept, place = known[labels], known.cumsum(dim=0) - 1
    return best_weight(unbiased[kept][:, known], opinions[kept][:, known], place[labels[kept]])
