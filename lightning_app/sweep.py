"""`lightning sweep`: search for the settings that validate best."""

from __future__ import annotations

import logging
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from base.errors import InputError
from experiments.search_results import ERROR, print_results, rank_trials, write_results
from experiments.search_space import read_search_space
from experiments.search_study import open_study
from experiments.search_trials import Objective, check_settings
from workflows.setting_layers import find_config, shipped_names
from workflows.terminal import Terminal, quiet_lightning

if TYPE_CHECKING:
    from optuna import Study

_log = logging.getLogger("tailmol")


@dataclass
class SweepSettings:
    """Settings of this worker; all workers of a search share storage and folder.

    Args:
        config: The search space, in W&B's sweep format: a file of yours or a shipped one.
        trials: Trials that this worker runs; 0 only writes what is known so far.
        folder: Where the trials and the results go; sweeps/NAME, by the name in the search space, if null.
        storage: Address of the database that workers share, as in postgresql://USER@HOST/NAME; an SQLite file in the
            folder if null.
        seed: Of the search; what trial N draws follows from it, from N and from the trials before.
    """

    config: str = "sweep/default.yaml"
    trials: int = 20
    folder: str | None = None
    storage: str | None = None
    seed: int = 0


@quiet_lightning()
def main(arguments: list[str], terminal: Terminal) -> None:
    """Run the subcommand.

    Args:
        arguments: The command line after `sweep`.
        terminal: How the command was called.

    Raises:
        InputError: If the user's input is at fault, or no trial came to an end.
    """
    settings, further = _parse(arguments)
    space = read_search_space(find_config(settings.config))
    folder = Path(settings.folder or Path("sweeps") / space.name)
    if settings.trials:
        check_settings(space, further)
    study = open_study(space, folder, settings.storage, further if settings.trials else None)
    stopped = bool(settings.trials) and _search(
        study, Objective(space, further, folder, settings.seed), settings.trials
    )
    write_results(study, folder)
    print_results(study, folder, space.metric)
    if stopped:
        _log.warning("Stopped; the same command goes on with the search.")
        sys.exit(130)
    if settings.trials and not rank_trials(study):
        errors = [trial.user_attrs[ERROR] for trial in study.trials if ERROR in trial.user_attrs]
        raise InputError(
            f"no trial is complete, so there are no best settings; {errors[-1] if errors else 'see above'}"
        )


def _search(study: Study, objective: Objective, trials: int) -> bool:
    """Run trials; returns whether Ctrl-C cut them short."""
    try:
        with objective.stopping.listen():
            study.optimize(objective, n_trials=trials, catch=(Exception,), gc_after_trial=True)
    except KeyboardInterrupt:
        return True
    return False


def _parse(arguments: list[str]) -> tuple[SweepSettings, list[str]]:
    from jsonargparse import ArgumentParser

    end = arguments.index("--") if "--" in arguments else len(arguments)
    parser = ArgumentParser(
        prog="lightning sweep",
        usage="lightning sweep [options] [-- options of lightning fit]",
        description="Search for the settings that validate best; the test split is left alone. "
        "Example: lightning sweep --config sweep/method.yaml --trials 20 -- --data.source my_drugs.csv. Shipped: "
        + ", ".join(shipped_names("sweep")),
    )
    parser.add_class_arguments(SweepSettings)
    settings = SweepSettings(**parser.parse_args(arguments[:end]).as_dict())
    if settings.trials < 0:
        raise InputError(f"trials: expected 0 or more, got {settings.trials}.")
    return settings, arguments[end + 1 :]
