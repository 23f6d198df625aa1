"""Scores of the samples of a split, from which its metrics and the decision are computed."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from base.errors import InputError
from datamodules.batch import Batch
from modules.processes import gather_rows


@dataclass(frozen=True)
class SplitScores:
    """The logits of N samples of a split.

    Attributes:
        rows: Row of each sample in its table, int64 (N,).
        labels: Labels, int64 (N,).
        logits: Logits of the head, before any correction, fp32 (N, C).
    """

    rows: Tensor
    labels: Tensor
    logits: Tensor

    def of_all_processes(self) -> SplitScores:
        """The scores of the samples of all processes; must be called on all of them."""
        return SplitScores(*(gather_rows(own) for own in (self.rows, self.labels, self.logits)))


class ScoreCollector:
    """Collects the logits of the batches of a split on one process."""

    def __init__(self, num_classes: int) -> None:
        """Create a collector without samples.

        Args:
            num_classes: Number of classes C.
        """
        self.num_classes = num_classes
        self._batches: list[SplitScores] = []

    def add(self, batch: Batch, logits: Tensor) -> None:
        """Add a batch.

        Args:
            batch: Batch of B samples.
            logits: Logits of the head, (B, C).
        """
        self._batches.append(SplitScores(batch.sample_index, batch.labels, logits.float()))

    def take(self, device: torch.device, refusal: str) -> SplitScores:
        """Return the scores of this process and forget them; must be called on all processes.

        Args:
            device: Device of the scores, if this process has no samples.
            refusal: The message of the error.

        Raises:
            InputError: If a score of any process is NaN or infinite.
        """
        batches, self._batches = self._batches, []
        # A process may have no samples of a small split.
        none = torch.zeros(0, dtype=torch.int64, device=device)
        batches.append(SplitScores(none, none, torch.zeros(0, self.num_classes, device=device)))
        rows, labels, logits = (
            torch.cat([getattr(batch, name) for batch in batches]) for name in ("rows", "labels", "logits")
        )
        # All processes must raise, or those that do not would wait for the others.
        if not bool(gather_rows(logits.isfinite().all().reshape(1)).all()):
            raise InputError(refusal)
        return SplitScores(rows, labels, logits)
