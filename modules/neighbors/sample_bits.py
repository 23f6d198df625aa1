"""The fingerprint bins of samples, which their similarity is computed from."""

from __future__ import annotations

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

    Bins are those of the Morgan fingerprint if the molecules have one, else of all fingerprints; those of the second
    molecule follow those of the first. Of a reaction they are the bins with more in the product, then those with more
    in the reactants; of an unordered pair the bins of either drug, then those of both.

    Args:
        batch: Batch of B samples with molecules.
        task: Description of the data.

    Returns:
        fp32 (B, W).
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
        either, drugs = numpy.unique(owner // molecules * width + bins, return_counts=True)
        both = either[drugs == molecules]
        rows, columns = numpy.divmod(numpy.concatenate([either, both]), width)
        places = rows, columns + width * (numpy.arange(len(columns)) >= len(either))
    else:
        places = owner // molecules, bins + width * (owner % molecules)
    ones = numpy.ones(len(places[0]), dtype=numpy.float32)
    return csr_array((ones, places), shape=(len(batch), bits_width(task)))


def bits_of_rows(data: DrugDataModule, rows: NDArray[numpy.int64], task: DrugTask) -> csr_array:
    """The bins of rows of a table, as `sample_bits`.

    Args:
        data: The data module, set up.
        rows: Rows of its table, (n,), one or more.
        task: Description of the data.

    Returns:
        fp32 (n, W).
    """
    from scipy.sparse import vstack

    return vstack([sample_bits(batch, task) for batch in data.batches_of(rows)], format="csr")


def kept_bins(task: DrugTask) -> tuple[int, int]:
    """The first bin of a molecule that counts, and how many.

    Args:
        task: Description of the data.
    """
    features = task.features
    if "morgan" in features.fingerprint_kinds:
        return features.fingerprint_kinds.index("morgan") * features.fingerprint_size, features.fingerprint_size
    return 0, features.fingerprint_width
