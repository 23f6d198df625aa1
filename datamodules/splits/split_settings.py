"""How to divide a table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from base.errors import InputError
from base.ranges import check_range, check_seed, check_whole
from datamodules.splits.splitters import Fractions, SplitMethod, SplitPart, check_split_fractions

CountBy = Literal["samples", "rows"]


@dataclass(frozen=True)
class SplitSettings:
    """How to divide a table.

    Attributes:
        method: See `splitters`; all puts every row into each split.
        seed: Random seed.
        fractions: Shares of training, validation and test.
        part: The SMILES columns of pairs and reactions whose scaffold or drug must be new in a test row; of unordered
            pairs, first and second mean either.
        imbalance: Imbalance ratio that the training split is thinned to, see `long_tail_counts`; None keeps it.
        test_folds: For file: the folds of test; None if there are none.
        validation_folds: For file: the folds of validation; None if there are none. The column names splits if both are
            None.
        count_by: Whether class counts are of different samples or of rows.
        folds: Number of folds that the rows are divided into instead; None for one training, validation and test split.
        fold: The fold that is left out of training, which is then validation and test, counted from 0; None trains on
            all folds.
        keep_test: Whether the test rows of the split stay out of all folds.
        train_on_all: Whether every row is in training, and none in validation and test.

    Raises:
        ValueError: If a number is out of range.
    """

    method: SplitMethod = "random"
    seed: int = 0
    fractions: Fractions = (0.7, 0.1, 0.2)
    part: SplitPart = "first"
    imbalance: float | None = None
    test_folds: tuple[str, ...] | None = None
    validation_folds: tuple[str, ...] | None = None
    count_by: CountBy = "samples"
    folds: int | None = None
    fold: int | None = None
    keep_test: bool = False
    train_on_all: bool = False

    def __post_init__(self) -> None:
        check_seed("data.split_seed", self.seed)
        check_split_fractions(self.fractions)
        if self.imbalance is not None:
            check_range("data.imbalance", self.imbalance, 1)
        check_whole("data.folds", self.folds, 2, optional=True)
        check_whole("data.fold", self.fold, 0, optional=True)
        if self.folds is not None and self.train_on_all:
            raise InputError(f"data.train_on_all: expected false with folds, got true with {self.folds} folds.")
        if self.folds is not None and self.method == "standard":
            raise InputError(f"data.split: expected random, scaffold, cold or file with folds, got {self.method}.")
        if self.fold is not None and (self.folds is None or self.fold >= self.folds):
            raise InputError(f"data.fold: expected a number below that of the folds, {self.folds}, got {self.fold}.")

    @property
    def has_test_rows(self) -> bool:
        """Whether there are test rows besides those that are trained on, in folds or altogether."""
        if self.train_on_all:
            return self.method == "all"
        return self.folds is None or self.keep_test or self.method in ("file", "all")
