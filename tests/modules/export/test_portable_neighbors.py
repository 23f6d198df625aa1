"""The opinions of an exported model are those of `NearestSamples`."""

from __future__ import annotations

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_array

from modules.export.portable_neighbors import RememberedSamples
from modules.neighbors.nearest_samples import NearestSamples

rows = st.lists(st.tuples(st.sets(st.integers(0, 7)), st.integers(0, 2)), min_size=1, max_size=12)


@given(rows, st.lists(st.sets(st.integers(0, 9)), min_size=1, max_size=4), st.integers(1, 15))
def test_opinions_are_those_of_the_model(known: list[tuple[set[int], int]], asked: list[set[int]], number: int) -> None:
    dense = numpy.array([[place in row for place in range(10)] for row, _ in known])
    bits, codes = csr_array(dense.astype(numpy.float32)), numpy.array([code for _, code in known])
    model = NearestSamples(4)
    model.learn(bits, codes, number)
    new = numpy.array([[place in row for place in range(10)] for row in asked])
    expected = model.opinions(csr_array(new.astype(numpy.float32))).numpy()
    found = RememberedSamples(bits.indptr, bits.indices, codes, 4, number).opinions(new)
    assert found == pytest.approx(expected, abs=2e-5)
