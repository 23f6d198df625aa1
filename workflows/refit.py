"""Training once more on all rows, after the test of the best checkpoint.

The second training is a run of its own in `refit/` of the run's folder, and `checkpoints/final.ckpt` is its result. If
it was cut off, it goes on when the run is resumed, and the first training is left as it is.
"""

from __future__ import annotations

import json
import logging
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import yaml
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint

from base.atomic_file import write_file
from callbacks.decision_writer import DecisionWriter
from callbacks.enough_steps import EnoughSteps
from callbacks.evidence_writer import EvidenceWriter
from modules.checkpoint_file import read_checkpoint, write_decision, write_refit
from modules.drug_classifier import DrugClassifier
from modules.evaluation.prediction_evidence import encoder_digest, evidence_path, load_evidence
from modules.make_evidence import training_samples
from modules.opinion_choice import learn_training_set
from modules.processes import leave_processes
from modules.run_layout import FINAL, LAST, TEST_METRICS, best_checkpoint, folder_of, last_checkpoint
from workflows.final_report import describe_run
from workflows.fit_cli import FitCLI
from workflows.fit_once import FitResult, train
from workflows.run_trainer import RunTrainer
from workflows.settings.saved import named_modules, without_own
from workflows.tracking import log_artifacts

_log = logging.getLogger("tailmol")

PLAN = "refit.yaml"
"""File in the folder of a run whose best checkpoint is tested, with the settings of its refit."""


class RefitCLI(FitCLI):
    """Settings, callbacks and trainer of a training on all rows, of which none are left to validate or test."""

    trains_on_all = True

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """A trainer that does not validate."""
        return super().instantiate_trainer(**kwargs, limit_val_batches=0, num_sanity_val_steps=0)

    def callbacks(self) -> list[Callback]:
        """The callbacks of training that need no validation or test."""
        unused = (EnoughSteps, EarlyStopping, DecisionWriter, EvidenceWriter)
        kept = [callback for callback in super().callbacks() if not isinstance(callback, unused)]
        return [one for one in kept if not (isinstance(one, ModelCheckpoint) and one.filename == "best")]


def train_and_refit(cli: FitCLI, command: str = "lightning", show_progress: bool = True) -> FitResult:
    """Train, test and report; then train once more on all rows, if the settings ask for it.

    Args:
        cli: Settings, callbacks and trainer of the first training.
        command: Name of the command, for messages.
        show_progress: Whether to show a progress line on the terminal.

    Raises:
        InputError: If the table is invalid, or there was no validated epoch.
    """
    measured = _measured(cli) if cli.config.refit else None
    result = measured or _train_anew(cli)
    if not cli.config.refit:
        return result
    cast(RunTrainer, cli.trainer).finish_tracking()
    last = last_checkpoint(result.folder / "refit")
    # Files that the first process has just removed may still be there for another one.
    goes_on = measured is not None and last.is_file()
    if result.is_first_process:
        plan = _plan(cli)
        write_file(result.folder / PLAN, lambda path: path.write_text(plan))
        if not goes_on:
            shutil.rmtree(result.folder / "refit", ignore_errors=True)
    _log.info(f"The model is trained once more, on all rows: {result.folder / 'refit'}")
    with _words(cli, result.folder, last if goes_on else None) as words:
        again = RefitCLI(words, command, show_progress)
    if measured is None:
        again.datamodule.share_table(cli.datamodule)
    trainer = cast(RunTrainer, again.trainer)
    with trainer.working():
        trainer.fit(again.model, datamodule=again.datamodule, ckpt_path=again.checkpoint, weights_only=True)
    leave_processes()
    if not result.is_first_process:
        return result
    final = result.best_checkpoint.with_name(FINAL)
    write_refit(final, last, result.best_checkpoint)
    # The other processes are gone.
    again.datamodule.trainer = None
    model = DrugClassifier.load_from_checkpoint(final, again.trainer.strategy.root_device, trust=again.trust)
    learn_training_set(model, again.datamodule, again.opinion_settings)
    write_decision(final, model.decision.state_dict(), read_checkpoint(final).decision)
    _write_evidence(again, model, final, result.best_checkpoint)
    # Once more, since they now name two checkpoints.
    page = describe_run(result.folder, cli.config.report, trust=named_modules(cli.model.run_config), command=command)
    log_artifacts(trainer.loggers, cli.config.tracking, page, final, ["final"])
    trainer.finish_tracking()
    return replace(result, final_checkpoint=final)


def _train_anew(cli: FitCLI) -> FitResult:
    """Train, test and report; the plan of a refit of an earlier best checkpoint is removed."""
    if cli.trainer.is_global_zero:
        (cli.folder / PLAN).unlink(missing_ok=True)
    return train(cli, goes_on=bool(cli.config.refit))


def _plan(cli: FitCLI) -> str:
    assert cli.model.run_config is not None
    return yaml.safe_dump(without_own(cli.model.run_config), sort_keys=True)


def _measured(cli: FitCLI) -> FitResult | None:
    """The result of the first training, if the run was cut off after it and is resumed with the same settings."""
    given = cli.checkpoint if cli.config.run.version is None else None
    start = given or cli.interrupted_checkpoint()
    last = None if start is None else Path(start)
    folder = None if last is None or last.name != LAST else folder_of(last)
    if folder is None:
        return None
    best, plan, metrics = best_checkpoint(folder), folder / PLAN, folder / TEST_METRICS
    if not (best.is_file() and metrics.is_file() and plan.is_file() and plan.read_text() == _plan(cli)):
        return None
    return FitResult(folder, best, json.loads(metrics.read_text()), cli.trainer.is_global_zero)


@contextmanager
def _words(cli: FitCLI, folder: Path, last: Path | None) -> Iterator[list[str]]:
    """The command line of the refit of a run, with all settings of the run in a temporary file.

    Args:
        cli: Settings of the run.
        folder: Folder of the run.
        last: Checkpoint to go on from; None starts in a new folder.
    """
    assert cli.model.run_config is not None
    settings = {name: value for name, value in cli.model.run_config.items() if name != "run"}
    tracking = settings["tracking"]
    own = ["--data.train_on_all=true", "--refit=false", "--report=false"]
    own.append(f"--tracking.name={tracking['name'] or f'{folder.parent.name} {folder.name}'} refit")
    own.append(f"--tracking.job_type={tracking['job_type'] or 'refit'}")
    place: Sequence[str] = [f"--run.root={folder.parent}", f"--run.name={folder.name}", "--run.version=refit"]
    if last is not None:
        place = [f"--ckpt_path={last}"]
    with tempfile.TemporaryDirectory() as temporary:
        path = Path(temporary) / "settings.yaml"
        path.write_text(yaml.safe_dump(settings, sort_keys=False))
        yield ["--config", str(path), *own, *place, *(word for module in cli.trust for word in ("--trust", module))]


def _write_evidence(cli: FitCLI, model: DrugClassifier, final: Path, best: Path) -> None:
    """Write the evidence of the refit.

    No rows are left that could tell how often its labels are right, so the estimate is that of the best checkpoint.
    """
    known = load_evidence(best)
    if known is None:
        return
    samples = training_samples(model, cli.datamodule)
    replace(known, checkpoint=encoder_digest(final), samples=samples).save(evidence_path(final))
