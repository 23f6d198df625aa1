from __future__ import annotations

import logging
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch

from callbacks.matmul_precision import MatmulPrecision, Precision


def trainer_on(device: str) -> Any:
    return SimpleNamespace(strategy=SimpleNamespace(root_device=torch.device(device)), is_global_zero=True)


@pytest.fixture
def before() -> str:
    return torch.get_float32_matmul_precision()


@pytest.mark.parametrize(("given", "expected"), [(None, "high"), ("highest", "highest"), ("medium", "medium")])
def test_holds_from_setup_to_teardown_and_is_said_once(
    given: str | None, expected: str, before: str, caplog: pytest.LogCaptureFixture
) -> None:
    callback, trainer = MatmulPrecision(cast("Precision | None", given)), trainer_on("cuda")
    with caplog.at_level(logging.INFO, "tailmol"):
        for stage in ("fit", "test"):
            callback.setup(trainer, cast(Any, None), stage)
            assert torch.get_float32_matmul_precision() == expected
            callback.teardown(trainer, cast(Any, None), stage)
            assert torch.get_float32_matmul_precision() == before
    (record,) = caplog.records
    assert f"float32_matmul_precision {expected}" in record.message


def test_changes_nothing_on_the_cpu(before: str, caplog: pytest.LogCaptureFixture) -> None:
    callback, trainer = MatmulPrecision("medium"), trainer_on("cpu")
    with caplog.at_level(logging.INFO, "tailmol"):
        callback.setup(trainer, cast(Any, None), "fit")
        assert torch.get_float32_matmul_precision() == before
        callback.teardown(trainer, cast(Any, None), "fit")
    assert torch.get_float32_matmul_precision() == before
    assert not caplog.records
