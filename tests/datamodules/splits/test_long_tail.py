import math

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from base.errors import InputError
from datamodules.splits.long_tail import long_tail_counts, thin_to_long_tail

COUNTS = st.lists(st.integers(0, 60), min_size=1, max_size=12).filter(any)
RATIOS = st.floats(1, 500)


@pytest.mark.parametrize(
    ("counts", "imbalance", "expected"),
    [
        ([100, 100, 100], 100, [100, 10, 1]),
        ([100, 100], 4, [100, 25]),
        # 100 * 50 ** (-1/3) = 27.1, 100 * 50 ** (-2/3) = 7.4, 100 / 50 = 2.
        ([100, 90, 90, 80], 50, [100, 27, 7, 2]),
        # Ranks go by size, not by number.
        ([80, 100, 90], 100, [1, 100, 10]),
        # The third class has fewer than 10 already.
        ([100, 90, 3, 5], 1000, [100, 10, 1, 1]),
        ([100, 4, 3], 4, [100, 4, 3]),
        # Classes of one size go in the order of their numbers; one without samples has no rank.
        ([0, 10, 10, 0], 10, [0, 10, 1, 0]),
        ([10, 10, 10], 1, [10, 10, 10]),
        ([7], 50, [7]),
        ([0, 7, 0], 50, [0, 7, 0]),
    ],
)
def test_counts_by_hand(counts: list[int], imbalance: float, expected: list[int]) -> None:
    assert long_tail_counts(counts, imbalance) == expected


@given(COUNTS, RATIOS)
def test_a_class_keeps_one_at_least_and_never_more_than_it_has(counts: list[int], imbalance: float) -> None:
    kept = long_tail_counts(counts, imbalance)
    largest = max(counts)
    assert max(kept) == largest
    for count, left in zip(counts, kept, strict=True):
        assert min(count, 1) <= left <= count
    ranked = sorted((count for count in counts if count), reverse=True)
    if len(ranked) > 1 and ranked[-1] >= largest / imbalance:
        smallest = min(left for left in kept if left)
        assert smallest == max(1, round(largest / imbalance))


@given(COUNTS, RATIOS, st.integers(0, 3))
def test_what_is_kept_has_the_counts_and_is_drawn_by_the_seed(counts: list[int], imbalance: float, seed: int) -> None:
    codes = numpy.random.default_rng(0).permutation(numpy.repeat(numpy.arange(len(counts)), counts))
    kept = thin_to_long_tail(codes, imbalance, seed)
    assert numpy.bincount(codes[kept], minlength=len(counts)).tolist() == long_tail_counts(counts, imbalance)
    assert (numpy.diff(kept) > 0).all()
    assert kept.tolist() == thin_to_long_tail(codes, imbalance, seed).tolist()


def test_another_seed_draws_other_samples() -> None:
    codes = numpy.repeat([0, 1], 50)
    draws = {tuple(thin_to_long_tail(codes, 5, seed).tolist()) for seed in range(4)}
    assert len(draws) == 4
    assert all(draw[:50] == tuple(range(50)) for draw in draws)


@pytest.mark.parametrize("imbalance", [0.5, 0, -3, math.inf, math.nan])
def test_a_ratio_out_of_range_is_refused(imbalance: float) -> None:
    with pytest.raises(InputError, match=r"data\.imbalance: expected a finite number of 1 or more, got"):
        long_tail_counts([3, 4], imbalance)
