from collections import Counter

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from datamodules.samplers import EpochBatches
from datamodules.sampling import (
    PowerSampling,
    ProgressiveSampling,
    Sampling,
    SamplingSchedule,
    draw_per_class,
    first_of_each,
)

CODES = st.lists(st.integers(0, 4), min_size=1, max_size=80).map(numpy.array)


@given(CODES, st.floats(0, 1), st.integers(0, 99))
def test_each_class_gets_its_share_and_no_sample_comes_again_before_the_others(
    codes: numpy.typing.NDArray[numpy.int64], power: float, seed: int
) -> None:
    order = PowerSampling(power).order(codes, 0, numpy.random.default_rng(seed))
    assert len(order) == len(codes)
    counts = Counter(codes.tolist())
    total = sum(count**power for count in counts.values())
    times = Counter(order.tolist())
    for label, count in counts.items():
        members = numpy.flatnonzero(codes == label).tolist()
        drawn = [times[member] for member in members]
        assert abs(sum(drawn) - len(codes) * count**power / total) <= 1 + 1e-6
        assert max(drawn) - min(drawn) <= 1


@given(CODES, st.integers(0, 99))
def test_a_power_of_one_takes_every_sample_once(codes: numpy.typing.NDArray[numpy.int64], seed: int) -> None:
    order = PowerSampling(1).order(codes, 0, numpy.random.default_rng(seed))
    assert sorted(order.tolist()) == list(range(len(codes)))


def test_the_expected_numbers_are_met_over_many_epochs() -> None:
    codes = numpy.array([0] * 7 + [1] * 2 + [2])
    draws = [codes[PowerSampling(0).order(codes, 0, numpy.random.default_rng(seed))] for seed in range(600)]
    means = numpy.mean([numpy.bincount(draw, minlength=3) for draw in draws], axis=0)
    assert means.tolist() == pytest.approx([10 / 3] * 3, abs=0.1)


def test_schedules() -> None:
    counts = numpy.array([8, 0, 2])
    progressive = ProgressiveSampling(4)
    assert progressive.shares(counts, 0).tolist() == pytest.approx([0.8, 0, 0.2])
    assert progressive.shares(counts, 2).tolist() == pytest.approx([0.65, 0, 0.35])
    assert progressive.shares(counts, 9).tolist() == pytest.approx([0.5, 0, 0.5])
    schedule = SamplingSchedule([(3, PowerSampling(0.5)), (5, None), (6, PowerSampling(0))])
    expected = {2: [0.8, 0, 0.2], 3: [2 / 3, 0, 1 / 3], 4: [2 / 3, 0, 1 / 3], 5: [0.8, 0, 0.2], 7: [0.5, 0, 0.5]}
    for epoch, shares in expected.items():
        assert schedule.shares(counts, epoch).tolist() == pytest.approx(shares)


@pytest.mark.parametrize(
    "sampling", [PowerSampling(0), ProgressiveSampling(3), SamplingSchedule([(1, PowerSampling(0))])]
)
def test_processes_share_out_the_draws_of_one(sampling: Sampling) -> None:
    codes = numpy.array([0] * 50 + [1] * 9 + [2] * 2)
    for epoch in range(4):
        served = []
        for rank, world_size in ((0, 1), (0, 3), (1, 3), (2, 3)):
            batches = EpochBatches(61, 4, True, 5, rank, world_size, lambda e, g: sampling.order(codes, e, g))
            batches.set_epoch(epoch)
            served.append(numpy.concatenate(list(batches)))
            assert numpy.array_equal(served[-1], numpy.concatenate(list(batches)))
        assert sorted(served[0].tolist()) == sorted(numpy.concatenate(served[1:]).tolist())


def test_settings_out_of_range_are_named() -> None:
    with pytest.raises(ValueError, match="power: expected a number from 0 to 1, got 2"):
        PowerSampling(2)
    with pytest.raises(ValueError, match="epochs: expected 1 or more, got 0"):
        ProgressiveSampling(0)


@given(
    codes=st.lists(st.integers(0, 4), min_size=1, max_size=60),
    most=st.one_of(st.none(), st.integers(1, 8)),
    seed=st.integers(0, 100),
)
def test_samples_are_of_the_sizes_asked_for(codes: list[int], most: int | None, seed: int) -> None:
    array = numpy.array(codes)
    rows = draw_per_class(array, most, seed)
    assert rows.tolist() == sorted(set(rows.tolist()))
    counts = numpy.bincount(array, minlength=5)
    expected = counts if most is None else numpy.minimum(counts, most)
    assert numpy.bincount(array[rows], minlength=5).tolist() == expected.tolist()
    assert numpy.array_equal(rows, draw_per_class(array, most, seed))


def test_samples_are_drawn_at_random() -> None:
    codes = numpy.zeros(100, dtype=numpy.int64)
    draws = [draw_per_class(codes, 50, seed).tolist() for seed in range(20)]
    assert len({tuple(draw) for draw in draws}) == 20
    times = numpy.bincount(numpy.concatenate(draws), minlength=100)
    assert 1 <= times.min() <= times.max() <= 19


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 5)), min_size=1, max_size=40))
def test_one_row_of_each_sample_of_a_class_is_taken(rows: list[tuple[int, int]]) -> None:
    codes, samples = numpy.array(rows).T
    expected = [place for place, row in enumerate(rows) if row not in rows[:place]]
    assert first_of_each(codes, samples).tolist() == expected
