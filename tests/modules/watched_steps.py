"""Operations of training steps whose result the CPU must know, so that it would wait for a GPU."""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from types import FrameType
from typing import Any

import lightning
import torch
from torch.utils._python_dispatch import TorchDispatchMode

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
# On a GPU they run other code, whose waits test_gpu_step.py finds.
ENCODERS = "modules/encoders/"


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

    def unexpected(self) -> dict[str, int]:
        """The operations that wait, by place, but for those that are allowed and those of encoders."""
        places = {place: re.split(":| \\(", place)[0] for place in self.waits.found}
        unexpected = {place for place, file in places.items() if file not in ALLOWED and not file.startswith(ENCODERS)}
        return {place: self.waits.found[place] for place in sorted(unexpected)}
