"""The page of predictions: what it shows, and that no text of a table becomes HTML."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import polars
import pytest

from reports.prediction_page import write_prediction_page
from tests.modules.evaluation.made_evidence import made_evidence

HOSTILE = "<script>alert('x')</script>"


def rows(near: str = "drug 1") -> polars.DataFrame:
    """A sample with two neighbors, and one that could not be used."""
    return polars.DataFrame(
        {
            "note": [HOSTILE] * 2,
            "predicted_label": [f"-ol {HOSTILE}", None],
            "probability": [0.5, None],
            "calibrated_probability": [0.625, None],
            "nearest_1": [near, None],
            "nearest_1_label": ["-ane", None],
            "nearest_1_tanimoto": [0.75, None],
            "nearest_1_cosine": [0.25, None],
            "nearest_2": ["drug 2", None],
            "nearest_2_label": ["-ol", None],
            "nearest_2_tanimoto": [0.5, None],
            "nearest_2_cosine": [0.125, None],
            "applicability": [0.31, None],
            "applicability_level": ["low", None],
            "reason": [None, f"SMILES that RDKit cannot read {HOSTILE}"],
        }
    )


@pytest.fixture
def page(tmp_path: Path) -> str:
    samples = made_evidence().samples
    hostile = replace(samples, names=[*samples.names[:-1], HOSTILE])
    first = [(["CCO>>CC=O", HOSTILE], rows(HOSTILE))]
    write_prediction_page(tmp_path / "out.html", "runs/out.csv", first, 1_234, hostile)
    return (tmp_path / "out.html").read_text()


def test_no_text_becomes_html_and_nothing_is_loaded(page: str) -> None:
    assert "<script" not in page
    assert page.count("&lt;script&gt;") == 4
    assert not re.search(r'(src|href)="(?!data:)', page)
    assert "default-src 'none'" in page


def test_a_card_shows_drawings_probability_and_neighbors(page: str) -> None:
    cards = page.split('<article class="card">')[1:]
    assert len(cards) == 2
    # Two molecules of the sample, and its two neighbors.
    assert cards[0].count("<svg") == 4
    assert "width: 62.5%" in cards[0]
    assert "applicability low: about 31 % right" in cards[0]
    assert "<strong>-ane</strong>, Tanimoto 0.75" in cards[0]
    assert "no prediction" in cards[1]
    assert "<svg" not in cards[1]
    assert "The first 2 of 1,234 rows" in page


def test_without_evidence_there_are_no_neighbors(tmp_path: Path) -> None:
    frame = rows().select("note", "predicted_label", "probability", "calibrated_probability", "reason")
    write_prediction_page(tmp_path / "out.html", "out.csv", [(["CCO", "C("], frame)], 2, None)
    page = (tmp_path / "out.html").read_text()
    assert page.count("<svg") == 1
    assert "applicability low" not in page
    assert "Tanimoto" not in page


def test_a_card_shows_the_set_of_labels(tmp_path: Path) -> None:
    sets = rows().with_columns(polars.Series("set", [f"-ol; {HOSTILE}", None]), polars.Series("set_size", [2, None]))
    write_prediction_page(tmp_path / "out.html", "out.csv", [(["CCO", "C("], sets)], 2, None)
    page = (tmp_path / "out.html").read_text()
    assert "set of labels: -ol; &lt;script&gt;" in page
    assert page.count("set of labels") == 1
    empty = sets.with_columns(polars.Series("set", ["", None]), polars.Series("set_size", [0, None]))
    write_prediction_page(tmp_path / "out.html", "out.csv", [(["CCO", "C("], empty)], 2, None)
    assert "set of labels: none, since no class fits" in (tmp_path / "out.html").read_text()
