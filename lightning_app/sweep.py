"""`lightning sweep`: search for the settings with the best validation metric."""

from __future__ import annotations

import logging
import signal
import sys
from argparse import ArgumentError
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, get_type_hints

from base.errors import InputError
from base.ranges import check_seed, check_whole
from experiments.search_results import ERROR, print_results, rank_trials, write_results
from experiments.search_space import read_search_space
from experiments.search_study import open_study
from experiments.search_trials import Objective, StopBetweenSteps, check_settings
from workflows.search_trial import FitTrial, SettingsCheck
from workflows.settings.command_line import split_command_line
from workflows.settings.config_files import find_config, shipped_names
from workflows.settings.errors import reword
from workflows.settings.layers import settings_files
from workflows.terminal import Terminal, quiet_lightning

if TYPE_CHECKING:
    from optuna import Study

_log = logging.getLogger("tailmol")


@dataclass
class SweepSettings:
    """Settings of this worker; all workers of a search share storage and folder.

    Args:
        config: The search space in W&B's sweep format: your own file or a shipped one.
        trials: Number of trials that this worker runs; 0 only writes the results so far.
        folder: Folder of the trials and the results; sweeps/NAME, with the name in the search space, if null.
        storage: URL of the database that the workers share, such as postgresql://USER@HOST/NAME; an SQLite file in the
            folder if null.
        seed: Random seed of the search; the values of trial N depend on it, on N and on the trials before.

    Raises:
        InputError: If a number is out of range.
    """

    config: str = "sweep/default.yaml"
    trials: int = 20
    folder: str | None = None
    storage: str | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        """Check the numbers."""
        check_whole("trials", self.trials, 0)
        check_seed("seed", self.seed)


@quiet_lightning()
def main(arguments: list[str], terminal: Terminal) -> None:
    """Run the subcommand.

    Args:
        arguments: The command line after `sweep`.
        terminal: Name and output options of the command.

    Raises:
        InputError: If the search space or a setting is invalid, or no trial completed.
    """
    settings, fit_options = _parse(arguments, terminal.command)
    space = read_search_space(find_config(settings.config))
    folder = Path(settings.folder or Path("sweeps") / space.name)
    if settings.trials:
        check_settings(space, fit_options, lambda options: SettingsCheck(options).config.as_dict())
    import optuna

    # Each trial would be reported a second time.
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = open_study(space, folder, settings.storage, settings_files, fit_options if settings.trials else None)
    objective = Objective(space, fit_options, folder, settings.seed, FitTrial)
    stopped = bool(settings.trials) and _search(study, objective, settings.trials)
    write_results(study, folder)
    print_results(study, folder, space.metric, command=terminal.command)
    if stopped:
        _log.warning("Stopped; the same command continues the search.")
        sys.exit(130)
    if settings.trials and not rank_trials(study):
        errors = [trial.user_attrs[ERROR] for trial in study.trials if ERROR in trial.user_attrs]
        raise InputError(
            f"trials: expected a completed one, got {len(study.trials)} that failed or were pruned; last error: "
            f"{errors[-1] if errors else 'none'}"
        )


def _search(study: Study, objective: Objective, trials: int) -> bool:
    """Run trials; returns whether Ctrl-C stopped them."""
    try:
        with _interrupts(objective.stopping):
            study.optimize(objective, n_trials=trials, catch=(Exception,), gc_after_trial=True)
    except KeyboardInterrupt:
        return True
    return False


@contextmanager
def _interrupts(stopping: StopBetweenSteps) -> Iterator[None]:
    """Let the first Ctrl-C stop training after the current step, and the second one immediately."""

    def request_stop(number: int, frame: FrameType | None) -> None:
        if stopping.asked:
            raise KeyboardInterrupt
        stopping.asked = True

    before = signal.signal(signal.SIGINT, request_stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _parse(arguments: list[str], command: str) -> tuple[SweepSettings, list[str]]:
    from jsonargparse import ArgumentParser

    end = arguments.index("--") if "--" in arguments else len(arguments)
    parser = ArgumentParser(
        prog=f"{command} sweep",
        usage=f"{command} sweep [options] [-- options of {command} fit]",
        allow_abbrev=False,
        exit_on_error=False,
        description="Search for the settings with the best validation metric; the test split is not used. "
        f"Example: {command} sweep --config sweep/method.yaml --trials 20 -- --data.source my_drugs.csv. Shipped "
        f"search spaces: {', '.join(shipped_names('sweep'))}",
    )
    parser.add_class_arguments(SweepSettings)
    try:
        settings = SweepSettings(**parser.parse_args(arguments[:end]).as_dict())
    except ArgumentError as error:
        hints, given = get_type_hints(SweepSettings), split_command_line(arguments[:end])
        raise InputError(reword(str(error), f"{parser.prog} --help", [], given, hints.get)) from error
    return settings, arguments[end + 1 :]
