"""Predictions in files: columns, order, chunks and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning
import numpy
import polars
import pytest
import torch

from base.errors import InputError
from callbacks.prediction_writer import PredictionWriter
from datamodules.batch import Batch
from datamodules.chemistry.molecule_features import FeatureSettings
from datamodules.drug_datamodule import DrugDataModule
from datamodules.drug_task import DrugTask
from modules.drug_classifier import DrugClassifier
from modules.encoders import FingerprintMLP
from modules.evaluation.applicability import LEVELS, level_of
from modules.evaluation.prediction_columns import PredictionColumns
from modules.evaluation.prediction_evidence import PredictionEvidence
from modules.evaluation.prediction_sets import PredictionSets
from modules.losses import ClassificationLoss, CrossEntropyLoss
from modules.losses.classification.evidential import EvidentialLoss
from tests.datamodules.example_smiles import INN_STEMS
from tests.modules.evaluation.made_evidence import made_evidence

SETTINGS = FeatureSettings(2, 64)
TASK = DrugTask("molecule", ("a", "b", "c"), (20, 6, 4), SETTINGS)
EVIDENCE_COLUMNS = [
    *(f"nearest_{place}{kind}" for place in (1, 2, 3) for kind in ("", "_label", "_tanimoto", "_cosine")),
    *("applicability", "applicability_level"),
]


def make_model(loss: ClassificationLoss | None = None) -> DrugClassifier:
    torch.manual_seed(0)
    model = DrugClassifier(FingerprintMLP([8]), loss or CrossEntropyLoss())
    model.build(TASK)
    model.decision.calibration.temperature.fill_(0.5)
    return model.eval()


def write_table(path: Path) -> polars.DataFrame:
    """Rows of which some cannot be read; no batch of four, nor the last one, is whole."""
    smiles = INN_STEMS[:18]
    smiles[3], smiles[10], smiles[11] = "C1CC(", "", "xyz"
    smiles[4:8] = ["("] * 4
    frame = polars.DataFrame({"note": [f"n{row}" for row in range(18)], "smiles": smiles})
    frame.write_csv(path) if path.suffix == ".csv" else frame.write_parquet(path, row_group_size=5)
    return frame


def predict(
    source: Path,
    output: Path,
    chunk_rows: int = 100,
    evidence: PredictionEvidence | None = None,
    top: int | None = None,
    loss: ClassificationLoss | None = None,
    sets: PredictionSets | None = None,
    **trainer_settings: Any,
) -> PredictionWriter:
    """Predict in batches of four rows."""
    model, writer = make_model(loss), PredictionWriter(str(output))
    data = DrugDataModule(str(source), evaluation_batch_size=4)
    data.trained_task, data.chunk_rows = TASK, chunk_rows
    columns = PredictionColumns(TASK, model.decision.has_uncertainty, evidence, top, sets=sets)
    writer.expect(columns, progress=False)
    quiet: dict[str, Any] = dict.fromkeys(
        ("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False
    )
    trainer = lightning.Trainer(accelerator="cpu", devices=1, callbacks=[writer], **quiet, **trainer_settings)
    try:
        trainer.predict(model, datamodule=data, return_predictions=False)
        writer.join(trainer)
    finally:
        writer.remove_chunks(trainer)
    assert [path.name for path in output.parent.glob(".*")] == []
    return writer


@pytest.mark.parametrize("top", [None, 2])
@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".tsv"])
def test_chunks_give_the_same_file_to_the_last_bit(tmp_path: Path, suffix: str, top: int | None) -> None:
    source = tmp_path / ("new.parquet" if suffix == ".parquet" else "new.csv")
    write_table(source)
    whole = tmp_path / f"whole{suffix}"
    predict(source, whole, 100, made_evidence(), top)
    for chunk_rows in (4, 8, 16):
        chunked = tmp_path / f"chunked{suffix}"
        writer = predict(source, chunked, chunk_rows, made_evidence(), top)
        assert writer.unusable == 7
        if suffix == ".parquet":
            assert polars.read_parquet(chunked).equals(polars.read_parquet(whole))
            assert polars.read_parquet_schema(chunked) == polars.read_parquet_schema(whole)
        else:
            assert chunked.read_bytes() == whole.read_bytes()


def test_sets_hold_the_labels_whose_probability_reaches_their_threshold(tmp_path: Path) -> None:
    write_table(tmp_path / "new.csv")
    zeros = torch.zeros(3)
    sets = PredictionSets(0.9, zeros + 1, zeros, 1.0, torch.tensor([0.34, 0.3, 2.0]).log(), 0.0, 99)
    for chunk_rows in (4, 100):
        predict(tmp_path / "new.csv", tmp_path / "out.parquet", chunk_rows, sets=sets)
        out = polars.read_parquet(tmp_path / "out.parquet")
        assert out.schema["set"] == polars.String
        assert out.schema["set_size"] == polars.Int64
        for row in out.iter_rows(named=True):
            if row["reason"] is not None:
                assert row["set"] is row["set_size"] is None
                continue
            inside = [name for name, least in (("a", 0.34), ("b", 0.3)) if row[f"p/{name}"] >= least]
            inside.sort(key=lambda name: -row[f"p/{name}"])
            assert row["set"] == "; ".join(inside)
            assert row["set_size"] == len(inside)
    assert set(out["set_size"].drop_nulls()) > {1}


def test_columns_hold_what_the_model_says(tmp_path: Path) -> None:
    given = write_table(tmp_path / "new.parquet")
    evidence = made_evidence()
    predict(tmp_path / "new.parquet", tmp_path / "out.parquet", 8, evidence)
    out = polars.read_parquet(tmp_path / "out.parquet")
    assert out.columns == [
        *("note", "smiles", "predicted_label", "probability", "calibrated_probability", "p/a", "p/b", "p/c"),
        *EVIDENCE_COLUMNS,
        "reason",
    ]
    assert out.select("note", "smiles").equals(given)
    usable = out["reason"].is_null()
    assert out.filter(~usable).select(out.columns[2:-1]).null_count().row(0) == (7,) * (6 + len(EVIDENCE_COLUMNS))
    label_of = dict(zip(evidence.samples.names, ["abc"[code] for code in evidence.samples.codes], strict=True))
    for row in out.filter(usable).iter_rows(named=True):
        shares = numpy.array([row["p/a"], row["p/b"], row["p/c"]])
        assert shares.sum() == pytest.approx(1, abs=1e-5)
        assert row["predicted_label"] == "abc"[shares.argmax()]
        assert row["probability"] == pytest.approx(shares.max())
        # Temperature 0.5 squares the odds.
        assert row["calibrated_probability"] == pytest.approx((shares**2 / (shares**2).sum()).max(), abs=1e-5)
        assert [label_of[row[f"nearest_{place}"]] for place in (1, 2, 3)] == [
            row[f"nearest_{place}_label"] for place in (1, 2, 3)
        ]
        assert 1 >= row["nearest_1_tanimoto"] >= row["nearest_2_tanimoto"] >= row["nearest_3_tanimoto"] >= 0
        assert row["applicability_level"] == list(LEVELS)[int(level_of(numpy.array([row["applicability"]]))[0])]


def test_places_without_a_training_sample_are_empty(tmp_path: Path) -> None:
    write_table(tmp_path / "new.csv")
    predict(tmp_path / "new.csv", tmp_path / "out.csv", 8, made_evidence(samples=2))
    usable = polars.read_csv(tmp_path / "out.csv").filter(polars.col("reason").is_null())
    assert set(usable["nearest_1"]) | set(usable["nearest_2"]) == {"drug 0", "drug 1"}
    empty = usable.select(name for name in EVIDENCE_COLUMNS if name.startswith("nearest_3"))
    assert empty.null_count().row(0) == (11,) * 4


@pytest.mark.parametrize("chunk_rows", [4, 100])
def test_the_rows_of_a_page_come_with_the_places_of_their_neighbors(tmp_path: Path, chunk_rows: int) -> None:
    write_table(tmp_path / "new.csv")
    evidence = made_evidence()
    writer = predict(tmp_path / "new.csv", tmp_path / "out.csv", chunk_rows, evidence)
    frame = polars.concat([shown.frame for shown in writer.first])
    places = [own for shown in writer.first for own in shown.places]
    assert [len(own) for own in places] == [0 if reason else 3 for reason in frame["reason"]]
    names = [tuple(evidence.samples.names[place] for place in own) or (None,) * 3 for own in places]
    assert names == frame.select("nearest_1", "nearest_2", "nearest_3").rows()
    plain = predict(tmp_path / "new.csv", tmp_path / "plain.csv", chunk_rows)
    assert [own for shown in plain.first for own in shown.places] == [[]] * 18


def test_predictions_are_those_of_one_batch_of_the_whole_table(tmp_path: Path) -> None:
    write_table(tmp_path / "new.csv")
    predict(tmp_path / "new.csv", tmp_path / "out.parquet", 8)
    out = polars.read_parquet(tmp_path / "out.parquet").with_row_index("row")
    data = DrugDataModule(str(tmp_path / "new.csv"), cache_folder=str(tmp_path / "cache"))
    data.trained_task = TASK
    data.setup("predict")
    (batch,) = list(data.predict_dataloader())
    with torch.no_grad():
        expected = make_model().predict_step(batch, 0)
    usable = out.filter(out["reason"].is_null())
    assert usable["row"].to_list() == expected.sample_index.tolist()
    numpy.testing.assert_allclose(usable.select("p/a", "p/b", "p/c").to_numpy(), expected.probabilities, rtol=1e-5)


def test_the_best_classes_alone(tmp_path: Path) -> None:
    write_table(tmp_path / "new.csv")
    predict(tmp_path / "new.csv", tmp_path / "all.csv")
    predict(tmp_path / "new.csv", tmp_path / "top.csv", top=2)
    shares = polars.read_csv(tmp_path / "all.csv").select("p/a", "p/b", "p/c").to_numpy()
    top = polars.read_csv(tmp_path / "top.csv")
    assert top.columns[2:-1] == [
        *("predicted_label", "probability", "calibrated_probability"),
        *("label_1", "probability_1", "label_2", "probability_2"),
    ]
    for own, row in zip(shares, top.iter_rows(named=True), strict=True):
        if row["reason"] is None:
            order = numpy.argsort(-own)
            assert [row["label_1"], row["label_2"]] == ["abc"[code] for code in order[:2]]
            assert [row["probability_1"], row["probability_2"]] == own[order[:2]].tolist()
            assert row["predicted_label"] == row["label_1"]
    for wrong in (0, 4):
        with pytest.raises(InputError, match=f"top: expected 1 to 3, the number of classes, got {wrong}"):
            PredictionColumns(TASK, False, None, wrong)


def test_a_loss_that_knows_its_uncertainty_adds_a_column(tmp_path: Path) -> None:
    write_table(tmp_path / "new.csv")
    predict(tmp_path / "new.csv", tmp_path / "out.csv", loss=EvidentialLoss())
    out = polars.read_csv(tmp_path / "out.csv")
    assert out.columns[-2:] == ["uncertainty", "reason"]
    assert out["uncertainty"].drop_nulls().is_between(0, 1).all()
    assert out["uncertainty"].null_count() == 7


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("top", [None, 2])
def test_a_row_without_finite_scores_has_a_reason_and_no_prediction(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: float, top: int | None
) -> None:
    table = write_table(tmp_path / "new.csv")
    forward = FingerprintMLP.forward

    def broken(self: FingerprintMLP, batch: Batch) -> torch.Tensor:
        embeddings = forward(self, batch)
        embeddings[batch.sample_index == 1] = value
        return embeddings

    plain = predict(tmp_path / "new.csv", tmp_path / "plain.csv", 4, made_evidence(), top)
    monkeypatch.setattr(FingerprintMLP, "forward", broken)
    writer = predict(tmp_path / "new.csv", tmp_path / "out.csv", 4, made_evidence(), top)
    expected, out = (polars.read_csv(tmp_path / f"{name}.csv") for name in ("plain", "out"))
    assert (plain.unusable, writer.unusable) == (7, 8)
    row = out.row(1, named=True)
    assert row.pop("reason") == "the model's scores of this sample are NaN or infinite"
    assert row == {name: table[name][1] if name in table.columns else None for name in row}
    others = [number for number in range(18) if number != 1]
    assert out[others].equals(expected[others])


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_no_row_can_be_used(tmp_path: Path, suffix: str) -> None:
    (tmp_path / "new.csv").write_text("smiles\n" + "C1CC(\n" * 9)
    writer = predict(tmp_path / "new.csv", tmp_path / f"out{suffix}", 4, made_evidence())
    assert writer.unusable == 9
    out = polars.read_csv(tmp_path / "out.csv") if suffix == ".csv" else polars.read_parquet(tmp_path / "out.parquet")
    assert len(out) == 9
    assert out["predicted_label"].null_count() == 9
    assert out["reason"].str.contains("RDKit cannot read").all()


def test_what_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"ends in \.csv, \.tsv or \.parquet, got 'out.xlsx'"):
        PredictionWriter("out.xlsx")
    write_table(tmp_path / "new.csv")
    with pytest.raises(InputError, match="limit_predict_batches: expected null, since every row must be written"):
        predict(tmp_path / "new.csv", tmp_path / "out.csv", limit_predict_batches=1)
    assert not (tmp_path / "out.csv").exists()
    (tmp_path / "clash.csv").write_text("smiles,p/b\nC,1\n")
    with pytest.raises(InputError, match="expected no column 'p/b', which predictions have"):
        predict(tmp_path / "clash.csv", tmp_path / "out.csv")


def test_a_failure_leaves_the_old_output_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_table(tmp_path / "new.csv")
    (tmp_path / "out.csv").write_text("old")
    monkeypatch.setattr(PredictionColumns, "values", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        predict(tmp_path / "new.csv", tmp_path / "out.csv", 4)
    assert (tmp_path / "out.csv").read_text() == "old"
    assert list(tmp_path.glob(".*")) == []


def test_a_column_that_text_cannot_hold_is_named(tmp_path: Path) -> None:
    table = polars.DataFrame({"smiles": ["CCO", "CCC"], "assays": [[1, 2], [3]]})
    table.write_parquet(tmp_path / "in.parquet")
    with pytest.raises(
        InputError, match=r"expected a path that ends in \.parquet, since the table's column 'assays' holds"
    ):
        predict(tmp_path / "in.parquet", tmp_path / "out.csv")
    assert not (tmp_path / "out.csv").exists()
    predict(tmp_path / "in.parquet", tmp_path / "out.parquet")
    assert polars.read_parquet(tmp_path / "out.parquet")["assays"].to_list() == [[1, 2], [3]]
