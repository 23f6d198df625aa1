"""The estimate of how often labels are right."""

from __future__ import annotations

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from modules.evaluation.applicability import (
    LEVELS,
    Applicability,
    Signals,
    accuracy_by_level,
    fit_applicability,
    level_of,
    signals,
)
from modules.neighbors.training_samples import Neighbors

CLASSES = 10


def drawn(samples: int, seed: int) -> tuple[Signals, NDArray[numpy.bool_], NDArray[numpy.float64]]:
    """Signals, whether labels are right, and with which probability they are."""
    generator = numpy.random.default_rng(seed)
    values = generator.normal([1.0, 0.5, 0.6], [1.5, 0.2, 0.2], size=(samples, 3))
    chance = 1 / (1 + numpy.exp(-(0.2 + 0.8 * values[:, 0] + 3 * (values[:, 1] - 0.5))))
    return Signals(values, values[:, 1:]), generator.random(samples) < chance, chance


def test_the_signals_of_a_prediction() -> None:
    codes = numpy.array([[2, 0, 0], [1, 1, 1]])
    near = Neighbors(codes, numpy.array([[0.9, 0.6, 0.5], [0.4, 0.3, 0.2]]), numpy.array([[0.7, 0.8, 0.1], [0.2] * 3]))
    found = signals(numpy.array([0.8, 0.5]), numpy.array([0, 2]), near, by_tanimoto=True)
    assert found.values == pytest.approx(numpy.array([[numpy.log(4), 0.6, 0.7], [0.0, 0.0, 0.2]]))
    assert found.similarity == pytest.approx(numpy.array([[0.9, 0.7], [0.4, 0.2]]))
    arrays = signals(numpy.array([0.8, 1.0]), numpy.array([0, 2]), near, by_tanimoto=False)
    assert arrays.values[0, 1:] == pytest.approx([0.8, 0.7])
    assert numpy.isfinite(arrays.values).all()


def test_with_many_samples_it_is_a_logistic_regression() -> None:
    found, right, chance = drawn(20_000, 0)
    fitted = fit_applicability(found, right, CLASSES)
    inside = (found.values[:, 1:] > numpy.quantile(found.values[:, 1:], 0.06, axis=0)).all(axis=1)
    estimate = fitted.estimate(found)
    assert numpy.abs(estimate - chance)[inside].mean() < 0.02
    standardized = (found.values - found.values.mean(axis=0)) / [2.0, 0.2, 0.2]
    expected = LogisticRegression(C=0.1).fit(standardized, right).predict_proba(standardized)[:, 1]
    numpy.testing.assert_allclose(estimate[inside], expected[inside], atol=0.01)


def test_new_samples_are_ranked_and_calibrated_after_few() -> None:
    ranks, errors = [], []
    for seed in range(20):
        fitted = fit_applicability(*drawn(60, seed)[:2], CLASSES)
        new, right, _ = drawn(2_000, 100 + seed)
        estimate = fitted.estimate(new)
        ranks.append(roc_auc_score(right, estimate))
        errors.append(estimate.mean() - right.mean())
    assert numpy.mean(ranks) > 0.75
    assert abs(numpy.mean(errors)) < 0.06


@pytest.mark.parametrize("samples", [1, 2, 40])
def test_labels_that_are_all_alike_give_an_estimate_between_0_and_1(samples: int) -> None:
    found = drawn(samples, 3)[0]
    for right in (numpy.ones(samples, dtype=bool), numpy.zeros(samples, dtype=bool)):
        estimate = fit_applicability(found, right, CLASSES).estimate(found)
        assert (estimate > 0).all()
        assert (estimate < 1).all()


def test_a_sure_label_far_from_everything_is_a_guess() -> None:
    found, right, _ = drawn(200, 1)
    fitted = fit_applicability(found, right, CLASSES)
    sure = numpy.array([[9.0, 0.9, 0.9]])
    inside = Signals(sure, numpy.array([[0.5, 0.6]]))
    accuracy = fitted.estimate(inside)[0]
    assert accuracy > 0.95
    for place in range(2):
        outer = numpy.quantile(found.similarity[:, place], 0.05)
        for share, trust in ((1.0, 1.0), (0.5, 0.25), (0.0, 0.0), (-1.0, 0.0)):
            similarity = inside.similarity.copy()
            similarity[0, place] = share * outer
            expected = trust * accuracy + (1 - trust) / CLASSES
            assert fitted.estimate(Signals(sure, similarity))[0] == pytest.approx(expected)


def test_a_similarity_that_is_usually_negative_tells_nothing() -> None:
    found, right, _ = drawn(200, 1)
    fitted = fit_applicability(Signals(found.values, found.similarity - [0.0, 2.0]), right, CLASSES)
    near, far = (Signals(found.values[:1], numpy.array([[0.5, cosine]])) for cosine in (0.9, -1.0))
    assert fitted.estimate(near) == fitted.estimate(far)


def test_without_a_known_label_the_estimate_is_that_of_other_tables() -> None:
    found = drawn(40, 5)[0]
    fitted = fit_applicability(found, numpy.full(40, numpy.nan), CLASSES)
    near = Signals(found.values, numpy.ones((40, 2)))
    odds = 0.6 * found.values[:, 0] + 2 * found.values[:, 1] - 0.55
    assert fitted.estimate(near) == pytest.approx(1 / (1 + numpy.exp(-odds)))
    assert fitted.samples == 0


def test_few_right_labels_do_not_make_all_others_alike() -> None:
    found = drawn(17, 6)[0]
    fitted = fit_applicability(found, numpy.ones(17), CLASSES)
    values = numpy.array([[-1.0, 0.0, 0.3], [1.0, 0.3, 0.6], [4.0, 0.8, 0.9]])
    unsure, medium, sure = fitted.estimate(Signals(values, numpy.ones((3, 2))))
    assert unsure < 0.7 < medium < 0.95 < sure < 1


@given(st.integers(0, 50), st.lists(st.floats(-3, 3), min_size=3, max_size=3), st.integers(0, 2), st.floats(0, 3))
def test_no_estimate_falls_with_a_signal(seed: int, values: list[float], place: int, more: float) -> None:
    fitted = fit_applicability(*drawn(30, seed)[:2], CLASSES)
    low = numpy.array([values])
    high = low.copy()
    high[0, place] += more
    # Near the training samples, where the estimate of a guess plays no part.
    near = numpy.ones((1, 2)) * 9
    assert fitted.estimate(Signals(high, near))[0] >= fitted.estimate(Signals(low, near))[0] - 1e-12


@given(
    st.integers(0, 50),
    st.integers(1, 10),
    st.floats(0, 1),
    st.lists(st.floats(-3, 3), min_size=3, max_size=3),
    st.lists(st.floats(0, 1), min_size=4, max_size=4),
)
def test_no_estimate_rises_with_the_distance(
    seed: int, classes: int, share: float, values: list[float], similarity: list[float]
) -> None:
    found = drawn(40, seed)[0]
    # With few classes, a model may be right less often than a guess.
    fitted = fit_applicability(found, numpy.random.default_rng(seed).random(40) < share, classes)
    one, other = numpy.array(similarity).reshape(2, 1, 2)
    near, far = (
        fitted.estimate(Signals(numpy.array([values]), place))[0]
        for place in (numpy.maximum(one, other), numpy.minimum(one, other))
    )
    assert far <= near + 1e-12


def test_a_share_counts_as_that_many_right_and_wrong_labels() -> None:
    found, right, _ = drawn(40, 4)
    twice = Signals(numpy.repeat(found.values, 2, axis=0), numpy.repeat(found.similarity, 2, axis=0))
    both = numpy.stack([right, numpy.roll(right, 1)], axis=1)
    shares = fit_applicability(Signals(twice.values, twice.similarity), both.mean(axis=1).repeat(2), CLASSES)
    expected = fit_applicability(twice, both.reshape(-1), CLASSES)
    assert 0.2 < (both[:, 0] != both[:, 1]).mean() < 0.8
    numpy.testing.assert_allclose(shares.weights, expected.weights, atol=1e-4)


def test_what_is_not_known_changes_no_weight() -> None:
    found, right, _ = drawn(40, 5)
    unknown = Signals(found.values[::-1], found.similarity)
    both = Signals(
        *(numpy.concatenate([getattr(one, name) for one in (found, unknown)]) for name in ("values", "similarity"))
    )
    fitted = fit_applicability(both, numpy.append(right, numpy.full(40, numpy.nan)), CLASSES)
    numpy.testing.assert_allclose(fitted.weights, fit_applicability(found, right, CLASSES).weights, atol=1e-4)


@pytest.mark.parametrize("spread", [0.0, 0.01, 0.1, 1.0])
@pytest.mark.parametrize("wrong", [0, 8, 16])
def test_samples_that_are_alike_leave_the_estimate_of_others_near_that_of_other_tables(
    spread: float, wrong: int
) -> None:
    values = numpy.array([6.0, 0.8, 0.9]) + spread * numpy.random.default_rng(1).normal(size=(17, 3)) * [1, 0.1, 0.1]
    right = numpy.arange(17) != wrong
    fitted = fit_applicability(Signals(values, values[:, 1:]), right, CLASSES)
    other = Signals(numpy.array([[3.0, 0.6, 0.7]]), numpy.ones((1, 2)))
    # 0.6 * 3 + 2 * 0.6 - 0.55 = 2.45, odds of 11.6 to 1.
    assert 0.8 < fitted.estimate(other)[0] < 0.95


def test_levels_state_the_accuracy() -> None:
    estimates = numpy.array([0.0, 0.49, 0.5, 0.79, 0.8, 1.0])
    assert [list(LEVELS)[place] for place in level_of(estimates)] == ["low"] * 2 + ["medium"] * 2 + ["high"] * 2
    right = numpy.array([False, True, True, False, True, True])
    # The rows on the highest level are of one sample.
    samples = numpy.array([3, 4, 5, 6, 7, 7])
    assert accuracy_by_level(estimates, right, samples) == [
        {"level": "high", "at_least": 0.8, "rows": 2, "samples": 1, "right": 2, "accuracy": 1.0, "estimated": 0.9},
        {"level": "medium", "at_least": 0.5, "rows": 2, "samples": 2, "right": 1, "accuracy": 0.5, "estimated": 0.645},
        {"level": "low", "at_least": 0.0, "rows": 2, "samples": 2, "right": 1, "accuracy": 0.5, "estimated": 0.245},
    ]
    (_, none, _) = accuracy_by_level(estimates[:1], right[:1], samples[:1])
    assert (none["rows"], none["samples"], none["accuracy"], none["estimated"]) == (0, 0, None, None)
    (high, _, low) = accuracy_by_level(estimates, numpy.array([0.5, 0.25, numpy.nan, 1, 0.75, numpy.nan]), samples)
    assert (high["samples"], high["right"], high["accuracy"], high["estimated"]) == (1, 0.75, 0.75, 0.8)
    assert (low["samples"], low["right"], low["accuracy"], low["estimated"]) == (2, 0.75, 0.375, 0.245)


def test_plain_arrays_hold_the_estimate() -> None:
    found, right, _ = drawn(50, 2)
    fitted = fit_applicability(found, right, CLASSES)
    arrays = fitted.to_arrays()
    numpy.testing.assert_array_equal(Applicability.from_arrays(arrays).estimate(found), fitted.estimate(found))
    for name, value in (("weights", numpy.ones(3)), ("outer", numpy.ones(2, dtype=numpy.float32)), ("num_classes", 0)):
        with pytest.raises(ValueError, match="accuracy: expected"):
            Applicability.from_arrays({**arrays, f"accuracy_{name}": numpy.asarray(value)})
