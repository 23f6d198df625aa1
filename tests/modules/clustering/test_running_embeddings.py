"""Running embeddings and the running confusion matrix, on one process and on two."""

from datetime import timedelta
from pathlib import Path

import numpy
import pytest
import torch
from torch import Tensor
from torch.multiprocessing.spawn import spawn

from modules.clustering.running_embeddings import RunningEmbeddings
from modules.evaluation.training_confusion import TrainingConfusion


def unit(rows: Tensor) -> Tensor:
    return torch.nn.functional.normalize(rows, dim=1)


def test_the_last_embedding_of_each_row_is_kept() -> None:
    running = RunningEmbeddings(numpy.array([2, 5, 7]), 4, torch.device("cpu"))
    generator = torch.Generator().manual_seed(0)
    first, second = torch.randn(4, 4, generator=generator), torch.randn(3, 4, generator=generator)
    running.update(torch.tensor([7, 3, 2, 9]), first)
    assert running.collect() is None
    running.update(torch.tensor([0, 5, 2]), second)
    found = running.collect()
    assert found is not None
    torch.testing.assert_close(found, unit(torch.stack([second[2], second[1], first[0]])), atol=1e-3, rtol=0.0)
    running.fill(torch.eye(4)[:3])
    filled = running.collect()
    assert filled is not None
    assert torch.equal(filled, torch.eye(4)[:3])
    running.update(torch.tensor([7, 3, 2, 9]), first)
    running.update(torch.tensor([0, 5, 2]), second)
    again = RunningEmbeddings(numpy.array([2, 5, 7]), 4, torch.device("cpu"))
    again.load_state_dict(running.state_dict())
    resumed = again.collect()
    assert resumed is not None
    assert torch.equal(resumed, found)


def test_confusion_is_counted_and_decays() -> None:
    confusion = TrainingConfusion(3, torch.device("cpu"))
    logits = torch.tensor([[0.0, 1.0, 0.0], [2.0, 1.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 3.0]])
    confusion.update(logits, torch.tensor([0, 0, 1, 1]))
    confusion.update(logits[:1], torch.tensor([0]))
    assert confusion.matrix.sum() == 0
    confusion.end_epoch()
    expected = torch.tensor([[1.0, 2.0, 0.0], [0.0, 1.0, 1.0], [0.0, 0.0, 0.0]])
    assert torch.equal(confusion.matrix, expected)
    confusion.update(logits[:1], torch.tensor([2]))
    resumed = TrainingConfusion(3, torch.device("cpu"))
    resumed.load_state_dict(confusion.state_dict())
    for one in (confusion, resumed):
        one.end_epoch()
        expected_now = 0.5 * expected
        expected_now[2, 1] += 1
        assert torch.equal(one.matrix, expected_now)


def share(rank: int, folder: str) -> None:
    """One of two processes, each of which sees some of the samples."""
    torch.set_num_threads(1)
    torch.distributed.init_process_group(
        "gloo", f"file://{folder}/rendezvous", rank=rank, world_size=2, timeout=timedelta(seconds=120)
    )
    embeddings = unit(torch.randn(6, 3, generator=torch.Generator().manual_seed(0)))
    running = RunningEmbeddings(numpy.arange(5), 3, torch.device("cpu"))
    mine = torch.tensor([[0, 4], [1, 5]][rank])
    running.update(mine, embeddings[mine])
    assert running.collect() is None
    mine = torch.tensor([[2], [3]][rank])
    running.update(mine, embeddings[mine])
    state = running.state_dict()
    found = running.collect()
    assert found is not None
    torch.testing.assert_close(found, embeddings[:5], atol=1e-3, rtol=0.0)
    assert torch.equal(state["embeddings"].float(), found)
    newer = -embeddings
    if rank == 1:
        running.update(torch.tensor([4]), newer[4:5])
    found = running.collect()
    assert found is not None
    torch.testing.assert_close(found, torch.cat([embeddings[:4], newer[4:5]]), atol=1e-3, rtol=0.0)

    confusion = TrainingConfusion(2, torch.device("cpu"))
    logits = torch.eye(2)
    for epoch in range(2):
        confusion.update(logits, torch.tensor([rank, 1]))
        state = confusion.state_dict()
        confusion.end_epoch()
        # Process 0 predicts both classes correctly, process 1 predicts class 0 for a sample of class 1.
        counts = torch.tensor([[1.0, 0.0], [1.0, 2.0]])
        assert torch.equal(confusion.matrix, counts if epoch == 0 else 1.5 * counts)
        resumed = TrainingConfusion(2, torch.device("cpu"))
        resumed.load_state_dict(state)
        resumed.end_epoch()
        assert torch.equal(resumed.matrix, confusion.matrix)
    torch.distributed.destroy_process_group()


def test_two_processes_merge_their_embeddings_and_counts(tmp_path: Path) -> None:
    spawn(share, args=(str(tmp_path),), nprocs=2)  # type: ignore[no-untyped-call]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_embeddings_are_kept_on_the_device_they_come_from() -> None:
    running = RunningEmbeddings(numpy.arange(2), 3, torch.device("cuda"))
    running.update(torch.tensor([1, 0], device="cuda"), torch.eye(3, device="cuda")[:2])
    found = running.collect()
    assert found is not None
    assert found.is_cuda
    assert torch.equal(found.cpu(), torch.eye(3)[[1, 0]])
