"""Exact search by Tanimoto similarity."""

from __future__ import annotations

import numpy
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.sparse import csr_array

from modules.neighbors import tanimoto_search
from modules.neighbors.tanimoto_search import TanimotoSearch

Rows = list[set[int]]


def bits(rows: Rows, width: int) -> csr_array:
    dense = numpy.array([[place in row for place in range(width)] for row in rows], dtype=numpy.float32)
    return csr_array(dense.reshape(len(rows), width))


def by_loop(known: Rows, query: set[int], number: int) -> list[tuple[int, float]]:
    """The samples in order of similarity, the first one of equally similar ones first."""
    similar = [len(query & row) / len(query | row) if query | row else 0.0 for row in known]
    places = sorted(range(len(known)), key=lambda place: (-similar[place], place))[:number]
    return [(place, similar[place]) for place in places]


fingerprints = st.sets(st.integers(0, 11))


@pytest.fixture(params=[1, 10**9], ids=["compiled", "not compiled"])
def compiled_from(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tanimoto_search, "_WORDS_TO_COMPILE", request.param)


@pytest.mark.usefixtures("compiled_from")
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(fingerprints, min_size=1, max_size=150), st.lists(fingerprints, min_size=1, max_size=6), st.integers(1, 6)
)
def test_the_nearest_samples_are_those_of_a_loop(known: Rows, queries: Rows, number: int) -> None:
    number = min(number, len(known))
    found, similarity = TanimotoSearch(bits(known, 12)).nearest(bits(queries, 12), number)
    for query, places, similar in zip(queries, found.tolist(), similarity.tolist(), strict=True):
        expected = by_loop(known, query, number)
        assert places == [place for place, _ in expected]
        assert similar == pytest.approx([value for _, value in expected], abs=1e-6)


def drawn(samples: int, seed: int, width: int = 256) -> NDArray[numpy.float32]:
    """Fingerprints with frequent and rare bins."""
    generator = numpy.random.default_rng(seed)
    return (generator.random((samples, width)) < 0.6 / numpy.sqrt(1 + numpy.arange(width))).astype(numpy.float32)


@pytest.mark.usefixtures("compiled_from")
def test_many_samples_of_which_a_part_is_looked_at_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tanimoto_search, "_WORDS_AT_ONCE", 300)
    known, queries = drawn(9_000, 0), drawn(20, 1)
    search = TanimotoSearch(csr_array(known))
    found, similarity = search.nearest(csr_array(queries), 3)
    shared = queries @ known.T
    expected = shared / (queries.sum(axis=1)[:, None] + known.sum(axis=1) - shared)
    order = numpy.argsort(-expected, axis=1, kind="stable")[:, :3]
    numpy.testing.assert_array_equal(found, order)
    numpy.testing.assert_allclose(similarity, numpy.take_along_axis(expected, order, axis=1), rtol=1e-6)


@pytest.mark.usefixtures("compiled_from")
def test_a_query_is_found_among_samples_of_any_number_of_bins() -> None:
    known = [set(range(size)) for size in range(200)]
    found, similarity = TanimotoSearch(bits(known, 256)).nearest(bits(known, 256), 1)
    assert found[:, 0].tolist() == list(range(200))
    assert similarity[1:, 0].tolist() == [1.0] * 199


@pytest.mark.usefixtures("compiled_from")
def test_no_query_gives_no_row() -> None:
    found, similarity = TanimotoSearch(bits([{0}], 4)).nearest(csr_array((0, 4), dtype=numpy.float32), 1)
    assert found.shape == similarity.shape == (0, 1)
