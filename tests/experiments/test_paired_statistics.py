from math import inf, isnan, nan, sqrt
from unittest.mock import patch

import numpy
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scikit_posthocs import posthoc_nemenyi_friedman
from scipy import stats

from experiments.paired_statistics import Floats, compare, corrected_interval, holm, ranks

# The quantile of t with two degrees of freedom at (1 + c) / 2 is c * sqrt(2 / (1 - c^2)); about 4.302653.
QUANTILE = 0.95 * sqrt(2 / (1 - 0.95**2))

scores = st.floats(-1, 1).map(lambda value: round(value, 6))
score_lists = st.lists(scores, min_size=2, max_size=20)


def array(*values: float) -> Floats:
    return numpy.array(values, dtype=numpy.float64)


def spread(values: list[float]) -> Floats:
    """The values, unless they are all but equal, where scipy's statistic is rounding."""
    differences = numpy.array(values)
    assume(float(differences.std()) > 1e-4)
    return differences


class TestCorrectedInterval:
    def test_hand_computed(self) -> None:
        # Variance 0.01, standard error sqrt((1/3 + 1/4) * 0.01) = sqrt(7/1200).
        interval = corrected_interval(array(0.6, 0.7, 0.8), test_share=0.25)
        margin = QUANTILE * sqrt(7 / 1200)
        assert interval == pytest.approx((0.7, 0.7 - margin, 0.7 + margin), abs=1e-12)

    @given(score_lists, st.floats(0.5, 0.99))
    def test_without_test_share_it_is_the_interval_of_scipy(self, values: list[float], confidence: float) -> None:
        values_array = spread(values)
        expected = stats.ttest_1samp(values_array, 0).confidence_interval(confidence)
        interval = corrected_interval(values_array, test_share=0, confidence=confidence)
        assert interval[1:] == pytest.approx((expected.low, expected.high), abs=1e-10)

    @given(score_lists, st.floats(0, 2), st.floats(0.01, 2))
    def test_a_larger_test_share_widens_it(self, values: list[float], test_share: float, more: float) -> None:
        differences = spread(values)
        narrow = corrected_interval(differences, test_share)
        wide = corrected_interval(differences, test_share + more)
        assert wide.low < narrow.low < narrow.mean < narrow.high < wide.high

    def test_one_value_has_no_bounds_and_none_no_mean(self) -> None:
        one = corrected_interval(array(0.7), test_share=0.3)
        assert one.mean == 0.7
        assert isnan(one.low)
        assert isnan(one.high)
        assert all(isnan(number) for number in corrected_interval(array(), test_share=0.3))

    def test_equal_values_have_no_bounds(self) -> None:
        one = corrected_interval(array(0.7, 0.7, 0.7), test_share=0.3)
        assert one.mean == pytest.approx(0.7)
        assert isnan(one.low)
        assert isnan(one.high)

    def test_wrong_arguments(self) -> None:
        with pytest.raises(ValueError, match=r"values must have one dimension, got shape \(2, 2\)"):
            corrected_interval(numpy.zeros((2, 2)), test_share=0.3)
        with pytest.raises(ValueError, match=r"values must be finite, got \[0.5, nan\]"):
            corrected_interval(array(0.5, nan), test_share=0.3)
        with pytest.raises(ValueError, match=r"test_share must be n_test / n_train.*got -0.1"):
            corrected_interval(array(0.5), test_share=-0.1)
        with pytest.raises(ValueError, match=r"confidence must lie between 0 and 1, got 95"):
            corrected_interval(array(0.5), test_share=0.3, confidence=95)


class TestCompare:
    def test_hand_computed(self) -> None:
        # Mean 2, variance 1, standard error sqrt(1/3 + 2/3) = 1, t = 2 with two degrees: p = 1 - 2 / sqrt(2 + 4).
        result = compare(array(1, 2, 3), test_share=2 / 3)
        assert result.mean == 2
        assert result.p_value == pytest.approx(1 - 2 / sqrt(6), abs=1e-12)
        assert result.effect_size == pytest.approx(2, abs=1e-12)
        assert (result.low, result.high) == pytest.approx((2 - QUANTILE, 2 + QUANTILE), abs=1e-9)

    @given(score_lists)
    def test_without_test_share_it_is_the_t_test_of_scipy(self, values: list[float]) -> None:
        differences = spread(values)
        assert compare(differences, 0).p_value == pytest.approx(stats.ttest_1samp(differences, 0).pvalue, abs=1e-10)

    @given(score_lists, st.floats(0, 2))
    def test_the_interval_leaves_out_zero_where_p_is_below_5_percent(
        self, values: list[float], test_share: float
    ) -> None:
        result = compare(spread(values), test_share)
        assume(abs(result.p_value - 0.05) > 1e-9)
        assert (result.p_value < 0.05) == (result.low > 0 or result.high < 0)

    @given(score_lists, st.floats(0, 2))
    def test_the_other_way_round_only_signs_change(self, values: list[float], test_share: float) -> None:
        differences = spread(values)
        mean, low, high, p_value, effect_size = compare(differences, test_share)
        assert compare(-differences, test_share) == pytest.approx((-mean, -high, -low, p_value, -effect_size))

    def test_equal_differences(self) -> None:
        same = compare(array(0, 0, 0), 0.3)
        assert (same.mean, same.p_value, same.effect_size) == (0, 1, 0)
        assert isnan(same.low)
        assert isnan(same.high)
        for sign in (1, -1):
            found = compare(sign * array(0.5, 0.5), 0.3)
            assert (found.mean, found.effect_size) == (sign * 0.5, sign * inf)
            assert all(isnan(number) for number in (found.low, found.high, found.p_value))

    def test_differences_that_are_equal_but_for_rounding(self) -> None:
        differences = array(0.3 - 0.2, 0.8 - 0.7, 0.1)
        assert numpy.ptp(differences) > 0
        found = compare(differences, 0.3)
        assert found.effect_size == inf
        assert all(isnan(number) for number in (found.low, found.high, found.p_value))

    def test_of_fewer_than_two_differences_nothing_but_the_mean_is_known(self) -> None:
        one = compare(array(0.1), 0.3)
        assert one.mean == 0.1
        assert all(isnan(number) for number in one[1:])
        assert all(isnan(number) for number in compare(array(), 0.3))

    def test_wrong_arguments(self) -> None:
        with pytest.raises(ValueError, match="differences must be finite"):
            compare(array(inf, 1), 0.3)
        with pytest.raises(ValueError, match="test_share must be"):
            compare(array(0, 1), nan)


class TestHolm:
    def test_hand_computed(self) -> None:
        # Sorted 0.01, 0.02, 0.03, 0.4 times 4, 3, 2, 1: 0.04, 0.06, 0.06, 0.4, each at least the one before.
        assert holm(array(0.03, 0.4, 0.01, 0.02)) == pytest.approx(array(0.06, 0.4, 0.04, 0.06), abs=1e-12)

    @given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
    def test_equals_a_loop(self, p_values: list[float]) -> None:
        # statsmodels collects garbage in each call, which takes longer than all else.
        with patch("gc.collect"):
            adjusted = holm(numpy.array(p_values))
        largest = 0.0
        for smaller, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
            largest = max(largest, min(1.0, (len(p_values) - smaller) * p_values[index]))
            assert adjusted[index] == pytest.approx(largest)

    def test_nan_is_not_counted_and_stays(self) -> None:
        assert holm(array(nan, 0.02, nan, 0.04)) == pytest.approx(array(nan, 0.04, nan, 0.04), nan_ok=True)
        assert numpy.isnan(holm(array(nan, nan))).all()
        assert len(holm(array())) == 0

    def test_wrong_arguments(self) -> None:
        with pytest.raises(ValueError, match=r"p_values must lie in \[0, 1\] or be NaN, got \[0.5, 1.1\]"):
            holm(array(0.5, 1.1))
        with pytest.raises(ValueError, match=r"p_values must have shape \(M,\), got \(1, 2\)"):
            holm(array(0.5, 0.1)[None])


class TestRanks:
    def test_the_highest_score_is_rank_1_and_ties_share(self) -> None:
        result = ranks(numpy.array([[0.9, 0.5, 0.7], [0.8, 0.8, 0.1]]))
        assert result.mean_ranks.tolist() == [1.25, 2.25, 2.5]

    def test_as_scipy_and_scikit_posthocs(self) -> None:
        table = numpy.random.default_rng(0).random((8, 5)) + numpy.arange(5) / 5
        result = ranks(table)
        assert result.friedman_p == stats.friedmanchisquare(*table.T).pvalue
        assert result.nemenyi is not None
        assert result.nemenyi == pytest.approx(posthoc_nemenyi_friedman(table).to_numpy())
        assert result.friedman_p < 0.05
        assert result.nemenyi[0, 4] < 0.05

    def test_friedman_by_hand(self) -> None:
        # Ranks 1, 2, 3 on all four data sets: 12 / (4 * 3 * 4) * (4^2 + 8^2 + 12^2) - 3 * 4 * 4 = 8, two degrees.
        result = ranks(numpy.tile([0.9, 0.8, 0.7], (4, 1)))
        assert result.friedman_p == pytest.approx(numpy.exp(-4))

    @pytest.mark.parametrize("shape", [(1, 5), (5, 2), (5, 1)])
    def test_too_few_for_a_test(self, shape: tuple[int, int]) -> None:
        result = ranks(numpy.random.default_rng(0).random(shape))
        assert result.mean_ranks.sum() == pytest.approx(shape[1] * (shape[1] + 1) / 2)
        assert isnan(result.friedman_p)
        assert result.nemenyi is None

    def test_all_tied(self) -> None:
        result = ranks(numpy.ones((4, 3)))
        assert result.mean_ranks.tolist() == [2, 2, 2]
        assert isnan(result.friedman_p)
        assert result.nemenyi == pytest.approx(numpy.ones((3, 3)))

    def test_wrong_arguments(self) -> None:
        with pytest.raises(ValueError, match=r"scores must have shape \(data sets, methods\).*got \(0, 3\)"):
            ranks(numpy.zeros((0, 3)))
        with pytest.raises(ValueError, match="scores must be finite, got 2 that are not"):
            ranks(numpy.array([[nan, 1], [inf, 2]]))
