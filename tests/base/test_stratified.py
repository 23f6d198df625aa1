from __future__ import annotations

import numpy
import pytest

from base.stratified import class_quotas, draw_some, draw_stratified


def test_quotas_are_equal_as_far_as_classes_allow() -> None:
    assert class_quotas(numpy.array([100, 50, 3, 0, 1]), 24).tolist() == [10, 10, 3, 0, 1]


def test_what_equal_shares_leave_over_is_used_up() -> None:
    assert class_quotas(numpy.array([9, 9, 9]), 8).tolist() == [3, 3, 2]


def test_every_class_keeps_one_even_beyond_the_number_asked_for() -> None:
    assert class_quotas(numpy.array([5, 1, 7, 0]), 2).tolist() == [1, 1, 1, 0]


def test_everything_is_kept_where_there_is_room() -> None:
    assert draw_stratified(numpy.array([2, 0, 2]), 5).tolist() == [0, 1, 2]


@pytest.mark.parametrize("most", [1, 7, 60, 999])
def test_draws_have_the_quotas_and_come_in_order(most: int) -> None:
    codes = numpy.random.default_rng(0).choice(20, 1_000, p=numpy.arange(1, 21) / 210)
    drawn = draw_stratified(codes, most, seed=1)
    counts = numpy.bincount(codes, minlength=20)
    assert numpy.bincount(codes[drawn], minlength=20).tolist() == class_quotas(counts, most).tolist()
    assert (numpy.diff(drawn) > 0).all()
    assert numpy.array_equal(drawn, draw_stratified(codes, most, seed=1))


def test_some_are_drawn_once_each_and_come_in_order() -> None:
    assert draw_some(5, 5).tolist() == [0, 1, 2, 3, 4]
    drawn = draw_some(1_000, 400)
    assert drawn.tolist() == sorted(set(drawn.tolist()))
    assert len(drawn) == 400
    # Each half has 200 in the mean, with a standard deviation of 7.7.
    assert 170 < int((drawn < 500).sum()) < 230
    assert drawn.tolist() == draw_some(1_000, 400).tolist() != draw_some(1_000, 400, seed=1).tolist()
