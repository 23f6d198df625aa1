"""Methods to divide samples that have several labels each: every label gets its share of every split or fold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy
from numpy.typing import NDArray

from base.errors import InputError
from datamodules.splits.folds import Folds
from datamodules.splits.split_settings import SplitSettings
from datamodules.splits.splitters import TRAIN, Codes, Fractions, SplitName, check_split_fractions, number_groups


def stratified_label_split(
    values: NDArray[Any], groups: NDArray[Any], fractions: Fractions = (0.7, 0.1, 0.2), seed: int = 0
) -> Codes:
    """Divide the groups that have each label, and those without any, by the shares; rows of one group stay together.

    Iterative stratification (Sechidis et al., 2011, On the Stratification of Multi-Label Data), after which groups are
    moved, or exchanged by twos: a label of three groups or more is in all three splits, and a label of fewer is in
    training alone, unless no such step does it without taking from a split the last group of a label of three or more.
    A group has the labels of all its rows.

    Args:
        values: (n, L) int8: 1 the row has the label; 0 it does not; -1 not known, which counts as 0.
        groups: (n,) int64; rows with the same number are the same sample.
        fractions: Shares of training, validation and test.
        seed: Random seed.

    Raises:
        InputError: If the fractions are not three positive numbers that sum to 1.
    """
    check_split_fractions(fractions)
    return _divide(values, groups, fractions, seed, fewest=3, home=TRAIN)


def stratified_label_folds(values: NDArray[Any], groups: NDArray[Any], folds: int, seed: int = 0) -> Folds:
    """Deal the groups that have each label, and those without any, out to the folds; rows of one group stay together.

    Iterative stratification (Sechidis et al., 2011, On the Stratification of Multi-Label Data), after which groups are
    moved, or exchanged by twos: a label of as many groups as folds or more is in every fold, unless no such step does
    it without taking from a fold the last group of another such label. The only group of a label is in no fold, unless
    such a label needs it, since a model that was trained without it could not know the label.

    Args:
        values: (n, L) int8: 1 the row has the label; 0 it does not; -1 not known, which counts as 0.
        groups: (n,) int64; rows with the same number are the same sample.
        folds: Number of folds.
        seed: Random seed.
    """
    tested = _divide(values, groups, [1 / folds] * folds, seed, fewest=2, home=-1)
    return Folds(tested, tested[:, None])


def _divide(
    values: NDArray[Any], groups: NDArray[Any], shares: Sequence[float], seed: int, fewest: int, home: int
) -> NDArray[Any]:
    """(n,) the place of each row; labels of fewer than `fewest` groups go to the place `home`."""
    from iterstrat.ml_stratifiers import IterativeStratification

    of_row, number = number_groups(groups)
    generator = numpy.random.default_rng(seed)
    # Of groups that have a label, the first ones go to the largest split.
    of_row = generator.permutation(number)[of_row]
    rows, labels = numpy.nonzero(values == 1)
    has = numpy.zeros((number, values.shape[1]), dtype=bool)
    has[of_row[rows], labels] = True
    places = _Places(has, IterativeStratification(has, numpy.array(shares), generator), numpy.array(shares), fewest)
    places.settle(home)
    placed: NDArray[Any] = places.of_group[of_row]
    return placed


class _Places:
    """The place of each group, and what each label misses there.

    Args:
        has: (G, L) whether a group has a label.
        of_group: (G,) int64, the place of each group; -1 for one in none of them.
        shares: (P,) shares of the places.
        fewest: Smallest number of groups of a label that is not small; the larger of this and P needs every place.
    """

    def __init__(self, has: NDArray[Any], of_group: NDArray[Any], shares: NDArray[Any], fewest: int) -> None:
        self.has, self.of_group = has, of_group
        # The last row is for groups in no place, whose number is -1.
        self.counts = numpy.stack([has[of_group == place].sum(axis=0) for place in (*range(len(shares)), -1)])
        total = self.counts.sum(axis=0)
        self.wanted = numpy.multiply.outer(numpy.append(shares, 0), total)
        self.needed = numpy.repeat((total >= max(fewest, len(shares)))[None], len(shares) + 1, axis=0)
        self.needed[-1] = False
        self.small: NDArray[Any] = has[:, total < fewest].sum(axis=1) > 0

    def settle(self, home: int) -> None:
        """Bring labels where they are needed, and groups of small labels home, until nothing more can be brought.

        No step takes from a place the last group of a label that is needed there, so that each change of `_cover`
        leaves fewer labels missing.
        """
        changed = True
        while changed:
            self._send_home(home)
            changed = self._cover()

    def _cover(self) -> bool:
        missing = numpy.argwhere(self.needed & (self.counts == 0)).tolist()
        return sum(self._bring(label, place) for place, label in missing) > 0

    def _send_home(self, home: int) -> None:
        for group in numpy.flatnonzero(self.small & (self.of_group != home)).tolist():
            if not self._lost(numpy.array([group])).any():
                self._move(group, home)

    def _bring(self, label: int, place: int) -> bool:
        """Move a group with a label to a place; whether there was one that could, and the label was missing."""
        if self.counts[place, label]:
            return False
        groups = numpy.flatnonzero(self.has[:, label])
        # The place that has most beyond its share gives first; of its groups, the one with the fewest labels.
        surplus = (self.counts - self.wanted)[self.of_group[groups], label]
        groups = groups[numpy.lexsort((self.has[groups].sum(axis=1), -surplus, self.small[groups]))]
        lost = self._lost(groups)
        free = groups[~lost.any(axis=1)]
        if len(free):
            self._move(int(free[0]), place)
            return True
        for group, own in zip(groups.tolist(), lost, strict=True):
            # What the group takes from its place, another can bring there in exchange.
            others = numpy.flatnonzero((self.of_group == place) & self.has[:, own].all(axis=1))
            others = others[~self._lost(others, self.has[group]).any(axis=1)]
            if len(others):
                source = int(self.of_group[group])
                self._move(group, place)
                self._move(int(others[0]), source)
                return True
        return False

    def _lost(self, groups: NDArray[Any], arriving: NDArray[Any] | int = 0) -> NDArray[Any]:
        """(n, L) which labels the place of each group needs and would miss without it.

        Args:
            groups: (n,) groups.
            arriving: (L,) the labels of a group that comes to their place.
        """
        places = self.of_group[groups]
        last: NDArray[Any] = self.counts[places] + arriving == 1
        lost: NDArray[Any] = self.has[groups] & self.needed[places] & last
        return lost

    def _move(self, group: int, place: int) -> None:
        self.counts[self.of_group[group]] -= self.has[group]
        self.counts[place] += self.has[group]
        self.of_group[group] = place


def check_label_split(split: SplitSettings) -> None:
    """Check that a split is one for rows that may have several labels.

    Args:
        split: How to divide.

    Raises:
        InputError: If it balances or thins classes.
    """
    if split.method == "standard":
        raise InputError(
            "data.split: expected random, scaffold, cold, file or all with data.labels multi, got standard, which "
            "balances classes of single labels."
        )
    if split.imbalance is not None:
        raise InputError(f"data.imbalance: expected null with data.labels multi, got {split.imbalance:g}.")


def check_known_labels(
    codes: NDArray[Any], rows: Mapping[SplitName, NDArray[Any]], class_counts: Sequence[int]
) -> None:
    """Check that each split can rank its samples by a label that training has.

    Args:
        codes: int8 (rows, L), see `DrugRecords`.
        rows: The rows of each split.
        class_counts: Training samples that have each label.

    Raises:
        InputError: If no label of a split has both samples that have it and others that do not.
    """
    trained = numpy.array(class_counts) > 0
    for name, own in rows.items():
        known = codes[own][:, trained]
        if len(own) and not ((known == 1).any(axis=0) & (known == 0).any(axis=0)).any():
            raise InputError(
                f"data.split: expected a label that some samples of the {name} split have and others do not have, got "
                "none."
            )
