"""The parts of a batch of molecules, and batches with changed parts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from datamodules.batch import Batch, FingerprintBatch, MoleculeBatch


def graphs(batch: Batch) -> MoleculeBatch:
    """The molecules, which must be there."""
    assert batch.molecules is not None
    return batch.molecules


def fingerprints(batch: Batch) -> FingerprintBatch:
    """The fingerprints, which must be there."""
    assert batch.fingerprints is not None
    return batch.fingerprints


def with_graphs(batch: Batch, **changes: Any) -> Batch:
    """The batch with other atoms or bonds."""
    return replace(batch, molecules=replace(graphs(batch), **changes))
