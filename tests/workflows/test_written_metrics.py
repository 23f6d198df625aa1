"""Each number of `test_metrics.json` against scikit-learn, where classes are unseen and molecules repeated."""

from __future__ import annotations

import json
from pathlib import Path

import numpy
import polars
import pytest
import torch
from numpy.typing import NDArray
from sklearn.metrics import accuracy_score, average_precision_score, f1_score, log_loss, recall_score, roc_auc_score

import tailmol
from modules.decisions.settings import ObjectiveName
from modules.evaluation.tail_metrics import head_middle_tail
from tests.lightning_app.command import TINY, in_this_process
from workflows.fit import fit

CLASSES = ["amine", "ether", "ring", "single", "unseen"]


def table() -> str:
    """Molecules written several times, a class of one training sample, and one that only validation and test have."""
    cells = [
        ("amine", [f"{'C' * size}N" for size in range(1, 21)], 2),
        ("ether", [f"{'C' * size}OC" for size in range(1, 13)], 1),
        ("ring", [f"{'C' * size}C1CC1" for size in range(7)], 3),
    ]
    lines = []
    for label, molecules, copies in cells:
        for number, smiles in enumerate(molecules):
            split = ("train", "train", "test", "validation", "test")[number % 5]
            lines += [f"{spelled},{label},{split}" for spelled in (smiles, f"{smiles}.Cl", f"[Na+].{smiles}")[:copies]]
    lines += ["CCCCBr,single,train", "CCCBr,single,test", "c1ccccc1,unseen,test", "c1ccccc1.Cl,unseen,test"]
    return "smiles,label,split\n" + "\n".join([*lines, "Cc1ccccc1,unseen,validation"]) + "\n"


def recalls(labels: NDArray[numpy.int64], predicted: NDArray[numpy.int64]) -> NDArray[numpy.float64]:
    found = recall_score(labels, predicted, labels=range(5), average=None, zero_division=numpy.nan)
    return numpy.asarray(found, dtype=numpy.float64)


def predicted_with(rows: list[list[str]], objective: ObjectiveName, run: Path) -> NDArray[numpy.int64]:
    """Labels of some rows by another objective, which is chosen on the validation scores alone."""
    model = tailmol.load(run)
    model.decide(objective)
    found = model.predict([row[0] for row in rows])["predicted_label"].to_list()
    return numpy.array([CLASSES.index(name) for name in found])


def calibration_error(confidence: NDArray[numpy.float64], correct: NDArray[numpy.bool_]) -> float:
    bins = numpy.clip((confidence * 15).astype(int), 0, 14)
    own = [bins == number for number in range(15) if (bins == number).any()]
    return float(sum(mask.mean() * abs(correct[mask].mean() - confidence[mask].mean()) for mask in own))


def mean_of_known(values: NDArray[numpy.float64]) -> float:
    known = values[~numpy.isnan(values)]
    return float(known.mean()) if len(known) else numpy.nan


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("metrics")
    (folder / "drugs.csv").write_text(table())
    options = ["--data.source", str(folder / "drugs.csv"), "--data.split=file", "--data.batch_size=8"]
    options += [*TINY, f"--run.root={folder}", "--trainer.max_epochs=4", "--config=encoder/fingerprint.yaml"]
    return fit([*options, "--tracking.wandb=disabled"], show_progress=False).folder


def test_a_table_without_splits_is_predicted_after_training_with_given_ones(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "new.csv").write_text("smiles\nCCO\nCCCN\n")
    output = tmp_path / "out.csv"
    options = (f"--ckpt_path={run}", f"--data.source={tmp_path / 'new.csv'}", f"--output={output}")
    assert in_this_process(monkeypatch, "predict", *options) == 0
    assert polars.read_csv(output)["predicted_label"].is_in(CLASSES).all()


def test_every_metric_is_that_of_scikit_learn_on_the_known_classes(run: Path) -> None:
    written = json.loads((run / "test_metrics.json").read_text())
    model = tailmol.load(run)
    assert model.classes == tuple(CLASSES)
    rows = [line.split(",") for line in table().splitlines()[1:] if line.endswith(",test")]
    known = [row for row in rows if row[1] != "unseen"]
    found = model.predict([row[0] for row in known])
    probabilities = found.select([f"p/{name}" for name in CLASSES]).to_numpy()
    labels = numpy.array([CLASSES.index(row[1]) for row in known])
    predicted = probabilities.argmax(axis=1)
    present = sorted(set(labels.tolist()))
    one_hot = numpy.eye(len(CLASSES))[labels]
    recall = recalls(labels, predicted)
    weights = 1 / numpy.bincount(labels)[labels]
    # Different training samples: 8 amines, 6 ethers, 4 rings, 1 single, none unseen.
    groups = head_middle_tail(torch.tensor([8, 6, 4, 1, 0]))
    # The default loss adds the log prior in training, so the scores of the network are those without it.
    alone = tailmol.load(run)
    alone.classifier.decision.opinions.forget()
    of_network = alone.predict([row[0] for row in known]).select([f"p/{name}" for name in CLASSES[:4]]).to_numpy()
    others = {
        "head_kept": predicted_with(known, "head_kept", run),
        "at_prior": (numpy.log(of_network) + numpy.log(numpy.array([8, 6, 4, 1]) / 19)).argmax(axis=1),
    }
    # Probabilities of a class without training samples are zero, so the temperature acts on the others.
    calibration = model.classifier.decision.calibration
    scores = numpy.log(probabilities[:, :4].astype(numpy.float64)) / float(calibration.temperature)
    scores += calibration.offset[:4].double().numpy()
    calibrated = numpy.exp(scores) / numpy.exp(scores).sum(axis=1, keepdims=True)
    expected = {
        "rows": len(rows),
        "samples": 16,
        "unseen_rows": 2,
        "unseen_classes": 1,
        "accuracy": accuracy_score(labels, predicted),
        "balanced_accuracy": recall[present].mean(),
        "macro_f1": f1_score(labels, predicted, labels=present, average="macro", zero_division=0),
        "balanced_f1": f1_score(
            labels, predicted, labels=present, average="macro", sample_weight=weights, zero_division=0
        ),
        "auroc": numpy.mean([roc_auc_score(one_hot[:, code], probabilities[:, code]) for code in present]),
        "average_precision": numpy.mean(
            [average_precision_score(one_hot[:, code], probabilities[:, code]) for code in present]
        ),
        "calibration_error": calibration_error(probabilities.max(axis=1).astype(float), predicted == labels),
        "nll": log_loss(labels, probabilities[:, :4], labels=range(4)),
        "calibrated_nll": log_loss(labels, calibrated, labels=range(4)),
        **{f"{group}_accuracy": mean_of_known(recall[codes]) for group, codes in groups.items()},
        **{
            f"{metric}_{name}": mean_of_known(
                recall_score(labels, own, labels=codes, average=None, zero_division=numpy.nan)
            )
            for name, own in others.items()
            for metric, codes in (("balanced_accuracy", present), ("head_accuracy", groups["head"]))
        },
        **{f"recall/{name}": value for name, value in zip(CLASSES, recall, strict=True)},
    }
    assert set(written) == {f"test/{name}" for name in expected}
    for name, value in expected.items():
        if numpy.isnan(value):
            assert written[f"test/{name}"] is None
        else:
            assert written[f"test/{name}"] == pytest.approx(value, rel=1e-4, abs=1e-5), name


def test_the_counts_of_the_model_are_of_different_molecules_unless_rows_are_asked_for(run: Path) -> None:
    assert tailmol.load(run).classifier.class_state.counts.tolist() == [8, 6, 4, 1, 0]
