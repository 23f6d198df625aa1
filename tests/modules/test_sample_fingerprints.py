"""The fingerprint bins of samples."""

from __future__ import annotations

import numpy
import pytest
import torch

from datamodules.batch import Batch, FingerprintBatch
from datamodules.chemistry.count_fingerprints import FingerprintKind
from datamodules.chemistry.molecule_features import FeatureSettings
from datamodules.drug_task import DrugTask
from datamodules.tables.columns import InputKind
from modules.sample_fingerprints import bits_width, counts_width, places_of_kinds, sample_bits, sample_counts


def batch_of(counts: list[list[float]], samples: int) -> Batch:
    """A batch of molecules with these counts."""
    dense = torch.tensor(counts, dtype=torch.float32)
    molecule, place = dense.nonzero(as_tuple=True)
    fingerprints = FingerprintBatch(molecule, place, dense[molecule, place], (dense.shape[0], dense.shape[1]))
    return Batch(torch.arange(samples), torch.zeros(samples, dtype=torch.int64), fingerprints=fingerprints)


def task_of(kind: InputKind, kinds: tuple[FingerprintKind, ...] = ("morgan",), ordered: bool = False) -> DrugTask:
    return DrugTask(kind, ("a", "b"), (2, 2), FeatureSettings(2, 3, kinds), ordered_pairs=ordered)


def test_a_molecule_has_the_bins_that_are_not_zero() -> None:
    found = sample_bits(batch_of([[2, 0, 1], [0, 0, 0]], 2), task_of("molecule"))
    assert numpy.array_equal(found.toarray(), [[1, 0, 1], [0, 0, 0]])


@pytest.mark.parametrize(
    ("kinds", "expected"),
    [(("path", "morgan"), [[0, 1, 1]]), (("path", "torsion"), [[1, 0, 0, 0, 1, 1]])],
)
def test_bins_are_those_of_the_morgan_fingerprint_if_there_is_one(
    kinds: tuple[FingerprintKind, ...], expected: list[list[int]]
) -> None:
    task = task_of("molecule", kinds)
    found = sample_bits(batch_of([[1, 0, 0, 0, 4, 1]], 1), task)
    assert numpy.array_equal(found.toarray(), expected)
    assert bits_width(task) == len(expected[0])


def test_a_reaction_has_what_the_product_has_more_and_less() -> None:
    found = sample_bits(batch_of([[1, 2, 3], [1, 5, 0]], 1), task_of("reaction"))
    assert numpy.array_equal(found.toarray(), [[0, 1, 0, 0, 0, 1]])


def test_the_drugs_of_an_ordered_pair_follow_each_other() -> None:
    found = sample_bits(batch_of([[1, 0, 0], [0, 2, 1]], 1), task_of("pair", ordered=True))
    assert numpy.array_equal(found.toarray(), [[1, 0, 0, 0, 1, 1]])


def test_the_drugs_of_an_unordered_pair_are_exchangeable() -> None:
    task, one, other = task_of("pair"), [1.0, 1.0, 0.0], [0.0, 2.0, 1.0]
    found = [sample_bits(batch_of(pair, 1), task).toarray() for pair in ([one, other], [other, one])]
    assert numpy.array_equal(found[0], [[1, 1, 1, 0, 1, 0]])
    assert numpy.array_equal(*found)


@pytest.mark.parametrize(
    ("kind", "ordered", "expected"),
    [
        ("reaction", False, [0, 3, 0, 0, 0, 3]),
        ("pair", True, [1, 2, 3, 1, 5, 0]),
        # The sums of both drugs, then what both have.
        ("pair", False, [2, 7, 3, 1, 2, 0]),
    ],
)
def test_counts_of_two_molecules(kind: InputKind, ordered: bool, expected: list[int]) -> None:
    batch, task = batch_of([[1, 2, 3], [1, 5, 0]], 1), task_of(kind, ordered=ordered)
    found = sample_counts(batch, task)
    assert found.toarray().tolist() == [expected]
    assert numpy.array_equal(sample_bits(batch, task).toarray()[0], numpy.array(expected) > 0)


def test_counts_are_those_of_all_fingerprints() -> None:
    batch, task = batch_of([[1, 0, 2, 0, 4, 1]], 1), task_of("molecule", ("path", "morgan"))
    assert sample_counts(batch, task).toarray().tolist() == [[1, 0, 2, 0, 4, 1]]
    assert counts_width(task) == 6
    assert [kind.tolist() for kind in places_of_kinds(task)] == [[0, 1, 2], [3, 4, 5]]


@pytest.mark.parametrize(
    ("kind", "ordered", "expected"),
    [
        # What the product has more of, then what the reactants have more of, in each kind.
        ("reaction", False, [[0, 1, 0, 0, 0, 1], [5, 0, 0, 0, 3, 0]]),
        # The sums of both drugs, then what both have.
        ("pair", False, [[2, 1, 1, 1, 0, 0], [5, 3, 0, 0, 0, 0]]),
        ("pair", True, [[1, 0, 1, 1, 1, 0], [0, 3, 0, 5, 0, 0]]),
    ],
)
def test_a_kind_has_its_counts_of_both_molecules(kind: InputKind, ordered: bool, expected: list[list[int]]) -> None:
    batch = batch_of([[1, 0, 1, 0, 3, 0], [1, 1, 0, 5, 0, 0]], 1)
    task = task_of(kind, ("path", "morgan"), ordered)
    counts, kinds = sample_counts(batch, task).toarray()[0], places_of_kinds(task)
    assert counts_width(task) == len(counts)
    assert sorted(numpy.concatenate(kinds).tolist()) == list(range(12))
    assert [counts[own].tolist() for own in kinds] == expected


def test_a_drug_with_itself_has_its_counts_twice_and_once() -> None:
    assert sample_counts(batch_of([[2, 0, 1]] * 2, 1), task_of("pair")).toarray().tolist() == [[4, 0, 2, 2, 0, 1]]


def test_arrays_have_none() -> None:
    task = DrugTask("array", ("a", "b"), (2, 2), FeatureSettings(array_shape=(4,)))
    assert (bits_width(task), counts_width(task)) == (0, 0)
