"""The page of predictions: what it shows, and that no text of a table becomes HTML."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import polars
import pytest

from callbacks.prediction_writer import ShownRows
from reports.number_texts import percentage, probability
from reports.prediction_page import write_prediction_page
from reports.samples.drawings import draw_molecule, standalone_svg
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
    evidence = made_evidence()
    hostile = replace(evidence, samples=replace(evidence.samples, names=[*evidence.samples.names[:-1], HOSTILE]))
    first = [ShownRows([HOSTILE, "CPD-2"], ["CCO>>CC=O", HOSTILE], rows(HOSTILE), [[29, 2], []])]
    files = Path("runs/new.csv"), Path("runs/out.csv"), Path("runs/best.ckpt")
    write_prediction_page(tmp_path / "out.html", *files, first, 1_234, hostile)
    return (tmp_path / "out.html").read_text()


def test_no_text_becomes_html_and_nothing_is_loaded(page: str) -> None:
    assert "<script" not in page
    assert page.count("&lt;script&gt;") == 5
    assert not re.search(r'(src|href)="(?!data:)', page)
    assert "default-src 'none'" in page


def test_a_card_shows_drawings_probability_and_neighbors(page: str) -> None:
    cards = page.split('<article class="card">')[1:]
    assert len(cards) == 2
    # Two molecules of the sample, and its two neighbors.
    assert cards[0].count("<svg") == 4
    assert "width: 62.5%" in cards[0]
    assert "applicability low: estimated 31%" in cards[0]
    assert '<strong class="long">-ane</strong>Tanimoto 0.75' in cards[0]
    assert "2. CPD-2: no prediction" in cards[1]
    assert "<svg" not in cards[1]
    assert "The first 2 of 1,234 rows" in page
    assert "<h1>Predictions for new.csv</h1>" in page
    assert "All predictions are in out.csv. The model is runs/best.ckpt." in page
    assert "It rests on 50 labeled samples that training did not see, which is few, also for the probabilities." in page
    assert "A sample that belongs to none of the trained classes is still assigned one of them." in page


def test_training_samples_of_the_same_name_have_drawings_of_their_own(tmp_path: Path) -> None:
    evidence = made_evidence()
    texts = ["CCO", "c1ccccc1", *evidence.samples.texts[2:]]
    alike = replace(evidence, samples=replace(evidence.samples, names=["drug"] * len(texts), texts=texts))
    frame = rows("drug").with_columns(nearest_2=polars.lit("drug"))
    shown = ShownRows(["", ""], ["N", "C("], frame, [[1, 0], []])
    files = Path("new.csv"), Path("out.csv"), Path("best.ckpt")
    write_prediction_page(tmp_path / "out.html", *files, [shown], 2, alike)
    card = (tmp_path / "out.html").read_text().split('<article class="card">')[1]
    found = [card.index(standalone_svg(draw_molecule(text))) for text in ("N", "c1ccccc1", "CCO")]
    assert found == sorted(found)
    assert card.count("<svg") == 3


def without_evidence(folder: Path, frame: polars.DataFrame) -> str:
    """The page of two rows without names."""
    shown = ShownRows(["", ""], ["CCO", "C("], frame, [[], []])
    files = Path("new.csv"), Path("out.csv"), Path("best.ckpt")
    write_prediction_page(folder / "out.html", *files, [shown], 2, None, 0.9 if "set" in frame.columns else None)
    return (folder / "out.html").read_text()


def test_without_evidence_there_are_no_neighbors(tmp_path: Path) -> None:
    frame = rows().select("note", "predicted_label", "probability", "calibrated_probability", "reason")
    page = without_evidence(tmp_path, frame)
    assert '<h3 class="long">1. -ol' in page
    assert page.count("<svg") == 1
    assert "applicability low" not in page
    assert "Tanimoto" not in page
    assert "set" not in page.split("</style>")[1]


def test_a_card_shows_the_set_of_labels(tmp_path: Path) -> None:
    sets = rows().with_columns(polars.Series("set", [f"-ol; {HOSTILE}", None]), polars.Series("set_size", [2, None]))
    page = without_evidence(tmp_path, sets)
    assert "90% set: -ol; &lt;script&gt;" in page
    assert page.count("90% set:") == 1
    assert "meant to hold the true label of 90% of the samples" in page
    empty = sets.with_columns(polars.Series("set", ["", None]), polars.Series("set_size", [0, None]))
    assert "90% set: none, since no label fits" in without_evidence(tmp_path, empty)


def of_labels() -> polars.DataFrame:
    """A sample with two of seven labels and a neighbor, one with none, and one that could not be used."""
    shares = {"a": 0.875, "b": 0.25, HOSTILE: 0.5, "d": 0.0, "e": 0.125, "f": 0.0625, "g": 0.03125}
    return polars.DataFrame(
        {
            "predicted_labels": [f"a; {HOSTILE}", "none", None],
            **{f"p/{name}": [share, 0.0, None] for name, share in shares.items()},
            "nearest_1": ["drug 1", None, None],
            "nearest_1_labels": ["a; b", None, None],
            "nearest_1_tanimoto": [0.75, None, None],
            "nearest_1_cosine": [0.25, None, None],
            "applicability": [0.31, 0.9, None],
            "applicability_level": ["low", "high", None],
            "reason": [None, None, "SMILES that RDKit cannot read"],
        }
    )


def cards_of(folder: Path, frame: polars.DataFrame) -> list[str]:
    places = [[1] if "nearest_1" in frame.columns else [], [], []]
    shown = ShownRows(["", "", ""], ["CCO", "CC", "C("], frame, places)
    files = Path("new.csv"), Path("out.csv"), Path("best.ckpt")
    write_prediction_page(folder / "out.html", *files, [shown], 3, made_evidence())
    return (folder / "out.html").read_text().split('<article class="card">')


def test_of_several_labels_the_five_most_probable_have_a_bar(tmp_path: Path) -> None:
    head, first, second, third = cards_of(tmp_path, of_labels())
    assert "The bars are the calibrated probabilities of the most probable labels" in head
    assert '<h3 class="long">1. a; &lt;script&gt;' in first
    widths = re.findall(r"width: ([0-9.]+)%", first)
    assert widths == ["87.5", "50.0", "25.0", "12.5", "6.2"]
    assert re.findall(r'<p class="note">([a-z]): ([0-9.]+)</p>', first) == [
        ("a", "0.88"), ("b", "0.25"), ("e", "0.12"), ("f", "0.06")
    ]  # fmt: skip
    assert '<p class="note">applicability low: estimated 31%</p>' in first
    assert '<strong class="long">a; b</strong>Tanimoto 0.75' in first
    assert '<h3 class="long">2. none</h3>' in second
    assert '<h3 class="long">3. no prediction</h3>' in third
    assert "SMILES that RDKit cannot read" in third
    assert "width" not in third


def test_with_top_the_written_labels_have_a_bar(tmp_path: Path) -> None:
    frame = of_labels().select(
        "predicted_labels",
        polars.Series("label_1", ["b", "a", None]),
        polars.Series("probability_1", [0.75, 0.25, None]),
        polars.Series("label_2", ["a", "b", None]),
        polars.Series("probability_2", [0.5, 0.125, None]),
        "reason",
    )
    _, first, second, third = cards_of(tmp_path, frame)
    assert re.findall(r"width: ([0-9.]+)%", first) == ["75.0", "50.0"]
    assert re.findall(r'<p class="note">([a-z]): ([0-9.]+)</p>', second) == [("a", "0.25"), ("b", "0.12")]
    assert "width" not in third


@pytest.mark.parametrize(
    ("share", "text"), [(0.9951, "over 0.99"), (0.9949, "0.99"), (0.0051, "0.01"), (0.0049, "under 0.01")]
)
def test_no_probability_is_shown_as_0_or_1(tmp_path: Path, share: float, text: str) -> None:
    frame = rows().select("predicted_label", "probability", "reason").with_columns(calibrated_probability=share)
    page = without_evidence(tmp_path, frame)
    assert f'<p class="note">probability {text}</p>' in page
    assert f'aria-label="calibrated probability {text}"' in page


def test_shares_that_round_to_0_or_1_are_said_in_words() -> None:
    assert [probability(share, 3) for share in (1.0, 0.9996, 0.9994, 0.25, 0.0006, 0.0)] == [
        "over 0.999", "over 0.999", "0.999", "0.250", "0.001", "under 0.001",
    ]  # fmt: skip
    assert [percentage(share) for share in (1.0, 0.994, 0.25, 0.006, 0.004)] == [
        "over 99%", "99%", "25%", "1%", "under 1%",
    ]  # fmt: skip
