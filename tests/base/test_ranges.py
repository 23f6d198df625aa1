"""Ranges of numeric settings."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy
import pytest

from base.errors import InputError
from base.ranges import check_positive, check_range, check_seed, check_sizes, check_whole


@pytest.mark.parametrize(
    "check",
    [
        lambda: check_range("n", 0.0, 0),
        lambda: check_range("n", 1.0, 0, highest=1),
        lambda: check_range("n", -1e300, -math.inf),
        lambda: check_positive("n", 1e-30),
        lambda: check_whole("n", 1, 1),
        lambda: check_whole("n", numpy.int64(3), 1, 3),  # type: ignore[arg-type]
        lambda: check_whole("n", None, 1, optional=True),
        lambda: check_seed("n", 0),
        lambda: check_seed("n", 2**32 - 1),
        lambda: check_sizes("n", None),
        lambda: check_sizes("n", [1, 2]),
    ],
)
def test_what_is_in_range_passes(check: Callable[[], None]) -> None:
    check()


@pytest.mark.parametrize(
    ("check", "sentence"),
    [
        (lambda: check_range("n", -0.1, 0), "n: expected a finite number of 0 or more, got -0.1."),
        (lambda: check_range("n", math.inf, 0), "n: expected a finite number of 0 or more, got inf."),
        (lambda: check_range("n", math.nan, 0), "n: expected a finite number of 0 or more, got nan."),
        (lambda: check_range("n", math.nan, -math.inf), "n: expected a finite number, got nan."),
        (lambda: check_range("n", -math.inf, -math.inf), "n: expected a finite number, got -inf."),
        (lambda: check_range("n", 1.0, 0, below=1), "n: expected a number from 0 to below 1, got 1.0."),
        (lambda: check_range("n", 1.1, -1, highest=1), "n: expected a number from -1 to 1, got 1.1."),
        (lambda: check_positive("n", 0.0), "n: expected a positive finite number, got 0.0."),
        (lambda: check_positive("n", 1e-40), "n: expected a positive finite number, got 1e-40."),
        (lambda: check_positive("n", math.nan), "n: expected a positive finite number, got nan."),
        (lambda: check_positive("n", math.inf), "n: expected a positive finite number, got inf."),
        (lambda: check_whole("n", 0, 1), "n: expected 1 or more, got 0."),
        (lambda: check_whole("n", 0, 1, optional=True), "n: expected 1 or more, or null, got 0."),
        (lambda: check_whole("n", None, 1), "n: expected an integer of 1 or more, got None."),
        (lambda: check_whole("n", 2.5, 1), "n: expected an integer of 1 or more, got 2.5."),  # type: ignore[arg-type]
        (lambda: check_whole("n", 4, 1, 3), "n: expected an integer from 1 to 3, got 4."),
        (lambda: check_seed("n", -1), "n: expected an integer from 0 to 4294967295, got -1."),
        (lambda: check_seed("n", 2**32), "n: expected an integer from 0 to 4294967295, got 4294967296."),
        (lambda: check_sizes("n", [4, 0]), "n: expected sizes of 1 or more, got [4, 0]."),
    ],
)
def test_what_is_out_of_range_gets_one_sentence(check: Callable[[], None], sentence: str) -> None:
    with pytest.raises(InputError) as caught:
        check()
    assert str(caught.value) == sentence
