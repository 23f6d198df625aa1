"""Divide the records of a table into training, validation and test."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy
import polars
from numpy.typing import NDArray

from base.errors import InputError
from datamodules.features import FeaturedTable
from datamodules.identity import SampleIdentity
from datamodules.records import class_codes, label_values
from datamodules.splits.divide_folds import fold_rows
from datamodules.splits.label_splits import check_known_labels, check_label_split, stratified_label_split
from datamodules.splits.long_tail import thinned
from datamodules.splits.split_file import draw_missing_splits
from datamodules.splits.split_parts import parts_kept_apart, without_tested_drugs
from datamodules.splits.split_settings import CountBy, SplitSettings
from datamodules.splits.splitters import (
    SPLIT_NAMES,
    SplitMethod,
    SplitName,
    cold_split,
    file_split,
    random_split,
    scaffold_split,
    standard_split,
)
from datamodules.tables.drug_table import DrugTable
from datamodules.tables.label_sets import LabelSets

_log = logging.getLogger("tailmol")


@dataclass(frozen=True)
class DrugRecords:
    """The samples of a labeled table, divided.

    Attributes:
        classes: C labels.
        rows: The rows of the table in each split, int64 (n,).
        codes: Class code of each row of the table, int64 (rows,); -1 where the row is not used. Where a row may have
            several labels: int8 (rows, C), 1 the row has the label, 0 it does not, -1 not known or the row is not used.
        samples: (rows,) int64, equal for rows of the same sample.
        count_by: Whether class counts are of different samples or of rows.
        folds: (rows,) int64, the fold that tests each row of the table, -1 where none does; None without folds.
        touched: (rows, P) int64, the folds whose members are not trained on each row, -1 for none; None without folds.
    """

    classes: tuple[str, ...]
    rows: dict[SplitName, NDArray[Any]]
    codes: NDArray[Any]
    samples: NDArray[Any]
    count_by: CountBy = "samples"
    folds: NDArray[Any] | None = None
    touched: NDArray[Any] | None = None

    @property
    def is_multilabel(self) -> bool:
        """Whether a row may have several labels."""
        return self.codes.ndim == 2

    @property
    def class_counts(self) -> tuple[int, ...]:
        """Training samples of each class, C counts, of different samples or of rows."""
        rows = self.rows["train"]
        if self.is_multilabel:
            return self._counts_of(self.codes[rows] == 1)
        codes = self.codes[rows]
        if self.count_by == "samples":
            codes = numpy.unique(numpy.stack([codes, self.samples[rows]]), axis=1)[0]
        return tuple(numpy.bincount(codes, minlength=len(self.classes)).tolist())

    @property
    def known_counts(self) -> tuple[int, ...]:
        """Training samples of which it is known whether they have each label, C counts; none with a single label."""
        return self._counts_of(self.codes[self.rows["train"]] >= 0) if self.is_multilabel else ()

    def _counts_of(self, chosen: NDArray[Any]) -> tuple[int, ...]:
        """How many different training samples, or rows, are chosen of each label, by bool (n, C)."""
        if self.count_by == "rows":
            return tuple(chosen.sum(axis=0).tolist())
        _, of_row = numpy.unique(self.samples[self.rows["train"]], return_inverse=True)
        samples = numpy.zeros((of_row.max(initial=-1) + 1, chosen.shape[1]), dtype=bool)
        numpy.logical_or.at(samples, of_row.reshape(-1), chosen)
        return tuple(samples.sum(axis=0).tolist())

    def sampled_codes(self, codes: NDArray[Any]) -> NDArray[Any]:
        """The class that each training row counts for when classes are drawn, int64 (n,).

        With several labels it is the rarest that the row has, or one class more for rows that have none.

        Args:
            codes: `codes` of the n rows.
        """
        if not self.is_multilabel:
            return codes
        order = numpy.argsort(self.class_counts, kind="stable")
        of_none = len(order)
        has = numpy.concatenate([codes[:, order] == 1, numpy.ones((len(codes), 1), dtype=bool)], axis=1)
        found: NDArray[Any] = numpy.append(order, of_none)[has.argmax(axis=1)]
        return found

    def different_samples(self, rows: NDArray[Any]) -> int:
        """How many different samples some rows hold.

        Args:
            rows: (n,) rows of the table.
        """
        return len(numpy.unique(self.samples[rows]))

    def sizes(self, rows: NDArray[Any], class_counts: Sequence[int]) -> dict[str, int]:
        """How many rows and different samples were tested, and how much of it metrics leave out.

        Args:
            rows: (n,) rows of the table.
            class_counts: Training samples of each class, C counts.

        Returns:
            `rows`, `samples`; and `unseen_rows` and `unseen_classes`, of classes without training samples.
        """
        sizes = {"rows": len(rows), "samples": self.different_samples(rows)}
        if self.is_multilabel:
            # A row of a label that training never had still tests the other labels.
            untrained = (self.codes[rows] == 1).any(axis=0) & (numpy.array(class_counts) == 0)
            return {**sizes, "unseen_rows": 0, "unseen_classes": int(untrained.sum())}
        unseen = numpy.array(class_counts)[self.codes[rows]] == 0
        return {
            **sizes,
            "unseen_rows": int(unseen.sum()),
            "unseen_classes": len(numpy.unique(self.codes[rows][unseen])),
        }

    def summary(self) -> str:
        """Numbers of classes and samples in words."""
        counts = [count for count in self.class_counts if count]
        sizes = ", ".join(f"{self._size(rows)} {name}" for name, rows in self.rows.items())
        unit = "samples" if self.count_by == "samples" else "rows"
        word = "labels" if self.is_multilabel else "classes"
        least, most = min(counts), max(counts)
        each = f"{least:,}" if least == most else f"{least:,} to {most:,}"
        return f"{len(self.classes)} {word} of {each} training {unit}; {sizes}"

    def _size(self, rows: NDArray[Any]) -> str:
        samples = self.different_samples(rows)
        return f"{len(rows):,}" if samples == len(rows) else f"{len(rows):,} rows of {samples:,} different samples in"


def divide(
    featured: FeaturedTable,
    reasons: polars.Series,
    identity: SampleIdentity,
    split: SplitSettings,
    classes: tuple[str, ...] | None,
) -> DrugRecords:
    """Number the classes of the usable rows and divide the rows.

    Args:
        featured: A labeled table.
        reasons: One a row, null where the row is used.
        identity: Which rows are the same sample.
        split: How to divide.
        classes: The classes of a trained model; those of the table if None.

    Raises:
        InputError: If there are fewer than two classes, a split has no row, or the split does not suit the table.
    """
    if featured.table.label_sets is None:
        vocabulary, codes = class_codes(featured, reasons, classes)
    else:
        vocabulary, codes = label_values(featured, reasons, identity, classes)
        check_label_split(split)
    places = reasons.is_null().arg_true().to_numpy().astype(numpy.int64)
    folds = None
    if split.method == "all":
        rows = dict.fromkeys(SPLIT_NAMES, places)
    elif split.train_on_all:
        rows = {"train": places, "validation": places[:0], "test": places[:0]}
    elif split.folds is not None and not split.has_test_rows:
        rows, folds = fold_rows(featured.table, identity, places, codes, split)
    else:
        split_of = _split_codes(featured.table, identity, places, codes[places], split)
        rows = {name: places[split_of == code] for code, name in enumerate(SPLIT_NAMES)}
        _warn_left_out(int((split_of < 0).sum()), len(places), split.method)
        if split.folds is not None:
            own, test = numpy.sort(numpy.concatenate([rows["train"], rows["validation"]])), rows["test"]
            rows, folds = fold_rows(featured.table, identity, own, codes, split)
            if split.fold is None:
                rows["test"] = test
    needed: Sequence[SplitName] = ("train",) if split.train_on_all and split.method != "all" else SPLIT_NAMES
    for name in needed:
        if not len(rows[name]):
            raise InputError(
                f"data.split: expected rows in every split, got none for {name} of {len(places):,} usable rows "
                f"with {len(vocabulary):,} different labels."
            )
    if split.imbalance is not None and split.folds is None:
        rows["train"] = thinned(rows["train"], codes, split.imbalance, split.seed)
    tested, touched = (None, None) if folds is None else (folds.tested, folds.touched)
    records = DrugRecords(vocabulary, rows, codes, identity.samples, split.count_by, tested, touched)
    if not records.is_multilabel:
        _check_known_classes(records)
    elif split.method != "all" and split.folds is None:
        check_known_labels(records.codes, records.rows, records.class_counts)
    # Where all rows are in every split, one of them tells all; a class of few samples is missing in most folds.
    whole = split.method == "all" or split.folds is not None
    if split.fold is None:
        _warn_missing_classes(records, {"test": rows["test"]} if whole else {name: rows[name] for name in needed})
    return records


def split_listing(table: DrugTable, records: DrugRecords) -> polars.DataFrame:
    """The split of each used row, with the columns `row` (from 1), `split`, `label` and, if the table has it, `id`.

    With folds, `fold` is the one that tests a row, from 0; null where none does. A row of a fold is validation and test
    when its fold is left out, and training when none is.
    """
    listed = dict(records.rows)
    if records.folds is not None:
        del listed["validation"]
        listed["test"] = numpy.setdiff1d(listed["test"], listed["train"])
    splits = [polars.DataFrame({"row": rows, "split": name}) for name, rows in listed.items() if len(rows)]
    listing = polars.concat(splits).sort("row", maintain_order=True)
    rows = listing["row"]
    assert table.labels is not None
    labels = table.labels
    if records.is_multilabel:
        labels = LabelSets(records.classes, records.codes).joined()
    columns = [(rows + 1).alias("row"), listing["split"], labels.gather(rows).alias("label")]
    if records.folds is not None:
        folds = polars.Series("fold", records.folds[rows.to_numpy()])
        columns.append(folds.replace(-1, None))
    if table.columns.id:
        columns.append(table.frame[table.columns.id].gather(rows).alias("id"))
    return polars.DataFrame(columns)


def _split_codes(
    table: DrugTable, identity: SampleIdentity, rows: NDArray[Any], codes: NDArray[Any], split: SplitSettings
) -> NDArray[Any]:
    """The place of each usable row's split in `SPLIT_NAMES`; -1 for a row that is left out."""
    if split.method == "file":
        assert table.splits is not None
        folds = table.splits.drop_nulls().unique(maintain_order=True).to_list()
        given = file_split(table.splits.gather(rows).to_list(), split.test_folds, split.validation_folds, folds)
        return draw_missing_splits(given, codes, identity.samples[rows], split)
    if split.method in ("cold", "scaffold"):
        parts, sides, either = parts_kept_apart(table, identity, rows, split)
        if split.method == "scaffold" and not identity.unordered:
            return scaffold_split(parts[:, sides[0]], split.fractions, split.seed)
        split_of = cold_split(parts, sides, split.fractions, split.seed, either)
        # The members of an ensemble train on the rows of validation, too.
        return split_of if split.folds is None or either else without_tested_drugs(split_of, parts, sides)
    if codes.ndim == 2:
        return stratified_label_split(codes, identity.samples[rows], split.fractions, split.seed)
    method = standard_split if split.method == "standard" else random_split
    return method(codes, identity.samples[rows], split.fractions, split.seed)


def _warn_left_out(left_out: int, rows: int, method: SplitMethod) -> None:
    if left_out:
        why = "more than the promised number of its class" if method == "standard" else "in two of them"
        _log.warning(f"{left_out:,} of {rows:,} rows belong to no split, because they would be {why}.")


def _check_known_classes(records: DrugRecords) -> None:
    trained = records.codes[records.rows["train"]]
    for name, rows in records.rows.items():
        if len(rows) and not numpy.isin(records.codes[rows], trained).any():
            raise InputError(
                f"data.split: expected samples of classes that are in training in the {name} split, got only others."
            )


def _warn_missing_classes(records: DrugRecords, parts: Mapping[SplitName, NDArray[Any]]) -> None:
    for name, rows in parts.items():
        codes = records.codes[rows]
        present = set(numpy.flatnonzero((codes == 1).any(axis=0)) if records.is_multilabel else codes.tolist())
        missing = [label for code, label in enumerate(records.classes) if code not in present]
        if missing:
            shown = ", ".join(missing[:10]) + (f" and {len(missing) - 10} more" if len(missing) > 10 else "")
            where = "all" if name == "train" else "its"
            word = "labels" if records.is_multilabel else "classes"
            have, are = ("has", "is") if len(missing) == 1 else ("have", "are")
            _log.warning(
                f"{len(missing)} of {len(records.classes)} {word} {have} no sample in the {name} split and {are} left "
                f"out of {where} averages: {shown}."
            )
