from __future__ import annotations

import numpy

from reports.analysis.label_errors import LabelError, find_errors


def test_the_surest_errors_come_first_one_a_sample() -> None:
    labels = numpy.array([[0, 0, 0], [1, 1, 0], [-1, 0, 1], [0, 0, 0], [1, 1, 1]])
    probabilities = numpy.array([[0.9, 0.8, 0.99], [0.2, 0.1, 0.9], [0.9, 0.95, 0.3], [0.9, 0.1, 0.1], [0.1, 0.9, 0.0]])
    predicted, seen = probabilities > 0.5, numpy.array([True, True, False])
    alarms, misses = find_errors(labels, predicted, probabilities, seen, numpy.array([0, 1, 2, 0, 4]))
    # The first and the fourth row are the same sample; what is not known is no error, nor is the third label.
    assert alarms == [LabelError(2, 1, 0.95, False), LabelError(0, 0, 0.9, False)]
    assert misses == [LabelError(1, 1, 0.1, True), LabelError(4, 0, 0.1, True)]
    assert find_errors(labels, predicted, probabilities, seen, numpy.arange(5), most=1)[0] == alarms[:1]
    assert find_errors(labels, labels == 1, probabilities, seen, numpy.arange(5)) == ([], [])
