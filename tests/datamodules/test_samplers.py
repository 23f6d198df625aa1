from typing import Any

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset

from datamodules.samplers import EpochBatches

SIZES = st.integers(0, 200)
BATCH_SIZES = st.integers(1, 40)
WORLD_SIZES = st.integers(1, 7)


class Squares(Dataset[list[int]]):
    def __getitem__(self, places: NDArray[Any]) -> list[int]:
        return [int(place) ** 2 for place in places]


def epoch(batches: EpochBatches, number: int = 0) -> list[list[int]]:
    batches.set_epoch(number)
    return [batch.tolist() for batch in batches]


@given(SIZES, BATCH_SIZES, WORLD_SIZES, st.booleans(), st.integers(0, 5))
def test_processes_share_out_every_sample_once_in_as_many_batches(
    size: int, batch_size: int, world_size: int, shuffle: bool, number: int
) -> None:
    ranks = [EpochBatches(size, batch_size, shuffle, 3, rank, world_size) for rank in range(world_size)]
    served = [epoch(rank, number) for rank in ranks]
    assert sorted(sample for rank in served for batch in rank for sample in batch) == list(range(size))
    assert {len(rank) for rank in served} == {len(ranks[0])}
    # The fewest batches that hold the largest share.
    largest = max(sum(map(len, rank)) for rank in served)
    assert len(ranks[0]) == -(-largest // batch_size)


@given(SIZES, BATCH_SIZES, WORLD_SIZES)
def test_batches_of_a_process_differ_by_one_sample_at_most(size: int, batch_size: int, world_size: int) -> None:
    for rank in range(world_size):
        lengths = [len(batch) for batch in EpochBatches(size, batch_size, True, 0, rank, world_size)]
        assert max(lengths, default=0) - min(lengths, default=0) <= 1
        assert max(lengths, default=0) <= batch_size


@given(SIZES, st.integers(2, 40), WORLD_SIZES)
def test_no_batch_is_empty_where_there_is_a_sample_for_every_process(
    size: int, batch_size: int, world_size: int
) -> None:
    for rank in range(world_size if size >= world_size else 0):
        assert all(len(batch) for batch in EpochBatches(size, batch_size, True, 0, rank, world_size))


def test_without_shuffling_the_order_is_kept() -> None:
    batches = EpochBatches(7, 3, shuffle=False)
    assert epoch(batches, 0) == epoch(batches, 9) == [[0, 1, 2], [3, 4], [5, 6]]
    assert epoch(EpochBatches(7, 2, False, rank=1, world_size=2)) == [[1, 3], [5]]


@given(st.integers(0, 50), st.integers(0, 50), st.integers(0, 50))
def test_the_order_depends_on_seed_and_epoch_alone(seed: int, number: int, other: int) -> None:
    batches = EpochBatches(60, 7, True, seed)
    first = epoch(batches, number)
    epoch(batches, other)
    assert epoch(batches, number) == epoch(EpochBatches(60, 7, True, seed), number) == first
    assert (epoch(batches, other) == first) == (other == number)
    assert epoch(EpochBatches(60, 7, True, seed + 1), number) != first


def test_the_batch_size_does_not_change_the_order() -> None:
    orders = [numpy.concatenate(list(EpochBatches(50, size, True, 1))).tolist() for size in (1, 8, 50)]
    assert orders[0] == orders[1] == orders[2] != sorted(orders[0])


@given(st.integers(0, 12), st.integers(0, 3), WORLD_SIZES)
def test_a_resumed_epoch_is_the_tail_of_the_whole_one(done: int, resumed: int, world_size: int) -> None:
    for rank in range(world_size):
        whole = EpochBatches(64, 6, True, 5, rank, world_size)
        batches = EpochBatches(64, 6, True, 5, rank, world_size)
        batches.skip(resumed, done)
        assert len(batches) == len(whole)
        for number in range(4):
            expected = epoch(whole, number)
            assert epoch(batches, number) == (expected[done:] if number == resumed else expected)


def test_skipping_nothing_takes_an_earlier_skip_back() -> None:
    batches = EpochBatches(10, 2, True)
    whole = epoch(batches)
    batches.skip(0, 3)
    assert epoch(batches) == whole[3:]
    batches.skip(0, 0)
    assert epoch(batches) == whole


def test_a_loader_asks_the_data_set_for_whole_batches() -> None:
    loader = DataLoader(Squares(), sampler=EpochBatches(10, 4, False), batch_size=None)
    assert len(loader) == 3
    assert list(loader) == [[0, 1, 4, 9], [16, 25, 36], [49, 64, 81]]


@pytest.mark.parametrize("batch_size", [0, -3])
def test_batch_sizes_below_one_are_refused(batch_size: int) -> None:
    with pytest.raises(ValueError, match=f"batch_size: expected 1 or more, got {batch_size}"):
        EpochBatches(10, batch_size, shuffle=False)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 9, 64, 65])
@pytest.mark.parametrize("batch_size", [1, 2, 4, 64])
@pytest.mark.parametrize("world_size", [1, 2, 3])
def test_the_smallest_batch_is_that_of_all_processes(size: int, batch_size: int, world_size: int) -> None:
    processes = [EpochBatches(size, batch_size, True, 0, rank, world_size) for rank in range(world_size)]
    found = min(len(batch) for batches in processes for batch in batches)
    assert [batches.smallest for batches in processes] == [found] * world_size


def test_without_samples_the_smallest_batch_is_empty() -> None:
    assert EpochBatches(0, 4, shuffle=True).smallest == 0
