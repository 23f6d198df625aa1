"""Training an ensemble: one model for each fold, which it is tested on, and their joint checkpoint.

A member is a run of its own in `folds/` of the run's folder. One that is finished is not trained again, and one that
was cut off goes on, so the same command with the folder's version continues the run.
"""

from __future__ import annotations

import logging
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, cast

import yaml
from lightning.pytorch import Trainer
from lightning.pytorch.loggers import WandbLogger

from base.atomic_file import write_file
from base.errors import InputError, is_disk_full
from base.process_lock import exclusive_lock
from datamodules.drug_datamodule import DrugDataModule
from modules.processes import leave_processes
from modules.run_layout import TEST_METRICS, best_checkpoint, last_checkpoint
from workflows.ensemble import Assembled, assemble
from workflows.final_report import describe_run
from workflows.fit_cli import FitCLI
from workflows.fit_once import FitResult, train
from workflows.run_folder import RunFolder, RunSettings, claim_run_folder, disk_full, named_folder
from workflows.run_lock import lock_folder
from workflows.run_summary import write_test_metrics
from workflows.run_trainer import RunTrainer, idle_trainer, usable_accelerator
from workflows.settings.command_line import split_command_line, take_option
from workflows.settings.layers import read_command
from workflows.settings.saved import given_again, given_options, named_modules
from workflows.stop_signals import StopSignals
from workflows.terminal import leave_messages_to_first_process
from workflows.tracking import TrackingSettings, log_artifacts, make_loggers
from workflows.wandb_run import finish, save_id

_log = logging.getLogger("tailmol")

PLAN = "folds.yaml"
"""File in the folder of a run with the settings that its members share."""


class FoldsCLI(FitCLI):
    """Settings of an ensemble as its command gives them, which its members are trained with.

    Attributes:
        given: The settings as plain types.
    """

    def before_instantiate_classes(self) -> None:
        """Leave out what may write or send something as soon as it is created: each member creates its own."""
        self.given = self.plain_settings()
        for name in ("callbacks", "logger", "profiler"):
            self.config.trainer[name] = None

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """A trainer that is never run, but knows whether this is the first process."""
        settings = self.config_init.trainer.as_dict()
        return idle_trainer({**settings, "accelerator": usable_accelerator(settings["accelerator"])})


def asked_folds(words: Sequence[str]) -> bool:
    """Whether a command line, or a settings file that it names, asks for folds.

    Args:
        words: The command line after `fit`.
    """
    if {"-h", "--help", "--print_config"} & set(words) or split_command_line(words).value("ckpt_path") is not None:
        return False
    _, rest = take_option(list(words), "trust")
    return read_command(rest).composition.settings.get("folds") not in (None, "null")


def fit_folds(
    words: Sequence[str], command: str = "lightning", show_progress: bool = True, signals: StopSignals | None = None
) -> FitResult:
    """Train the members that are not finished, and write the ensemble with its out-of-fold metrics.

    Args:
        words: The command line after `fit`, which asks for folds.
        command: Name of the command, for messages.
        show_progress: Whether to show a progress line on the terminal.
        signals: Says how to go on when the run is stopped, and learns its folder here.

    Raises:
        DiskFullError: If no space is left; the finished members are whole.
        InputError: If a setting, a file or the table is invalid, or the folder holds a run with other settings.
    """
    cli = FoldsCLI(list(words), command, show_progress)
    folds = cli.config.folds
    wanted = _wanted(cli.config.only_folds, folds)
    # The variables of a cluster tell it only together with the settings of the trainer.
    is_first = cli.trainer.is_global_zero
    leave_messages_to_first_process(is_first)
    plan = _plan(cli.settings.composition.settings)
    claimed = claim_folder(RunSettings(**cli.config.run.as_dict()), cli.config.data.source, plan, is_first)
    folder = claimed.path
    members = [folder / "folds" / str(fold) for fold in range(folds)]
    tracking = _tracking(TrackingSettings(**cli.config.tracking.as_dict()), folder)
    if signals is not None:
        signals.speaks, signals.folder = is_first, folder if is_first else None
    try:
        data = _train_members(words, cli, members, wanted, tracking)
        leave_processes()
        missing = [str(fold) for fold, member in enumerate(members) if not _is_finished(member)]
        if missing and is_first:
            _log.info(f"{folder}: the ensemble still needs the folds {', '.join(missing)}.")
        if missing or not is_first:
            return FitResult(folder, best_checkpoint(folder), {}, False)
        place = {name: cli.given["data"][name] for name in ("source", "cache_folder")}
        given = {"data": place, "tracking": asdict(tracking)}
        made = assemble(members, folder, data, given, cli.trust)
        write_test_metrics(made.metrics, folder)
    except Exception as error:
        if is_first and not (folder / "folds").is_dir():
            # The first member was refused before its first step.
            claimed.discard()
        if not is_disk_full(error):
            raise
        raise disk_full(command, words, folder) from error
    _report_and_track(made, folder, tracking, cli.config.report, command)
    return FitResult(folder, made.checkpoint, made.metrics, True, made.out_of_fold)


def _train_members(
    words: Sequence[str],
    asked: FoldsCLI,
    members: Sequence[Path],
    wanted: Sequence[int],
    tracking: TrackingSettings,
) -> DrugDataModule | None:
    """Train the wanted members that are not finished; returns the data module of one of them."""
    data: DrugDataModule | None = None
    for fold in wanted:
        if _is_finished(members[fold]):
            continue
        cli = FitCLI(_member_words(words, asked, members, fold, tracking), asked.command, asked.show_progress)
        if data is not None:
            cli.datamodule.share_table(data)
        _log.info(f"Fold {fold + 1} of {len(members)}: {members[fold]}")
        train(cli, goes_on=True)
        cast(RunTrainer, cli.trainer).finish_tracking()
        data = cli.datamodule
    return data


def _report_and_track(made: Assembled, folder: Path, tracking: TrackingSettings, report: bool, command: str) -> None:
    """Write report and model card of the ensemble, and log metrics and report to a W&B run beside those of members."""
    loggers = [one for one in make_loggers(tracking, folder, True, "ensemble", True) if isinstance(one, WandbLogger)]
    for logger in loggers:
        logger.log_hyperparams(made.settings)
        logger.log_metrics({name: value for name, value in made.metrics.items() if value is not None}, 0)
        save_id(folder, logger.experiment)
    page = describe_run(folder, report, loggers, trust=named_modules(made.settings), command=command)
    log_artifacts(loggers, tracking, page, made.checkpoint, ["best"])
    finish(loggers)


def _tracking(given: TrackingSettings, folder: Path) -> TrackingSettings:
    """The settings of the ensemble's run in W&B, whose name begins those of its members and is that of their group."""
    name = given.name or f"{folder.parent.name} {folder.name}"
    return replace(given, name=name, group=given.group or name)


def _wanted(only: Any, folds: int) -> list[int]:
    if only is None:
        return list(range(folds))
    given = only if isinstance(only, list) else [only]
    if not given or not all(isinstance(fold, int) and 0 <= fold < folds for fold in given):
        raise InputError(f"only_folds: expected numbers from 0 to {folds - 1}, got {only}.")
    return given


def _is_finished(member: Path) -> bool:
    # The metrics are the last file of a member.
    return (member / TEST_METRICS).is_file()


def _plan(settings: dict[str, Any]) -> str:
    """The settings that the members share, as text."""
    data = {**settings["data"], "cache_folder": None}
    return yaml.safe_dump({**settings, "data": data, "run": {}, "tracking": {}, "only_folds": None}, sort_keys=True)


def claim_folder(run: RunSettings, source: str, plan: str, is_first: bool) -> RunFolder:
    """The folder of an ensemble, which may hold members of it; a folder that is not used for other processes.

    Commands that train members of one ensemble may be started at the same moment.

    Args:
        run: Names of the folder.
        source: The data source, which gives the default name.
        plan: The settings that the members share, as text, which are written into the folder.
        is_first: Whether this is the first process of the command.

    Raises:
        InputError: If the folder holds a run with other settings.
    """
    given = named_folder(run, source)
    if given is not None and _has_plan(given, plan):
        return RunFolder(given)
    if not is_first:
        # The trainer learns the folder of each member from the first process.
        return RunFolder(given or Path(tempfile.gettempdir()) / "tailmol-folds")
    if given is None:
        return _claim_new(run, source, plan)
    made = [folder for folder in given.parents if not folder.exists()]
    given.parent.mkdir(parents=True, exist_ok=True)
    lock = given.with_name(f".{given.name}.lock")
    with exclusive_lock(lock, f"starts the run in {given}"):
        try:
            if _has_plan(given, plan):
                return RunFolder(given)
            folder = _claim_new(run, source, plan)
        finally:
            # Whoever waits for it finds the plan.
            lock.unlink(missing_ok=True)
    return replace(folder, made=(*folder.made, *made))


def _claim_new(run: RunSettings, source: str, plan: str) -> RunFolder:
    folder = claim_run_folder(run, source, None)
    write_file(folder.path / PLAN, lambda path: path.write_text(plan))
    return folder


def _has_plan(folder: Path, plan: str) -> bool:
    """Whether members in a folder have these settings; False if there are none yet, and an error if they differ."""
    if not (folder / PLAN).is_file():
        return False
    if (folder / PLAN).read_text() != plan:
        raise InputError(
            f"run.version: expected the settings that the run in {folder} was started with, which {PLAN} there holds, "
            "got others."
        )
    return True


def _member_words(
    words: Sequence[str], asked: FoldsCLI, members: Sequence[Path], fold: int, tracking: TrackingSettings
) -> list[str]:
    """The command line of a member, which goes on where it was cut off."""
    place = members[fold]
    given: dict[str, dict[str, Any]] = {
        "tracking": asdict(replace(tracking, name=f"{tracking.name} fold {fold}")),
        "data": {"source": asked.config.data.source},
    }
    is_first, last = asked.trainer.is_global_zero, last_checkpoint(place)
    if is_first and place.is_dir() and not lock_folder(place):
        raise InputError(
            f"run.version: expected members that no other command is training, got {place}; --only_folds names others."
        )
    if last.is_file():
        trusted = [word for module in asked.trust for word in ("--trust", module)]
        return ["--ckpt_path", str(last), *given_again(asked.given), *given_options(given), *trusted]
    if is_first and place.is_dir():
        # It was cut off before its first checkpoint.
        shutil.rmtree(place)
    named = ["--run.root", str(place.parent.parent), "--run.name", place.parent.name, "--run.version", place.name]
    own = ["--folds=null", "--only_folds=null", f"--data.folds={len(members)}", f"--data.fold={fold}"]
    return [*words, *own, *named, *given_options(given), "--report=false"]
