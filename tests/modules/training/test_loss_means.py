from datetime import timedelta
from pathlib import Path

import pytest
import torch
from torch.multiprocessing.spawn import spawn

from modules.training.loss_means import LossMeans

STEPS = [({"a": 1.0, "b": 4.0}, 3), ({"a": 2.0}, 5), ({"a": -1.0, "b": 0.5}, 2)]


def add(means: LossMeans, steps: list[tuple[dict[str, float], int]]) -> None:
    for losses, samples in steps:
        means.add({name: torch.tensor(value, requires_grad=True) for name, value in losses.items()}, samples)


def test_each_loss_is_averaged_over_the_samples_of_the_steps_that_have_it() -> None:
    means = LossMeans()
    add(means, STEPS)
    found = means.take()
    assert {name: float(value) for name, value in found.items()} == pytest.approx({"a": 1.1, "b": 2.6})
    assert not any(value.requires_grad for value in found.values())


def test_what_was_taken_is_forgotten() -> None:
    means = LossMeans()
    assert means.take() == {}
    add(means, STEPS)
    means.take()
    assert means.take() == {}
    add(means, STEPS[1:2])
    assert float(means.take()["a"]) == 2.0


def share(rank: int, folder: str) -> None:
    torch.distributed.init_process_group(
        "gloo", f"file://{folder}/store", rank=rank, world_size=2, timeout=timedelta(seconds=60)
    )
    means = LossMeans()
    add(means, STEPS[:1] if rank == 0 else STEPS[2:])
    found = {name: float(value) for name, value in means.take().items()}
    assert found == pytest.approx({"a": 0.2, "b": 2.6})
    torch.distributed.destroy_process_group()


def test_processes_share_their_samples(tmp_path: Path) -> None:
    spawn(share, args=(str(tmp_path),), nprocs=2)  # type: ignore[no-untyped-call]
