"""What a training step does that would make the CPU wait for a GPU; test_methods.py has the step of each method."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.modules.watched_steps import Waits, WatchSteps
from workflows.fit_cli import FitCLI


@pytest.mark.filterwarnings("ignore")
def test_what_reclustering_keeps_from_a_step_waits_for_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    kept = ("--recluster.embeddings=running", "--recluster.difficulty=confusion", "--recluster.sample_per_class=6")
    cheap = ("--config=debug.yaml", "--config=method/default.yaml", "--model.encoder=benchmarks.loop.AtomCounts")
    quiet = ("--run.root=runs", "--trainer.accelerator=cpu", "--trainer.enable_progress_bar=false")
    cli = FitCLI([*cheap, *kept, *quiet])
    watch = WatchSteps()
    cli.trainer.callbacks = [*cli.trainer.callbacks, watch]  # type: ignore[attr-defined]
    cli.trainer.fit(cli.model, datamodule=cli.datamodule)
    assert watch.steps == 2
    assert watch.unexpected() == {}


@pytest.mark.parametrize(
    "call",
    [
        lambda values: values[values > 1],
        lambda values: values.nonzero(),
        lambda values: torch.bincount(values),
        lambda values: values.unique(),
        lambda values: int(values.sum()),
        lambda values: bool(values.any()),
        lambda values: values.repeat_interleave(values),
        lambda values: values.index_put_((values > 1,), values[0]),
    ],
)
def test_waiting_is_noticed(call: Callable[[Tensor], object]) -> None:
    with Waits() as waits:
        call(torch.arange(4))
    assert waits.found.total() == 1


def test_what_does_not_wait_is_not_counted() -> None:
    values = torch.arange(4)
    with Waits() as waits:
        values[values.flip(0)] = values.repeat_interleave(values, output_size=6)[:4]
        values.masked_fill_(values > 1, 0).where(values > 1, 2)
    assert not waits.found
