"""Reports and comparisons with long names, in a browser: nothing covers a text, and numbers stay in view."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy
import polars
import pytest

from reports.compared_runs import compare_runs
from reports.run_comparison import build_comparison
from reports.run_report import build_report
from tests.reports.browser import OVERLAPS, browse, needs_browser
from tests.reports.made_run import made_report, made_run

pytestmark = [pytest.mark.slow, needs_browser]

# Whether a cell of the first row of a table is in view as a whole.
IN_VIEW = """
const [id, column] = arguments, place = document.querySelector(`#${id} .scroll`).getBoundingClientRect();
const cell = document.querySelector(`#${id} tbody tr`).cells[column].getBoundingClientRect();
return cell.left >= place.left && cell.right <= place.right + 1;
"""


def test_long_names_cover_nothing_and_cut_no_table(tmp_path: Path) -> None:
    data = made_report(40, 3_000, tmp_path, points=200)
    names = tuple(f"{name} of antineoplastic-and-immunomodulating agents" for name in data.scores.names)
    path = tmp_path / "report.html"
    path.write_text(build_report(replace(data, scores=replace(data.scores, names=names))))
    with browse(path) as opened:
        for width in (390, 1440):
            opened.open(width)
            assert opened.run("return document.documentElement.scrollWidth") <= width
            # The numbers of a row are in view beside its name.
            assert opened.run(IN_VIEW, "class-table", 1)
            assert opened.run(IN_VIEW, "rivals", 2)
            assert opened.run(OVERLAPS)[1] == []


def test_the_buttons_of_a_figure_are_above_its_legend(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text(build_report(made_report(30, 2_000, tmp_path, points=200)))
    with browse(path) as page:
        page.open(1440)
        bottoms, tops = page.run(
            "const edges = (part, side) => [...document.querySelectorAll(`.plot.buttons:has(.legend) ${part}`)]"
            ".map((one) => one.getBoundingClientRect()[side]);"
            "return [edges('.modebar', 'bottom'), edges('.legend', 'top')]"
        )
    assert len(bottoms) == len(tops) > 2
    assert all(bottom <= top for bottom, top in zip(bottoms, tops, strict=True))


def test_a_comparison_shows_its_numbers_at_both_widths(tmp_path: Path) -> None:
    labels = [code for code in range(30) for _ in range(1 + 60 // (code + 1))]
    runs = []
    for place, wrong in enumerate((3, 40, 5)):
        run = made_run(
            numpy.arange(30, 0, -1), tmp_path / f"{'deep_folder' * 8}/a-rather-long-name-of-a-run-{place}/version_0", 3
        )
        names = run.task.classes
        predicted = [(code + 1) % 30 if number % wrong == 0 else code for number, code in enumerate(labels)]
        columns: dict[str, Any] = {
            "row": range(len(labels)),
            "true_label": [names[code] for code in labels],
            "predicted_label": [names[code] for code in predicted],
        }
        hits = [
            [one == code for one, true in zip(predicted, labels, strict=True) if true == code] for code in range(30)
        ]
        recalls = {f"test/recall/{name}": sum(own) / len(own) for name, own in zip(names, hits, strict=True)}
        metrics: dict[str, float | None] = {
            "test/balanced_accuracy": sum(recalls.values()) / 30,
            "test/auroc": 0.9,
            **recalls,
        }
        runs.append(replace(run, predictions=polars.DataFrame(columns), metrics=metrics))
    path = tmp_path / "comparison.html"
    path.write_text(build_comparison(compare_runs(runs)))
    with browse(path) as page:
        for width in (390, 1440):
            page.open(width)
            assert page.run("return document.documentElement.scrollWidth") <= width
            assert page.run(OVERLAPS)[1] == []
            assert page.run(IN_VIEW, "recalls", 1)
            cells = page.run(
                "const table = document.querySelector('.figures'), place = table.parentElement.getBoundingClientRect();"
                "return [...table.querySelectorAll('tbody td')].map((one) => one.getBoundingClientRect())"
                ".map((rect) => rect.left >= place.left - 1 && rect.right <= place.right + 1)"
            )
            assert len(cells) >= 8
            assert all(cells)
            assert page.complaints() == []
        bold = page.run("return [...document.querySelectorAll('.best')].map((one) => one.dataset.title)")
        assert bold == ["a-rather-long-name-of-a-run-1/version_0"]
        assert "is better than" in page.run("return document.querySelector('h1').textContent")
