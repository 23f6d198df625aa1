"""A small run that was trained from Python."""

from __future__ import annotations

from pathlib import Path

import polars
import pytest

import tailmol
from tailmol.training import Setting

QUICK: dict[str, Setting] = {
    "trainer.max_epochs": 2,
    "trainer.accelerator": "cpu",
    "trainer.enable_progress_bar": False,
    "tracking.wandb": "disabled",
    "data.fingerprint_size": 256,
    "report": False,
}
ALCOHOLS = ["C" * length + "O" for length in range(1, 31)]
AROMATICS = ["c1ccccc1" + "C" * length for length in range(30)]


def drugs() -> polars.DataFrame:
    """Alcohols and aromatic hydrocarbons."""
    return polars.DataFrame({"smiles": ALCOHOLS + AROMATICS, "label": ["alcohol"] * 30 + ["aromatic"] * 30})


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> tailmol.Run:
    """The run, trained on a CSV file."""
    folder: Path = tmp_path_factory.mktemp("door")
    drugs().write_csv(folder / "drugs.csv")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TAILMOL_CACHE", str(folder / "cache"))
        patch.setenv("WANDB_MODE", "disabled")
        settings = {**QUICK, "run.root": folder / "runs"}
        return tailmol.fit(folder / "drugs.csv", settings, ["encoder/fingerprint.yaml"])
