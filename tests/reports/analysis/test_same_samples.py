from __future__ import annotations

import numpy

from reports.analysis.same_samples import different, different_by_class, same_numbers


def test_samples_are_numbered_by_their_first_rows() -> None:
    assert same_numbers(numpy.array([7, 3, 7, 5, 3]), 5).tolist() == [0, 1, 0, 2, 1]
    assert same_numbers(None, 3).tolist() == [0, 1, 2]


def test_a_sample_with_rows_of_two_classes_is_one_of_each() -> None:
    codes, samples = numpy.array([0, 0, 0, 1, 1]), numpy.array([9, 9, 4, 9, 2])
    assert different(samples) == 3
    assert different_by_class(codes, samples, 3).tolist() == [2, 2, 0]
    assert different_by_class(codes, None, 3).tolist() == [3, 2, 0]
