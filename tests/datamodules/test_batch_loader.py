"""Batches that are made ahead of their use, in the order and with the errors of batches that are not."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import PropertyMock, patch

import pytest
import torch

from datamodules.batch import Batch
from datamodules.batch_loader import BatchLoader, one_ahead
from tests.datamodules.drug_module import Recorder, data_module, served


def threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("next batch")]


def wait_for_end() -> bool:
    """Whether all threads end by themselves."""
    deadline = time.monotonic() + 30
    while threads() and time.monotonic() < deadline:
        time.sleep(0.01)
    return not threads()


@pytest.fixture
def ahead() -> Iterator[None]:
    """Loaders that work ahead on the CPU, as they do on a GPU."""
    with patch.object(BatchLoader, "works_ahead", new_callable=PropertyMock, return_value=True):
        yield


def test_each_item_is_taken_in_another_thread_while_the_one_before_is_used() -> None:
    taken: list[int] = []

    def items() -> Iterator[int]:
        for number in range(5):
            assert threading.current_thread() is not threading.main_thread()
            taken.append(number)
            yield number

    ahead = one_ahead(items())
    time.sleep(0.05)
    assert not taken
    used = []
    for number in ahead:
        used.append(number)
        deadline = time.monotonic() + 30
        while len(taken) < min(5, number + 2) and time.monotonic() < deadline:
            time.sleep(0.001)
        assert taken == list(range(min(5, number + 2)))
    assert used == list(range(5))
    assert not threads()


def test_the_thread_is_prepared_once_before_the_first_item() -> None:
    names: list[str] = []
    assert list(one_ahead(iter("ab"), lambda: names.append(threading.current_thread().name))) == ["a", "b"]
    assert len(names) == 1
    assert names[0].startswith("next batch")


def test_an_error_comes_where_its_item_would_and_ends_the_thread() -> None:
    def items() -> Iterator[int]:
        yield 1
        yield 2
        raise OSError("the disk is gone")

    ahead = one_ahead(items())
    assert (next(ahead), next(ahead)) == (1, 2)
    with pytest.raises(OSError, match="the disk is gone"):
        next(ahead)
    assert not threads()


def test_the_thread_ends_with_the_last_item_although_none_is_asked_for_behind_it() -> None:
    items = one_ahead(iter(range(3)))
    assert [next(items) for _ in range(3)] == [0, 1, 2]
    assert wait_for_end()
    assert list(items) == []


@pytest.mark.parametrize("closed", [True, False])
def test_the_thread_ends_when_its_items_are_not_wanted_any_more(closed: bool) -> None:
    items = one_ahead(iter(range(100)))
    assert next(items) == 0
    assert len(threads()) == 1
    if closed:
        items.close()  # type: ignore[attr-defined]
    del items
    assert not threads()


@pytest.mark.usefixtures("ahead")
@pytest.mark.parametrize("workers", [0, 1])
def test_a_run_meets_the_same_batches_with_the_same_random_state(workers: int, tmp_path: Path) -> None:
    class Draws(Recorder):
        """Keeps a draw of torch's global random state at each step."""

        def training_step(self, batch: Batch) -> torch.Tensor:
            draws.append(float(torch.rand(())))
            return super().training_step(batch)

    found = []
    for works_ahead in (True, False):
        draws: list[float] = []
        folder = tmp_path / str(works_ahead)
        folder.mkdir()
        module, recorder = data_module(folder, batch_size=8, num_workers=workers), Draws()
        assert module.trainer is not None
        torch.manual_seed(0)
        with patch.object(BatchLoader, "works_ahead", new_callable=PropertyMock, return_value=works_ahead):
            module.trainer.fit(recorder, module)
            module.trainer.test(recorder, module)
        assert wait_for_end()
        found.append((recorder.seen, draws))
    assert found[0] == found[1]
    assert len(found[0][0]["train"]) == 8


@pytest.mark.usefixtures("ahead")
def test_the_thread_ends_with_a_run_that_stops_within_an_epoch(tmp_path: Path) -> None:
    class Stops(Recorder):
        def training_step(self, batch: Batch) -> torch.Tensor:
            if len(self.seen["train"]) == 1:
                self.trainer.should_stop = True
            return super().training_step(batch)

    class Fails(Recorder):
        def training_step(self, batch: Batch) -> torch.Tensor:
            raise ArithmeticError("diverged")

    stopping = data_module(tmp_path, batch_size=8)
    assert stopping.trainer is not None
    model = Stops()
    stopping.trainer.fit(model, stopping)
    assert len(model.seen["train"]) == 2
    assert not threads()
    failing = data_module(tmp_path, batch_size=8)
    assert failing.trainer is not None
    with pytest.raises(ArithmeticError, match="diverged"):
        failing.trainer.fit(Fails(), failing)
    assert not threads()


@pytest.mark.usefixtures("ahead")
def test_a_resumed_epoch_and_the_embedding_pass_are_served_in_order(tmp_path: Path) -> None:
    module = data_module(tmp_path, batch_size=8)
    assert module.trainer is not None
    module.setup("fit")
    loop: Any = module.trainer.fit_loop
    loop.epoch_progress.current.processed = loop.epoch_progress.current.completed = 3
    whole = [batch.sample_index.tolist() for batch in module.train_dataloader()]
    loop.epoch_loop.batch_progress.current.processed = 2
    loop.restarting = True
    assert [batch.sample_index.tolist() for batch in module.train_dataloader()] == whole[2:]
    assert served(module.train_embedding_dataloader()) == list(range(30))


def test_on_a_cpu_nothing_is_made_ahead(tmp_path: Path) -> None:
    module = data_module(tmp_path, batch_size=8)
    module.setup("fit")
    next(iter(module.train_dataloader()))
    assert not threads()
