"""Settings of the nearest training samples."""

from __future__ import annotations

from dataclasses import dataclass

from base.ranges import check_whole


@dataclass(frozen=True)
class NeighborSettings:
    """The nearest training samples, whose classes are a second opinion on the logits of samples with molecules.

    Args:
        number: Nearest training samples, by the Tanimoto similarity of fingerprints, that are asked; 0 asks none. How
            much they count is chosen after training, on the samples that the decision is chosen on.
        most: Largest number of training samples that a model remembers. If there are more, the largest classes are
            drawn from.

    Raises:
        ValueError: If a number is out of range.
    """

    number: int = 0
    most: int = 50_000

    def __post_init__(self) -> None:
        """Check the numbers."""
        check_whole("neighbors.number", self.number, 0, 1_000)
        check_whole("neighbors.most", self.most, 1)
