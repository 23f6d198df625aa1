from __future__ import annotations

import pytest

from workflows.settings.errors import reword_range


@pytest.mark.parametrize(
    ("message", "sentence"),
    [
        ("model.top: expected 1 or more, got 0.", "model.top: expected 1 or more, got 0."),
        ("Errors:\n  - model.top: expected 1, got 0.\n  - Expected a null\n", "model.top: expected 1, got 0."),
        ("Too\nmany layers.", "settings: Too many layers."),
    ],
)
def test_an_error_of_a_class_becomes_one_sentence(message: str, sentence: str) -> None:
    assert reword_range(message) == sentence
