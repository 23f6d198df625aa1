"""What a training step does that would make the CPU wait for a GPU."""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from types import FrameType
from typing import Any

import lightning
import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from workflows.fit_cli import FitCLI
from workflows.settings.config_files import CONFIGS

CHECKOUT = CONFIGS.parent
PACKAGES = ("modules", "callbacks", "datamodules")
WAITING = {"_local_scalar_dense", "nonzero", "masked_select", "_unique2", "unique_dim", "bincount", "equal"}
OUTSIDE = "another package"
ALLOWED = {
    # The optimizer counts its steps on the CPU.
    OUTSIDE,
    # The shapes of views, on a stream of their own.
    "modules/training/views.py",
    # A number that is drawn on the CPU.
    "modules/training/mixing.py",
}
METHODS = sorted(path.stem for path in (CONFIGS / "method").glob("*.yaml"))
QUICK = ("default", "balanced_contrast", "targeted_contrast", "ldam")


class Waits(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts, by file and line, operations whose result the CPU must know."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.found: Counter[str] = Counter()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        if _waits(func, args, kwargs or {}):
            self.found[f"{_own_line()} ({func})"] += 1
        return func(*args, **(kwargs or {}))


def _waits(func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> bool:
    name = func.overloadpacket.__name__
    if name in ("index", "index_put", "index_put_", "_index_put_impl_"):
        return any(index is not None and index.dtype == torch.bool for index in args[1])
    if name == "repeat_interleave":
        return func._overloadname == "Tensor" and kwargs.get("output_size") is None
    return name in WAITING


def _own_line() -> str:
    """The line of this project that is executed."""
    frame: FrameType | None = sys._getframe(2)
    while frame is not None:
        path = Path(frame.f_code.co_filename)
        if path.is_relative_to(CHECKOUT) and path.relative_to(CHECKOUT).parts[0] in PACKAGES:
            return f"{path.relative_to(CHECKOUT)}:{frame.f_lineno}"
        frame = frame.f_back
    return OUTSIDE


class WatchSteps(lightning.Callback):
    """Watches all steps but the first one of each epoch, which may prepare something."""

    def __init__(self) -> None:
        self.waits = Waits()
        self.steps = 0

    def on_train_batch_start(self, trainer: lightning.Trainer, *arguments: Any) -> None:
        if arguments[-1] > 0:
            self.waits.__enter__()  # type: ignore[no-untyped-call]

    def on_train_batch_end(self, trainer: lightning.Trainer, *arguments: Any) -> None:
        if arguments[-1] > 0:
            self.waits.__exit__(None, None, None)  # type: ignore[no-untyped-call]
            self.steps += 1


def waits_of(folder: Path, monkeypatch: pytest.MonkeyPatch, *options: str) -> dict[str, int]:
    """The operations of the second step of two epochs that wait, by place; a recluster is between them."""
    monkeypatch.chdir(folder)
    quiet = ("--run.root=runs", "--trainer.accelerator=cpu", "--trainer.enable_progress_bar=false")
    cli = FitCLI(["--config=debug.yaml", *options, "--model.encoder=benchmarks.loop.AtomCounts", *quiet])
    watch = WatchSteps()
    cli.trainer.callbacks = [*cli.trainer.callbacks, watch]  # type: ignore[attr-defined]
    cli.trainer.fit(cli.model, datamodule=cli.datamodule)
    assert watch.steps == 2
    return {place: number for place, number in watch.waits.found.items() if re.split(":| \\(", place)[0] not in ALLOWED}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "method", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in METHODS]
)
def test_a_step_of_a_method_waits_for_nothing(method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options = (f"--config=method/{method}.yaml", "--model.classification_start_epoch=0")
    assert waits_of(tmp_path, monkeypatch, *options) == {}


@pytest.mark.filterwarnings("ignore")
def test_what_reclustering_keeps_from_a_step_waits_for_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = ("--recluster.embeddings=running", "--recluster.difficulty=confusion", "--recluster.sample_per_class=6")
    assert waits_of(tmp_path, monkeypatch, "--config=method/default.yaml", *kept) == {}


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
