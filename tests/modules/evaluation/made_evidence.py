"""Evidence of drawn samples, for tests."""

from __future__ import annotations

import numpy
import torch
from scipy.sparse import csr_array

from modules.evaluation.applicability import fit_applicability, signals
from modules.evaluation.prediction_evidence import PredictionEvidence, UnseenSamples
from modules.neighbors.training_samples import TrainingSamples
from modules.unit_embeddings import unit_embeddings


def made_evidence(samples: int = 30, dim: int = 8, width: int = 64, classes: int = 3) -> PredictionEvidence:
    """Evidence of molecules named `drug 0` and so on, and of 50 unseen samples with drawn labels."""
    generator = numpy.random.default_rng(0)
    embeddings = unit_embeddings(torch.from_numpy(generator.normal(size=(samples + 50, dim))))
    bits = csr_array((generator.random((samples + 50, width)) < 0.3).astype(numpy.float32))
    names, texts = [f"drug {place}" for place in range(samples)], ["C" * (place + 1) for place in range(samples)]
    codes = numpy.arange(samples) % classes
    known = TrainingSamples(names, texts, codes, embeddings[:samples].half().numpy(), bits[:samples], True)
    _, near = known.nearest(embeddings[samples:], bits[samples:], 5)
    found = signals(generator.random(50), generator.integers(0, classes, 50), near, by_tanimoto=True)
    estimate = fit_applicability(found, generator.random(50) < 0.6, classes)
    return PredictionEvidence("x", known, UnseenSamples(numpy.arange(50), near), estimate)
