"""Intervals where samples have several rows."""

from __future__ import annotations

import numpy
import pytest

from modules.evaluation.group_names import Group
from reports.analysis.intervals import FEWEST, accuracy_differences, paired_interval


def test_the_interval_of_samples_of_unequal_size_is_that_of_a_loop() -> None:
    generator = numpy.random.default_rng(8)
    samples = numpy.repeat(numpy.arange(60), generator.integers(1, 6, 60))
    codes = (samples >= 40).astype(int)
    # Rows of a sample are mostly alike.
    right = generator.random(60)[samples] + 0.1 * generator.normal(size=len(samples)) < 0.7
    other = generator.random(60)[samples] + 0.1 * generator.normal(size=len(samples)) < 0.5
    found = paired_interval(codes, right, other, numpy.ones(2, dtype=bool), samples=samples)
    gains, rows = (numpy.bincount(samples, values) for values in (right.astype(float) - other, numpy.ones(len(codes))))
    members, values = (numpy.arange(40), numpy.arange(40, 60)), []
    for _ in range(4_000):
        recalls = []
        for own in members:
            hits = total = 0.0
            for _ in own:
                if generator.random() < 1 / (len(own) + 1):
                    # The outcome of a row of any sample, on as many rows as samples of the class have.
                    sample = generator.choice(members[generator.integers(2)])
                    row = generator.choice(numpy.flatnonzero(samples == sample))
                    hits += rows[own].mean() * (float(right[row]) - other[row])
                    total += rows[own].mean()
                else:
                    sample = generator.choice(own)
                    hits, total = hits + gains[sample], total + rows[sample]
            recalls.append(hits / total)
        values.append(numpy.mean(recalls))
    observed = numpy.mean([gains[own].sum() / rows[own].sum() for own in members])
    expected = numpy.quantile(values, (0.025, 0.975)) + observed - numpy.mean(values)
    assert found == pytest.approx(tuple(expected), abs=0.03)


def test_the_rows_of_a_class_do_not_weigh_in_others() -> None:
    generator = numpy.random.default_rng(2)
    codes = numpy.repeat([0, 1, 2, 3, 4], [200, 200, 200, 200, 600])
    right = (generator.random(len(codes)) < 0.9) & (codes < 4)
    few = numpy.concatenate([numpy.arange(800), 800 + numpy.repeat([0, 1, 2], 200)])
    once = numpy.concatenate([numpy.arange(800), [800, 1_000, 1_200]])
    counted, nothing = numpy.ones(5, dtype=bool), numpy.zeros(len(codes), dtype=bool)
    several = paired_interval(codes, right, nothing, counted, samples=few)
    single = paired_interval(codes[once], right[once], nothing[once], counted)
    assert several == pytest.approx(single, abs=0.02)


def test_five_samples_with_many_rows_make_no_clear_difference() -> None:
    codes = numpy.repeat([0, 1], 60)
    samples = numpy.arange(120) // 3
    other = numpy.where(samples < FEWEST - 1, 1, codes)
    counted, sizes = numpy.ones(2, dtype=bool), numpy.array([60, 60])
    groups: tuple[Group, ...] = ("head", "tail")
    apart = accuracy_differences(codes, codes, other, counted, sizes, groups)
    together = accuracy_differences(codes, codes, other, counted, sizes, groups, samples)
    assert apart["balanced_accuracy"].is_clear
    assert not any(one.is_clear for one in together.values())
