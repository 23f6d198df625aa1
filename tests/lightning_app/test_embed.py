"""`lightning embed` writes what `tailmol` embeds, in chunks."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import numpy
import polars
import pytest

import tailmol
from modules.evaluation.embedding_columns import EmbeddingColumns
from tests.lightning_app.command import TINY, in_this_process
from workflows.fit import fit

ON_CPU = ("--trainer.accelerator=cpu", "--trainer.devices=1", "--data.evaluation_batch_size=8")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("embedding")
    drugs = ["C" * size + end for size in range(1, 21) for end in ("O", "N")]
    polars.DataFrame({"smiles": drugs, "label": ["alcohol", "amine"] * 20}).write_csv(folder / "drugs.csv")
    options = ["--tracking.wandb=disabled", "--config=encoder/fingerprint.yaml", "--trainer.max_epochs=1"]
    words = [*TINY, *options, "--data.source", str(folder / "drugs.csv"), f"--run.root={folder}/runs"]
    return fit(words, show_progress=False).folder


@pytest.fixture
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    smiles = ["C1CC(" if row % 7 == 3 else "C" * (row + 1) for row in range(40)]
    path = tmp_path / "new.csv"
    polars.DataFrame({"id": [f"d{row}" for row in range(40)], "note": "x", "smiles": smiles}).write_csv(path)
    return path


def test_parquet_and_npy_hold_the_embeddings_in_the_order_of_rows(
    run: Path, table: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    expected = tailmol.load(run).embed(table)
    options = (f"--ckpt_path={run}", f"--data.source={table}", *ON_CPU)
    assert in_this_process(monkeypatch, "embed", *options, "--output=out.parquet", "--chunk_rows=16", "--json") == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer == {"output": "out.parquet", "rows": 40, "unusable": 6, "size": expected.shape[1]}
    frame = polars.read_parquet("out.parquet")
    assert frame.columns == ["id", "smiles", "embedding", "reason"]
    assert frame["embedding"].dtype == polars.Array(polars.Float32, expected.shape[1])
    usable = ~numpy.isnan(expected).any(axis=1)
    assert frame["embedding"].is_not_null().to_list() == usable.tolist() == frame["reason"].is_null().to_list()
    numpy.testing.assert_allclose(frame["embedding"].drop_nulls().to_numpy(), expected[usable], atol=1e-6)
    for chunk in ("16", "1000"):
        assert in_this_process(monkeypatch, "embed", *options, "--output=out.npy", f"--chunk_rows={chunk}") == 0
        found = numpy.load("out.npy")
        assert found.dtype == numpy.float32
        numpy.testing.assert_allclose(found, expected, atol=1e-6)
    assert sorted(path.name for path in Path().iterdir()) == ["new.csv", "out.npy", "out.parquet"]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ([], "output: expected a path that ends in .parquet or .npy, got none."),
        (["--output=out.csv"], "output: expected a path that ends in .parquet or .npy, got 'out.csv'."),
        (["--output=out.npy", "--chunk_rows=0"], "chunk_rows: expected 1 or more, got 0."),
    ],
)
def test_what_is_refused_in_one_sentence(
    run: Path,
    table: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
    sentence: str,
) -> None:
    assert in_this_process(monkeypatch, "embed", f"--ckpt_path={run}", f"--data.source={table}", *options) == 2
    assert capsys.readouterr().err.strip().endswith(sentence)


def test_a_process_that_is_asked_to_stop_ends_at_once_and_leaves_nothing(
    run: Path, table: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def values(columns: EmbeddingColumns, batch: Any, prediction: Any) -> Any:
        batches.append(batch)
        if len(batches) == 3:
            # The first chunk is written.
            assert len(list(table.parent.glob(".out.npy.*.parts/*.part"))) == 1
            os.kill(os.getpid(), signal.SIGTERM)
        return plain(columns, batch, prediction)

    batches: list[Any] = []
    plain, before = EmbeddingColumns.values, signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(EmbeddingColumns, "values", values)
    given = (f"--ckpt_path={run}", "--data.source=new.csv", "--output=out.npy", "--chunk_rows=8")
    assert in_this_process(monkeypatch, "embed", *given, *ON_CPU) == 143
    assert len(batches) == 3
    assert [path.name for path in table.parent.iterdir()] == ["new.csv"]
    assert signal.getsignal(signal.SIGTERM) == before
