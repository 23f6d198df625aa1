"""The fingerprint bins of samples, which their similarity and the opinions on them are computed from."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy
from numpy.typing import NDArray

from datamodules.batch import Batch
from datamodules.drug_datamodule import DrugDataModule
from datamodules.drug_task import DrugTask
from datamodules.tables.columns import INPUTS

if TYPE_CHECKING:
    from scipy.sparse import csr_array


def bits_width(task: DrugTask) -> int:
    """Number of bins of a sample that `sample_bits` gives; 0 if samples have no molecules.

    Args:
        task: Description of the data.
    """
    return len(INPUTS[task.input].smiles) * len(compared_bins(task))


def counts_width(task: DrugTask) -> int:
    """Number of counts of a sample that `sample_counts` gives; 0 if samples have no molecules.

    Args:
        task: Description of the data.
    """
    return len(INPUTS[task.input].smiles) * task.features.fingerprint_width


def places_of_kinds(task: DrugTask) -> list[NDArray[numpy.int64]]:
    """The places in `sample_counts` of the counts of each kind of fingerprint.

    Args:
        task: Description of the data.
    """
    size, kinds = task.features.fingerprint_size, len(task.features.fingerprint_kinds)
    return list(numpy.arange(counts_width(task)).reshape(-1, kinds, size).swapaxes(0, 1).reshape(kinds, -1))


def sample_bits(batch: Batch, task: DrugTask) -> csr_array:
    """The bins that are not zero in the fingerprints of each sample, as ones.

    They are those of the Morgan fingerprint if the molecules have one, else of all fingerprints.

    Args:
        batch: Batch of B samples with molecules.
        task: Description of the data.

    Returns:
        fp32 (B, W), in the order of `sample_counts`.
    """
    found = _counts_of_bins(batch, task, compared_bins(task))
    found.data[:] = 1
    return found


def sample_counts(batch: Batch, task: DrugTask) -> csr_array:
    """The counts of the bins in all fingerprints of each sample.

    Those of the second molecule follow those of the first. Of a reaction they are how much more the product has, then
    how much more the reactants have; of an unordered pair the sums of both drugs, then the smaller counts.

    Args:
        batch: Batch of B samples with molecules.
        task: Description of the data.

    Returns:
        fp32 (B, W), without zeros that are stored.
    """
    return _counts_of_bins(batch, task, range(task.features.fingerprint_width))


def _counts_of_bins(batch: Batch, task: DrugTask, wanted: range) -> csr_array:
    """The counts of some bins of each molecule."""
    from scipy.sparse import csr_array

    assert batch.fingerprints is not None
    is_reaction, parts = task.input == "reaction", len(INPUTS[task.input].smiles)
    found = batch.fingerprints.differences() if is_reaction else batch.fingerprints
    width = len(wanted)
    kept = (found.bin >= wanted.start) & (found.bin < wanted.stop) & (found.count != 0)
    given = found.molecule, found.bin - wanted.start, found.count
    owner, bins, counts = (values[kept].cpu().numpy() for values in given)
    if is_reaction:
        places = owner, bins + width * (counts < 0)
    elif task.symmetric:
        either, at, drugs = numpy.unique(owner // parts * width + bins, return_inverse=True, return_counts=True)
        both = either[drugs == parts]
        smaller = numpy.full(len(either), numpy.inf)
        numpy.minimum.at(smaller, at, counts)
        rows, columns = numpy.divmod(numpy.concatenate([either, both]), width)
        places = rows, columns + width * (numpy.arange(len(columns)) >= len(either))
        counts = numpy.concatenate([numpy.bincount(at, counts, len(either)), smaller[drugs == parts]])
    else:
        places = owner // parts, bins + width * (owner % parts)
    return csr_array((numpy.abs(counts).astype(numpy.float32), places), shape=(len(batch), parts * width))


def bits_of_rows(data: DrugDataModule, rows: NDArray[numpy.int64], task: DrugTask) -> csr_array:
    """The bins of rows of a table, as `sample_bits`.

    Args:
        data: The data module, set up.
        rows: Rows of its table, (n,), one or more.
        task: Description of the data.

    Returns:
        fp32 (n, W).
    """
    return features_of_rows(data, rows, task, sample_bits)


def features_of_rows(
    data: DrugDataModule,
    rows: NDArray[numpy.int64],
    task: DrugTask,
    features: Callable[[Batch, DrugTask], csr_array],
) -> csr_array:
    """The features of rows of a table.

    Args:
        data: The data module, set up.
        rows: Rows of its table, (n,), one or more.
        task: Description of the data.
        features: From a batch to its features, such as `sample_counts`.

    Returns:
        fp32 (n, W).
    """
    from scipy.sparse import vstack

    return vstack([features(batch, task) for batch in data.batches_of(rows)], format="csr")


def compared_bins(task: DrugTask) -> range:
    """The bins of a molecule that `sample_bits` gives.

    Args:
        task: Description of the data.
    """
    features = task.features
    if "morgan" not in features.fingerprint_kinds:
        return range(features.fingerprint_width)
    first = features.fingerprint_kinds.index("morgan") * features.fingerprint_size
    return range(first, first + features.fingerprint_size)
