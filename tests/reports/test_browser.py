"""The report in a browser: of a short run on the bundled drugs, and of a made run of 1,000 classes."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path

import polars
import pytest
from rdkit import Chem

from reports.run_report import build_report
from tests.lightning_app.command import TINY, succeed_here
from tests.reports.browser import OVERLAPS, Page, browse, needs_browser
from tests.reports.made_run import made_report

pytestmark = [pytest.mark.slow, needs_browser]

FIGURES = (
    *("counts", "recall", "loss", "progress", "decisions"),
    *("distances", "weights", "map", "matrix", "reliability"),
)
MOST_BYTES = 15_000_000

# How many values the traces of a figure have, and whether its drawing has any size.
VALUES = """
const place = document.getElementById(arguments[0]);
const drawn = place.querySelector(".main-svg").getBoundingClientRect();
const count = (trace) => (trace.z ? trace.z.flat() : trace.y).filter((value) => value !== null).length;
return [place.data.map(count).reduce((sum, one) => sum + one, 0), drawn.width > 200 && drawn.height > 200];
"""
# From a change of an input to what it changes, in milliseconds.
CHANGE = """
const [id, value] = arguments, input = document.getElementById(id), start = performance.now();
input.value = value;
input.dispatchEvent(new Event("input", { bubbles: true }));
document.body.getBoundingClientRect();
return performance.now() - start;
"""
RANGE = "document.getElementById('matrix').layout.xaxis.range"
# Number of names along the matrix, and the size of their letters.
LABELS = """
const names = [...document.querySelectorAll("#matrix .ytick text")];
return [names.length, Math.min(...names.map((one) => parseFloat(getComputedStyle(one).fontSize)))];
"""
ROWS = "return document.querySelectorAll('#rivals tbody tr').length"
DRAWN = "return document.querySelectorAll('#sample .molecule path, #sample canvas').length"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    schedule = ("--trainer.max_epochs=4", "--recluster.start_epoch=1", "--recluster.every_n_epochs=1")
    text = succeed_here(folder, "fit", *TINY, "--report=true", *schedule, "--tracking.wandb=disabled")
    path = folder / "runs/inn_stems/version_0/report.html"
    assert f"Report: {path.relative_to(folder)}" in text.replace(str(folder) + "/", "")
    return path


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    path = folder / "report.html"
    path.write_text(build_report(made_report(1_000, 100_000, folder, reclusters=20, points=4_000)))
    return path


@pytest.fixture(scope="module", params=["trained", "made"])
def page(request: pytest.FixtureRequest) -> Iterator[Page]:
    with browse(request.getfixturevalue(request.param)) as opened:
        opened.open(1440)
        yield opened


def test_it_is_small_enough(page: Page) -> None:
    assert page.path.stat().st_size < MOST_BYTES


@pytest.mark.parametrize("width", [390, 1440])
def test_every_figure_is_drawn_and_nothing_scrolls_sideways(page: Page, width: int) -> None:
    page.open(width)
    for name in FIGURES:
        values, has_size = page.run(VALUES, name)
        assert values > 0, name
        assert has_size, name
    assert page.run("return document.documentElement.scrollWidth") <= width
    assert page.complaints() == []
    assert page.requests() == []


@pytest.mark.parametrize("width", [390, 1440])
def test_no_text_covers_another(page: Page, width: int) -> None:
    page.open(width)
    texts, found = page.run(OVERLAPS)
    assert texts > 500
    assert found == []


def test_the_answer_comes_first(page: Page) -> None:
    page.open(1440)
    above = page.run(
        "const top = document.querySelector('h1').getBoundingClientRect();"
        "return [top.bottom, document.querySelector('h1').textContent,"
        " [...document.querySelectorAll('.tiles, section')].every((one) => one.getBoundingClientRect().top > top.top)]"
    )
    assert above[0] < 200
    assert "simple baseline: balanced accuracy" in above[1]
    assert above[2]


def test_the_color_bar_is_above_the_names(page: Page) -> None:
    page.open(390)
    for name in ("distances", "matrix"):
        bar, cells = page.run(
            "const place = document.getElementById(arguments[0]);"
            "return ['.colorbar', '.xy .heatmaplayer'].map((one) => place.querySelector(one).getBoundingClientRect())"
            ".map((rect) => [rect.top, rect.bottom])",
            name,
        )
        assert bar[1] <= cells[0] + 1, name
    page.open(1440)


def test_the_names_of_the_matrix_can_be_read(page: Page) -> None:
    size = page.run("return payload.matrix.size.length")
    for width in (390, 1440):
        page.open(width)
        assert page.run(LABELS)[1] >= 10
        page.run("for (const time of [1, 2, 3, 4, 5, 6, 7]) document.getElementById('matrix-in').click()")
        page.wait(f"const [low, high] = {RANGE}; return high - low < 20")
        name = page.run("return payload.classes[payload.matrix.similar[5]]")
        page.run(CHANGE, "matrix-search", name)
        page.wait(f"return document.getElementById('matrix-status').textContent.startsWith({name + ': '!r})")
        shown = "return document.getElementById('matrix').layout.yaxis.ticktext.length"
        # Every class that is in view has its name.
        page.wait(
            f"{shown} >= Math.floor(Math.abs(document.getElementById('matrix').layout.yaxis.range[0] - "
            "document.getElementById('matrix').layout.yaxis.range[1]))"
        )
        page.run("document.getElementById('matrix-all').click()")
        page.wait(f"return {RANGE}[1] === payload.matrix.size.length - 0.5")
    if size <= 73:
        page.wait(f"{shown} === payload.matrix.size.length")


def test_the_matrix_is_that_of_the_predictions(page: Page) -> None:
    page.open(1440)
    found = page.run(
        "const { z } = document.getElementById('matrix').data[0], { matrix } = payload;"
        "return matrix.similar.map((code, row) => [matrix.samples[code],"
        " z[row].reduce((sum, value) => sum + Math.abs(value || 0), 0), z[row][row], payload.hits[code]])"
    )
    for samples, total, diagonal, hits in found:
        assert total == pytest.approx(1 if samples else 0)
        assert (diagonal or 0) == pytest.approx(hits / max(samples, 1))
    first = "return document.getElementById('matrix').layout.yaxis.ticktext[0]"
    page.run(
        "const order = document.getElementById('matrix-order'); order.value = 'size';"
        "order.dispatchEvent(new Event('change'))"
    )
    page.wait(f"return (() => {{ {first} }})() === plainText(className(payload.matrix.size[0])).slice(0, 24)", most=10)
    assert page.complaints() == []


def test_the_table_of_classes_is_sorted_searched_and_saved(page: Page) -> None:
    page.open(1440)
    rows = "return [...document.querySelectorAll('#class-table tbody tr')]"
    cells = f"{rows}.map((row) => row.cells[arguments[0]].textContent)"
    scores = [float(cell) for cell in page.run(cells, 4)]
    assert scores == sorted(scores)
    page.run("document.querySelectorAll('#class-table th button')[6].click()")
    counts = [int(cell.replace(",", "")) for cell in page.run(cells, 6)]
    assert counts == sorted(counts, reverse=True)
    name = page.run("return payload.classes[7]")
    assert page.run(CHANGE, "class-table-search", name) < 2_000
    assert page.run(cells, 0) == [name]
    (row,) = page.run(
        "return [[...document.querySelectorAll('#class-table tbody td')].map((cell) => cell.textContent)]"
    )
    page.run("[...document.querySelectorAll('#class-table button')].at(-1).click()")
    file = page.path.parent / "classes.csv"
    end = time.monotonic() + 20
    while not file.is_file():
        assert time.monotonic() < end
        time.sleep(0.05)
    saved = polars.read_csv(file)
    # The search leaves the file whole.
    assert saved["Class"].to_list() == page.run("return payload.classes")
    own = saved.row(7, named=True)
    shown = [float(text) for text in re.findall(r"\d\.\d\d", " ".join([row[1], row[2], row[4]]))]
    names = ("Recall", "Recall, lower bound", "Recall, upper bound", "F1")
    assert shown == pytest.approx([own[name] for name in names], abs=0.0051)
    assert [f"{own[name]:,}" for name in ("Test samples", "Training samples")] == row[5:7]
    file.unlink()


def test_smiles_are_copied(page: Page) -> None:
    page.open(1440)
    buttons = "return document.querySelectorAll('#sample .copy, .pair .copy').length"
    assert page.run(buttons) == 1 + page.run("return document.querySelectorAll('.pair figure').length")
    # Without the clipboard of the system, as in some browsers for files.
    page.run(
        "document.addEventListener('copy', () => { window.copied = document.activeElement.value; });"
        "navigator.clipboard.writeText = () => Promise.reject();"
    )
    # A browser copies for a user, not for a script.
    page.driver.find_element("css selector", "#sample .copy").click()
    page.wait("return Boolean(window.copied)", most=10)
    smiles = page.run("return window.copied")
    assert smiles == page.run("return document.querySelector('#sample .copy').title")
    assert Chem.MolFromSmiles(smiles) is not None
    page.wait("return document.querySelector('#sample .copy').textContent === 'Copied'", most=10)
    page.run(
        "navigator.clipboard.writeText = (text) => { window.written = text; return Promise.resolve(); };"
        "document.querySelector('.pair .copy').click()"
    )
    page.wait("return window.written === document.querySelector('.pair .copy').title", most=10)


def test_the_slider_changes_matrix_and_table(page: Page) -> None:
    page.run("document.getElementById('recluster').value = document.getElementById('recluster').max")
    matrix = "return JSON.stringify(document.getElementById('distances').data[0].z)"
    before = page.run(matrix), page.run("return document.querySelector('#rivals tbody').textContent")
    assert page.run(CHANGE, "recluster", "0") < 2_000
    page.wait(f"return (() => {{ {matrix} }})() !== {before[0]!r}")
    assert page.run("return document.querySelector('#rivals tbody').textContent") != before[1]
    assert "(1 of" in page.run("return document.getElementById('recluster-status').textContent")


def test_search_finds_a_class(page: Page) -> None:
    name = page.run("return payload.classes[5]")
    assert page.run(CHANGE, "rivals-search", name) < 2_000
    rows = page.run("return [...document.querySelectorAll('#rivals tbody tr')].map((row) => row.textContent)")
    assert rows
    assert all(name in row for row in rows)
    page.run(CHANGE, "rivals-search", "")
    assert page.run(ROWS) == 50
    page.run("[...document.querySelectorAll('#rivals button')].at(-1).click()")
    assert page.run(ROWS) == page.run("return payload.classes.length")


def test_sorting_by_a_column(page: Page) -> None:
    page.run("document.querySelectorAll('#rivals th button')[4].click()")
    cells = page.run("return [...document.querySelectorAll('#rivals tbody tr')].map((row) => row.cells[4].textContent)")
    counts = [int(cell.replace(",", "")) for cell in cells]
    assert counts == sorted(counts, reverse=True)


def test_hovering_and_clicking_draw_a_molecule(page: Page) -> None:
    from selenium.webdriver.common.action_chains import ActionChains

    page.run("document.getElementById('sample').replaceChildren()")
    place = page.driver.find_element("css selector", "#map .scatterlayer .trace:nth-child(2) .point")
    page.run("arguments[0].scrollIntoView({block: 'center'})", place)
    ActionChains(page.driver).move_to_element(place).perform()
    page.wait(DRAWN, most=10)
    text = page.run("return document.getElementById('sample').textContent")
    assert all(word in text for word in ("Class", "Predicted", "Probability", "Split"))
    page.run("document.getElementById('sample').replaceChildren()")
    ActionChains(page.driver).move_to_element(place).move_by_offset(1, 0).click().perform()
    page.wait(DRAWN, most=10)


def test_the_keyboard_walks_through_a_highlighted_class(page: Page) -> None:
    assert page.run(CHANGE, "map-search", page.run("return payload.classes[0]")) < 2_000
    selected = page.run("return document.getElementById('map').data.map((trace) => trace.selectedpoints.length)")
    page.run("document.getElementById('next-sample').focus(); document.getElementById('next-sample').click()")
    assert page.run("return document.querySelector('#sample dd').textContent") == page.run("return payload.classes[0]")
    assert sum(selected) == page.run("return payload.map.classes.filter((code) => code === 0).length")
    page.run(CHANGE, "map-search", "")


def test_confusions_show_molecules_beside_each_other(page: Page) -> None:
    pairs = page.run("return [...document.querySelectorAll('.pair')].map((one) => one.querySelectorAll('svg').length)")
    assert pairs
    assert set(pairs) == {2}
    cards = "return document.querySelectorAll('.card').length"
    before = page.run(cards)
    page.run("document.getElementById('more-confusions').click()")
    assert page.run(cards) > before


def test_names_are_text_and_every_control_has_a_label(page: Page) -> None:
    assert page.run("return document.querySelectorAll('td b, h3 b, dd b').length") == 0
    unnamed = "return [...document.querySelectorAll('input, select')].filter((one) => !one.labels.length).length"
    assert page.run(unnamed) == 0


def test_dark_colors_follow_the_system(page: Page) -> None:
    feature = {"features": [{"name": "prefers-color-scheme", "value": "dark"}]}
    page.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", feature)
    color = "return document.getElementById('counts').layout.font.color"
    page.wait(f"return (() => {{ {color} }})() === '#e8ecf1'", most=10)
    page.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
