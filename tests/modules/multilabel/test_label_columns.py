"""The columns of predictions of several labels, and the file of tested samples."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy
import polars
import pytest
import torch

from base.errors import InputError
from datamodules.batch import Batch
from datamodules.chemistry.molecule_features import FeatureSettings
from datamodules.drug_task import DrugTask
from datamodules.features import featurize_table
from datamodules.prediction_rows import FeaturedChunk
from datamodules.tables.source_table import read_table
from modules.evaluation.applicability import LEVELS, level_of
from modules.evaluation.prediction import Prediction
from modules.evaluation.prediction_columns import NOT_FINITE
from modules.evaluation.prediction_evidence import PredictionEvidence
from modules.multilabel.label_columns import LabelColumns
from modules.multilabel.label_evidence import label_signals
from modules.multilabel.prediction_sets import LabelPredictionSets
from modules.multilabel.tested_labels import TestedLabels
from modules.sample_fingerprints import sample_bits
from tests.datamodules.drug_module import data_module
from tests.modules.evaluation.made_evidence import made_evidence

TASK = DrugTask("molecule", ("a", "b", "c"), (5, 3, 2), FeatureSettings(2, 64), known_counts=(9, 9, 8))


def chunk(folder: Path, first_row: int = 0) -> FeaturedChunk:
    """Five rows, of which the second one cannot be used."""
    path = folder / "drugs.csv"
    path.write_text("dose,smiles\n1,C\n2,C1\n3,CC\n4,CCC\n5,CCCC\n")
    return FeaturedChunk(first_row, featurize_table(read_table(path, need_labels=False), TASK.features))


def prediction(rows: list[int], shares: list[list[float]], labels: list[list[int]]) -> tuple[Batch, Prediction]:
    """A batch and its predictions."""
    index, calibrated, chosen = torch.tensor(rows), torch.tensor(shares), torch.tensor(labels)
    tensors = calibrated, calibrated, None, torch.zeros(len(rows), 2), calibrated, chosen, chosen
    return Batch(index, torch.full((len(rows), 3), -1)), Prediction(index, *tensors)


SHARES = [[0.9, 0.2, 0.6], [0.1, 0.2, 0.3], [0.5, 0.5, 0.7], [0.2, 0.8, 0.1]]
LABELS = [[1, 0, 1], [0, 0, 0], [0, 1, 1], [0, 1, 0]]


def test_rows_that_cannot_be_used_have_a_reason_alone(tmp_path: Path) -> None:
    columns = LabelColumns(TASK)
    first = columns.values(*prediction([0, 2], SHARES[:2], LABELS[:2]))
    second = columns.values(*prediction([3, 4], SHARES[2:], LABELS[2:]))
    frame = columns.frame(chunk(tmp_path), [first, second])
    assert frame.columns == ["dose", "smiles", "predicted_labels", "p/a", "p/b", "p/c", "reason"] == [
        "dose", "smiles", *columns.names
    ]  # fmt: skip
    assert frame["predicted_labels"].to_list() == ["a; c", None, "none", "b; c", "b"]
    assert frame["reason"].to_list() == [None, "SMILES that RDKit cannot read in column smiles", None, None, None]
    for place, name in enumerate(TASK.classes):
        expected = [None if row is None else SHARES[row][place] for row in (0, None, 1, 2, 3)]
        assert frame[f"p/{name}"].to_list() == pytest.approx(expected)


def test_the_most_probable_labels_come_first_and_of_equal_ones_the_first(tmp_path: Path) -> None:
    columns = LabelColumns(TASK, top=2)
    frame = columns.frame(chunk(tmp_path), [columns.values(*prediction([0, 2, 3, 4], SHARES, LABELS))])
    assert columns.names == [
        "predicted_labels", "label_1", "probability_1", "label_2", "probability_2", "reason"
    ]  # fmt: skip
    assert frame["label_1"].to_list() == ["a", None, "c", "c", "b"]
    assert frame["label_2"].to_list() == ["c", None, "b", "a", "a"]
    assert frame["probability_1"].to_list() == pytest.approx([0.9, None, 0.3, 0.7, 0.8])
    assert frame["probability_2"].to_list() == pytest.approx([0.6, None, 0.2, 0.5, 0.2])
    assert frame["predicted_labels"].to_list() == ["a; c", None, "none", "b; c", "b"]


def evidence_of_sets() -> PredictionEvidence:
    """Evidence of four training samples; nothing is known of the second label of the last one."""
    evidence = made_evidence(samples=4, dim=2)
    codes = numpy.array([[1, 0, 1], [0, 0, 0], [0, 1, 0], [0, -1, 1]], dtype=numpy.int8)
    return replace(evidence, samples=replace(evidence.samples, codes=codes))


def test_each_sample_comes_with_the_label_sets_of_its_neighbors(tmp_path: Path) -> None:
    evidence, drugs = evidence_of_sets(), chunk(tmp_path)
    columns = LabelColumns(TASK, evidence, neighbors=4)
    rows = numpy.array([0, 2, 3, 4])
    batch = drugs.featured.store.batch(rows, rows, numpy.full((4, 3), -1))
    shares = [*SHARES[:3], [math.nan] * 3]
    found = prediction(rows.tolist(), shares, LABELS)[1]._replace(embeddings=torch.eye(2).repeat(2, 1))
    frame = columns.frame(drugs, [columns.values(batch, found)])
    near = [f"nearest_{place}{kind}" for place in (1, 2, 3, 4) for kind in ("", "_labels", "_tanimoto", "_cosine")]
    assert columns.names == [
        "predicted_labels", "p/a", "p/b", "p/c", *near, "applicability", "applicability_level", "reason"
    ]  # fmt: skip
    sets = {"drug 0": "a; c", "drug 1": "none", "drug 2": "b", "drug 3": "c"}
    for row in (0, 2, 3):
        own = frame.row(row, named=True)
        assert {own[f"nearest_{place}"]: own[f"nearest_{place}_labels"] for place in (1, 2, 3, 4)} == sets
        assert own["nearest_1_tanimoto"] >= own["nearest_4_tanimoto"]
    for row in (1, 4):
        assert set(frame.select(*near, "applicability", "applicability_level").row(row)) == {None}
    _, neighbors = evidence.samples.nearest(found.embeddings[:3], sample_bits(batch, TASK)[:3], 5)
    given = numpy.array(shares[:3], dtype=numpy.float32), numpy.array(LABELS[:3])
    expected = evidence.applicability.estimate(label_signals(*given, neighbors, by_tanimoto=True))
    assert [frame["applicability"][row] for row in (0, 2, 3)] == pytest.approx(expected.tolist())
    levels = [list(LEVELS)[place] for place in level_of(expected)]
    assert [frame["applicability_level"][row] for row in (0, 2, 3)] == levels


def test_a_chunk_without_a_prediction_has_empty_columns_of_evidence(tmp_path: Path) -> None:
    columns = LabelColumns(TASK, evidence_of_sets(), neighbors=5)
    frame = columns.frame(chunk(tmp_path), [])
    assert len(frame) == 5
    assert frame.select(name for name in columns.names if name != "reason").null_count().row(0) == (5,) * 26


@pytest.mark.parametrize("top", [None, 1])
def test_scores_that_are_not_finite_are_a_reason(top: int | None, tmp_path: Path) -> None:
    columns = LabelColumns(TASK, top=top)
    shares = [SHARES[0], [0.3, math.nan, 0.3], [math.inf, 0.1, 0.1], SHARES[3]]
    frame = columns.frame(chunk(tmp_path), [columns.values(*prediction([0, 2, 3, 4], shares, LABELS))])
    assert [frame["reason"][row] for row in (0, 2, 3, 4)] == [None, NOT_FINITE, NOT_FINITE, None]
    assert frame["predicted_labels"].to_list() == ["a; c", None, None, None, "b"]
    own = frame.select(name for name in columns.names if name not in ("predicted_labels", "reason"))
    for row in (1, 2, 3):
        assert set(own.row(row)) == {None}


def test_batches_of_other_chunks_are_ignored(tmp_path: Path) -> None:
    columns = LabelColumns(TASK)
    batches = [
        columns.values(*prediction([first, first + 2], SHARES[:2], labels))
        for first, labels in ((0, LABELS[2:]), (5, LABELS[:2]), (10, LABELS[2:]))
    ]
    found = columns.frame(chunk(tmp_path, first_row=5), batches)
    assert found["predicted_labels"].to_list() == ["a; c", None, "none", None, None]
    none = columns.frame(chunk(tmp_path, first_row=20), batches)
    assert none["predicted_labels"].to_list() == [None] * 5
    assert none["p/a"].to_list() == [None] * 5


@pytest.mark.parametrize("name", ["predicted_labels", "p/b", "reason"])
def test_columns_of_the_same_name_are_refused(name: str) -> None:
    LabelColumns(TASK).check_names(["smiles", "p/d", "label_1"])
    message = rf"^data\.source: expected no column '{name}', which predictions have; rename it\.$"
    with pytest.raises(InputError, match=message):
        LabelColumns(TASK).check_names(["smiles", name])
    with pytest.raises(InputError, match="'probability_2'"):
        LabelColumns(TASK, top=2).check_names(["probability_2"])


def test_sets_are_written_the_most_probable_label_first(tmp_path: Path) -> None:
    zeros = torch.zeros(3)
    sets = LabelPredictionSets(0.9, zeros + 1, zeros, 1.0, torch.tensor([0.15, 0.5, 0.3]), 0.0, 99)
    columns = LabelColumns(TASK, top=1, sets=sets)
    shares = [*SHARES[:3], [0.3, math.nan, 0.3]]
    frame = columns.frame(chunk(tmp_path), [columns.values(*prediction([0, 2, 3, 4], shares, LABELS))])
    assert columns.names == ["predicted_labels", "label_1", "probability_1", "set", "set_size", "reason"]
    # The made predictions have their probabilities as logits.
    assert frame["set"].to_list() == ["a; c", None, "c", "c; a; b", None]
    assert frame["set_size"].to_list() == [2, None, 1, 3, None]
    with pytest.raises(InputError, match="'set_size'"):
        columns.check_names(["set_size"])
    assert columns.frame(chunk(tmp_path), [])["set_size"].to_list() == [None] * 5


@pytest.mark.parametrize("top", [0, 4])
def test_more_labels_than_there_are_are_refused(top: int) -> None:
    with pytest.raises(InputError, match=rf"^top: expected 1 to 3, the number of labels, got {top}\.$"):
        LabelColumns(TASK, top=top)


def test_tested_samples_are_written_in_the_order_of_their_rows(tmp_path: Path) -> None:
    text = "id,smiles,a,b,c\n" + "".join(
        f"drug {row},{'C' * (row + 1)},{row % 2},{'' if row == 2 else (row + 1) % 2},1\n" for row in range(12)
    )
    data = data_module(tmp_path, text, labels="multi", label_column=["a", "b", "c"], folds=2, fold=0)
    data.setup("fit")
    assert data.records.folds is not None
    rows = torch.tensor([5, 2, 0])
    labels = torch.from_numpy(data.records.codes[rows.numpy()].astype(numpy.int64))
    shares = torch.tensor([[0.5, 0.25, 1.0], [0.0, 0.75, 0.5], [0.125, 0.5, 0.25]])
    predicted = torch.tensor([[1, 0, 1], [0, 0, 0], [0, 1, 0]])
    found = TestedLabels(rows, labels, predicted, shares, shares).frame(data, "out-of-fold")
    expected = polars.DataFrame(
        {
            "row": [1, 3, 6],
            "id": ["drug 0", "drug 2", "drug 5"],
            "smiles": ["C", "CCC", "CCCCCC"],
            "true_labels": ["b; c", "c", "a; c"],
            "unknown_labels": [None, "b", None],
            "predicted_labels": ["b", "none", "a; c"],
            "p/a": [0.125, 0.0, 0.5],
            "p/b": [0.5, 0.75, 0.25],
            "p/c": [0.25, 0.5, 1.0],
            "split": ["out-of-fold"] * 3,
            "fold": [fold if fold >= 0 else None for fold in data.records.folds[[0, 2, 5]].tolist()],
        },
    )
    assert found.to_dict(as_series=False) == expected.to_dict(as_series=False)
