"""Mean losses of an epoch."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from modules.processes import sum_over_processes


class LossMeans:
    """Sums the losses of training steps on their device, to be read once per epoch.

    Lightning's `log` would do the same with bookkeeping at every step that takes longer than a small model.
    """

    def __init__(self) -> None:
        """Create sums without steps."""
        self._sums: dict[str, Tensor] = {}
        self._samples: dict[str, int] = {}

    def add(self, losses: Mapping[str, Tensor], samples: int) -> None:
        """Add the losses of a step, without waiting for the device.

        Args:
            losses: Means over the samples of the step by name, floating-point scalars.
            samples: Number of samples of the step.
        """
        for name, value in losses.items():
            self._sums[name] = self._sums.get(name, 0.0) + value.detach() * samples
            self._samples[name] = self._samples.get(name, 0) + samples

    def take(self) -> dict[str, Tensor]:
        """Return the mean over the samples of all steps and processes by name, and forget the steps.

        Every process must call this method, and must have added the same names.
        """
        sums, samples = self._sums, self._samples
        self._sums, self._samples = {}, {}
        if not sums:
            return {}
        totals = sum_over_processes(torch.stack(list(sums.values())))
        counts = sum_over_processes(torch.tensor(list(samples.values()), device=totals.device))
        return dict(zip(sums, totals / counts, strict=True))
