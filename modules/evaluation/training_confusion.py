"""Which classes training takes for which, averaged over the last epochs."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from modules.processes import rank_and_world_size, sum_over_processes

# Of an epoch's counts, how much is left an epoch later.
DECAY = 0.5


class TrainingConfusion:
    """A running confusion matrix of the training samples, augmented as they are seen.

    Attributes:
        matrix: fp32 (C, C), true class by predicted class, up to the last `end_epoch`.
    """

    def __init__(self, num_classes: int, device: torch.device) -> None:
        """Start with none.

        Args:
            num_classes: Number of classes C.
            device: Where to keep the counts.
        """
        self.matrix = torch.zeros(num_classes, num_classes, device=device)
        self._epoch = torch.zeros_like(self.matrix)

    def count(self, logits: Tensor, labels: Tensor) -> None:
        """Count a batch.

        Args:
            logits: (B, C).
            labels: int64 (B,).
        """
        places = labels * len(self.matrix) + logits.argmax(dim=1)
        self._epoch.view(-1).index_add_(0, places, torch.ones(len(places), device=places.device))

    def end_epoch(self) -> None:
        """Add the epoch's counts of all processes; all of them must call it."""
        self.matrix = DECAY * self.matrix + sum_over_processes(self._epoch)
        self._epoch = torch.zeros_like(self.matrix)

    def state_dict(self) -> dict[str, Any]:
        """The counts of all processes, for the checkpoint; all of them must call it."""
        return {"matrix": self.matrix, "epoch": sum_over_processes(self._epoch.clone())}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up the counts of a run that is resumed."""
        self.matrix.copy_(state_dict["matrix"])
        if rank_and_world_size()[0] == 0:
            self._epoch.copy_(state_dict["epoch"])
