"""Report and comparison of several labels in a browser: long names, and more labels than a matrix shows."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import polars
import pytest

from reports.compared_runs import compare_runs
from reports.label_report import build_label_report
from reports.run_comparison import build_comparison
from tests.reports.browser import OVERLAPS, Page, browse, needs_browser
from tests.reports.made_label_run import made_label_report, made_label_runs, made_labels, made_scores

pytestmark = [pytest.mark.slow, needs_browser]

FIGURES = ("labels", "curves", "reliability", "pairs-training", "pairs-predicted", "loss", "progress")
SIZE = """
const drawn = document.getElementById(arguments[0]).querySelector(".main-svg").getBoundingClientRect();
return Math.min(drawn.width, drawn.height);
"""


@pytest.fixture(scope="module", params=["few", "many"])
def page(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    folder = tmp_path_factory.mktemp(request.param)
    few = request.param == "few"
    suffix = " of antineoplastic-and-immunomodulating agents" if few else ""
    data = made_label_report(12 if few else 100, 1_500, folder, suffix)
    path = folder / "report.html"
    path.write_text(build_label_report(data))
    with browse(path) as opened:
        yield opened


@pytest.mark.parametrize("width", [390, 1440])
def test_everything_is_drawn_and_no_text_covers_another(page: Page, width: int) -> None:
    page.open(width)
    for name in FIGURES:
        assert page.run(SIZE, name) > 200, name
    assert page.run("return document.documentElement.scrollWidth") <= width
    texts, found = page.run(OVERLAPS)
    assert texts > 300
    assert found == []
    assert page.complaints() == []
    assert page.requests() == []
    # The average precision of the first row is in view beside its name.
    assert page.run(
        "const place = document.querySelector('#label-table .scroll').getBoundingClientRect();"
        "const cell = document.querySelector('#label-table tbody tr').cells[1].getBoundingClientRect();"
        "return cell.left >= place.left && cell.right <= place.right + 1"
    )


def test_the_table_is_sorted_searched_and_saved(page: Page) -> None:
    page.open(1440)
    cells = (
        "return [...document.querySelectorAll('#label-table tbody tr')]"
        ".map((row) => row.cells[arguments[0]].textContent)"
    )
    counts = [int(cell.replace(",", "")) for cell in page.run(cells, 13)]
    assert counts == sorted(counts, reverse=True)
    assert "labels" in page.run("return document.querySelector('#label-table .note').textContent")
    name = page.run("return payload.classes[3]")
    page.run(
        "const input = document.getElementById('label-table-search'); input.value = arguments[0];"
        "input.dispatchEvent(new Event('input'))",
        name,
    )
    assert page.run(cells, 0) == [name]
    page.run("[...document.querySelectorAll('#label-table button')].at(-1).click()")
    file, end = page.path.parent / "labels.csv", time.monotonic() + 20
    while not file.is_file():
        assert time.monotonic() < end
        time.sleep(0.05)
    saved = polars.read_csv(file)
    assert saved["Label"].to_list() == page.run("return payload.classes")
    assert saved["Average precision, lower bound"].to_list() == page.run("return payload.labels.low")
    assert saved["In 90% set"].to_list() == page.run("return payload.labels.covered")
    assert saved["Training: not known"].to_list() == page.run("return payload.labels.unknown")
    file.unlink()


def test_a_label_is_chosen_for_the_curves(page: Page) -> None:
    page.open(1440)
    choose = (
        "const choice = document.getElementById('curve-label'); choice.value = arguments[0];"
        "choice.dispatchEvent(new Event('change'));"
        "return [document.getElementById('curves').data.map((trace) => trace.y),"
        " document.getElementById('curve-status').textContent]"
    )
    (model, baseline, guessing, star), text = page.run(choose, "2")
    curves = page.run("return payload.curves[2]")
    assert (model, baseline) == (curves["model"][1], curves["baseline"][1])
    assert guessing == page.run("return [payload.labels.shares[2], payload.labels.shares[2]]")
    assert star == [page.run("return payload.labels.precision[2]")]
    assert "average precision 0." in text
    last = page.run("return String(payload.classes.length - 1)")
    lines, text = page.run(choose, last)
    assert lines == [[], [], [], []]
    assert text == "This label cannot be judged."


def test_names_stand_beside_the_pairs_and_smiles_can_be_copied(page: Page) -> None:
    page.open(1440)
    shown = page.run("return payload.shown.length")
    assert shown == min(60, page.run("return payload.classes.length"))
    named = page.run("return document.querySelectorAll('#pairs-training .ytick text').length")
    assert named == shown
    cards = page.run("return document.querySelectorAll('#alarms .card, #misses .card').length")
    assert cards == 20
    assert page.run("return document.querySelectorAll('.card .copy').length") == cards
    assert page.run("return document.querySelectorAll('.card svg path').length") > cards
    assert page.run("return document.querySelectorAll('td b, h3 b, option b').length") == 0
    unnamed = "return [...document.querySelectorAll('input, select')].filter((one) => !one.labels.length).length"
    assert page.run(unnamed) == 0


@pytest.mark.parametrize("page", ["few"], indirect=True)
def test_a_comparison_shows_every_label(page: Page, tmp_path: Path) -> None:
    labels = made_labels(160, 6, 1)
    runs = made_label_runs(tmp_path, labels, *(made_scores(labels, help_, 3) for help_ in (0.1, 0.8)), suffix=" agents")
    opened = Page(page.driver, tmp_path / "comparison.html")
    opened.path.write_text(build_comparison(compare_runs(runs)))
    opened.open(390)
    assert opened.run("return document.documentElement.scrollWidth") <= 390
    assert opened.run(OVERLAPS)[1] == []
    assert opened.complaints() == []
    assert opened.run("return document.querySelector('#average_precisions .note').textContent") == "6 of 6 labels"
    payload, rows = opened.run(
        "return [payload, [...document.querySelectorAll('#average_precisions tbody tr')]"
        ".map((row) => [...row.cells].map((cell) => cell.textContent))]"
    )
    assert sorted(row[0] for row in rows) == payload["classes"]
    for name, gain, first, _, *counts in rows:
        place = payload["classes"].index(name)
        assert counts == [str(payload[of][place]) for of in ("test", "training", "groups")]
        score = payload["scores"][0][place]
        assert (gain == "–") == (score is None)
        assert first.startswith("–" if score is None else f"{score:.2f} [")
    # The last label is known to be absent everywhere.
    assert payload["scores"][0][-1] is None
