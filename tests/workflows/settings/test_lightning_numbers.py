"""What is checked of the settings of Lightning's trainer beside the range of numbers."""

from __future__ import annotations

import inspect

import pytest
from lightning.pytorch import Trainer

from base.errors import InputError
from workflows.settings.lightning_numbers import check_trainer_numbers

DEFAULTS = {name: one.default for name, one in inspect.signature(Trainer).parameters.items()}


@pytest.mark.parametrize("precision", [None, 32, "32", "32-true", 16, "16", "16-mixed", "bf16", "bf16-mixed"])
def test_precisions_that_leave_the_inputs_as_they_are_are_accepted(precision: int | str | None) -> None:
    check_trainer_numbers({**DEFAULTS, "precision": precision})


@pytest.mark.parametrize("precision", [64, "64", "64-true", "16-true", "bf16-true", "transformer-engine"])
def test_precisions_that_convert_the_inputs_are_refused(precision: int | str) -> None:
    message = rf"^trainer\.precision: expected 32-true, bf16-mixed or 16-mixed, got {precision}\.$"
    with pytest.raises(InputError, match=message):
        check_trainer_numbers({**DEFAULTS, "precision": precision})
