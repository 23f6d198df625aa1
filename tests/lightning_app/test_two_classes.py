"""Two classes, where the paper's distances give equal weights: the default measure on the HIV table."""

from __future__ import annotations

import re
from pathlib import Path

import polars
import pytest

from tests.lightning_app.command import succeed

HIV = Path(__file__).resolve().parents[3] / "shared/data/hiv.tab.gz"


@pytest.mark.slow
@pytest.mark.skipif(not HIV.is_file(), reason="needs the HIV table")
def test_the_class_that_plain_cross_entropy_recalls_less_weighs_more(tmp_path: Path) -> None:
    # Before the first recluster all classes weigh alike, so the recall that the log states is plain cross-entropy's.
    text = succeed(
        tmp_path, "fit", "--config=data/hiv.yaml", "--config=method/cross_entropy.yaml", f"--data.source={HIV}",
        "--data.fingerprint_kinds=[morgan]", "--recluster.start_epoch=2", "--trainer.max_epochs=3",
        "--trainer.accelerator=cpu", "--trainer.enable_progress_bar=false", "--run.root=runs",
        "--tracking.wandb=disabled",
    )  # fmt: skip
    (heavy, heavy_recall), (light, light_recall) = re.findall(
        r"class (\d) \(weight \S+ validation recall (\S+)\)", text
    )
    assert (heavy, light) == ("1", "0")
    assert float(heavy_recall) < float(light_recall)
    weights = polars.read_csv(tmp_path / "runs/hiv/version_0/class_weights.csv")["weight"].to_list()
    assert weights[1] / weights[0] > 1.2
