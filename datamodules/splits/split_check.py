"""An independent check of a finished split: it keeps apart what it promises to keep apart."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from itertools import combinations

import numpy

from datamodules.identity import SampleIdentity
from datamodules.splits.divide import DrugRecords
from datamodules.splits.long_tail import long_tail_counts
from datamodules.splits.split_parts import scaffold_numbers, split_sides
from datamodules.splits.split_settings import SplitSettings
from datamodules.splits.splitters import SplitName
from datamodules.tables.drug_table import DrugTable

Parts = dict[SplitName, list[int]]
"""The rows of each split."""


@dataclass(frozen=True)
class SplitCheck:
    """The outcome of a check.

    Attributes:
        sentence: What was checked, or what is wrong with a split file.
        shared: Number of samples that a split file puts into two splits or more.
    """

    sentence: str
    shared: int = 0


class BrokenSplit(RuntimeError):
    """A split that does not keep its promise, which is a defect of the splitter."""


def check_split(table: DrugTable, identity: SampleIdentity, records: DrugRecords, split: SplitSettings) -> SplitCheck:
    """Check a finished split with sets and counters, apart from the code that made it.

    No sample is in two splits. In a scaffold split, no scaffold is; in a cold split, no cold drug of validation or test
    is in a training row, on any side. Validation and test of a standard split have as many rows of each class as of any
    other that they have. In a random split, a class of three samples or more that share no row with another class is in
    every split. A training split that was thinned has no class above its number.

    Args:
        table: The table.
        identity: Which rows are the same sample.
        records: The divided rows.
        split: How they were divided.

    Raises:
        BrokenSplit: If a promise is not kept. A split file promises nothing.
    """
    parts: Parts = {name: rows.tolist() for name, rows in records.rows.items()}
    if split.method == "all" or (split.folds is not None and split.fold is None and not split.has_test_rows):
        return SplitCheck("Every row is in every split, so there is nothing to check.")
    if split.folds is not None:
        # The rows of a fold are validation and test; where all folds are trained on, so are those of validation.
        parts["validation"] = []
    if split.train_on_all:
        return SplitCheck("Every row is in training, so there is nothing to check.")
    samples = identity.samples.tolist()
    sample_word = "array" if table.arrays is not None else "sample"
    shared = _shared(parts, lambda row: [samples[row]])
    if split.method == "file":
        _check_rows(parts)
        if not shared:
            return SplitCheck(f"The split file was checked: no {sample_word} is in two splits.")
        different = len({samples[row] for own in parts.values() for row in own})
        sentence = f"The split file puts {shared:,} of {different:,} different {sample_word}s into two splits or more"
        return SplitCheck(f"{sentence}, so the metrics are too good.", shared)
    _check_rows(parts)
    if shared:
        raise BrokenSplit(_broken(split, f"{shared:,} {sample_word}s are in two splits"))
    checked = [f"no {sample_word} is in two splits"]
    if split.method == "scaffold":
        checked.append(_check_scaffolds(table, identity, parts, split))
    if split.method == "cold":
        checked.append(_check_cold(identity, parts, split))
    if split.method == "standard":
        checked.append(_check_balance(records, parts, split))
    if split.method == "random" and split.folds is None and not records.is_multilabel:
        checked.append(_check_every_class(records, parts, samples, split))
    if split.imbalance is not None and split.folds is None:
        _check_thinned(records, split)
    return SplitCheck(f"The {split.method} split was checked: {', '.join(checked)}.")


def _broken(split: SplitSettings, what: str) -> str:
    return f"data.split: the {split.method} split is broken: {what}; this is a defect of tailmol, please report it."


def _check_rows(parts: Parts) -> None:
    for (one, first), (other, second) in combinations(parts.items(), 2):
        if set(first) & set(second):
            raise BrokenSplit(f"data.split: rows are in both {one} and {other}; this is a defect of tailmol.")


def _shared(parts: Parts, keys: Callable[[int], Iterable[Hashable]]) -> int:
    """How many keys occur in rows of two splits or more."""
    seen: Counter[Hashable] = Counter()
    for rows in parts.values():
        seen.update({key for row in rows for key in keys(row)})
    return sum(1 for count in seen.values() if count > 1)


def _check_scaffolds(table: DrugTable, identity: SampleIdentity, parts: Parts, split: SplitSettings) -> str:
    rows = [row for own in parts.values() for row in own]
    found = dict(zip(rows, scaffold_numbers(table, identity, numpy.array(rows)).tolist(), strict=True))
    if identity.unordered:
        return _check_new(parts, lambda row: found[row], split, "scaffold", both=split.part == "both")
    side = split_sides(split, identity.parts.shape[1])[0]
    shared = _shared(parts, lambda row: [found[row][side]])
    if shared:
        raise BrokenSplit(_broken(split, f"{shared:,} scaffolds are in two splits"))
    return "and no scaffold"


def _check_cold(identity: SampleIdentity, parts: Parts, split: SplitSettings) -> str:
    drugs = identity.parts.tolist()
    sides = split_sides(split, identity.parts.shape[1])
    if identity.unordered:
        return _check_new(parts, lambda row: drugs[row], split, "drug", both=split.part == "both")
    trained = {drug for row in parts["train"] for drug in drugs[row]}
    for name in ("validation", "test"):
        known = sum(1 for row in parts[name] if any(drugs[row][side] in trained for side in sides))
        if known:
            raise BrokenSplit(_broken(split, f"{known:,} rows of {name} have a cold drug of training"))
    return "no cold drug of validation or test is in training"


def _check_new(parts: Parts, keys: Callable[[int], list[int]], split: SplitSettings, word: str, both: bool) -> str:
    """Check unordered pairs: in validation and test, one of the two, or both, are not in training."""
    trained = {key for row in parts["train"] for key in keys(row)}
    for name in ("validation", "test"):
        for row in parts[name]:
            new = [key not in trained for key in keys(row)]
            if not (all(new) if both else any(new)):
                raise BrokenSplit(_broken(split, f"row {row + 1} of {name} has no new {word}"))
    return f"each pair of validation and test has {'two new ' + word + 's' if both else 'a new ' + word}"


def _check_balance(records: DrugRecords, parts: Parts, split: SplitSettings) -> str:
    numbers = []
    for name in ("validation", "test"):
        counts = Counter(records.codes[parts[name]].tolist())
        if len(set(counts.values())) > 1:
            raise BrokenSplit(_broken(split, f"{name} has {min(counts.values())} to {max(counts.values())} of a class"))
        rows = next(iter(counts.values()))
        numbers.append(f"{rows:,} row{'' if rows == 1 else 's'} of each class in {name}")
    return ", ".join(numbers)


def _check_every_class(records: DrugRecords, parts: Parts, samples: list[int], split: SplitSettings) -> str:
    classes_of: dict[int, set[int]] = {}
    for rows in parts.values():
        for row in rows:
            classes_of.setdefault(samples[row], set()).add(int(records.codes[row]))
    own = Counter(next(iter(classes)) for classes in classes_of.values() if len(classes) == 1)
    for name, rows in parts.items():
        present = set(records.codes[rows].tolist())
        missing = [records.classes[code] for code, count in own.items() if count >= 3 and code not in present]
        if missing:
            raise BrokenSplit(_broken(split, f"{name} has no sample of class {missing[0]}"))
    return "every class of three samples or more is in each split"


def _check_thinned(records: DrugRecords, split: SplitSettings) -> None:
    assert split.imbalance is not None
    counts = Counter(records.codes[records.rows["train"]].tolist())
    ordered = [counts.get(code, 0) for code in range(len(records.classes))]
    # A profile that has been kept does not thin again.
    if any(kept < count for kept, count in zip(long_tail_counts(ordered, split.imbalance), ordered, strict=True)):
        raise BrokenSplit(_broken(split, f"training is not thinned to data.imbalance {split.imbalance:g}"))
