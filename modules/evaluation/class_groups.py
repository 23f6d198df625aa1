"""Which classes are head, middle and tail classes."""

from __future__ import annotations

from dataclasses import dataclass

from modules.evaluation.tail_metrics import check_fractions


@dataclass(frozen=True)
class ClassGroups:
    """Shares of the classes that are head and tail classes; those between are middle classes.

    Args:
        head_fraction: Share of the classes, the most frequent ones, that are head classes.
        tail_fraction: Share of the classes, the rarest ones, that are tail classes.

    Raises:
        ValueError: If a share is out of range.
    """

    head_fraction: float = 0.3
    tail_fraction: float = 0.3

    def __post_init__(self) -> None:
        """Check the settings."""
        check_fractions(self.head_fraction, self.tail_fraction)
