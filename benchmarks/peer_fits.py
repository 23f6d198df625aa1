"""How each peer is fitted, in this process or in the environment of the peers."""

from __future__ import annotations

import itertools
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, hstack, save_npz
from sklearn.base import ClassifierMixin
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from torch import Tensor

from benchmarks.measuring import CHECKOUT, PEERS_PYTHON
from benchmarks.peer_boosting import PATIENCE, ROUNDS, SMALLEST_LEAF
from benchmarks.peer_chemprop import fit_chemprop
from benchmarks.peer_data import Fit, Fitted, PeerData
from benchmarks.peer_decision import accuracies

STRENGTHS_OF_LOGISTIC = (1.0, 0.1, 10.0, 0.01)
"""Values of C, the inverse of the penalty, that `logistic_tuned` tries, the default first."""

DECIDED = "_decided"
"""End of the names of the rows with a decision that is chosen on the validation samples."""

_DECISIONS = "decided by balanced_accuracy and head_kept"
_EPOCHS, _PATIENCE = 100, 5
_TREES = 500


@dataclass(frozen=True)
class Family:
    """Variants of one peer.

    Attributes:
        fits: The variants by name; the first has no class weights.
        settings: What the variants are fitted and decided with. Rows of other settings are computed again.
        encoder: The encoder in the rows.
        elsewhere: Whether they run in the environment of the peers.
        needs_molecules: Whether they cannot be fitted on arrays.
        by_default: Whether they are fitted unless other families are named.
    """

    fits: Mapping[str, Fit]
    settings: str
    encoder: str = "fingerprint"
    elsewhere: bool = False
    needs_molecules: bool = False
    by_default: bool = True

    @property
    def methods(self) -> tuple[str, ...]:
        """The names of the rows of all variants, with their own decision and with the chosen one."""
        return tuple(f"{name}{suffix}" for name in self.fits for suffix in ("", DECIDED))


def _spread(known: NDArray[Any], probabilities: NDArray[Any], classes: int) -> Tensor:
    """Probabilities of all classes, fp32 (n, classes), from those of the classes in `known`."""
    spread = torch.zeros(len(probabilities), classes)
    spread[:, known] = torch.from_numpy(probabilities).float()
    return spread


def _predicted(model: Any, data: PeerData) -> tuple[Tensor, Tensor]:
    validation, test = (
        _spread(model.classes_, model.predict_proba(data.features[split]), len(data.class_counts))
        for split in ("validation", "test")
    )
    return validation, test


def fit_sklearn(make: Callable[[int], ClassifierMixin], prior_removed: float, data: PeerData, seed: int) -> Fitted:
    """Fit a classifier of scikit-learn on the features.

    Args:
        make: Makes the classifier from a seed.
        prior_removed: See `Fitted`.
        data: The samples.
        seed: Random seed.
    """
    model: Any = make(seed)
    return Fitted(*_predicted(model.fit(data.features["train"], data.codes["train"]), data), prior_removed)


def _logistic(balanced: bool, seed: int = 0, strength: float = 1.0) -> LogisticRegression:
    return LogisticRegression(C=strength, max_iter=1000, class_weight="balanced" if balanced else None)


def _forest(balanced: bool, seed: int) -> RandomForestClassifier:
    weight = "balanced_subsample" if balanced else None
    return RandomForestClassifier(_TREES, n_jobs=torch.get_num_threads(), random_state=seed, class_weight=weight)


def fit_tuned_logistic(data: PeerData, seed: int) -> Fitted:
    """The logistic regression, over C and class weights, of the highest balanced accuracy on the validation samples.

    Of equally good ones it is the first in the order balanced, plain, and of `STRENGTHS_OF_LOGISTIC`.

    Args:
        data: The samples.
        seed: Random seed.
    """
    best, chosen = -1.0, None
    for balanced, strength in itertools.product((True, False), STRENGTHS_OF_LOGISTIC):
        fitted = fit_sklearn(partial(_logistic, balanced, strength=strength), float(balanced), data, seed)
        found = accuracies(fitted.validation, data.labels("validation"), data.counts)["balanced_accuracy"]
        if found > best:
            best, chosen = found, fitted
    assert chosen is not None
    return chosen


def fit_network(data: PeerData, seed: int) -> Fitted:
    """A network of 512 and 256 units on log counts, of the epoch of the smallest log loss on the validation samples.

    Args:
        data: The samples.
        seed: Random seed.
    """
    logs = {split: counts.sign().multiply(abs(counts).log1p()).tocsr() for split, counts in data.features.items()}
    of_logs = PeerData(logs, data.descriptors, data.smiles, data.codes, data.class_counts)
    labels, classes = data.labels("validation"), numpy.unique(data.codes["train"])
    known = data.counts[labels] > 0
    model = MLPClassifier((512, 256), batch_size=min(128, len(data.codes["train"])), random_state=seed)
    best, chosen, since = torch.inf, None, 0
    for _ in range(_EPOCHS):
        model.partial_fit(logs["train"], data.codes["train"], classes=classes)
        predicted = _predicted(model, of_logs)
        chances = predicted[0][known].gather(1, labels[known, None])
        loss = float(-chances.clamp(min=1e-12).log().mean())
        since += 1
        if loss < best:
            best, chosen, since = loss, predicted, 0
        if since == _PATIENCE:
            break
    assert chosen is not None
    return Fitted(*chosen)


def fit_boosting(balanced: bool, data: PeerData, seed: int) -> Fitted:
    """LightGBM on features and descriptors, see `peer_boosting`.

    Args:
        balanced: Whether the classes have equal weights in all.
        data: The samples.
        seed: Random seed.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for split, features in data.features.items():
            save_npz(folder / f"{split}.npz", hstack([features, csr_matrix(data.descriptors[split])]).tocsr())
            numpy.save(folder / f"{split}_codes.npy", data.codes[split])
        words = [str(folder), "balanced" if balanced else "none", str(seed)]
        subprocess.run([str(PEERS_PYTHON), "-m", "benchmarks.peer_boosting", *words], check=True, cwd=CHECKOUT)
        known = numpy.unique(data.codes["train"])
        files = (folder / f"{split}_probabilities.npy" for split in ("validation", "test"))
        probabilities = [_spread(known, numpy.load(file), len(data.class_counts)) for file in files]
    return Fitted(probabilities[0], probabilities[1], float(balanced))


FAMILIES: Mapping[str, Family] = {
    "logistic": Family(
        {
            "logistic": partial(fit_sklearn, partial(_logistic, False), 0.0),
            "logistic_balanced": partial(fit_sklearn, partial(_logistic, True), 1.0),
            "logistic_tuned": fit_tuned_logistic,
        },
        f"LogisticRegression(max_iter=1000), tuned over C of {STRENGTHS_OF_LOGISTIC}, {_DECISIONS}",
    ),
    "forest": Family(
        {
            "forest": partial(fit_sklearn, partial(_forest, False), 0.0),
            # Fully grown trees vote for the labels of their leaves whatever the weights, so the prior is still in.
            "forest_balanced": partial(fit_sklearn, partial(_forest, True), 0.0),
        },
        f"RandomForestClassifier({_TREES}), balanced_subsample, {_DECISIONS}",
    ),
    "network": Family(
        {"network": fit_network},
        f"MLPClassifier((512, 256)) on log counts, {_EPOCHS} epochs with a patience of {_PATIENCE}, {_DECISIONS}",
    ),
    "boosting": Family(
        {"boosting": partial(fit_boosting, False), "boosting_balanced": partial(fit_boosting, True)},
        f"LGBMClassifier(n_estimators={ROUNDS}, min_child_samples={SMALLEST_LEAF}) with a patience of {PATIENCE}, "
        f"{_DECISIONS}",
        elsewhere=True,
    ),
    "chemprop": Family(
        {"chemprop": partial(fit_chemprop, False, 1), "chemprop_balanced": partial(fit_chemprop, True, 1)},
        f"chemprop train, {_DECISIONS}",
        encoder="graph",
        elsewhere=True,
        needs_molecules=True,
    ),
    "chemprop_ensemble": Family(
        {"chemprop_ensemble": partial(fit_chemprop, False, 5)},
        f"chemprop train --ensemble-size 5, {_DECISIONS}",
        encoder="graph",
        elsewhere=True,
        needs_molecules=True,
        by_default=False,
    ),
}
"""The peers by name of their family."""
