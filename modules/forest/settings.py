"""Settings of the forest of decision trees."""

from __future__ import annotations

from dataclasses import dataclass

from base.ranges import check_whole


@dataclass(frozen=True)
class ForestSettings:
    """A random forest on fingerprints, whose votes are an opinion on the logits of samples with molecules.

    Args:
        trees: Number of trees, grown after training, which the kinds of `data.fingerprint_kinds` share evenly; 0 grows
            none. How much they count is chosen on the samples that the decision is chosen on.
        most: Largest number of training samples that they are grown on. If there are more, the largest classes are
            drawn from. With many classes it is at most 2^24 divided by their number, and with more than 2,896 classes
            no trees are grown.

    Raises:
        ValueError: If a number is out of range.
    """

    trees: int = 0
    most: int = 50_000

    def __post_init__(self) -> None:
        """Check the numbers."""
        check_whole("forest.trees", self.trees, 0, 1_000)
        check_whole("forest.most", self.most, 1, 1_000_000)
