"""Running confusion matrix of the training samples."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from modules.processes import rank_and_world_size, sum_over_processes

# Factor by which older counts are multiplied after each epoch.
DECAY = 0.5


class TrainingConfusion:
    """Exponentially weighted confusion matrix of the augmented training samples over epochs.

    Attributes:
        matrix: Confusion matrix of true class by predicted class at the last `end_epoch`, fp32 (C, C).
    """

    def __init__(self, num_classes: int, device: torch.device) -> None:
        """Create an empty matrix.

        Args:
            num_classes: Number of classes C.
            device: Device of the matrix.
        """
        self.matrix = torch.zeros(num_classes, num_classes, device=device)
        self._epoch = torch.zeros_like(self.matrix)

    def update(self, logits: Tensor, labels: Tensor) -> None:
        """Add a batch to the counts of the current epoch.

        Args:
            logits: Logits, (B, C).
            labels: Labels, int64 (B,).
        """
        places = labels * len(self.matrix) + logits.argmax(dim=1)
        self._epoch.view(-1).index_add_(0, places, torch.ones(len(places), device=places.device))

    def end_epoch(self) -> None:
        """Add the counts of the epoch of all processes, which must all call this method."""
        self.matrix = DECAY * self.matrix + sum_over_processes(self._epoch)
        self._epoch = torch.zeros_like(self.matrix)

    def state_dict(self) -> dict[str, Any]:
        """Counts of all processes, which must all call this method, for the checkpoint."""
        return {"matrix": self.matrix, "epoch": sum_over_processes(self._epoch.clone())}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the counts of a checkpoint."""
        self.matrix.copy_(state_dict["matrix"])
        if rank_and_world_size()[0] == 0:
            self._epoch.copy_(state_dict["epoch"])
