"""One trial of a search: a training run in this process, reported to Optuna."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from lightning.pytorch import Callback

from base.errors import InputError
from experiments.search_results import ERROR, SETTINGS, short_names, shown_value
from experiments.search_space import SearchSpace, fit_arguments, suggest
from experiments.study_storage import one_line

if TYPE_CHECKING:
    from optuna import Trial
    from optuna.samplers import BaseSampler

_log = logging.getLogger("tailmol")

_TRIAL_OPTIONS = ["--tracking.wandb=disabled", "--trainer.enable_progress_bar=false", "--trainer.devices=1"]
"""Defaults of a trial, which the user's options override: many short runs need no dashboard and progress bar each."""


class TrialRun(Protocol):
    """A training run that is ready to start."""

    @property
    def resolved_settings(self) -> dict[str, Any]:
        """The resolved settings of the run."""
        ...

    def fit(self) -> Mapping[str, Any]:
        """Train, and return the metrics that were logged last."""
        ...


MakeRun = Callable[[list[str], list[Callback]], TrialRun]
"""Makes a run from the arguments of `lightning fit` and further callbacks, which are not part of its settings."""

ParseSettings = Callable[[list[str]], Mapping[str, Any]]
"""Returns the resolved settings for the arguments of `lightning fit`."""


class SearchStoppedError(Exception):
    """The user asked to stop the search."""


class StopBetweenSteps(Callback):
    """Stops training after the current step when asked to.

    Attributes:
        asked: Whether the search is to stop.
    """

    def __init__(self) -> None:
        self.asked = False

    def raise_if_asked(self) -> None:
        """Raise `SearchStoppedError` if the search is to stop."""
        if self.asked:
            raise SearchStoppedError

    def on_train_batch_end(self, *_: Any) -> None:
        """Stop here, where nothing is half written to the storage."""
        self.raise_if_asked()


def check_settings(space: SearchSpace, further: list[str], parse: ParseSettings) -> None:
    """Reject what would fail in every trial before the first one.

    Args:
        space: The search space.
        further: Options of `lightning fit` given by the user.
        parse: Parses the arguments of a trial.

    Raises:
        InputError: If the settings of a trial are invalid.
    """
    for values in space.examples():
        settings = parse([*_TRIAL_OPTIONS, *fit_arguments(space, values, further)])
    if settings["ckpt_path"] is not None:
        raise InputError(f"ckpt_path: expected none, since each trial starts anew, got {settings['ckpt_path']}.")
    if settings["refit"]:
        raise InputError("refit: expected false in a search, whose trials only compare settings, got true.")
    devices = settings["trainer"]["devices"]
    if str(devices) != "1" and not (isinstance(devices, list) and len(devices) == 1):
        raise InputError(f"trainer.devices: expected one per trial, got {devices}; start one worker per device.")


@dataclass
class Objective:
    """Trains with the settings that a trial suggests.

    Attributes:
        space: The search space.
        further: Options of `lightning fit` given by the user.
        folder: Folder of the search, in which each trial has a folder `trial_<number>`.
        seed: Random seed of the search.
        make_run: Makes the run of a trial.
        stopping: Stops training when asked to.
    """

    space: SearchSpace
    further: list[str]
    folder: Path
    seed: int
    make_run: MakeRun
    stopping: StopBetweenSteps = field(default_factory=StopBetweenSteps)

    def __call__(self, trial: Trial) -> float:
        """Run a trial and return its best value of the metric; the trial stores its settings or its error.

        Raises:
            KeyboardInterrupt: If the search was asked to stop, however training ended.
        """
        from optuna import TrialPruned

        # One sampler per trial: workers with the same seed would otherwise suggest the same values.
        trial.study.sampler = self._sampler(trial.number)
        try:
            self.stopping.raise_if_asked()
            return self._train(trial)
        except TrialPruned as pruned:
            _log.info(f"Trial {trial.number}: {str(pruned).removeprefix('Trial was ')}")
            raise
        # Lightning turns an interrupt into an exit.
        except (Exception, KeyboardInterrupt, SystemExit) as error:
            interrupted = self.stopping.asked or isinstance(error, KeyboardInterrupt)
            message = "interrupted" if interrupted else one_line(error)
            trial.set_user_attr(ERROR, message)
            expected = interrupted or isinstance(error, InputError)
            _log.warning(f"Trial {trial.number}: failed; {message}", exc_info=None if expected else error)
            if interrupted:
                raise KeyboardInterrupt from error
            raise

    def _sampler(self, number: int) -> BaseSampler:
        import numpy
        from optuna.samplers import RandomSampler, TPESampler

        seed = int(numpy.random.SeedSequence([self.seed, number]).generate_state(1)[0])
        return TPESampler(seed=seed) if self.space.method == "bayes" else RandomSampler(seed=seed)

    def _train(self, trial: Trial) -> float:
        from optuna_integration import PyTorchLightningPruningCallback  # type: ignore[import-untyped]

        values = suggest(trial, self.space)
        place = self.folder.resolve()
        arguments = [
            *_TRIAL_OPTIONS,
            f"--tracking.group={place.name}",
            *fit_arguments(self.space, values, self.further),
            f"--run.root={place.parent}",
            f"--run.name={place.name}",
            f"--run.version=trial_{trial.number}",
        ]
        run = self.make_run(arguments, [PyTorchLightningPruningCallback(trial, self.space.metric), self.stopping])
        trial.set_user_attr(SETTINGS, run.resolved_settings)
        metrics = run.fit()
        reported = trial.study.get_trials(deepcopy=False)[trial.number].intermediate_values.values()
        if not reported:
            logged = ", ".join(sorted(name for name in metrics if name.startswith("val/")))
            raise InputError(f"metric.name: expected one of {logged}, got {self.space.metric!r}.")
        known = [value for value in reported if not math.isnan(value)]
        if not known:
            raise InputError(
                f"metric.name: expected a metric that exists on the validation samples, got {self.space.metric!r}, "
                "which is NaN."
            )
        best = max(known) if self.space.maximize else min(known)
        drawn = ", ".join(f"{short} {shown_value(values[name])}" for name, short in short_names(values).items())
        _log.info(f"Trial {trial.number}: {best:.4f} ({drawn})")
        return best
