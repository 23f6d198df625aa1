"""`lightning predict --smiles`: predict one sample and print the prediction."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from base.errors import InputError
from base.printable import printable
from datamodules.tables.columns import INPUTS
from datamodules.tables.smiles_cells import split_sample
from modules.decisions.settings import DecisionSettings
from modules.drug_classifier import DrugClassifier
from modules.evaluation.prediction_evidence import load_evidence
from reports.number_texts import percentage, probability
from tailmol.model import Model
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
    classifier = DrugClassifier.load_from_checkpoint(checkpoint, setting="ckpt_path", trust=trust)
    model = Model(classifier, load_evidence(checkpoint), checkpoint)
    if decision is not None:
        model.decide(**asdict(decision))
    parts, top = _parts(text, model), top or min(_SHOWN_CLASSES, len(model.classes))
    frame = model.predict([parts], top, neighbors, coverage).drop(INPUTS[model.input].names)
    prediction: dict[str, Any] = frame.row(0, named=True)
    if (reason := prediction.pop("reason")) is not None:
        reason = reason.replace(" in column smiles", "").replace("in column", "as")
        raise InputError(f"smiles: {text!r} cannot be used: {reason}.")
    _print(text, prediction, _lines(prediction, top, neighbors, coverage), terminal)


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


def _parts(text: str, model: Model) -> tuple[str, ...]:
    if model.input == "array":
        raise InputError(
            "smiles: expected a model of SMILES, got one of input array; predict a file with --data.source instead."
        )
    parts = split_sample(text, model.input, model.settings["data"].get("agents", "apart"))
    if parts is None:
        names = " >> ".join(INPUTS[model.input].names)
        raise InputError(f"smiles: expected {names} for input {model.input}, got {text!r}.")
    return parts


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


def _lines(prediction: dict[str, Any], top: int, neighbors: int, coverage: float | None) -> dict[str, str]:
    """What is shown of a prediction, by title."""
    best = {"most probable": _best(prediction, top)}
    if "predicted_labels" in prediction:
        lines = {"labels": prediction["predicted_labels"], **best}
    else:
        given, calibrated = (probability(prediction[name], 3) for name in ("probability", "calibrated_probability"))
        lines = {"label": prediction["predicted_label"], "probability": f"{given}, calibrated {calibrated}", **best}
    if "uncertainty" in prediction:
        lines["uncertainty"] = f"{prediction['uncertainty']:.3f}"
    if coverage is not None:
        lines[f"{coverage:.0%} set"] = prediction["set"] or "none, since no label fits"
    if "applicability" in prediction:
        estimate = f"{percentage(prediction['applicability'])} of the labels of samples like this one are right"
        lines["applicability"] = f"{prediction['applicability_level']}: by estimate, {estimate}"
        for place in range(1, neighbors + 1):
            if prediction[f"nearest_{place}"] is not None:
                lines[f"nearest {place}"] = _neighbor(prediction, f"nearest_{place}")
    return lines
