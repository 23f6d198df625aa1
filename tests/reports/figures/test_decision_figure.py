"""The figure of head against tail."""

from __future__ import annotations

import math
from dataclasses import replace

from reports.figures.decision_figure import NAMES, decision_figure
from tests.reports.made_run import made_curve


def test_lines_and_points_are_those_of_the_curve() -> None:
    curve = made_curve()
    traces = decision_figure(curve)["data"]
    assert [trace["name"] for trace in traces] == ["tail accuracy", "balanced accuracy", *NAMES.values()]
    assert traces[0]["x"] == traces[1]["x"] == [round(point.head, 4) for point in curve.strengths]
    assert traces[0]["y"] == [round(point.tail, 4) for point in curve.strengths]
    assert traces[1]["y"] == [round(point.balanced, 4) for point in curve.strengths]
    assert traces[0]["text"][3] == "strength 0.3 of the training prior"
    for trace, point in zip(traces[2:], curve.points, strict=True):
        assert trace["x"] == [round(point.head, 4)] * 2
        assert trace["y"] == [round(point.tail, 4), round(point.balanced, 4)]
    assert len({trace["marker"]["symbol"] for trace in traces[2:]}) == len(NAMES)


def test_a_tail_without_samples_is_left_out() -> None:
    curve = made_curve()
    strengths, points = (tuple(replace(one, tail=math.nan) for one in own) for own in (curve.strengths, curve.points))
    traces = decision_figure(replace(curve, strengths=strengths, points=points))["data"]
    assert [trace["name"] for trace in traces] == ["balanced accuracy", *NAMES.values()]
    assert all(len(trace["y"]) == 1 for trace in traces[1:])
