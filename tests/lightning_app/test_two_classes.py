"""Two classes, where the paper's distances give equal weights: the default measure tells them apart."""

from __future__ import annotations

import re
from pathlib import Path

import polars
import pytest

from tests.lightning_app.command import succeed_here

DRUGS = Path(__file__).resolve().parents[2] / "datamodules/datasets/inn_stems/inn_stems.csv"
HIV = Path(__file__).resolve().parents[3] / "shared/data/hiv.tab.gz"


def check_that_the_harder_class_weighs_more(folder: Path, *options: str) -> None:
    """Train with plain cross-entropy, and compare the recalls and weights of both classes; 1 is the rare one."""
    # Before the first recluster all classes weigh alike, so the recall that the log states is plain cross-entropy's.
    text = succeed_here(
        folder, "fit", *options, "--config=method/cross_entropy.yaml", "--recluster.start_epoch=2",
        "--trainer.max_epochs=3", "--trainer.accelerator=cpu", "--trainer.enable_progress_bar=false",
        "--run.root=runs", "--tracking.wandb=disabled", "--report=false",
    )  # fmt: skip
    (heavy, heavy_recall), (light, light_recall) = re.findall(
        r"class (\d) \(weight \S+ validation recall (\S+)\)", text
    )
    assert (heavy, light) == ("1", "0")
    assert float(heavy_recall) < float(light_recall)
    weights = polars.read_csv(next(folder.glob("runs/*/version_0/class_weights.csv")))["weight"].to_list()
    assert weights[1] / weights[0] > 1.2


def test_the_class_that_plain_cross_entropy_recalls_less_weighs_more(tmp_path: Path) -> None:
    # The drugs of the rarest stems, of which there are five each, against all others.
    drugs = polars.read_csv(DRUGS).select("smiles", (polars.len().over("label") == 5).cast(int).alias("label"))
    drugs.write_csv(tmp_path / "drugs.csv")
    options = ("--config=encoder/fingerprint.yaml", "--data.source=drugs.csv", "--data.fingerprint_size=256")
    check_that_the_harder_class_weighs_more(tmp_path, *options)


@pytest.mark.slow
@pytest.mark.skipif(not HIV.is_file(), reason="needs the HIV table beside the checkout")
def test_it_weighs_more_on_the_hiv_table(tmp_path: Path) -> None:
    options = ("--config=data/hiv.yaml", f"--data.source={HIV}", "--data.fingerprint_kinds=[morgan]")
    check_that_the_harder_class_weighs_more(tmp_path, *options)
