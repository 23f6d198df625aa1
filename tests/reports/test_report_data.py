"""What a report is made of."""

from __future__ import annotations

from dataclasses import replace

import numpy
import pytest

from reports.report_data import ReportData, assemble
from reports.run_report import report_figures
from reports.samples.sample_texts import SampleText, SampleTexts
from tests.reports.made_run import made_report


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> ReportData:
    return made_report(12, 900, tmp_path_factory.mktemp("small"), points=120)


def some_texts(places: list[int]) -> SampleTexts:
    return dict.fromkeys(places, SampleText("a", [], "C"))


def test_classes_without_training_samples_are_in_no_number(small: ReportData) -> None:
    counts = small.scores.training.copy()
    counts[-1] = 0
    run = replace(small.run, task=replace(small.run.task, class_counts=tuple(counts.tolist())))
    unseen = small.test.codes == len(counts) - 1
    # All samples of the class are mistaken with confidence, as a model must do that never saw it.
    test = replace(
        small.test,
        predicted=numpy.where(unseen, 0, small.test.codes),
        confidence=numpy.where(unseen, 0.95, 0.5).astype(numpy.float32),
    )
    test.predicted[0] = 1 - test.codes[0]
    texts = {"train": some_texts, "test": some_texts}
    data = assemble(run, small.training, test, small.scores.groups, small.split_sizes, small.table_size, texts)
    ((confusion, examples),) = data.confusions
    assert (confusion.true, confusion.predicted) == (test.codes[0], 1 - test.codes[0])
    assert [example.test for example in examples] == [0]
    # One mistake costs a share of its class, in the mean of the eleven classes that training saw.
    assert confusion.cost == pytest.approx(1 / (test.codes == test.codes[0]).sum() / 11)
    assert 1 - confusion.cost == pytest.approx(data.accuracies["balanced_accuracy"].value)
    lines = [one for one in report_figures(data)["reliability"]["data"] if one["name"] != "ideal"]
    assert {probability for line in lines for probability in line["x"]} == {0.5}
