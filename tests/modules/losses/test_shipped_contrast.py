"""Properties of all shipped contrastive losses, on difficult batches and on several processes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from copy import deepcopy
from datetime import timedelta
from functools import cache
from itertools import pairwise
from pathlib import Path

import jsonargparse
import pytest
import torch

# Functions in it have the group of processes as a default argument. Imported after the group exists, as torch does
# where an optimizer is made, they would keep the group and its threads alive after it is destroyed.
import torch.distributed.nn.functional
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.multiprocessing.spawn import spawn

from modules.losses import ContrastiveLoss
from modules.losses.contrastive import prototype_contrastive, targeted_contrastive
from modules.losses.contrastive.contrastive_terms import WHOLE, Share
from modules.processes import add_shares, gather_rows, row_counts, sum_over_processes
from workflows.settings.config_files import CONFIGS
from workflows.settings.layers import read_command

MODELS = {
    path.stem: read_command(["--config", str(path)]).composition.settings["model"]
    for path in (CONFIGS / "method").glob("*.yaml")
}
LOSSES = {name: model["contrast"]["loss"] for name, model in MODELS.items() if model.get("contrast")}
COUNTS, WIDTH = torch.tensor([40, 9, 1, 0]), 6
TEMPERATURES = torch.tensor([0.1, 0.2, 0.1, 0.1])


def make_loss(name: str) -> ContrastiveLoss:
    """The contrastive loss of a method."""
    return deepcopy(_built_loss(name))


@cache
def _built_loss(name: str) -> ContrastiveLoss:
    parser = jsonargparse.ArgumentParser()
    parser.add_subclass_arguments(ContrastiveLoss, "loss")
    loss = parser.instantiate(parser.parse_object({"loss": LOSSES[name]})).loss
    assert isinstance(loss, ContrastiveLoss)
    torch.manual_seed(0)
    loss.build(COUNTS, WIDTH)
    return loss


def draw(samples: int) -> tuple[Tensor, Tensor, Tensor]:
    """Inputs of an encoder, classes and sub-clusters."""
    generator = torch.Generator().manual_seed(1)
    labels = torch.randint(3, (samples,), generator=generator)
    return torch.randn(samples, 2, 5, generator=generator), labels, 2 * labels + torch.arange(samples) % 2


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_hard_batches_are_finite(name: str) -> None:
    loss = make_loss(name)
    generator = torch.Generator().manual_seed(0)
    for samples in (1, 6):
        for labels in (torch.zeros(samples, dtype=torch.int64), torch.arange(samples) % 3):
            for scale, dtype in ((1.0, torch.float32), (1e4, torch.bfloat16), (0.0, torch.float32)):
                views = (scale * torch.randn(samples, 2, WIDTH, generator=generator)).to(dtype).requires_grad_()
                value = loss(views, labels, labels, TEMPERATURES)
                value.backward()
                assert value.isfinite()
                assert value.dtype == torch.float32
                assert views.grad is not None
                assert views.grad.isfinite().all()


def place_once(patch: pytest.MonkeyPatch) -> None:
    """Let targets be computed once in this process, which takes longer than all else."""
    once = cache(targeted_contrastive.uniform_targets)
    patch.setattr(targeted_contrastive, "uniform_targets", once)
    patch.setattr(prototype_contrastive, "uniform_targets", once)


def gradient(loss: ContrastiveLoss, rows: tuple[Tensor, Tensor, Tensor], gather: bool) -> Tensor:
    """Gradient of an encoder's weights for the loss of the rows of one process or of all."""
    weights = torch.randn(5, WIDTH, generator=torch.Generator().manual_seed(2)).requires_grad_()
    projected = rows[0] @ weights, rows[1], rows[2]
    torch.manual_seed(3)
    loss(*(gather_rows(column) if gather else column for column in projected), TEMPERATURES).backward()
    assert weights.grad is not None
    return weights.grad


def share(rank: int, folder: str) -> None:
    """One of two processes with five and seven of twelve samples."""
    torch.set_num_threads(1)
    place_once(pytest.MonkeyPatch())
    whole = draw(12)
    own = whole[0][:5], whole[1][:5], whole[2][:5]
    if rank == 1:
        own = whole[0][5:], whole[1][5:], whole[2][5:]
    expected = {name: gradient(make_loss(name), whole, gather=False) for name in LOSSES}
    torch.distributed.init_process_group(
        "gloo", f"file://{folder}/rendezvous", rank=rank, world_size=2, timeout=timedelta(seconds=120)
    )
    for name, alone in expected.items():
        averaged = gradient(make_loss(name), own, gather=True)
        torch.distributed.all_reduce(averaged)
        error = (averaged / 2 - alone).norm() / alone.norm()
        assert error < 1e-5, f"{name}: {error}"
    torch.distributed.destroy_process_group()


def test_two_processes_give_the_gradient_of_one_on_the_joint_batch(tmp_path: Path) -> None:
    assert len(LOSSES) >= 6
    spawn(share, args=(str(tmp_path),), nprocs=2)  # type: ignore[no-untyped-call]


Outcome = tuple[Tensor, Tensor, list[Tensor]]


class Numbers:
    """Adds up the numbers of anchors that the shares of a batch count one after the other, in a second round."""

    def __init__(self) -> None:
        """Count nothing."""
        self.sums: list[Tensor] = []
        self.place = 0
        self.known = False

    def start_share(self) -> None:
        """Begin with the first number of a share."""
        self.place = 0

    def __call__(self, number: Tensor) -> Tensor:
        """The sum over all shares, as far as it is known."""
        if not self.known:
            if self.place == len(self.sums):
                self.sums.append(torch.zeros_like(number))
            self.sums[self.place] = self.sums[self.place] + number
        self.place += 1
        return self.sums[self.place - 1]


@pytest.fixture(scope="module")
def placed_once() -> Iterator[None]:
    """Targets are computed once."""
    with pytest.MonkeyPatch.context() as patch:
        place_once(patch)
        yield


def two_steps(name: str, batch: tuple[Tensor, Tensor, Tensor], share: Share) -> Outcome:
    """Value, gradients and buffers of a loss in the second of two equal steps, so that a queue is not empty."""
    loss = make_loss(name)
    views = batch[0].clone().requires_grad_()
    if isinstance(share.total, Numbers):
        share.total.start_share()
    for seed in range(2):
        torch.manual_seed(seed)
        value = loss(views, *batch[1:], TEMPERATURES, share)
    value.backward()
    gradients = torch.cat([given.grad.flatten() for given in (views, *loss.parameters()) if given.grad is not None])
    return value.detach(), gradients, list(loss.buffers())


@pytest.mark.usefixtures("placed_once")
@pytest.mark.parametrize("name", sorted(LOSSES))
@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 1_000), views=st.integers(1, 3), cuts=st.lists(st.integers(0, 9), min_size=1, max_size=3))
def test_shares_of_the_anchors_add_up_to_the_loss(name: str, seed: int, views: int, cuts: list[int]) -> None:
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(3, (9,), generator=generator)
    subclusters = 2 * labels + torch.randint(2, (9,), generator=generator)
    batch = torch.randn(9, views, WIDTH, generator=generator), labels, subclusters
    value, gradients, buffers = two_steps(name, batch, WHOLE)
    ends = [0, *sorted(cuts), 9]
    numbers = Numbers()
    for numbers.known in (False, True):
        shares = [Share(first, end, numbers) for first, end in pairwise(ends)]
        parts = [two_steps(name, batch, share) for share in shares]
    torch.testing.assert_close(sum(part[0] for part in parts), value, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(sum(part[1] for part in parts), gradients, rtol=1e-4, atol=1e-5)
    for part in parts:
        assert all(torch.equal(own, whole) for own, whole in zip(part[2], buffers, strict=True))


def gradient_of_shares(loss: ContrastiveLoss, rows: tuple[Tensor, Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """Loss of all processes, and gradient of an encoder's weights and the loss's parameters after averaging."""
    weights = torch.randn(5, WIDTH, generator=torch.Generator().manual_seed(2)).requires_grad_()
    projected = rows[0] @ weights, rows[1], rows[2]
    torch.manual_seed(3)
    rank, counts = torch.distributed.get_rank(), row_counts(rows[1])
    share = Share(sum(counts[:rank]), sum(counts[: rank + 1]), sum_over_processes)
    value = add_shares(loss(*(gather_rows(column) for column in projected), TEMPERATURES, share))
    value.backward()  # type: ignore[no-untyped-call]
    averaged = torch.cat([given.grad.flatten() for given in (weights, *loss.parameters()) if given.grad is not None])
    torch.distributed.all_reduce(averaged)
    return value.detach(), averaged / len(counts)


def gradient_alone(loss: ContrastiveLoss, rows: tuple[Tensor, Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """Loss of the joint batch, and gradient of the encoder's weights and the loss's parameters."""
    weights = torch.randn(5, WIDTH, generator=torch.Generator().manual_seed(2)).requires_grad_()
    torch.manual_seed(3)
    value = loss(rows[0] @ weights, rows[1], rows[2], TEMPERATURES)
    value.backward()
    gradients = [given.grad.flatten() for given in (weights, *loss.parameters()) if given.grad is not None]
    return value.detach(), torch.cat(gradients)


def contrast_own(rank: int, folder: str, ends: Sequence[int]) -> None:
    """One of several processes with its own samples of twelve, whose views are its anchors."""
    torch.set_num_threads(1)
    place_once(pytest.MonkeyPatch())
    whole = draw(12)
    rows = slice(ends[rank], ends[rank + 1])
    own = whole[0][rows], whole[1][rows], whole[2][rows]
    torch.distributed.init_process_group(
        "gloo", f"file://{folder}/shares", rank=rank, world_size=len(ends) - 1, timeout=timedelta(seconds=120)
    )
    for name in LOSSES:
        value, averaged = gradient_of_shares(make_loss(name), own)
        expected, alone = gradient_alone(make_loss(name), whole)
        torch.testing.assert_close(value, expected, rtol=1e-5, atol=1e-6)
        error = (averaged - alone).norm() / alone.norm()
        assert error < 1e-5, f"{name}: {error}"
    torch.distributed.destroy_process_group()


@pytest.mark.parametrize("ends", [(0, 5, 12), pytest.param((0, 4, 4, 5, 12), marks=pytest.mark.slow)])
def test_own_anchors_of_each_process_give_the_gradient_of_the_joint_batch(tmp_path: Path, ends: Sequence[int]) -> None:
    spawn(contrast_own, args=(str(tmp_path), ends), nprocs=len(ends) - 1)  # type: ignore[no-untyped-call]
