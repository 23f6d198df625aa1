"""A balanced logistic regression on fingerprint counts, fitted on the training rows of a model."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy
from numpy.typing import NDArray

from base.stratified import draw_stratified

if TYPE_CHECKING:
    from datamodules.batch import Batch
    from datamodules.chemistry.count_fingerprints import FingerprintKind
    from datamodules.drug_datamodule import DrugDataModule
    from datamodules.drug_task import DrugTask

_MOST_WORK = 500_000
"""Largest number of training rows times classes: about a second with ten classes, ten seconds with a hundred."""

_MOST_BINS = 2_048
"""Largest number of bins of a fingerprint; more are folded, since each has a coefficient for each class."""

_VALUES_OF_A_MOLECULE = 512
"""Values of an array that take as long as the bins of a molecule, few of which are not zero."""

_ITERATIONS = 100

_KIND_NAMES = {"morgan": "Morgan", "path": "path", "atom_pair": "atom-pair", "torsion": "torsion"}


@dataclass(frozen=True)
class FittedBaseline:
    """What the logistic regression predicts for n test samples.

    Attributes:
        features: What it is fitted on, in words.
        predicted: int64 (n,), predicted class codes; of L labels the probability of each, float64 (n, L).
        fitted_rows: Training rows that it is fitted on, of all fits together.
        training_rows: Training rows of the model, of all fits together.
        fits: Number of fits, one for each fold.
        seconds: Duration of all fits and predictions; NaN if unknown.
    """

    features: str
    predicted: NDArray[Any]
    fitted_rows: int
    training_rows: int
    fits: int
    seconds: float = math.nan


def fit_baseline(
    data: DrugDataModule, rows: NDArray[Any], parts: Iterable[tuple[NDArray[Any], NDArray[Any]]], seed: int = 0
) -> FittedBaseline:
    """Fit the logistic regression and predict test samples.

    Where a sample may have several labels, each label has a regression of its own.

    Args:
        data: The data module, after `setup`.
        rows: (n,), rows of the test samples in the table.
        parts: For each fit, the rows to train on, and the places of the test samples to predict, int (m,).
        seed: Random seed of the draw, stratified by class, from training rows that would take too long.
    """
    records, task = data.records, data.task
    predict, shape = (_probabilities, (len(rows), task.num_classes)) if task.is_multilabel else (_predict, (len(rows),))
    values = task.features.fingerprint_width if _is_array(task) else _VALUES_OF_A_MOLECULE
    most = _MOST_WORK * _VALUES_OF_A_MOLECULE // (task.num_classes * max(values, _VALUES_OF_A_MOLECULE))
    predicted = numpy.full(shape, 0.0 if task.is_multilabel else -1)
    fitted_rows = training_rows = fits = 0
    taken = 0.0
    for training, tested in parts:
        if not len(tested):
            continue
        drawn = training[draw_stratified(records.sampled_codes(records.codes[training]), most, seed)]
        start = time.monotonic()
        predicted[tested] = predict(data, drawn, rows[tested])
        taken += time.monotonic() - start
        fitted_rows, training_rows, fits = fitted_rows + len(drawn), training_rows + len(training), fits + 1
    return FittedBaseline(_features_text(task), predicted, fitted_rows, training_rows, fits, taken)


def _predict(data: DrugDataModule, training: NDArray[Any], tested: NDArray[Any]) -> NDArray[Any]:
    """Class codes of the tested rows by the logistic regression of the training rows."""
    codes = data.records.codes[training]
    if len(numpy.unique(codes)) == 1:
        return numpy.full(len(tested), codes[0])
    model = _fitted(data, _joined(data, training), codes)
    return numpy.concatenate([model.predict(features) for features in _features(data, tested)])


def _probabilities(data: DrugDataModule, training: NDArray[Any], tested: NDArray[Any]) -> NDArray[Any]:
    """Probabilities of the labels of the tested rows, each by the regression of the training rows that are known."""
    labels, given = data.records.codes[training], _joined(data, training)
    asked = _joined(data, tested)
    found = numpy.zeros((len(tested), labels.shape[1]))
    for place, own in enumerate(labels.T):
        known = own >= 0
        if len(numpy.unique(own[known])) == 2:
            found[:, place] = _fitted(data, given[known], own[known]).predict_proba(asked)[:, 1]
        else:
            # All rows have the label, or none: there is nothing to tell apart.
            found[:, place] = float((own == 1).any())
    return found


def _fitted(data: DrugDataModule, features: Any, codes: NDArray[Any]) -> Any:
    """The logistic regression of some rows, of at least two codes."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model = LogisticRegression(class_weight="balanced", max_iter=_ITERATIONS)
    if _is_array(data.task):
        model = make_pipeline(StandardScaler(), model)
    with warnings.catch_warnings():
        # The last steps hardly change the predictions.
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(features, codes)


def _joined(data: DrugDataModule, rows: NDArray[Any]) -> Any:
    """The features of some rows."""
    from scipy.sparse import vstack

    join: Any = numpy.concatenate if _is_array(data.task) else vstack
    found = join(list(_features(data, rows)))
    return found if _is_array(data.task) else found.tocsr()


def _features(data: DrugDataModule, rows: NDArray[Any]) -> Iterator[Any]:
    """The features of some rows, batch by batch."""
    for batch in data.batches_of(rows):
        yield baseline_features(batch, data.task)


def baseline_features(batch: Batch, task: DrugTask) -> Any:
    """What the logistic regression reads.

    Args:
        batch: B samples.
        task: Description of the data.

    Returns:
        `sign(x) log(1 + |x|)` of the counts x of Morgan fingerprints, or of all kinds if it is not among them, as a
        sparse (B, F) matrix: for a reaction x is the difference of product and reactants, and the molecules of other
        samples are side by side. For arrays their values, float64 (B, F).
    """
    from scipy.sparse import csr_matrix

    if batch.arrays is not None:
        return batch.arrays.flatten(1).double().numpy()
    fingerprints = batch.fingerprints
    assert fingerprints is not None
    if task.input == "reaction":
        fingerprints = fingerprints.differences()
    chosen, size = _chosen_kinds(task), task.features.fingerprint_size
    folded, bins = min(size, _MOST_BINS), fingerprints.bin.numpy()
    blocks = [chosen.index(kind) if kind in chosen else -1 for kind in task.features.fingerprint_kinds]
    block = numpy.array(blocks)[bins // size]
    kept, columns = block >= 0, block * folded + bins % size % folded
    places = fingerprints.molecule.numpy()[kept], columns[kept]
    shape = (fingerprints.shape[0], len(chosen) * folded)
    counts = csr_matrix((fingerprints.count.numpy()[kept], places), shape, dtype=float)
    counts.data = numpy.sign(counts.data) * numpy.log1p(abs(counts.data))
    return counts.reshape(len(batch), -1).tocsr()


def _is_array(task: DrugTask) -> bool:
    return bool(task.features.array_shape)


def _chosen_kinds(task: DrugTask) -> Sequence[FingerprintKind]:
    kinds = task.features.fingerprint_kinds
    return ("morgan",) if "morgan" in kinds else kinds


def _features_text(task: DrugTask) -> str:
    if _is_array(task):
        return "the standardized values of the arrays"
    named = " and ".join(_KIND_NAMES[kind] for kind in _chosen_kinds(task))
    return f"{named} counts{' of the drugs alone' if task.input == 'drug_protein' else ''}"
