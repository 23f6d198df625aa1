"""Embeddings and predictions of the samples in a report."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy
from numpy.typing import NDArray

from base.stratified import draw_stratified
from datamodules.splits.splitters import SplitName
from modules.evaluation.split_scores import SplitScores, joined

if TYPE_CHECKING:
    from datamodules.drug_datamodule import DrugDataModule
    from modules.decision import Decision
    from modules.decisions.objectives import DecisionObjective
    from modules.drug_classifier import DrugClassifier

TRAINING_EMBEDDED = 4_000
TEST_EVALUATED = 20_000
"""Largest numbers of samples, which let a report finish within seconds."""


@dataclass(frozen=True)
class EvaluatedSamples:
    """n rows of a split.

    Attributes:
        total: int64 (C,), number of rows of each class in the entire split.
        rows: int64 (n,), rows of the table.
        samples: int64 (n,), equal for rows of the same sample.
        codes: int64 (n,), class codes.
        predicted: int64 (n,), predicted class codes.
        confidence: float32 (n,), probabilities of the predicted classes.
        embeddings: float32 (n, d), unit vectors.
        subclusters: int64 (n,), index of a training sample's sub-cluster within its class; -1 if unknown.
        logits: float32 (n, C), logits with the second opinions.
        at_prior: int64 (n,), class codes predicted without that opinion at the training prior; see `SplitScores`.
    """

    total: NDArray[Any]
    rows: NDArray[Any]
    samples: NDArray[Any]
    codes: NDArray[Any]
    predicted: NDArray[Any]
    confidence: NDArray[Any]
    embeddings: NDArray[Any]
    subclusters: NDArray[Any]
    logits: NDArray[Any]
    at_prior: NDArray[Any]

    def __len__(self) -> int:
        """Number of rows n."""
        return len(self.rows)

    @property
    def sampled(self) -> bool:
        """Whether these are only a part of the split."""
        return len(self.rows) < int(self.total.sum())


def evaluate_split(
    model: DrugClassifier, data: DrugDataModule, split: SplitName, most: int, seed: int = 0
) -> EvaluatedSamples:
    """Embed and predict samples of a split, without augmentation.

    Args:
        model: The model, on the device to use.
        data: The data module, after `setup`.
        split: The split.
        most: Largest number of samples; a larger split is sampled, stratified by class.
        seed: Random seed.
    """
    rows = data.records.rows[split]
    codes = data.records.codes[rows]
    places = draw_stratified(codes, most, seed)
    predictions = _predict(model, data, rows[places])
    subclusters = numpy.full(len(places), -1)
    if split == "train":
        subclusters = _subclusters(model, places, codes, predictions["embeddings"])
    return EvaluatedSamples(
        total=numpy.bincount(codes, minlength=len(data.records.classes)),
        rows=rows[places],
        samples=data.records.samples[rows[places]],
        codes=codes[places],
        subclusters=subclusters,
        **predictions,
    )


def evaluate_out_of_fold(
    model: DrugClassifier,
    data: DrugDataModule,
    scores: SplitScores,
    objective: DecisionObjective,
    most: int,
    seed: int = 0,
) -> EvaluatedSamples:
    """Embed samples of all folds, with the predictions of the member that was not trained on them.

    Args:
        model: The ensemble, on the device to use.
        data: The data module, after `setup`.
        scores: Out-of-fold scores of all samples.
        objective: The objective, which chooses a decision for each fold on the scores of the others.
        most: Largest number of samples; more are sampled, stratified by class.
        seed: Random seed.
    """
    import torch

    folds, probabilities, labels = [], [], []
    for decision, own in decided_folds(model, data, scores, objective):
        folds.append(own)
        probabilities.append(decision.probabilities(own.logits))
        labels.append(decision.labels(probabilities[-1]))
    every = joined(folds)
    codes = every.labels.numpy()
    places = draw_stratified(codes, most, seed)
    predicted = torch.cat(labels)[places]
    confidence = torch.cat(probabilities)[places].gather(1, predicted[:, None])[:, 0]
    rows = every.rows.numpy()[places]
    return EvaluatedSamples(
        total=numpy.bincount(codes, minlength=len(data.records.classes)),
        rows=rows,
        samples=data.records.samples[rows],
        codes=codes[places],
        predicted=predicted.numpy(),
        confidence=confidence.numpy(),
        embeddings=_predict(model, data, rows)["embeddings"],
        subclusters=numpy.full(len(places), -1),
        logits=every.logits.numpy()[places],
        at_prior=every.at_prior.numpy()[places],
    )


def decided_folds(
    model: DrugClassifier, data: DrugDataModule, scores: SplitScores, objective: DecisionObjective
) -> list[tuple[Decision, SplitScores]]:
    """The scores of each fold, with the decision that those of the other folds choose.

    Args:
        model: The ensemble.
        data: The data module, after `setup`.
        scores: Out-of-fold scores of the ensemble.
        objective: The objective that chooses the decision.
    """
    import torch

    from modules.out_of_fold import cross_fitted

    assert data.records.folds is not None
    fold_of = torch.from_numpy(data.records.folds[scores.rows.numpy()])
    folds = [scores.part(fold_of == fold) for fold in range(data.split.folds or 0)]
    return list(zip(cross_fitted(model, folds, objective), folds, strict=True))


def _predict(model: DrugClassifier, data: DrugDataModule, rows: NDArray[Any]) -> dict[str, NDArray[Any]]:
    """The attributes of `EvaluatedSamples` that a model computes."""
    import torch

    from modules.inference import infer
    from modules.unit_embeddings import unit_embeddings

    found = [prediction for _, prediction in infer(model, data.batches_of(rows))]

    def all_of(name: str) -> torch.Tensor:
        return torch.cat([getattr(prediction, name) for prediction in found])

    predicted = all_of("labels")
    values = {
        "predicted": predicted,
        "confidence": all_of("probabilities").gather(1, predicted[:, None])[:, 0].float(),
        "embeddings": unit_embeddings(all_of("embeddings")).float(),
        "logits": all_of("logits").float(),
        "at_prior": all_of("at_prior"),
    }
    return {name: value.cpu().numpy() for name, value in values.items()}


def _subclusters(
    model: DrugClassifier, places: NDArray[Any], codes: NDArray[Any], embeddings: NDArray[Any]
) -> NDArray[Any]:
    """Index of each sample's sub-cluster within its class; -1 before the first recluster."""
    import torch

    from modules.subclusters import nearest_subclusters

    state = model.class_state
    ids = state.subcluster_ids.cpu().numpy()
    own = codes[places]
    if not len(ids):
        return numpy.full(len(places), -1)
    if len(state.subcluster_centroids):
        device = model.device
        given = (torch.from_numpy(embeddings).to(device), torch.from_numpy(own).to(device))
        found = nearest_subclusters(*given, state.subcluster_centroids, state.subcluster_classes).cpu().numpy()
        first = numpy.full(len(state.counts), -1)
        present, starts = numpy.unique(state.subcluster_classes.cpu().numpy(), return_index=True)
        first[present] = starts
    else:
        found = ids[places]
        first = numpy.full(len(state.counts), len(ids))
        numpy.minimum.at(first, codes, ids)
    return numpy.asarray(found - first[own])
