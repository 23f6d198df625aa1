"""The settings of training stages."""

from __future__ import annotations

from typing import Any

import pytest

from modules.losses.classification.class_weighting import InverseFrequency
from modules.training.distillation import Distillation
from modules.training.stages import Stage, check_order, stage_at


def test_an_epoch_belongs_to_the_last_stage_that_has_begun() -> None:
    stages = [Stage(2), Stage(5)]
    assert [stage_at(stages, epoch) for epoch in range(7)] == [None, None, 0, 0, 0, 1, 1]
    assert stage_at([], 3) is None


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"start_epoch": -1}, r"stages\.start_epoch: expected 0 or more, got -1"),
        (
            {"frozen": ["encoder"], "reset": ["encoder"]},
            r"stages\.frozen, stages\.reset: expected different parts, got encoder in",
        ),
        ({"distillation": Distillation()}, r"stages\.start_epoch: expected 1 or more for distillation .*, got 0"),
    ],
    ids=["negative_epoch", "frozen_and_reset", "distillation_from_the_first_epoch_on"],
)
def test_invalid_settings_are_named(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Stage(**settings)


def test_a_teacher_from_a_file_may_teach_from_the_first_epoch_on() -> None:
    assert Stage(0, distillation=Distillation(teacher="trained.ckpt")).start_epoch == 0


def test_stages_must_begin_one_after_another() -> None:
    check_order([Stage(0), Stage(3)])
    for epochs in ((3, 3), (5, 3)):
        with pytest.raises(ValueError, match=r"stages\.start_epoch: expected increasing epochs, got"):
            check_order([Stage(epoch) for epoch in epochs])


def test_the_description_names_what_changes() -> None:
    stage = Stage(1, frozen=["encoder"], reset=["classifier"], weighting=InverseFrequency())
    assert stage.description == "encoder frozen, classifier reset, weighting InverseFrequency"
    assert stage.restarts
    assert not Stage(1, weighting=InverseFrequency()).restarts
