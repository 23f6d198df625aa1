from __future__ import annotations

from pathlib import Path

import numpy
import plotly.graph_objects
import pytest

from reports.figures import confusion_figure as figures
from reports.figures.confusion_figure import confusion_cells, confusion_figure
from reports.report_data import ReportData
from reports.run_description import matrix_text
from tests.reports.made_run import made_report


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> ReportData:
    return made_report(12, 900, tmp_path_factory.mktemp("small"), points=120)


def test_the_cells_are_the_confusion_matrix(small: ReportData) -> None:
    found = confusion_cells(small.test, small.scores, small.similar)
    matrix, expected = numpy.zeros((2, 12, 12), dtype=int)
    for true, predicted, count in numpy.array(found["cells"]).reshape(-1, 3):
        matrix[true, predicted] += count
    for true, predicted in zip(small.test.codes, small.test.predicted, strict=True):
        expected[true, predicted] += 1
    assert matrix.tolist() == expected.tolist()
    assert found["samples"] == expected.sum(axis=1).tolist()
    assert sorted(found["similar"]) == sorted(found["size"]) == list(range(12))
    sizes = small.scores.training[found["size"]]
    assert (numpy.diff(sizes) <= 0).all()
    assert plotly.graph_objects.Figure(confusion_figure()).data


def test_of_too_many_classes_those_with_the_most_errors_are_shown(
    small: ReportData, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(figures, "CLASSES_SHOWN", 3)
    found = confusion_cells(small.test, small.scores, small.similar)
    wrong = small.test.codes != small.test.predicted
    both = numpy.concatenate([small.test.codes[wrong], small.test.predicted[wrong]])
    errors = numpy.bincount(both, minlength=12)
    assert len(found["similar"]) == 3
    assert errors[found["similar"]].min() >= numpy.sort(errors)[-3]
    cells = numpy.array(found["cells"]).reshape(-1, 3)
    assert set(cells[:, :2].ravel()) <= set(found["size"])


def test_the_text_says_how_the_matrix_is_bounded(tmp_path: Path, small: ReportData) -> None:
    assert "limited" not in matrix_text(small)
    assert "limited to the 1,000 of 1,001 classes with the most errors" in matrix_text(
        made_report(1_001, 9_000, tmp_path)
    )
