"""What every test needs: the checkout on the import path, and no write outside the test's own folder."""

import sys
from pathlib import Path

import hypothesis
import pytest

# Before the packages are imported: pytest puts this folder first, whose subfolders have the packages' names.
sys.path.insert(0, str(Path(__file__).parents[1]))

hypothesis.settings.register_profile("same everywhere", derandomize=True, deadline=None)
hypothesis.settings.load_profile("same everywhere")


@pytest.fixture(autouse=True)
def _no_writes_outside(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TAILMOL_CACHE", str(tmp_path_factory.getbasetemp() / "feature_cache"))
    monkeypatch.setenv("WANDB_MODE", "disabled")
