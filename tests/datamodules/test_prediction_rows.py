"""Rows to predict on: the same batches whatever the chunks, in order, with the reasons of a whole table."""

from __future__ import annotations

from pathlib import Path

import numpy
import polars
import pytest
import torch

from base.errors import InputError
from datamodules import prediction_rows
from datamodules.batch import Batch
from datamodules.chemistry.molecule_features import FeatureSettings
from datamodules.features import FeaturedTable, featurize_table
from datamodules.prediction_rows import PredictionRows, open_prediction_table
from datamodules.tables.columns import ColumnNames, InputKind
from datamodules.tables.source_table import read_table
from tests.datamodules.array_file import save
from tests.datamodules.batch_parts import fingerprints, graphs

SETTINGS = FeatureSettings(2, 64)
SMILES = ["C", "CC", "", "C1CC(", "CCO", "c1ccccc1", "N", "CC", "O", "xyz", "CCN", "CCCC", "CO"]


def served(
    path: Path, chunk_rows: int, kind: InputKind = "molecule", share: tuple[int, int] = (0, 1)
) -> tuple[list[Batch], list[str | None]]:
    """Batches of four rows at most, and reasons."""
    table = open_prediction_table(path, kind, ColumnNames(), SETTINGS, chunk_rows)
    rows = PredictionRows(table, 4)
    rows.share(*share)
    batches = list(rows)
    assert rows.ended
    return batches, [reason for chunk in rows.begun for reason in chunk.featured.reasons.to_list()]


def same(one: Batch, other: Batch) -> bool:
    def tensors(batch: Batch) -> list[torch.Tensor]:
        molecules, counts = graphs(batch), fingerprints(batch)
        return [batch.sample_index, batch.labels, molecules.atom_codes, molecules.source, counts.bin, counts.count]

    return all(torch.equal(left, right) for left, right in zip(tensors(one), tensors(other), strict=True))


def whole(path: Path, kind: InputKind = "molecule") -> FeaturedTable:
    return featurize_table(read_table(path, kind, need_labels=False), SETTINGS)


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_chunks_do_not_change_the_batches(tmp_path: Path, suffix: str) -> None:
    frame = polars.DataFrame({"smiles": SMILES, "note": list(range(len(SMILES)))})
    path = tmp_path / f"new.{suffix}"
    frame.write_csv(path) if suffix == "csv" else frame.write_parquet(path)
    expected, reasons = served(path, 100)
    assert reasons == whole(path).reasons.to_list()
    assert [row for batch in expected for row in batch.sample_index.tolist()] == [0, 1, 4, 5, 6, 7, 8, 10, 11, 12]
    rows = numpy.array([4, 5, 6, 7])
    assert same(expected[1], whole(path).store.batch(rows, rows, numpy.full(4, -1)))
    for chunk_rows in (4, 8, 12):
        found, found_reasons = served(path, chunk_rows)
        assert found_reasons == reasons
        assert len(found) == len(expected)
        assert all(same(one, other) for one, other in zip(found, expected, strict=True))


def test_worker_processes_compute_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "new.csv"
    polars.DataFrame({"smiles": SMILES * 3}).write_csv(path)
    expected, reasons = served(path, 8)
    threads = torch.get_num_threads()
    monkeypatch.setattr(prediction_rows, "_MOLECULES_FOR_ONE_PROCESS", 0)
    monkeypatch.setattr(prediction_rows, "_MOLECULES_PER_TASK", 3)
    found, found_reasons = served(path, 8)
    assert found_reasons == reasons
    assert all(same(one, other) for one, other in zip(found, expected, strict=True))
    assert torch.get_num_threads() == threads


def test_processes_share_the_chunks(tmp_path: Path) -> None:
    path = tmp_path / "new.csv"
    polars.DataFrame({"smiles": SMILES}).write_csv(path)
    rows = [[int(row) for batch in served(path, 4, share=(k, 2))[0] for row in batch.sample_index] for k in range(2)]
    assert rows == [[0, 1, 8, 10, 11], [4, 5, 6, 7, 12]]


def test_ragged_rows_and_pairs_keep_their_reasons(tmp_path: Path) -> None:
    path = tmp_path / "new.csv"
    path.write_text("x1,x2\nC,CC\nC\nC,xyz\n,C\nC,N,O\nO,N\n")
    batches, reasons = served(path, 4, "pair")
    assert reasons == whole(path, "pair").reasons.to_list()
    assert [row for batch in batches for row in batch.sample_index.tolist()] == [0, 5]
    assert len(graphs(batches[0])) == 2 * len(batches[0])


def test_arrays_are_one_chunk(tmp_path: Path) -> None:
    features = numpy.arange(18.0).reshape(9, 2)
    features[3, 0] = numpy.nan
    path = save(tmp_path / "new.npz", features=features)
    batches, reasons = served(path, 4, "array")
    assert [row for batch in batches for row in batch.sample_index.tolist()] == [0, 1, 2, 4, 5, 6, 7, 8]
    assert [reason is None for reason in reasons] == [row != 3 for row in range(9)]


@pytest.mark.parametrize(
    ("text", "names", "sentence"),
    [
        ("drug_name\nC\n", ColumnNames(), "data.smiles_columns: expected the names of 1 column"),
        ("smiles\nC\n", ColumnNames(["x"]), "data.smiles_columns: expected a column of .*, got 'x'"),
        ("smiles\n", ColumnNames(), "expected rows below the header"),
    ],
)
def test_tables_are_refused_before_any_work(tmp_path: Path, text: str, names: ColumnNames, sentence: str) -> None:
    path = tmp_path / "new.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=sentence):
        open_prediction_table(path, "molecule", names, SETTINGS, chunk_rows=4)
