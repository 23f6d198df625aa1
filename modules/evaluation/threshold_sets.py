"""Sets of labels, each of which reaches a threshold of its own."""

from __future__ import annotations

import logging
import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import Self

from torch import Tensor

_log = logging.getLogger("tailmol")


@dataclass(frozen=True)
class ThresholdSets(ABC):
    """A label is in the set of a sample if its value reaches the threshold of the label.

    Attributes:
        coverage: Share of the labels that sets must hold, in 0..1.
        scale: Scale of each class's logit, fp32 (C,).
        offset: What is added to scaled logits to get scores at the prior of the training samples, fp32 (C,).
        temperature: Temperature of these scores.
        thresholds: Lowest value of each class in a set, fp32 (C,); infinite for a class without training samples.
        strength: Strength of the prevalence adjustment, see `choose_thresholds`.
        chosen_on: Number of labels that the thresholds were chosen on.
    """

    coverage: float
    scale: Tensor
    offset: Tensor
    temperature: float
    thresholds: Tensor
    strength: float
    chosen_on: int

    @abstractmethod
    def values(self, logits: Tensor) -> Tensor:
        """What is compared with the thresholds, fp32 (B, C); the more, the more probable.

        Args:
            logits: As of `members`.
        """

    def warn_of_few(self) -> None:
        """Warn if the thresholds were chosen on too few labels to leave anything out."""
        least = math.ceil(self.coverage / (1 - self.coverage) - 1e-9)
        if self.chosen_on < least:
            _log.warning(
                f"coverage: expected {least:,} labels or more that training did not see for sets of {self.coverage:g}, "
                f"got {self.chosen_on:,}; every set holds all labels with training samples."
            )

    def of_logits(self, scale: Tensor, offset: Tensor) -> Self:
        """The same sets for logits, of which ``scale_c * logit_c + offset_c`` are the scores that chose them.

        Args:
            scale: Scale of each class, fp32 (C,).
            offset: Offset of each class, fp32 (C,).
        """
        return replace(self, scale=scale, offset=offset + self.offset.to(offset.device))

    def members(self, logits: Tensor) -> Tensor:
        """Which classes are in the set of each sample, bool (B, C).

        Args:
            logits: Logits of the head with the second opinions, (B, C); or, before `of_logits`, scores.
        """
        return self.values(logits) >= self.thresholds.to(logits.device)

    def codes(self, logits: Tensor) -> list[list[int]]:
        """The classes in the set of each of B samples, the most probable first.

        Args:
            logits: As of `members`.
        """
        found = self.values(logits)
        members, order = found >= self.thresholds.to(found.device), found.argsort(dim=1, descending=True, stable=True)
        ordered = zip(order.tolist(), members.gather(1, order).tolist(), strict=True)
        return [[code for code, inside in zip(*row, strict=True) if inside] for row in ordered]
