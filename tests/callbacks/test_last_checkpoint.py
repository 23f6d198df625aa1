"""Steps after which `last.ckpt` may be written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning
import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from callbacks.last_checkpoint import LastCheckpoint


class Line(lightning.LightningModule):
    """A model of one weight."""

    def __init__(self) -> None:
        """Make the weight."""
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def training_step(self, batch: Tensor) -> Tensor:
        """A loss."""
        return ((self.weight - batch) ** 2).mean()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Plain gradient descent."""
        return torch.optim.SGD(self.parameters(), lr=0.1)


class Saved(LastCheckpoint):
    """Remembers after which batches it was asked to write."""

    def __init__(self, every_n_steps: int) -> None:
        """As `LastCheckpoint`."""
        super().__init__(every_n_steps)
        self.batches: list[tuple[int, int]] = []

    def _save_topk_checkpoint(self, trainer: lightning.Trainer, monitor_candidates: dict[str, Tensor]) -> None:
        loop = trainer.fit_loop.epoch_loop
        self.batches.append((trainer.current_epoch, loop.batch_idx))


@pytest.mark.parametrize(
    ("accumulated", "every", "expected"),
    [
        (1, 4, [(0, 3), (0, 7), (1, 1), (1, 5)]),
        # Steps end with batches 3, 7 and 9 of each epoch, the last of which is left out.
        (4, 1, [(0, 3), (0, 7), (1, 3), (1, 7)]),
        (4, 3, []),
    ],
)
def test_no_checkpoint_is_written_while_gradients_are_accumulated(
    tmp_path: Path, accumulated: int, every: int, expected: list[tuple[int, int]]
) -> None:
    callback = Saved(every)
    quiet: dict[str, Any] = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    trainer = lightning.Trainer(
        accelerator="cpu", devices=1, max_epochs=2, callbacks=[callback], default_root_dir=tmp_path,
        accumulate_grad_batches=accumulated, **quiet,
    )  # fmt: skip
    trainer.fit(Line(), DataLoader(torch.ones(10, 1)))  # type: ignore[arg-type]
    assert callback.batches == expected
