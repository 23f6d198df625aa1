"""Made scores of a long-tailed model."""

from __future__ import annotations

from dataclasses import replace

import torch

from modules.decision import Decision
from modules.decisions.samples import DecisionSamples
from modules.evaluation.split_scores import SplitScores
from modules.losses import CrossEntropyLoss

COUNTS = torch.tensor([600, 200, 60, 20, 10])
HEAD = (0, 1)


def made_scores(samples: int = 400, seed: int = 0, counts: torch.Tensor = COUNTS, margin: float = 1.5) -> SplitScores:
    """True log likelihoods of noise of variance 1 around a direction for each class, and labels drawn by the counts.

    Args:
        samples: Number of samples; every class has at least two.
        seed: Random seed.
        counts: Training samples of each class.
        margin: Length of the directions; the longer, the easier.
    """
    generator = torch.Generator().manual_seed(seed)
    few = torch.arange(len(counts)).repeat(2)
    drawn = torch.multinomial(counts.double(), samples - len(few), replacement=True, generator=generator)
    labels = torch.cat([few, drawn])
    logits = torch.randn(samples, len(counts), generator=generator)
    logits[torch.arange(samples), labels] += margin
    logits, prior = margin * logits, (counts / counts.sum()).log()
    rows = torch.randperm(samples, generator=generator)
    return SplitScores(rows, labels, logits, (logits + prior).argmax(dim=1))


def with_prior(scores: SplitScores, counts: torch.Tensor = COUNTS) -> SplitScores:
    """The scores as cross-entropy without logit adjustment would train them."""
    return replace(scores, logits=scores.logits + (counts / counts.sum()).log())


def made_decision(logit_adjustment: float = 1.0, counts: torch.Tensor = COUNTS) -> Decision:
    """The decision of a model that was trained with cross-entropy."""
    return Decision(counts, CrossEntropyLoss(logit_adjustment))


def made_samples(scores: SplitScores, logit_adjustment: float = 1.0) -> DecisionSamples:
    """The samples of scores that a decision is chosen on."""
    return made_decision(logit_adjustment).samples(scores, HEAD)


def recalls(predicted: torch.Tensor, labels: torch.Tensor, num_classes: int = len(COUNTS)) -> list[float]:
    """Recall of each class, one at a time."""
    return [float((predicted[labels == code] == code).double().mean()) for code in range(num_classes)]


def mean(values: list[float]) -> float:
    """The mean."""
    return sum(values) / len(values)
