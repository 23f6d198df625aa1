"""Which arguments of the schedule follow the number of epochs."""

from __future__ import annotations

from typing import Any

import pytest

from base.errors import InputError
from workflows.search_trial import SettingsCheck
from workflows.settings.epoch_shares import check_epoch_shares, epoch_shares, with_epoch_shares


def with_arguments(**arguments: Any) -> dict[str, Any]:
    return {"model": {"lr_scheduler": {"class_path": "Schedule", "init_args": arguments}}, "trainer": {"x": 1}}


def test_references_are_shares_and_everything_else_is_not() -> None:
    settings = with_arguments(
        whole="${trainer.max_epochs}",
        half="${share:${trainer.max_epochs},0.5}",
        spaced="${share: ${trainer.max_epochs} , 0.25 }",
        number=20,
        other="${data.batch_size}",
        inner="x${trainer.max_epochs}",
        nested="${share:${share:${trainer.max_epochs},0.5},0.5}",
    )
    assert epoch_shares(settings) == {"whole": 1.0, "half": 0.5, "spaced": 0.25}


def test_without_arguments_there_are_no_shares() -> None:
    for schedule in (None, "ExponentialLR", {"class_path": "Schedule"}):
        assert epoch_shares({"model": {"lr_scheduler": schedule}}) == {}
    assert epoch_shares({}) == {}


def test_shares_survive_a_checkpoint_and_name_no_argument_that_is_not_there() -> None:
    saved = with_arguments(T_max=20, eta_min=0.0)
    linked = with_epoch_shares(saved, {"T_max": 0.5, "__class__": 1.0})
    assert epoch_shares(linked) == {"T_max": 0.5}
    arguments = linked["model"]["lr_scheduler"]["init_args"]
    assert arguments == {"T_max": "${share:${trainer.max_epochs},0.500000}", "eta_min": 0.0}
    assert saved == with_arguments(T_max=20, eta_min=0.0)
    assert with_epoch_shares(saved, {}) == saved


@pytest.mark.parametrize("epochs", [-1, 0, None])
@pytest.mark.parametrize("value", ["${trainer.max_epochs}", "${share:${trainer.max_epochs},0.5}"])
def test_a_share_needs_a_number_of_epochs(value: str, epochs: int | None) -> None:
    got = "null" if epochs is None else epochs
    message = rf"trainer\.max_epochs: expected 1 or more with model\.lr_scheduler\.init_args\.T_max, .* got {got};"
    with pytest.raises(InputError, match=message):
        check_epoch_shares(with_arguments(T_max=value), epochs)
    check_epoch_shares(with_arguments(T_max=value), 1)
    check_epoch_shares(with_arguments(T_max=20), epochs)
    check_epoch_shares({"model": {"lr_scheduler": None}}, epochs)


def test_training_without_a_number_of_epochs_needs_a_schedule_of_its_own() -> None:
    with pytest.raises(InputError, match=r"trainer\.max_epochs: expected 1 or more with .*T_max, .* got -1;"):
        SettingsCheck(["--trainer.max_epochs=-1"])
    for schedule in ("--model.lr_scheduler=null", "--model.lr_scheduler.init_args.T_max=9"):
        assert SettingsCheck(["--trainer.max_epochs=-1", schedule]).config.trainer.max_epochs == -1
