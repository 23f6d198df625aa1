"""One trial of a search: a training in this process, watched by Optuna."""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from lightning.pytorch import Callback

from base.errors import InputError
from experiments.search_results import ERROR, SETTINGS, one_line
from experiments.search_space import SearchSpace, fit_arguments, suggest
from workflows.fit import FitCLI

if TYPE_CHECKING:
    from optuna import Trial
    from optuna.samplers import BaseSampler

_log = logging.getLogger("tailmol")

_TRIAL_OPTIONS = ["--tracking.wandb=disabled", "--trainer.enable_progress_bar=false", "--trainer.devices=1"]
"""What the user's options may change: many short runs need no dashboard and no bar of their own."""


class SettingsCheck(FitCLI):
    """Parses a command line of `lightning fit` and makes nothing."""

    def before_instantiate_classes(self) -> None:
        """No folder is made."""

    def instantiate_classes(self) -> None:
        """Nothing is made."""

    def after_instantiate_classes(self) -> None:
        """There is nothing to finish."""


class TrialCLI(FitCLI):
    """Training with callbacks of the search."""

    def __init__(self, arguments: list[str], watching: list[Callback]) -> None:
        """Parse and instantiate.

        Args:
            arguments: The command line after `fit`.
            watching: Callbacks beside those of training; no settings, so that no configuration file has them.
        """
        self._watching = watching
        super().__init__(arguments)

    def callbacks(self) -> list[Callback]:
        """Those of training, and those of the search."""
        return [*super().callbacks(), *self._watching]


class StopBetweenSteps(Callback):
    """Ctrl-C stops after a training step, where nothing is half written to the storage; a second one at once."""

    def __init__(self) -> None:
        self._asked = False

    @contextmanager
    def listen(self) -> Iterator[None]:
        """Take Ctrl-C while the block runs."""
        before = signal.signal(signal.SIGINT, self._ask)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if self._asked:
            raise KeyboardInterrupt
        self._asked = True

    def stop_if_asked(self) -> None:
        """Raise the interrupt that came before."""
        if self._asked:
            raise KeyboardInterrupt

    def on_train_batch_end(self, *_: Any) -> None:
        """See `stop_if_asked`."""
        self.stop_if_asked()


def check_settings(space: SearchSpace, further: list[str]) -> None:
    """Refuse before the first trial what would fail in every trial.

    Args:
        space: The search.
        further: Options of `lightning fit` that the user gave.

    Raises:
        InputError: If the settings of a trial would be refused.
    """
    for values in space.examples():
        with _kept_process():
            config = SettingsCheck([*_TRIAL_OPTIONS, *fit_arguments(space, values, further)]).config
    if config.ckpt_path is not None:
        raise InputError("ckpt_path: every trial of a sweep begins anew; leave it out.")
    devices = config.trainer.devices
    if str(devices) != "1" and not (isinstance(devices, list) and len(devices) == 1):
        raise InputError(f"trainer.devices: a trial has one, got {devices}; start one worker for each device instead.")


@dataclass
class Objective:
    """Trains with the settings that a trial draws.

    Attributes:
        space: The search.
        further: Options of `lightning fit` that the user gave.
        folder: The sweep's; a trial has `trial_<number>` in it.
        seed: Of the search.
        stopping: Takes Ctrl-C.
    """

    space: SearchSpace
    further: list[str]
    folder: Path
    seed: int
    stopping: StopBetweenSteps = field(default_factory=StopBetweenSteps)

    def __call__(self, trial: Trial) -> float:
        """The best value of the metric; the trial keeps its settings, or why it failed."""
        from optuna import TrialPruned

        # Of its own for every trial, since workers that start from one seed would all draw the same.
        trial.study.sampler = self._sampler(trial.number)
        try:
            self.stopping.stop_if_asked()
            with _kept_process():
                return self._train(trial)
        except TrialPruned as pruned:
            _log.info(f"Trial {trial.number}: {str(pruned).removeprefix('Trial was ')}")
            raise
        except (Exception, KeyboardInterrupt) as error:
            message = "interrupted" if isinstance(error, KeyboardInterrupt) else one_line(error)
            trial.set_user_attr(ERROR, message)
            expected = isinstance(error, (InputError, KeyboardInterrupt))
            _log.warning(f"Trial {trial.number}: failed; {message}", exc_info=None if expected else error)
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
            *fit_arguments(self.space, values, self.further),
            f"--run.root={place.parent}",
            f"--run.name={place.name}",
            f"--run.version=trial_{trial.number}",
        ]
        cli = TrialCLI(arguments, [PyTorchLightningPruningCallback(trial, self.space.metric), self.stopping])
        trial.set_user_attr(SETTINGS, cli.model.run_config)
        cli.trainer.fit(cli.model, datamodule=cli.datamodule, weights_only=True)
        seen = trial.study.get_trials(deepcopy=False)[trial.number].intermediate_values.values()
        if not seen:
            logged = ", ".join(sorted(name for name in cli.trainer.callback_metrics if name.startswith("val/")))
            raise InputError(f"metric.name: {self.space.metric!r} was not logged by a validation; there are {logged}.")
        best = max(seen) if self.space.maximize else min(seen)
        _log.info(
            f"Trial {trial.number}: {best:.4f} ({', '.join(f'{name} {value}' for name, value in values.items())})"
        )
        return best


@contextmanager
def _kept_process() -> Iterator[None]:
    """Undo what a run leaves in the process, and turn what followed from Ctrl-C back into the interrupt."""
    environment, handler = dict(os.environ), signal.getsignal(signal.SIGINT)
    try:
        yield
    except BaseException as error:
        if _was_interrupted(error):
            raise KeyboardInterrupt from error
        raise
    finally:
        for name in set(os.environ) - set(environment):
            del os.environ[name]
        os.environ.update(environment)
        signal.signal(signal.SIGINT, handler)
        # Otherwise the next trial would log into the W&B run of this one.
        wandb = sys.modules.get("wandb")
        if wandb is not None and wandb.run is not None:
            wandb.finish()


def _was_interrupted(error: BaseException | None) -> bool:
    """Whether Ctrl-C came first: Lightning exits after it, or fails at a file that it left half written."""
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__context__
    return error is not None
