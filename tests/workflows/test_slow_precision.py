from __future__ import annotations

import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from workflows.run_folder import RunFolder
from workflows.run_trainer import RunTrainer
from workflows.slow_precision import warn_of_slow_bfloat16

OLD: dict[str, object] = {"architecture": "x86_64", "avx512_bf16": False, "amx_bf16": False}


def messages_of(
    capabilities: dict[str, object],
    precision: str,
    device: str,
    rank: int,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> list[str]:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    strategy = SimpleNamespace(root_device=torch.device(device))
    trainer: Any = SimpleNamespace(precision=precision, strategy=strategy, is_global_zero=rank == 0)
    with caplog.at_level(logging.WARNING, "tailmol"):
        warn_of_slow_bfloat16(trainer)
    return [record.message for record in caplog.records]


@pytest.mark.parametrize("precision", ["bf16-mixed", "bf16-true"])
def test_warns_on_a_processor_without_the_instructions(
    precision: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (message,) = messages_of(OLD, precision, "cpu", 0, monkeypatch, caplog)
    assert message.startswith(f"trainer.precision: {precision} is many times slower than 32-true")


@pytest.mark.parametrize(
    ("capabilities", "precision", "device", "rank"),
    [
        (OLD | {"avx512_bf16": True}, "bf16-mixed", "cpu", 0),
        (OLD | {"amx_bf16": True}, "bf16-mixed", "cpu", 0),
        (OLD | {"architecture": "aarch64"}, "bf16-mixed", "cpu", 0),
        ({}, "bf16-mixed", "cpu", 0),
        (OLD, "32-true", "cpu", 0),
        (OLD, "16-mixed", "cpu", 0),
        (OLD, "bf16-mixed", "cuda", 0),
        (OLD, "bf16-mixed", "cpu", 1),
    ],
)
def test_does_not_warn_otherwise(
    capabilities: dict[str, object],
    precision: str,
    device: str,
    rank: int,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert messages_of(capabilities, precision, device, rank, monkeypatch, caplog) == []


def test_does_not_warn_where_torch_cannot_tell(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delattr(torch.cpu, "get_capabilities")
    trainer: Any = SimpleNamespace(
        precision="bf16-mixed", strategy=SimpleNamespace(root_device=torch.device("cpu")), is_global_zero=True
    )
    with caplog.at_level(logging.WARNING, "tailmol"):
        warn_of_slow_bfloat16(trainer)
    assert not caplog.records


def test_the_trainer_of_a_run_warns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: OLD)
    with caplog.at_level(logging.WARNING, "tailmol"):
        RunTrainer(lambda: RunFolder(tmp_path), accelerator="cpu", precision="bf16-mixed", logger=False)
    assert [record.name for record in caplog.records].count("tailmol") == 1
