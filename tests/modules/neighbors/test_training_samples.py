"""The nearest training samples, by fingerprint and by embedding."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy
import pytest
import torch
from scipy.sparse import csr_array

from base.errors import InputError
from datamodules.chemistry.molecule_features import FeatureSettings
from datamodules.drug_task import DrugTask
from modules.neighbors.training_samples import TrainingSamples
from modules.unit_embeddings import unit_embeddings

TASK = DrugTask("molecule", ("a", "b", "c"), (9, 9, 7), FeatureSettings(2, 64))


def made(by_tanimoto: bool = True, has_bits: bool = True, samples: int = 25, width: int = 64) -> TrainingSamples:
    """Samples with drawn embeddings and fingerprints."""
    generator = numpy.random.default_rng(samples)
    embeddings = unit_embeddings(torch.from_numpy(generator.normal(size=(samples, 8))))
    bits = csr_array((generator.random((samples, width)) < 0.3).astype(numpy.float32)) if has_bits else None
    names = [f"drug {place} \u00b5\n" for place in range(samples)]
    texts = ["C" * place for place in range(samples)]
    return TrainingSamples(
        names, texts, numpy.arange(samples) % 3, embeddings.half().numpy(), bits, by_tanimoto and has_bits
    )


def tanimoto(one: Any, other: Any) -> float:
    first, second = set(one.nonzero()[0]), set(other.nonzero()[0])
    return len(first & second) / len(first | second)


@pytest.mark.parametrize("by_tanimoto", [True, False])
def test_both_similarities_equal_a_loop_and_one_of_them_chooses(by_tanimoto: bool) -> None:
    known, asked = made(by_tanimoto), made(samples=6)
    assert known.bits is not None
    assert asked.bits is not None
    queries = torch.from_numpy(asked.embeddings.astype(numpy.float32))
    places, near = known.nearest(7 * queries, asked.bits, 4)
    embeddings, bits, own = known.embeddings.astype(numpy.float32), known.bits.toarray(), asked.bits.toarray()
    for row in range(6):
        cosines = embeddings @ unit_embeddings(queries[row]).numpy()
        similar = numpy.array([tanimoto(own[row], other) for other in bits])
        best = numpy.argsort(-(similar if by_tanimoto else cosines), kind="stable")[:4]
        assert places[row].tolist() == best.tolist()
        numpy.testing.assert_allclose(near.tanimoto[row], similar[best], rtol=1e-6)
        numpy.testing.assert_allclose(near.cosine[row], cosines[best], atol=1e-5)
        assert near.codes[row].tolist() == (best % 3).tolist()


def test_arrays_have_a_cosine_alone_and_few_samples_are_all_found() -> None:
    known = made(has_bits=False, samples=2)
    places, near = known.nearest(torch.from_numpy(known.embeddings.astype(numpy.float32)), None, 5)
    assert places.tolist() == [[0, 1], [1, 0]]
    assert numpy.isnan(near.tanimoto).all()
    assert near.cosine[:, 0].tolist() == pytest.approx([1.0, 1.0], abs=1e-3)
    assert near.cosine.max() <= 1


@pytest.mark.parametrize("has_bits", [True, False])
def test_plain_arrays_hold_everything(has_bits: bool) -> None:
    known = made(has_bits=has_bits)
    arrays = known.to_arrays()
    assert not any(array.dtype.hasobject for array in arrays.values())
    read = TrainingSamples.from_arrays(arrays)
    assert (read.names, read.texts, read.by_tanimoto) == (known.names, known.texts, known.by_tanimoto)
    numpy.testing.assert_array_equal(read.codes, known.codes)
    numpy.testing.assert_array_equal(read.embeddings, known.embeddings)
    if known.bits is None:
        assert read.bits is None
    else:
        assert read.bits is not None
        numpy.testing.assert_array_equal(read.bits.toarray(), known.bits.toarray())


def several() -> TrainingSamples:
    """Samples of which every label is drawn: there, not there, or not known."""
    return replace(made(), codes=numpy.random.default_rng(1).integers(-1, 2, (25, 3)).astype(numpy.int8))


def test_samples_may_have_several_labels() -> None:
    known, queries = several(), made(samples=6)
    asked = torch.from_numpy(queries.embeddings.astype(numpy.float32))
    places, near = known.nearest(asked, queries.bits, 4)
    expected, single = made().nearest(asked, queries.bits, 4)
    numpy.testing.assert_array_equal(places, expected)
    numpy.testing.assert_array_equal(near.tanimoto, single.tanimoto)
    numpy.testing.assert_array_equal(near.codes, known.codes[places])
    read = TrainingSamples.from_arrays(known.to_arrays())
    assert read.codes.dtype == numpy.int8
    numpy.testing.assert_array_equal(read.codes, known.codes)
    task = replace(TASK, known_counts=(25, 25, 25))
    read.check(task)
    with pytest.raises(InputError, match="expected samples of 3 classes with 64 bins, got 3 labels and 64 bins"):
        read.check(TASK)
    with pytest.raises(InputError, match="expected samples of 3 labels with 64 bins, got class 2 and 64 bins"):
        made().check(task)
    with pytest.raises(InputError, match="expected samples of 2 labels with 64 bins, got 3 labels and 64 bins"):
        read.check(replace(task, classes=("a", "b"), class_counts=(9, 9), known_counts=(25, 25)))


@pytest.mark.parametrize(
    "broken",
    [
        {"codes": numpy.zeros(3, dtype=numpy.int32)},
        {"codes": numpy.full(25, -1, dtype=numpy.int32)},
        {"codes": numpy.full((25, 3), 2, dtype=numpy.int8)},
        {"codes": numpy.zeros((25, 0), dtype=numpy.int8)},
        {"codes": numpy.zeros((25, 3), dtype=numpy.int32)},
        {"embeddings": numpy.zeros((25, 8))},
        {"width": numpy.array(3)},
        {"names_ends": numpy.zeros(1, dtype=numpy.int64)},
    ],
    ids=[
        *("too few", "negative", "no entry of a label", "no label", "classes of several"),
        *("another type", "too narrow", "no texts"),
    ],
)
def test_other_arrays_are_refused(broken: dict[str, Any]) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 scipy says what is wrong with bins
        TrainingSamples.from_arrays({**made().to_arrays(), **broken})


def test_samples_of_other_classes_or_fingerprints_are_refused() -> None:
    made().check(TASK)
    with pytest.raises(InputError, match="expected samples of 2 classes with 64 bins, got class 2 and 64 bins"):
        made().check(replace(TASK, classes=("a", "b"), class_counts=(9, 9)))
    with pytest.raises(InputError, match="with 64 bins, got class 2 and 32 bins"):
        made(width=32).check(TASK)
