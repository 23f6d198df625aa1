"""The score from which each label is predicted."""

from __future__ import annotations

import torch
from torch import Tensor

from modules.decisions.label_utilities import MACRO_F1, EntryCounts, LabelUtility

_STEPS = 101
_SLOPES = (0.0, 0.25, 0.5, 0.75, 1.0)
_SHRINKAGE = 10.0


def choose_thresholds(scores: Tensor, labels: Tensor, prior: Tensor, utility: LabelUtility = MACRO_F1) -> Tensor:
    """Thresholds on the scores of labels with a high utility.

    A threshold for each label alone would fit the noise of rare ones, so that it is drawn to a common one: the
    line ``a + b prior`` of the best mean utility over a grid. A label whose threshold rests on n samples takes
    ``n / (n + 10)`` of the way from the line to its own best threshold.

    Args:
        scores: Log odds of samples that the model was not trained on, fp32 (N, L).
        labels: Labels, see `label_scores`, integers (N, L).
        prior: Log odds of each label in training, fp32 (L,).
        utility: What is best.

    Returns:
        fp32 (L,); a label is predicted where its score is above. 0 if no label can be judged.
    """
    known, positive = labels >= 0, labels == 1
    has, has_not = positive.sum(dim=0), (known & ~positive).sum(dim=0)
    none = EntryCounts(torch.zeros_like(has), torch.zeros_like(has), has, has_not)
    judged = ~utility.value(none).isnan()
    if not bool(judged.any()):
        return torch.zeros_like(prior)

    def worth(line: Tensor) -> Tensor:
        chosen = (scores > line) & known
        hits = (chosen & positive).sum(dim=0)
        return utility.value(EntryCounts(hits, chosen.sum(dim=0) - hits, has, has_not))[judged].mean()

    shifts = torch.linspace(-5, 5, _STEPS, device=scores.device)
    lines = torch.stack([shift + slope * prior for slope in _SLOPES for shift in shifts])
    means = torch.stack([worth(line) for line in lines])
    # Of equal ones the middle, which is farthest from thresholds that are worse.
    best = torch.nonzero(means == means.max()).flatten()
    line = lines[best[len(best) // 2]]
    own = line.clone()
    for place in torch.nonzero(judged).flatten().tolist():
        thresholds, counts = _candidates(scores[known[:, place], place], positive[known[:, place], place])
        values = utility.value(counts)
        equal = thresholds[values == values.max()]
        own[place] = equal[(equal - line[place]).abs().argmin()]
    support = utility.support(none)
    share = support / (support + _SHRINKAGE)
    return line + share * (own - line)


def recall_threshold(scores: Tensor, positive: Tensor, least: float) -> Tensor:
    """The highest threshold with a recall of at least some share, half-way between two scores.

    Args:
        scores: Scores of a label, fp32 (N,).
        positive: Which of the samples have the label, one or more, bool (N,).
        least: Smallest recall, 0 to 1.

    Returns:
        fp32 scalar.
    """
    thresholds, counts = _candidates(scores, positive)
    return thresholds[counts.hits.double() / counts.has >= least][0]


def _candidates(scores: Tensor, positive: Tensor) -> tuple[Tensor, EntryCounts]:
    """All thresholds that predict different samples, half-way between two scores, from the highest on; none is equal.

    The first one is above and the last one is below all scores.
    """
    ordered, order = scores.sort(descending=True)
    edges = torch.cat([ordered[:1] + 1, ordered, ordered[-1:] - 1])
    hits = torch.cat([torch.zeros_like(order[:1]), positive[order].cumsum(dim=0)])
    # No threshold separates equal scores.
    different = edges[:-1] > edges[1:]
    alarms = torch.arange(len(hits), device=scores.device) - hits
    has = positive.sum()
    counts = EntryCounts(hits[different], alarms[different], has, len(scores) - has)
    middle = (edges[:-1] + edges[1:]) / 2
    # Between two neighboring numbers there is none, and a score that is equal to a threshold is not above it.
    middle = torch.where(middle < edges[:-1], middle, edges[1:])
    return middle[different], counts
