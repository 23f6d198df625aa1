"""Computes the evidence that is stored with a checkpoint."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import numpy
import torch
from numpy.typing import NDArray
from torch import Tensor

from base.stratified import draw_stratified
from datamodules.drug_datamodule import DrugDataModule
from modules.decision import Decision
from modules.drug_classifier import DrugClassifier
from modules.embedding_pass import Precision, embed_training_set
from modules.evaluation.applicability import ASKED, Applicability, Signals, fit_applicability, signals
from modules.evaluation.prediction_evidence import PredictionEvidence, UnseenSamples
from modules.evaluation.split_scores import SplitScores
from modules.multilabel.label_evidence import label_signals, right_shares
from modules.neighbors.training_samples import Neighbors, TrainingSamples
from modules.sample_fingerprints import bits_of_rows, bits_width
from modules.unit_embeddings import unit_embeddings

MOST_TRAINING_SAMPLES = 1_000_000
"""Largest number of training samples of the evidence; of larger sets the largest classes are drawn from."""
MOST_UNSEEN_SAMPLES = 10_000
"""Largest number of unseen samples of the evidence, and of those that it is tested on, drawn at random."""


def training_samples(
    model: DrugClassifier, data: DrugDataModule, precision: Precision = nullcontext
) -> TrainingSamples:
    """The different training samples of a data module; must be called on all processes.

    Of rows of the same sample the first one is taken; where a sample may have several labels, with each label that is
    known of any of them, since a row may name some and leave others open.

    Args:
        model: The model that embeds them.
        data: The data module, set up.
        precision: Creates the context of a forward pass, as for `infer`.
    """
    task, records, table = model.task, data.records, data.table.table
    assert task is not None
    train = records.rows["train"]
    order = numpy.lexsort((train, records.samples[train]))
    _, first = numpy.unique(records.samples[train[order]], return_index=True)
    places, codes = order[first], records.codes[train[order[first]]]
    if records.is_multilabel:
        codes = numpy.maximum.reduceat(records.codes[train[order]], first)
    ascending = numpy.argsort(places)
    drawn = ascending[draw_stratified(records.sampled_codes(codes[ascending]), MOST_TRAINING_SAMPLES)]
    places = places[drawn]
    embeddings, _ = embed_training_set(model, data, places, precision)
    rows = train[places]
    has_molecules = bits_width(task) > 0
    return TrainingSamples(
        table.names(rows),
        table.texts(rows),
        codes[drawn],
        unit_embeddings(embeddings).half().cpu().numpy(),
        bits_of_rows(data, rows, task) if has_molecules else None,
        # A drug with two proteins is two samples of the same fingerprint.
        by_tanimoto=has_molecules and task.input != "drug_protein",
    )


def nearest_of_rows(
    samples: TrainingSamples, model: DrugClassifier, data: DrugDataModule, rows: NDArray[Any], embeddings: Tensor
) -> Neighbors:
    """The training samples nearest to rows of a table that the estimate of applicability looks at.

    Args:
        samples: The training samples.
        model: The model.
        data: The data module of the table, set up.
        rows: Rows, (n,), one or more.
        embeddings: Their embeddings, (n, d).
    """
    assert model.task is not None
    bits = None if samples.bits is None else bits_of_rows(data, rows, model.task)
    return samples.nearest(embeddings, bits, ASKED)[1]


@torch.no_grad()
def make_evidence(
    digest: str,
    samples: TrainingSamples,
    model: DrugClassifier,
    data: DrugDataModule,
    scores: SplitScores,
    embeddings: Tensor,
) -> PredictionEvidence:
    """Compute the evidence of a model.

    Args:
        digest: `encoder_digest` of its checkpoint.
        samples: The training samples.
        model: The model, with its decision.
        data: The data module of the unseen samples, set up.
        scores: Scores of samples that training did not see, one or more, in order of their rows. Of many, some are
            enough (`MOST_UNSEEN_SAMPLES`), as neighbors are sought for each.
        embeddings: Their embeddings, (V, d).
    """
    rows = scores.rows.cpu().numpy()
    unseen = UnseenSamples(rows, nearest_of_rows(samples, model, data, rows, embeddings))
    return PredictionEvidence(digest, samples, unseen, estimate_of(model.decision, scores, unseen, samples.by_tanimoto))


def estimate_of(decision: Decision, scores: SplitScores, unseen: UnseenSamples, by_tanimoto: bool) -> Applicability:
    """Estimate how often the labels of a decision are right.

    Args:
        decision: The decision.
        scores: Scores of the unseen samples, or of more.
        unseen: The samples.
        by_tanimoto: As of `TrainingSamples`.
    """
    found, right = signals_of(decision, scores.of_rows(unseen.rows), unseen.neighbors, by_tanimoto)
    # Of several labels, that there is none is one more that can be predicted.
    return fit_applicability(found, right, len(decision.counts) + (scores.labels.ndim == 2))


def decided_evidence(decision: Decision, scores: SplitScores, evidence: PredictionEvidence) -> PredictionEvidence:
    """The same evidence for another decision, since which labels are right depends on it.

    Args:
        decision: The decision.
        scores: Scores of the unseen samples of the evidence, or of more.
        evidence: The evidence.
    """
    estimate = estimate_of(decision, scores, evidence.unseen, evidence.samples.by_tanimoto)
    return replace(evidence, applicability=estimate)


def signals_of(
    decision: Decision, scores: SplitScores, neighbors: Neighbors, by_tanimoto: bool
) -> tuple[Signals, NDArray[Any]]:
    """The signals of the labels of a decision, and the share of them that are right, see `fit_applicability`, (N,).

    The share is NaN for samples of classes without training samples, which can only be predicted wrongly, and as of
    `right_shares`.

    Args:
        decision: The decision.
        scores: Scores of N samples.
        neighbors: Their nearest training samples, in the same order.
        by_tanimoto: As of `TrainingSamples`.
    """
    probabilities = decision.probabilities(scores.logits)
    labels, calibrated = decision.labels(probabilities), decision.calibrated(scores.logits)
    predicted, known = labels.cpu().numpy(), scores.labels.cpu().numpy()
    seen = decision.counts.cpu().numpy() > 0
    if predicted.ndim == 2:
        several = label_signals(calibrated.cpu().numpy(), predicted, neighbors, by_tanimoto)
        return several, right_shares(predicted, known, seen)
    sure = calibrated.gather(1, labels[:, None]).squeeze(1).cpu().numpy()
    right = numpy.where(seen[known], predicted == known, numpy.nan)
    return signals(sure, predicted, neighbors, by_tanimoto), right


def joined_unseen(parts: Sequence[UnseenSamples]) -> UnseenSamples:
    """The unseen samples of the members of an ensemble as one set, in order of their rows.

    Args:
        parts: Those of each member.
    """
    rows = numpy.concatenate([part.rows for part in parts])
    order = numpy.argsort(rows, kind="stable")
    width = min(part.neighbors.codes.shape[1] for part in parts)
    values = [
        numpy.concatenate([getattr(part.neighbors, name)[:, :width] for part in parts])[order]
        for name in ("codes", "tanimoto", "cosine")
    ]
    return UnseenSamples(rows[order], Neighbors(*values))
