"""Embeddings and predictions of the samples that a report shows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy
from numpy.typing import NDArray

from datamodules.splits.splitters import SplitName
from reports.stratified import draw_stratified

if TYPE_CHECKING:
    import torch

    from datamodules.drug_datamodule import DrugDataModule
    from modules.drug_classifier import DrugClassifier

# So many are embedded at most, which keeps a report within seconds; each class keeps some.
TRAINING_EMBEDDED = 4_000
TEST_EVALUATED = 20_000


@dataclass(frozen=True)
class EvaluatedSamples:
    """n samples of a split.

    Attributes:
        total: int64 (C,), samples of each class in the whole split.
        rows: int64 (n,), rows of the table.
        codes: int64 (n,), classes.
        predicted: int64 (n,), classes of largest probability.
        confidence: float32 (n,), these probabilities.
        embeddings: float32 (n, d), unit vectors.
        subclusters: int64 (n,), place of a training sample's sub-cluster among those of its class; -1 where unknown.
    """

    total: NDArray[Any]
    rows: NDArray[Any]
    codes: NDArray[Any]
    predicted: NDArray[Any]
    confidence: NDArray[Any]
    embeddings: NDArray[Any]
    subclusters: NDArray[Any]

    def __len__(self) -> int:
        """How many n."""
        return len(self.rows)

    @property
    def sampled(self) -> bool:
        """Whether the split has more samples than these."""
        return len(self.rows) < int(self.total.sum())


def evaluate_split(
    model: DrugClassifier, data: DrugDataModule, split: SplitName, most: int, seed: int = 0
) -> EvaluatedSamples:
    """Embed and predict samples of a split, as they are.

    Args:
        model: On the device to compute on.
        data: Set up.
        split: Which.
        most: How many samples to draw, stratified by class.
        seed: Of the draw.
    """
    rows = data.records.rows[split]
    codes = data.records.codes[rows]
    places = draw_stratified(codes, most, seed)
    embeddings, predicted, confidence = _predict(model, data, rows[places])
    subclusters = numpy.full(len(places), -1)
    if split == "train":
        subclusters = _subclusters(model, places, codes, embeddings)
    return EvaluatedSamples(
        total=numpy.bincount(codes, minlength=len(data.records.classes)),
        rows=rows[places],
        codes=codes[places],
        predicted=predicted,
        confidence=confidence,
        embeddings=embeddings,
        subclusters=subclusters,
    )


def _predict(
    model: DrugClassifier, data: DrugDataModule, rows: NDArray[Any]
) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    import torch

    from modules.unit_embeddings import unit_embeddings

    seen: list[torch.Tensor] = []
    hook = model.network.encoder.register_forward_hook(lambda _module, _given, output: seen.append(output))
    confidences, predictions = [], []
    model.eval()
    try:
        with torch.inference_mode():
            for start in range(0, len(rows), data.evaluation_batch_size):
                chosen = rows[start : start + data.evaluation_batch_size]
                batch = data.table.store.batch(chosen, chosen, data.records.codes[chosen]).to(model.device)
                probabilities = model.predict_step(batch, 0).probabilities
                confidence, predicted = probabilities.max(dim=1)
                confidences.append(confidence)
                predictions.append(predicted)
    finally:
        hook.remove()
    unit = unit_embeddings(torch.cat(seen)).cpu().numpy()
    return unit, torch.cat(predictions).cpu().numpy(), torch.cat(confidences).float().cpu().numpy()


def _subclusters(
    model: DrugClassifier, places: NDArray[Any], codes: NDArray[Any], embeddings: NDArray[Any]
) -> NDArray[Any]:
    """Place of each sample's sub-cluster among those of its class; -1 before the first recluster."""
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
