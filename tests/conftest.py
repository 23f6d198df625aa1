"""What every test needs: the same random numbers everywhere, and no write outside the test's own folder."""

import gc
import random

import hypothesis
import numpy
import pytest
import torch

hypothesis.settings.register_profile("same everywhere", derandomize=True, deadline=None)
hypothesis.settings.load_profile("same everywhere")


def pytest_collection_finish() -> None:
    # What was imported stays. Without it a full collection, which statsmodels asks for in each call, is fast.
    gc.freeze()


@pytest.fixture(autouse=True)
def _no_writes_outside(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TAILMOL_CACHE", str(tmp_path_factory.getbasetemp() / "feature_cache"))
    monkeypatch.setenv("WANDB_MODE", "disabled")


@pytest.fixture(autouse=True)
def _same_random_numbers() -> None:
    random.seed(0)
    numpy.random.seed(0)
    torch.manual_seed(0)
