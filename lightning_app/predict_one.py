"""`lightning predict --smiles`: predict one sample and print the prediction."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy
import polars

from base.errors import InputError
from base.printable import printable
from callbacks.prediction_writer import RowColumns
from datamodules.features import featurize_table
from datamodules.prediction_rows import FeaturedChunk
from datamodules.tables.columns import INPUTS, Columns
from datamodules.tables.drug_table import make_table
from datamodules.tables.smiles_cells import split_sample
from datamodules.tables.table_chunks import TableChunk
from modules.decision_choice import choose_from_file, sets_from_file
from modules.decisions.settings import DecisionSettings
from modules.drug_classifier import DrugClassifier
from modules.evaluation.evidence_columns import EvidenceColumns
from modules.evaluation.prediction_columns import PredictionColumns
from modules.evaluation.prediction_evidence import load_evidence
from modules.evaluation.threshold_sets import ThresholdSets
from modules.inference import infer
from modules.make_evidence import decided_evidence
from modules.multilabel.label_columns import LabelColumns
from reports.number_texts import percentage, probability
from workflows.terminal import Terminal

_SHOWN_CLASSES = 3


def predict_one(
    checkpoint: Path,
    text: str,
    top: int | None,
    neighbors: int,
    coverage: float | None,
    terminal: Terminal,
    trust: Sequence[str] = (),
    decision: DecisionSettings | None = None,
) -> None:
    """Predict one sample and print the prediction, with `--json` as one line.

    Args:
        checkpoint: A checkpoint that `lightning fit` wrote.
        text: The sample as SMILES; the two parts of a reaction, a pair, or a drug and a protein are joined by `>>`.
        top: Number of most probable classes to show; None shows three.
        neighbors: Number of nearest training samples to show.
        coverage: Share of samples whose set of labels must contain the true one, or of the labels of samples that may
            have several; None for no set.
        terminal: Output options of the command.
        trust: Modules with classes of the user that the checkpoint may name.
        decision: Objective of this prediction only; None for the decision of the checkpoint.

    Raises:
        InputError: If the sample or the checkpoint cannot be read.
    """
    model = DrugClassifier.load_from_checkpoint(checkpoint, setting="ckpt_path", trust=trust)
    assert model.task is not None
    evidence = load_evidence(checkpoint)
    if decision is not None:
        scores = choose_from_file(model, checkpoint, decision)
        evidence = None if evidence is None else decided_evidence(model.decision, scores, evidence)
    chunk = _read(text, model)
    top = top or min(_SHOWN_CLASSES, model.task.num_classes)
    sets = None if coverage is None else sets_from_file(model, checkpoint, coverage)
    if sets is not None:
        sets.warn_of_few()
    if model.task.is_multilabel:
        several = LabelColumns(model.task, evidence, top, neighbors, sets)
        prediction = _predict(text, model, chunk, several)
        _print(text, prediction, _several_lines(prediction, several), terminal)
        return
    numbers = top, neighbors, sets
    columns = PredictionColumns(model.task, model.decision.has_uncertainty, evidence, *numbers)
    prediction = _predict(text, model, chunk, columns)
    _print(text, prediction, _lines(prediction, columns), terminal)


def _predict(text: str, model: DrugClassifier, chunk: FeaturedChunk, columns: RowColumns) -> dict[str, Any]:
    """The new columns of the only row of a chunk."""
    one = numpy.zeros(1, dtype=numpy.int64)
    batches = [chunk.featured.store.batch(one, one, one - 1)]
    values = [columns.values(batch, found) for batch, found in infer(model, batches)]
    given = set(chunk.featured.table.frame.columns)
    row = columns.frame(chunk, values).row(0, named=True)
    prediction = {name: value for name, value in row.items() if name not in given}
    if (reason := prediction.pop("reason")) is not None:
        raise InputError(f"smiles: {text!r} cannot be used: {reason}.")
    return prediction


def _print(text: str, prediction: dict[str, Any], lines: dict[str, str], terminal: Terminal) -> None:
    from rich.console import Console
    from rich.table import Table

    if terminal.json:
        print(json.dumps({"smiles": text, **prediction}))
        return
    table = Table.grid(padding=(0, 2))
    for name, value in {"sample": text, **lines}.items():
        table.add_row(name, printable(value))
    Console(highlight=False, markup=False).print(table)


def _read(text: str, model: DrugClassifier) -> FeaturedChunk:
    assert model.task is not None
    kind = model.task.input
    if kind == "array":
        raise InputError(
            f"smiles: expected a model of SMILES, got one of input {kind}; predict a file with --data.source instead."
        )
    assert model.run_config is not None
    parts, names = split_sample(text, kind, model.run_config["data"].get("agents", "apart")), INPUTS[kind].names
    if parts is None:
        raise InputError(f"smiles: expected {' >> '.join(names)} for input {kind}, got {text!r}.")
    columns = Columns(INPUTS[kind].smiles, sequence=INPUTS[kind].sequence)
    frame = polars.DataFrame({name: [part] for name, part in zip(names, parts, strict=True)})
    table = make_table(TableChunk(0, frame, {}), columns, Path("--smiles"), kind)
    featured = featurize_table(table, model.task.features)
    if featured.reasons[0] is not None:
        reason = featured.reasons[0].replace(" in column smiles", "").replace("in column", "as")
        raise InputError(f"smiles: {text!r} cannot be used: {reason}.")
    return FeaturedChunk(0, featured)


def _neighbor(prediction: dict[str, Any], name: str) -> str:
    similar = [
        f"{title} {prediction[f'{name}_{kind}']:.2f}"
        for kind, title in (("tanimoto", "Tanimoto"), ("cosine", "cosine"))
        if f"{name}_{kind}" in prediction
    ]
    label = prediction.get(f"{name}_label") or prediction[f"{name}_labels"]
    return f"{prediction[name]}, {label}, {', '.join(similar)}"


def _best(prediction: dict[str, Any], top: int) -> str:
    places = range(1, top + 1)
    return ", ".join(
        f"{prediction[f'label_{place}']} {probability(prediction[f'probability_{place}'], 3)}" for place in places
    )


def _evidence_lines(prediction: dict[str, Any], evidence: EvidenceColumns | None) -> dict[str, str]:
    """What is shown of the evidence of a prediction, by title."""
    if evidence is None:
        return {}
    estimate = f"{percentage(prediction['applicability'])} of the labels of samples like this one are right"
    lines = {"applicability": f"{prediction['applicability_level']}: by estimate, {estimate}"}
    for place in range(1, evidence.neighbors + 1):
        if prediction[f"nearest_{place}"] is not None:
            lines[f"nearest {place}"] = _neighbor(prediction, f"nearest_{place}")
    return lines


def _several_lines(prediction: dict[str, Any], columns: LabelColumns) -> dict[str, str]:
    """What is shown of a prediction of several labels, by title."""
    lines = {"labels": prediction["predicted_labels"], "most probable": _best(prediction, columns.top or 0)}
    return lines | _set_lines(prediction, columns.sets) | _evidence_lines(prediction, columns.evidence)


def _set_lines(prediction: dict[str, Any], sets: ThresholdSets | None) -> dict[str, str]:
    """What is shown of the set of a prediction, by title."""
    return {} if sets is None else {f"{sets.coverage:.0%} set": prediction["set"] or "none, since no label fits"}


def _lines(prediction: dict[str, Any], columns: PredictionColumns) -> dict[str, str]:
    """What is shown of a prediction, by title."""
    given, calibrated = (probability(prediction[name], 3) for name in ("probability", "calibrated_probability"))
    lines = {
        "label": prediction["predicted_label"],
        "probability": f"{given}, calibrated {calibrated}",
        "most probable": _best(prediction, columns.top or 0),
    }
    if "uncertainty" in prediction:
        lines["uncertainty"] = f"{prediction['uncertainty']:.3f}"
    return lines | _set_lines(prediction, columns.sets) | _evidence_lines(prediction, columns.evidence)
