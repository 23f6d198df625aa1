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
    """Number W of bins of a sample; 0 if samples have no molecules.

    Args:
        task: Description of the data.
    """
    return len(INPUTS[task.input].smiles) * kept_bins(task)[1]


def sample_bits(batch: Batch, task: DrugTask) -> csr_array:
    """The bins that are not zero in the fingerprints of each sample, as ones.

    Args:
        batch: Batch of B samples with molecules.
        task: Description of the data.

    Returns:
        fp32 (B, W), see `sample_counts`.
    """
    found = sample_counts(batch, task)
    found.data[:] = 1
    return found


def sample_counts(batch: Batch, task: DrugTask) -> csr_array:
    """The counts of the bins in the fingerprints of each sample.

    Bins are those of the Morgan fingerprint if the molecules have one, else of all fingerprints; those of the second
    molecule follow those of the first. Of a reaction they are how much more the product has, then how much more the
    reactants have; of an unordered pair the sums of both drugs, then the smaller counts.

    Args:
        batch: Batch of B samples with molecules.
        task: Description of the data.

    Returns:
        fp32 (B, W), without zeros that are stored.
    """
    from scipy.sparse import csr_array

    assert batch.fingerprints is not None
    is_reaction, molecules = task.input == "reaction", len(INPUTS[task.input].smiles)
    found = batch.fingerprints.differences() if is_reaction else batch.fingerprints
    start, width = kept_bins(task)
    kept = (found.bin >= start) & (found.bin < start + width) & (found.count != 0)
    owner, bins, counts = (values[kept].cpu().numpy() for values in (found.molecule, found.bin - start, found.count))
    if is_reaction:
        places = owner, bins + width * (counts < 0)
    elif task.symmetric:
        either, at, drugs = numpy.unique(owner // molecules * width + bins, return_inverse=True, return_counts=True)
        both = either[drugs == molecules]
        smaller = numpy.full(len(either), numpy.inf)
        numpy.minimum.at(smaller, at, counts)
        rows, columns = numpy.divmod(numpy.concatenate([either, both]), width)
        places = rows, columns + width * (numpy.arange(len(columns)) >= len(either))
        counts = numpy.concatenate([numpy.bincount(at, counts, len(either)), smaller[drugs == molecules]])
    else:
        places = owner // molecules, bins + width * (owner % molecules)
    return csr_array((numpy.abs(counts).astype(numpy.float32), places), shape=(len(batch), bits_width(task)))


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


def kept_bins(task: DrugTask) -> tuple[int, int]:
    """The first bin of a molecule that counts, and how many.

    Args:
        task: Description of the data.
    """
    features = task.features
    if "morgan" in features.fingerprint_kinds:
        return features.fingerprint_kinds.index("morgan") * features.fingerprint_size, features.fingerprint_size
    return 0, features.fingerprint_width
