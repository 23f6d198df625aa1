"""A page of predictions: each sample with its label, its probability and its nearest training samples, drawn."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars

from base.atomic_file import write_file
from modules.neighbors.training_samples import TrainingSamples
from reports.page_template import page_style, render_template
from reports.samples.drawings import draw_molecule, standalone_svg


def write_prediction_page(
    path: Path,
    source: str,
    first: Sequence[tuple[list[str], polars.DataFrame]],
    rows: int,
    samples: TrainingSamples | None,
) -> None:
    """Write the page.

    Args:
        path: The HTML file.
        source: The file of all predictions, which the page names.
        first: SMILES of the first samples, several molecules joined by >>, and their rows with the columns of
            predictions.
        rows: Number of rows of the table.
        samples: The training samples; None without evidence.
    """
    drawn: dict[str, str] = {} if samples is None else dict(zip(samples.names, samples.texts, strict=True))
    cards = [
        _card(number, text, row, drawn)
        for number, (text, row) in enumerate(
            (pair for texts, frame in first for pair in zip(texts, frame.iter_rows(named=True), strict=True)), 1
        )
    ]
    page = render_template(
        "predictions.html",
        css=page_style(),
        title=f"Predictions of {Path(source).name}",
        shown=len(cards),
        rows=rows,
        cards=cards,
        footer=f"Written by lightning predict on {time.strftime('%Y-%m-%d %H:%M')}. This file works offline.",
    )
    write_file(path, lambda temporary: temporary.write_text(page, encoding="utf-8"))


def _card(number: int, text: str, row: dict[str, Any], drawn: dict[str, str]) -> dict[str, Any]:
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
    return {"number": number, "smiles": text, "drawings": _drawings(text), "near": near, **found}


def _is_neighbor(name: str) -> bool:
    return name.startswith("nearest_") and name.removeprefix("nearest_").isdecimal()


def _drawings(text: str) -> list[Any]:
    from markupsafe import Markup

    # What RDKit draws holds no text of the table but symbols of atoms.
    found = [standalone_svg(draw_molecule(part)) for part in text.split(">>") if part]
    return [Markup(drawing) for drawing in found if drawing]
