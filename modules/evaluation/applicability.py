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
# What the weights of the signals and the intercept are without samples: about those of a regression on the validation
# samples of several tables (docs/predict.md).
_EXPECTED = numpy.array([0.6, 2.0, 0.0, -0.55])
# Usual standard deviations of the signals: those of few samples that happen to be alike would set their weight free.
_SCALE = numpy.array([2.0, 0.2, 0.2])
_PENALTY = numpy.array([10.0, 10.0, 10.0, 5.0])
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

    Its weights are 0 or more, so that no estimate falls with a signal, and a penalty draws them to those that other
    tables have: with few samples, the estimate is near ``0.6 log odds + 2 similarity - 0.55`` on the scale of log odds.
    Of samples less similar to the training samples than 95 % of those it was fitted on, with similarity s instead of q,
    the estimate falls to that of a guess, 1 / C, by a factor (s / q)²; one that is lower stays.

    Attributes:
        weights: Weight of each signal, then the intercept, float64 (4,).
        outer: The 5 % quantile q of each similarity of `Signals`, float64 (2,).
        num_classes: Number of classes C; where a sample may have several labels, of these and one for none.
        samples: Number of samples that it was fitted on.
    """

    weights: NDArray[Any]
    outer: NDArray[Any]
    num_classes: int
    samples: int

    def estimate(self, found: Signals) -> NDArray[Any]:
        """Estimate the share of right labels among samples like each of N samples, float64 (N,) in 0..1.

        Args:
            found: Their signals.
        """
        scores = found.values @ self.weights[:-1] + self.weights[-1]
        accuracy = 1 / (1 + numpy.exp(-scores))
        # Where many samples have no similarity at all, or a negative one, it tells nothing.
        outer = numpy.where(self.outer > 0, self.outer, 1.0)
        near = numpy.where(self.outer > 0, (found.similarity / outer).clip(0, 1), 1.0)
        trust = (near**2).min(axis=1)
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
        weights, outer, classes, samples = (arrays[f"accuracy_{field.name}"] for field in fields(cls))
        for one, shape in ((weights, (_SIGNALS + 1,)), (outer, (2,))):
            if one.shape != shape or one.dtype != numpy.float64:
                raise ValueError(f"accuracy: expected float64 of shape {shape}, got another array")
        if int(classes) < 1 or int(samples) < 0:
            raise ValueError(f"accuracy: expected classes and samples, got {classes} and {samples}")
        return cls(weights, outer, int(classes), int(samples))


def fit_applicability(found: Signals, right: NDArray[Any], num_classes: int) -> Applicability:
    """Fit the estimate.

    Args:
        found: Signals of V samples that training did not see, V of 1 or more.
        right: Share of their labels that are right, (V,) in 0..1; of a single label, whether it is. Samples with NaN
            are left out.
        num_classes: As of `Applicability`.
    """
    from scipy.optimize import minimize

    known, mean = ~numpy.isnan(right), found.values.mean(axis=0)
    share = right[known].astype(numpy.float64)
    inputs = numpy.column_stack([(found.values[known] - mean) / _SCALE, numpy.ones(len(share))])
    expected = numpy.append(_EXPECTED[:-1] * _SCALE, _EXPECTED[-1] + _EXPECTED[:-1] @ mean)

    def loss(weights: NDArray[Any]) -> tuple[float, NDArray[Any]]:
        scores, apart = inputs @ weights, weights - expected
        errors = 1 / (1 + numpy.exp(-scores)) - share
        penalty = _PENALTY * apart
        value = (numpy.logaddexp(0, scores) - share * scores).sum() + penalty @ apart / 2
        return float(value), inputs.T @ errors + penalty

    bounds = [(0.0, None)] * _SIGNALS + [(None, None)]
    best = minimize(loss, expected, jac=True, bounds=bounds, method="L-BFGS-B")
    weights = best.x[:-1] / _SCALE
    weights = numpy.append(weights, best.x[-1] - weights @ mean)
    outer = numpy.quantile(found.similarity, _OUTER_SHARE, axis=0)
    return Applicability(weights, outer, num_classes, len(share))


def level_of(accuracy: NDArray[Any]) -> NDArray[Any]:
    """Level of each estimated accuracy, as its place in `LEVELS`, int64 (N,).

    Args:
        accuracy: Estimated accuracies, (N,).
    """
    least = numpy.array(list(LEVELS.values()))
    return numpy.asarray((accuracy[:, None] < least).sum(axis=1)).clip(max=len(least) - 1)


def accuracy_by_level(accuracy: NDArray[Any], right: NDArray[Any], samples: NDArray[Any]) -> list[dict[str, Any]]:
    """How often labels are right on each level.

    Args:
        accuracy: Estimated accuracies of N rows, (N,).
        right: Of the rows, as of `fit_applicability`.
        samples: Equal for rows of the same sample, int64 (N,).

    Returns:
        For each level its name as `level`, the smallest estimate as `at_least`, the number of `rows` and of different
        `samples` among them, the sum of the shares of `right` labels of the rows, and the means of these shares as
        `accuracy` and of the estimates as `estimated`; None without rows.
    """
    level = numpy.where(numpy.isnan(right), -1, level_of(accuracy))
    rows = []
    for place, (name, least) in enumerate(LEVELS.items()):
        own = level == place
        count, hits = int(own.sum()), right[own].sum().item()
        means = (hits / count, float(accuracy[own].mean())) if count else (None, None)
        different = len(numpy.unique(samples[own]))
        rows.append({"level": name, "at_least": least, "rows": count, "samples": different, "right": hits})
        rows[-1] |= dict(zip(("accuracy", "estimated"), means, strict=True))
    return rows
