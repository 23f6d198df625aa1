"""A trained model in Python: predictions, embeddings and metrics."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy
import pandas
import polars
import pytest

import tailmol
from base.errors import InputError
from modules.drug_classifier import DrugClassifier
from modules.encoders import FingerprintMLP
from modules.losses import CrossEntropyLoss
from tests.lightning_app.command import in_this_process
from tests.tailmol.conftest import ALCOHOLS, AROMATICS, drugs

SMILES = [*ALCOHOLS[15:18], "C1CC", AROMATICS[20]]


@pytest.fixture(scope="module")
def model(run: tailmol.Run) -> tailmol.Model:
    """The trained model, from the folder of its run."""
    return tailmol.load(run.folder)


def test_a_list_of_smiles_gets_a_row_each_in_order(model: tailmol.Model) -> None:
    found = model.predict(SMILES)
    assert found["smiles"].to_list() == SMILES
    assert found["predicted_label"].to_list() == ["alcohol", "alcohol", "alcohol", None, "aromatic"]
    assert found["reason"].to_list() == [None] * 3 + ["SMILES that RDKit cannot read in column smiles"] + [None]
    sums = found["p/alcohol"] + found["p/aromatic"]
    assert sums.drop_nulls().to_list() == pytest.approx([1.0] * 4)


def test_predictions_are_those_of_the_command(
    model: tailmol.Model, run: tailmol.Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    polars.DataFrame({"smiles": SMILES}).write_parquet("new.parquet")
    options = ("--ckpt_path", str(run.checkpoint), "--data.source=new.parquet", "--output=out.parquet")
    assert in_this_process(monkeypatch, "predict", *options, "--trainer.accelerator=cpu") == 0
    assert model.predict(SMILES).equals(polars.read_parquet("out.parquet"))
    assert model.predict("new.parquet").equals(polars.read_parquet("out.parquet"))


def test_a_pandas_frame_gives_a_pandas_frame_with_its_index(model: tailmol.Model) -> None:
    given = pandas.DataFrame({"smiles": [ALCOHOLS[15], None], "dose": [1.5, None]}, index=[7, 9])
    found = model.predict(given, top=1)
    assert isinstance(found, pandas.DataFrame)
    assert found.index.tolist() == [7, 9]
    assert found["label_1"].tolist()[0] == "alcohol"
    assert found["reason"].tolist()[1] == "empty SMILES in column smiles"
    assert found["dose"].tolist()[0] == 1.5


def test_a_column_of_a_frame_is_a_list_of_smiles(model: tailmol.Model) -> None:
    column = pandas.DataFrame({"smiles": SMILES})["smiles"]
    assert model.predict(column).equals(model.predict(SMILES))


def test_embeddings_are_those_of_the_encoder(model: tailmol.Model) -> None:
    found = model.embed(SMILES)
    assert found.dtype == numpy.float32
    assert found.shape == (5, model.classifier.network.encoder.output_dim)
    assert numpy.isnan(found).all(axis=1).tolist() == [False, False, False, True, False]
    # A batch of another size may be summed in another order.
    others = model.embed(polars.DataFrame({"smiles": SMILES[:3]}))
    numpy.testing.assert_allclose(found[:3], others, rtol=1e-5, atol=1e-6)


def test_metrics_are_counted_over_all_rows(model: tailmol.Model) -> None:
    table = drugs()
    found = model.evaluate(table)
    predicted = model.predict(table)["predicted_label"]
    right = (predicted == table["label"]).to_numpy()
    assert found["accuracy"] == pytest.approx(right.mean())
    recalls = [right[:30].mean(), right[30:].mean()]
    assert [found["recall/alcohol"], found["recall/aromatic"]] == pytest.approx(recalls)
    assert found["balanced_accuracy"] == pytest.approx(sum(recalls) / 2)


def test_a_class_without_rows_has_no_recall(model: tailmol.Model) -> None:
    found = model.evaluate(drugs().head(4).rename({"label": "kind"}), label_column="kind")
    assert numpy.isnan(found["recall/aromatic"])
    assert found["balanced_accuracy"] == found["recall/alcohol"]


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        ([("CCO", "CCN")], r"samples: expected smiles as text for input molecule, got \('CCO', 'CCN'\)"),
        (polars.DataFrame({"smiles": ["C"], "reason": ["x"]}), "expected no column 'reason', which predictions have"),
        (
            polars.DataFrame({"drug_name": ["C"]}),
            r"^samples: expected a column smiles in the data frame, got only drug_name\.$",
        ),
        (polars.DataFrame({"smiles": [[1]]}), r"column 'smiles' of the data frame holds List"),
        ([], r"^samples: expected one or more, got none\.$"),
        (drugs().clear(), r"^samples: expected one or more, got none\.$"),
        ("CCO", r"^samples: expected a list of SMILES, a data frame or the path of an existing file, got CCO\.$"),
    ],
)
def test_samples_that_cannot_be_used_are_named(model: tailmol.Model, samples: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        model.predict(samples)


def test_a_missing_sample_gets_a_row_with_a_reason(model: tailmol.Model) -> None:
    found = model.predict([ALCOHOLS[15], None])
    assert found["predicted_label"].to_list() == ["alcohol", None]
    assert found["reason"].to_list() == [None, "empty SMILES in column smiles"]


def test_arguments_that_are_not_valid_are_named(model: tailmol.Model) -> None:
    with pytest.raises(InputError, match=r"^neighbors: expected an integer from 0 to 1000, got -1\.$"):
        model.predict(SMILES, neighbors=-1)
    with pytest.raises(InputError, match=r"^options: expected points, classes, least or costs, got pints\.$"):
        model.decide("head_kept", pints=1)


def test_a_label_column_that_is_missing_is_named(model: tailmol.Model) -> None:
    with pytest.raises(
        InputError, match=r"^label_column: expected a column of the data frame \(smiles, label\), got 'x'"
    ):
        model.evaluate(drugs(), label_column="x")
    with pytest.raises(InputError, match=r"^label_column: .* it has smiles; name one with label_column\.$"):
        model.evaluate(drugs().drop("label"))


def test_what_is_no_trained_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"path: expected a checkpoint file, but there is no file .*best\.ckpt"):
        tailmol.load(tmp_path)
    with pytest.raises(InputError, match="classifier: expected a trained model from a checkpoint"):
        tailmol.Model(DrugClassifier(FingerprintMLP([8]), CrossEntropyLoss()))


def test_a_sample_without_finite_scores_is_named(model: tailmol.Model, monkeypatch: pytest.MonkeyPatch) -> None:
    forward = type(model.classifier.network.encoder).forward

    def broken(self: Any, batch: Any) -> Any:
        embeddings = forward(self, batch)
        embeddings[batch.sample_index == 0] = float("nan")
        return embeddings

    monkeypatch.setattr(type(model.classifier.network.encoder), "forward", broken)
    found = model.predict(SMILES)
    assert found["predicted_label"].is_null().to_list() == [True, False, False, True, False]
    assert found["reason"][0] == "the model's scores of this sample are NaN or infinite"
    assert numpy.isnan(model.embed(SMILES)).all(axis=1).tolist() == [True, False, False, True, False]
