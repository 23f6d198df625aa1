"""A page of predictions: each sample with its labels, their probabilities and its nearest training samples, drawn."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from base.atomic_file import write_file
from modules.evaluation.prediction_evidence import PredictionEvidence
from reports.number_texts import percentage, probability
from reports.page_template import page_style, render_template
from reports.samples.drawings import draw_molecule, standalone_svg

if TYPE_CHECKING:
    from callbacks.prediction_writer import ShownRows

_MOST_PROBABLE = 5
"""Number of labels whose probabilities are shown, where a sample may have several labels."""


def write_prediction_page(
    path: Path,
    table: Path,
    output: Path,
    checkpoint: Path,
    first: Sequence[ShownRows],
    rows: int,
    evidence: PredictionEvidence | None,
    coverage: float | None = None,
) -> None:
    """Write the page.

    Args:
        path: The HTML file.
        table: The table that was predicted, which the page names, as it does the next two.
        output: The file of all predictions.
        checkpoint: The checkpoint that predicted.
        first: The first rows, with the columns of predictions and no others.
        rows: Number of rows of the table.
        evidence: What the samples are compared with; None without it.
        coverage: Share of labels that the sets of the rows are meant to hold; None without sets.
    """
    training = [] if evidence is None else evidence.samples.texts
    cards = [
        _card(number, *shown, training)
        for number, shown in enumerate(
            (
                shown
                for part in first
                for shown in zip(part.names, part.texts, part.frame.iter_rows(named=True), part.places, strict=True)
            ),
            1,
        )
    ]
    page = render_template(
        "predictions.html",
        css=page_style(),
        title=f"Predictions for {table.name}",
        output=output.name,
        checkpoint=str(checkpoint),
        shown=len(cards),
        measured=None if evidence is None else evidence.applicability.samples,
        compared=any(card["near"] for card in cards),
        probability=probability,
        percentage=percentage,
        rows=rows,
        share=None if coverage is None else f"{coverage:.0%}",
        cards=cards,
        several=any(card["several"] for card in cards),
        footer=f"Written by lightning predict on {time.strftime('%Y-%m-%d %H:%M')}. This file works offline.",
    )
    write_file(path, lambda temporary: temporary.write_text(page, encoding="utf-8"))


def _card(
    number: int, name: str, text: str, row: dict[str, Any], places: list[int], training: list[str]
) -> dict[str, Any]:
    """What the template shows of a sample, with its nearest ones among the training samples."""
    several = "predicted_labels" in row
    near = [
        {
            "name": row[f"nearest_{rank}"],
            "label": row[f"nearest_{rank}_labels" if several else f"nearest_{rank}_label"],
            "tanimoto": row.get(f"nearest_{rank}_tanimoto"),
            "cosine": row[f"nearest_{rank}_cosine"],
            # Several training samples may have the same name.
            "drawings": _drawings(training[place]),
        }
        for rank, place in enumerate(places, 1)
    ]
    return {
        "number": number,
        "name": name,
        "smiles": text,
        "drawings": _drawings(text),
        "near": near,
        "several": several,
        "predicted": row["predicted_labels" if several else "predicted_label"],
        "shares": _label_shares(row) if several else [(None, row["calibrated_probability"])],
        "set": row["set"] if "set_size" in row else None,
        **{kept: row.get(kept) for kept in ("applicability", "applicability_level", "reason")},
    }


def _label_shares(row: dict[str, Any]) -> list[tuple[str, float]]:
    """The most probable of several labels with their probabilities; none without a prediction."""
    if "label_1" in row:
        ranks = [rank for rank in range(1, _MOST_PROBABLE + 1) if f"label_{rank}" in row]
        found = [(row[f"label_{rank}"], row[f"probability_{rank}"]) for rank in ranks]
    else:
        found = [(name.removeprefix("p/"), share) for name, share in row.items() if name.startswith("p/")]
        found.sort(key=lambda one: -(one[1] or 0))
    return [(name, share) for name, share in found[:_MOST_PROBABLE] if share is not None]


def _drawings(text: str) -> list[Any]:
    from markupsafe import Markup

    # What RDKit draws holds no text of the table but symbols of atoms.
    found = [standalone_svg(draw_molecule(part)) for part in text.split(">>") if part]
    return [Markup(drawing) for drawing in found if drawing]
