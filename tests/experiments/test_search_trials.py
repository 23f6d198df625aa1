"""The objective of a search, with runs that only log values."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import optuna
import pytest
from lightning.pytorch import Callback

from base.errors import InputError
from experiments.search_results import ERROR, SETTINGS
from experiments.search_space import Parameter, SearchSpace
from experiments.search_trials import Objective, SearchStoppedError, StopBetweenSteps, check_settings
from workflows.settings.command_line import split_command_line

SPACE = SearchSpace("small", "random", "val/score", True, (Parameter("x", (1, 2)),), None, ("--config=a.yaml",), "")


class LoggedRun:
    """A run that calls a function in place of training."""

    resolved_settings: dict[str, Any] = {"model": {"x": 1}}  # noqa: RUF012

    def __init__(self, train: Callable[[], Mapping[str, Any]]) -> None:
        self.fit = train


def objective(train: Callable[[], Mapping[str, Any]], stopping: StopBetweenSteps | None = None) -> Objective:
    """An objective whose runs call a function in place of training."""

    def make_run(arguments: list[str], callbacks: list[Callback]) -> LoggedRun:
        return LoggedRun(train)

    return Objective(SPACE, [], Path(), 0, make_run, stopping or StopBetweenSteps())


def test_the_value_of_a_trial_is_the_best_reported_one() -> None:
    study = optuna.create_study(direction="maximize")
    trial = study.ask()

    def train() -> Mapping[str, Any]:
        for step, value in enumerate((0.2, 0.7, 0.4)):
            trial.report(value, step)
        return {"val/score": 0.4}

    assert objective(train)(trial) == 0.7
    assert trial.user_attrs[SETTINGS] == LoggedRun.resolved_settings


@pytest.mark.parametrize(("values", "best"), [([math.nan, 0.2, 0.7], 0.7), ([math.nan, math.nan], None)])
def test_a_metric_that_does_not_exist_has_no_value(values: list[float], best: float | None) -> None:
    trial = optuna.create_study(direction="maximize").ask()

    def train() -> Mapping[str, Any]:
        for step, value in enumerate(values):
            trial.report(value, step)
        return {}

    if best is not None:
        assert objective(train)(trial) == best
        return
    with pytest.raises(
        InputError, match=r"metric that exists on the validation samples, got 'val/score', which is NaN"
    ):
        objective(train)(trial)


def test_the_trials_of_a_search_are_a_group_unless_the_user_names_another(tmp_path: Path) -> None:
    found = []

    def make_run(arguments: list[str], callbacks: list[Callback]) -> LoggedRun:
        found.append(split_command_line(arguments).value("tracking.group"))
        return LoggedRun(lambda: {})

    for further in ([], ["--tracking.group=mine"]):
        trial = optuna.create_study().ask()
        with pytest.raises(InputError):
            Objective(SPACE, further, tmp_path / "nightly", 0, make_run)(trial)
    assert found == ["nightly", "mine"]


def test_a_metric_that_is_not_logged_is_named(caplog: pytest.LogCaptureFixture) -> None:
    trial = optuna.create_study().ask()
    sentence = r"metric.name: expected one of val/a, val/b, got 'val/score'\."
    with pytest.raises(InputError, match=sentence):
        objective(lambda: {"val/b": 1, "train/loss": 2, "val/a": 3})(trial)
    assert trial.user_attrs[ERROR].startswith("metric.name: ")
    (record,) = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert record.exc_info is None


@pytest.mark.parametrize("error", [SearchStoppedError(), SystemExit(1), OSError("half a file")], ids=repr)
def test_a_trial_that_ends_after_the_search_was_asked_to_stop_is_interrupted(error: BaseException) -> None:
    stopping, trial = StopBetweenSteps(), optuna.create_study().ask()

    def train() -> Mapping[str, Any]:
        stopping.asked = True
        raise error

    with pytest.raises(KeyboardInterrupt):
        objective(train, stopping)(trial)
    assert trial.user_attrs[ERROR] == "interrupted"


def test_training_stops_after_the_step_in_which_it_was_asked_to() -> None:
    stopping = StopBetweenSteps()
    stopping.on_train_batch_end()
    stopping.asked = True
    with pytest.raises(SearchStoppedError):
        stopping.on_train_batch_end()


def test_an_error_of_training_is_stored_and_raised() -> None:
    trial = optuna.create_study().ask()

    def train() -> Mapping[str, Any]:
        raise OSError("no space\nleft")

    with pytest.raises(OSError, match="no space"):
        objective(train)(trial)
    assert trial.user_attrs[ERROR] == "no space left"


def test_the_settings_of_every_listed_value_are_parsed() -> None:
    parsed: list[list[str]] = []

    def parse(arguments: list[str]) -> Mapping[str, Any]:
        parsed.append(arguments)
        return {"ckpt_path": None, "refit": False, "trainer": {"devices": [3]}}

    check_settings(SPACE, ["--y=1"], parse)
    assert [arguments[-3:] for arguments in parsed] == [["--config=a.yaml", "--y=1", f"--x={x}"] for x in (1, 2)]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"ckpt_path": "a.ckpt"}, "ckpt_path: expected none, since each trial starts anew, got a.ckpt."),
        ({"trainer": {"devices": 2}}, "trainer.devices: expected one per trial, got 2; start one worker per device."),
        ({"refit": True}, "refit: expected false in a search, whose trials only compare settings, got true."),
        ({"trainer": {"devices": [0, 1]}}, r"trainer.devices: expected one per trial, got \[0, 1\]"),
    ],
)
def test_settings_that_no_trial_can_have_are_rejected(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        check_settings(SPACE, [], lambda _: {"ckpt_path": None, "refit": False, "trainer": {"devices": 1}, **changes})
