"""Properties of all shipped contrastive losses, on difficult batches and on two processes."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import jsonargparse
import pytest
import torch
from torch import Tensor
from torch.multiprocessing.spawn import spawn

from modules.losses import ContrastiveLoss
from modules.processes import gather_rows
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
