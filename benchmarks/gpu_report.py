"""What the sections of `gpu.py` share: the figures found so far, and the time of work on a device."""

from __future__ import annotations

import json
import statistics
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch

from benchmarks.measuring import Work


@dataclass
class Report:
    """What was measured, and what was not and why.

    Attributes:
        device: Type of the device.
        sizes: Numbers of molecules of a step.
        path: The file to which everything is written after each section; None for none.
        found: Figures, tables and reasons by section.
    """

    device: str
    sizes: list[int]
    path: Path | None = None
    found: dict[str, dict[str, Any]] = field(default_factory=dict)

    def run(self, name: str, section: Callable[[Report], None]) -> None:
        """Run a section; what fails is named, and the sections after it run.

        Args:
            name: Name of the section.
            section: Calls `add`.
        """
        self.found[name] = {}
        print(f"\n## {name}", flush=True)
        start = time.perf_counter()
        with self.guarded(name, "missing"):
            section(self)
        self.add(name, "section_seconds", round(time.perf_counter() - start, 1))

    @contextmanager
    def guarded(self, section: str, what: str) -> Iterator[None]:
        """Name what fails in the block, and go on after it.

        Args:
            section: Name of the section.
            what: Name of the block.
        """
        try:
            yield
        except (Exception, SystemExit) as error:
            traceback.print_exc()
            lines = str(error).strip().splitlines() or [""]
            self.add(section, what, f"not measured: {type(error).__name__}: {lines[0][:300]}")
        if self.device == "cuda":
            torch.cuda.empty_cache()

    def add(self, section: str, name: str, value: object) -> None:
        """Print a value and keep it, also in the file.

        Args:
            section: Name of the section.
            name: Name of the value.
            value: A number, text, or a table as a list of rows.
        """
        self.found.setdefault(section, {})[name] = value
        print(
            f"{section}/{name}: {value:.4g}" if isinstance(value, float) else f"{section}/{name}: {value}", flush=True
        )
        if self.path is not None:
            self.path.write_text(json.dumps(self.found, indent=1) + "\n")


def synchronize(device: str) -> None:
    """Wait until the device has done its work."""
    if device == "cuda":
        torch.cuda.synchronize()


def median_ms(work: Work, device: str, repeats: int = 20, warmup: int = 5) -> float:
    """Median milliseconds of a call, by events of the device on a GPU.

    Args:
        work: Function to time, called with the number of the turn.
        device: Type of the device.
        repeats: Measured calls.
        warmup: Calls before them.
    """
    for turn in range(warmup):
        work(turn)
    synchronize(device)
    if device != "cuda":
        times = []
        for turn in range(repeats):
            start = time.perf_counter()
            work(turn)
            times.append(1_000 * (time.perf_counter() - start))
        return statistics.median(times)
    marks: list[Any] = [torch.cuda.Event(enable_timing=True) for _ in range(repeats + 1)]  # type: ignore[no-untyped-call]
    marks[0].record()
    for turn in range(repeats):
        work(turn)
        marks[turn + 1].record()
    torch.cuda.synchronize()
    return float(statistics.median(first.elapsed_time(second) for first, second in pairwise(marks)))


def seconds_on(device: str, work: Callable[[], object]) -> float:
    """Seconds of one call, until the device has done its work."""
    synchronize(device)
    start = time.perf_counter()
    work()
    synchronize(device)
    return time.perf_counter() - start
