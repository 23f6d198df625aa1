"""What every test needs: the same examples everywhere, and no write outside the test's own folder."""

import hypothesis
import pytest

hypothesis.settings.register_profile("same everywhere", derandomize=True, deadline=None)
hypothesis.settings.load_profile("same everywhere")


@pytest.fixture(autouse=True)
def _no_writes_outside(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TAILMOL_CACHE", str(tmp_path_factory.getbasetemp() / "feature_cache"))
    monkeypatch.setenv("WANDB_MODE", "disabled")
