"""Rows of a table as a dataset of batches."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray
from torch.utils.data import Dataset

from datamodules.molecule_batch import MoleculeBatch, MoleculeStore


class SampleRows(Dataset[MoleculeBatch]):
    """Some rows of a table; an array of places among them gives one batch."""

    def __init__(self, store: MoleculeStore, rows: NDArray[Any], codes: NDArray[Any], index: NDArray[Any]) -> None:
        """Keep references.

        Args:
            store: Serves batches by row of the table.
            rows: (n,) rows of the table.
            codes: (n,) class codes.
            index: (n,) what `MoleculeBatch.sample_index` says of each.
        """
        self._store, self._rows, self._codes, self._index = store, rows, codes, index

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, places: NDArray[Any]) -> MoleculeBatch:
        return self._store.batch(self._rows[places], self._index[places], self._codes[places])
