"""A page of predictions: each sample with its label, its probability and its nearest training samples, drawn."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from base.atomic_file import write_file
from modules.neighbors.training_samples import TrainingSamples
from reports.page_template import page_style, render_template
from reports.samples.drawings import draw_molecule, standalone_svg

if TYPE_CHECKING:
    from callbacks.prediction_writer import ShownRows


def write_prediction_page(
    path: Path,
    table: Path,
    output: Path,
    checkpoint: Path,
    first: Sequence[ShownRows],
    rows: int,
    samples: TrainingSamples | None,
) -> None:
    """Write the page.

    Args:
        path: The HTML file.
        table: The table that was predicted, which the page names, as it does the next two.
        output: The file of all predictions.
        checkpoint: The checkpoint that predicted.
        first: The first rows, with the columns of predictions.
        rows: Number of rows of the table.
        samples: The training samples; None without evidence.
    """
    drawn: dict[str, str] = {} if samples is None else dict(zip(samples.names, samples.texts, strict=True))
    cards = [
        _card(number, *shown, drawn)
        for number, shown in enumerate(
            (
                shown
                for part in first
                for shown in zip(part.names, part.texts, part.frame.iter_rows(named=True), strict=True)
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
        rows=rows,
        cards=cards,
        footer=f"Written by lightning predict on {time.strftime('%Y-%m-%d %H:%M')}. This file works offline.",
    )
    write_file(path, lambda temporary: temporary.write_text(page, encoding="utf-8"))


def _card(number: int, name: str, text: str, row: dict[str, Any], drawn: dict[str, str]) -> dict[str, Any]:
    """What the template shows of a sample."""
    places = sorted(int(name.removeprefix("nearest_")) for name in row if _is_neighbor(name))
    near = [
        {
            "name": row[f"nearest_{place}"],
            "label": row[f"nearest_{place}_label"],
            "tanimoto": row.get(f"nearest_{place}_tanimoto"),
            "cosine": row[f"nearest_{place}_cosine"],
            "drawings": _drawings(drawn.get(row[f"nearest_{place}"], "")),
        }
        for place in places
        if row[f"nearest_{place}"] is not None
    ]
    kept = ("predicted_label", "probability", "calibrated_probability", "reason")
    found = {name: row[name] for name in kept}
    found |= {name: row.get(name) for name in ("applicability", "applicability_level")}
    found["set"] = row["set"] if "set_size" in row else None
    return {"number": number, "name": name, "smiles": text, "drawings": _drawings(text), "near": near, **found}


def _is_neighbor(name: str) -> bool:
    return name.startswith("nearest_") and name.removeprefix("nearest_").isdecimal()


def _drawings(text: str) -> list[Any]:
    from markupsafe import Markup

    # What RDKit draws holds no text of the table but symbols of atoms.
    found = [standalone_svg(draw_molecule(part)) for part in text.split(">>") if part]
    return [Markup(drawing) for drawing in found if drawing]
