"""The page of predictions in a browser: no text covers another, whatever the samples and their names."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import polars
import pytest
from polars import selectors

from callbacks.prediction_writer import ShownRows
from reports.prediction_page import write_prediction_page
from tests.datamodules.example_smiles import INN_STEMS
from tests.modules.evaluation.made_evidence import made_evidence
from tests.reports.browser import OVERLAPS, Page, browse, needs_browser

pytestmark = [pytest.mark.slow, needs_browser]

# The second cannot be broken between words.
LABELS = ["-ane", "antineoplastic_and_immunomodulating_agents_" * 3, "antineoplastic and immunomodulating agents " * 3]
LONGEST = sorted(INN_STEMS, key=len)[-4:]
SAMPLES = {
    "molecule": [*INN_STEMS[:4], *LONGEST, "C" * 300, "C" * 1_001],
    "pair": [f"{one}>>{LONGEST[0]}" for one in INN_STEMS[:6]],
    "reaction": [f"{one}.CCO.[Na+].[OH-]>>{LONGEST[1]}" for one in INN_STEMS[:6]],
    "array": [""] * 4,
    "labels": INN_STEMS[:6],
}


def predicted(texts: list[str], training: list[str]) -> polars.DataFrame:
    """Predictions with evidence and sets of two to 73 labels, and a last row without any."""
    rows: list[dict[str, Any]] = []
    for row in range(len(texts) - 1):
        near: dict[str, Any] = {}
        for place in (1, 2, 3):
            near[f"nearest_{place}"] = training[(row + place) % len(training)]
            near[f"nearest_{place}_label"] = LABELS[(row + place) % 3]
            near |= {f"nearest_{place}_tanimoto": 0.5, f"nearest_{place}_cosine": 0.25}
        size = 2 + row * 71 // max(len(texts) - 2, 1)
        rows.append(
            {
                "predicted_label": LABELS[row % 3],
                "probability": 0.5,
                "calibrated_probability": row / len(texts),
                "set": "; ".join(LABELS[1 + place % 2] for place in range(size)),
                "set_size": size,
                **near,
                "applicability": 0.31,
                "applicability_level": "low",
            }
        )
    return polars.DataFrame([*rows, {"reason": "SMILES that RDKit cannot read: " + "C1CC(" * 40}])


def of_labels(frame: polars.DataFrame) -> polars.DataFrame:
    """The same predictions, where a sample may have several labels."""
    names = {name: f"{name}s" for name in frame.columns if name.endswith("_label")}
    shares = [polars.col("calibrated_probability").alias(f"p/{name}") for name in LABELS]
    joined = polars.col("predicted_label") + "; " + polars.col("set")
    return frame.with_columns(*shares, predicted_label=joined).rename(names).drop("probability")


@pytest.fixture(scope="module", params=list(SAMPLES))
def page(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    texts = SAMPLES[request.param]
    # Without a column of names, samples are called by their SMILES.
    names = texts if any(texts) else [f"row {row}" for row in range(1, len(texts) + 1)]
    evidence, frame = made_evidence(), predicted(texts, names)
    evidence = replace(evidence, samples=replace(evidence.samples, names=names, texts=texts))
    if not any(texts):
        frame = frame.select(~selectors.ends_with("_tanimoto"))
    if request.param == "labels":
        frame = of_labels(frame)
    path = tmp_path_factory.mktemp(request.param) / f"{'a-rather-long-name-of-a-table_' * 4}.html"
    files = path.with_suffix(".csv"), path.with_suffix(".tsv"), path.with_suffix(".ckpt")
    places = [[(row + place) % len(texts) for place in (1, 2, 3)] for row in range(len(texts) - 1)]
    write_prediction_page(path, *files, [ShownRows(names, texts, frame, [*places, []])], 12_345, evidence, 0.9)
    with browse(path) as opened:
        yield opened


@pytest.mark.parametrize("width", [390, 1440])
def test_no_text_covers_another_and_nothing_scrolls_sideways(page: Page, width: int) -> None:
    page.open(width)
    assert page.run("return document.documentElement.scrollWidth") <= width
    texts, found = page.run(OVERLAPS)
    assert texts > 50
    assert found == []
    # Sets of many labels and long SMILES do not move the next card out of reach.
    heights = page.run(
        "return [...document.querySelectorAll('.card')].map((one) => one.getBoundingClientRect().height)"
    )
    assert max(heights) < 2_400
    assert page.complaints() == []
    assert page.requests() == []
