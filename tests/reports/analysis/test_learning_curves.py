from __future__ import annotations

from pathlib import Path

import numpy
import plotly.graph_objects
import pytest

from reports.analysis.learning_curves import LOSS, LearningCurve, read_curve
from reports.figures.learning_figure import accuracy_figure, loss_figure

BALANCED, TAIL = "val/balanced_accuracy", "val/tail_accuracy"


def test_epochs_are_joined_and_a_repeated_one_counts_once(tmp_path: Path) -> None:
    lines = ["epoch,train/loss,val/balanced_accuracy,val/tail_accuracy", "0,,0.2,", "0,3,,", "1,,0.4,0.1", "1,2,,"]
    # The run was resumed in epoch 1.
    lines += ["1,,0.5,0.2", "1,1.5,,", "2,,0.45,0.3"]
    (tmp_path / "metrics.csv").write_text("\n".join(lines) + "\n")
    curve = read_curve(tmp_path / "metrics.csv", 1)
    assert curve is not None
    found = {name: (epochs.tolist(), values.tolist()) for name, (epochs, values) in curve.values.items()}
    assert found == {
        LOSS: ([0, 1], [3, 1.5]),
        BALANCED: ([0, 1, 2], [0.2, 0.5, 0.45]),
        TAIL: ([1, 2], [0.2, 0.3]),
    }
    assert curve.at_kept(BALANCED) == 0.5
    assert curve.at_kept("val/head_accuracy") is None


def test_one_epoch_or_no_file_is_no_curve(tmp_path: Path) -> None:
    assert read_curve(tmp_path / "metrics.csv", 0) is None
    (tmp_path / "metrics.csv").write_text("epoch,train/loss\n0,1\n")
    assert read_curve(tmp_path / "metrics.csv", 0) is None


def test_many_epochs_are_thinned_out_but_not_the_kept_one(tmp_path: Path) -> None:
    lines = [f"{epoch},{1 / (epoch + 1)}" for epoch in range(4_321)]
    (tmp_path / "metrics.csv").write_text("\n".join(["epoch,train/loss", *lines]) + "\n")
    curve = read_curve(tmp_path / "metrics.csv", 1_234)
    assert curve is not None
    epochs, _ = curve.values[LOSS]
    assert len(epochs) <= 501
    assert {0, 1_234, 4_320} <= set(epochs.tolist())
    assert (numpy.diff(epochs) > 0).all()
    assert curve.at_kept(LOSS) == pytest.approx(1 / 1_235)


def test_members_have_a_line_each_and_their_stars() -> None:
    epochs = numpy.arange(3)
    curves = [
        LearningCurve({LOSS: (epochs, 3.0 - epochs), BALANCED: (epochs, epochs / 4), TAIL: (epochs, epochs / 8)}, kept)
        for kept in (1, 2)
    ]
    for one in (loss_figure(curves), accuracy_figure(curves)):
        assert plotly.graph_objects.Figure(one).data
        assert len(one["data"]) == 3
        assert one["data"][-1]["x"] == [1, 2]
    assert accuracy_figure(curves)["data"][-1]["y"] == [0.25, 0.5]
    # Of a single training also the groups that were logged.
    assert [trace["name"] for trace in accuracy_figure(curves[:1])["data"]] == ["balanced", "tail", "kept epoch"]
