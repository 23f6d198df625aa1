"""How often labels are right for samples like a given one, estimated on samples that training did not see."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy
from numpy.typing import NDArray

from modules.neighbors.training_samples import Neighbors

LEVELS = {"high": 0.8, "medium": 0.5, "low": 0.0}
"""The levels, and the smallest estimated accuracy of each."""
ASKED = 5
"""Number of nearest training samples that the estimate looks at."""

_SIGNALS = 3
_PENALTY = 1.0
_OUTER_SHARE = 0.05
_LEAST_ODDS = 1e-4


@dataclass(frozen=True)
class Signals:
    """What tells right labels from wrong ones; the more of each, the more often a label is right.

    Attributes:
        values: Of N samples, float64 (N, 3): the log odds of the calibrated probability; the similarity to the nearest
            of the five nearest training samples with the predicted label, 0 if none has it; and the cosine similarity
            to the nearest one.
        similarity: Similarity to the nearest training sample, and its cosine similarity, float64 (N, 2).
    """

    values: NDArray[Any]
    similarity: NDArray[Any]


def signals(probability: NDArray[Any], labels: NDArray[Any], neighbors: Neighbors, by_tanimoto: bool) -> Signals:
    """Find the signals of predictions.

    Args:
        probability: Calibrated probabilities of the predicted labels, (N,).
        labels: Predicted labels, int64 (N,).
        neighbors: The nearest training samples, `ASKED` of each or all that there are.
        by_tanimoto: Whether they are the nearest ones by Tanimoto similarity, else by cosine similarity.
    """
    probability = probability.astype(numpy.float64).clip(_LEAST_ODDS, 1 - _LEAST_ODDS)
    nearness = (neighbors.tanimoto if by_tanimoto else neighbors.cosine)[:, :ASKED].astype(numpy.float64)
    agrees = neighbors.codes[:, :ASKED] == labels[:, None]
    agreeing = numpy.where(agrees, nearness, 0.0).max(axis=1)
    cosine = neighbors.cosine[:, 0].astype(numpy.float64)
    odds = numpy.log(probability) - numpy.log1p(-probability)
    return Signals(numpy.stack([odds, agreeing, cosine], axis=1), numpy.stack([nearness[:, 0], cosine], axis=1))


@dataclass(frozen=True)
class Applicability:
    """Estimates how often labels are right, by a logistic regression on `Signals`.

    Its weights are 0 or more, so that no estimate falls with a signal, and a penalty draws them to 0: with few samples
    every estimate is near the share of right labels of all. Where fewer than 5 % of the samples are as far from the
    training samples, the estimate falls in proportion, to that of a guess, 1 / C, where none is; one that is lower
    stays.

    Attributes:
        mean: Mean of each signal, float64 (3,).
        scale: Standard deviation of each signal, float64 (3,).
        weights: Weight of each standardized signal, then the intercept, float64 (4,).
        similarity: Similarities as in `Signals` of the samples, each column ascending, float64 (V, 2).
        num_classes: Number of classes C; where a sample may have several labels, of these and one for none.
    """

    mean: NDArray[Any]
    scale: NDArray[Any]
    weights: NDArray[Any]
    similarity: NDArray[Any]
    num_classes: int

    def estimate(self, found: Signals) -> NDArray[Any]:
        """Estimate the share of right labels among samples like each of N samples, float64 (N,) in 0..1.

        Args:
            found: Their signals.
        """
        scores = (found.values - self.mean) / self.scale @ self.weights[:-1] + self.weights[-1]
        accuracy = 1 / (1 + numpy.exp(-scores))
        trust = numpy.ones(len(accuracy))
        for known, own in zip(self.similarity.T, found.similarity.T, strict=True):
            share = numpy.searchsorted(known, own, side="right") / len(known)
            trust = numpy.minimum(trust, share / _OUTER_SHARE)
        guess = numpy.minimum(accuracy, 1 / self.num_classes)
        estimated: NDArray[Any] = trust * accuracy + (1 - trust) * guess
        return estimated

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """The estimate as plain arrays, by names that begin with `accuracy_`."""
        return {f"accuracy_{field.name}": numpy.array(getattr(self, field.name)) for field in fields(self)}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Applicability:
        """Restore the estimate from `to_arrays`.

        Args:
            arrays: The arrays by name, beside others.

        Raises:
            KeyError: If one is missing.
            ValueError: If one is not valid.
        """
        mean, scale, weights, similarity, classes = (arrays[f"accuracy_{field.name}"] for field in fields(cls))
        shapes = {(_SIGNALS,): (mean, scale), (_SIGNALS + 1,): (weights,), (len(similarity), 2): (similarity,)}
        for shape, values in shapes.items():
            if any(one.shape != shape or one.dtype != numpy.float64 for one in values):
                raise ValueError(f"accuracy: expected float64 of shape {shape}, got another array")
        if not len(similarity) or int(classes) < 1:
            raise ValueError("accuracy: expected samples and classes, got none")
        return cls(mean, scale, weights, similarity, int(classes))


def fit_applicability(found: Signals, right: NDArray[Any], num_classes: int) -> Applicability:
    """Fit the estimate.

    Args:
        found: Signals of V samples that training did not see, V of 1 or more.
        right: Share of their labels that are right, (V,) in 0..1; of a single label, whether it is. NaN where this is
            not known.
        num_classes: As of `Applicability`.
    """
    from scipy.optimize import minimize

    mean, scale = found.values.mean(axis=0), found.values.std(axis=0)
    scale = numpy.where(scale < 1e-6, 1.0, scale)
    inputs = numpy.column_stack([(found.values - mean) / scale, numpy.ones(len(right))])
    # Half a right and half a wrong label more keep the estimate off 0 and 1 where all labels are alike.
    inputs = numpy.concatenate([inputs, inputs[:1] * [0, 0, 0, 1], inputs[:1] * [0, 0, 0, 1]])
    known = ~numpy.isnan(right)
    share = numpy.concatenate([numpy.where(known, right, 0.0), [1.0, 0.0]])
    count = numpy.concatenate([known.astype(numpy.float64), [0.5, 0.5]])

    def loss(weights: NDArray[Any]) -> tuple[float, NDArray[Any]]:
        scores = inputs @ weights
        errors = count * (1 / (1 + numpy.exp(-scores)) - share)
        penalty = _PENALTY * numpy.append(weights[:-1], 0.0)
        value = (count * (numpy.logaddexp(0, scores) - share * scores)).sum() + 0.5 * penalty @ weights
        return float(value), inputs.T @ errors + penalty

    bounds = [(0.0, None)] * _SIGNALS + [(None, None)]
    best = minimize(loss, numpy.zeros(_SIGNALS + 1), jac=True, bounds=bounds, method="L-BFGS-B")
    return Applicability(mean, scale, best.x, numpy.sort(found.similarity, axis=0), num_classes)


def level_of(accuracy: NDArray[Any]) -> NDArray[Any]:
    """Level of each estimated accuracy, as its place in `LEVELS`, int64 (N,).

    Args:
        accuracy: Estimated accuracies, (N,).
    """
    least = numpy.array(list(LEVELS.values()))
    return numpy.asarray((accuracy[:, None] < least).sum(axis=1)).clip(max=len(least) - 1)


def accuracy_by_level(accuracy: NDArray[Any], right: NDArray[Any]) -> list[dict[str, Any]]:
    """How often labels are right on each level.

    Args:
        accuracy: Estimated accuracies of N samples, (N,).
        right: As of `fit_applicability`; samples of which it is not known are left out.

    Returns:
        For each level its name as `level`, the smallest estimate as `at_least`, the number of `samples`, the sum of
        their shares of `right` labels, and the means of these shares as `accuracy` and of the estimates as `estimated`;
        None without samples.
    """
    level = numpy.where(numpy.isnan(right), -1, level_of(accuracy))
    rows = []
    for place, (name, least) in enumerate(LEVELS.items()):
        own = level == place
        count, hits = int(own.sum()), right[own].sum().item()
        means = (hits / count, float(accuracy[own].mean())) if count else (None, None)
        rows.append({"level": name, "at_least": least, "samples": count, "right": hits})
        rows[-1] |= dict(zip(("accuracy", "estimated"), means, strict=True))
    return rows
