"""Training one model, testing it and writing its report."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from base.atomic_file import write_csv
from base.errors import InputError
from modules.checkpoint_file import read_checkpoint
from modules.evaluation.split_scores import scores_path
from modules.processes import leave_processes
from modules.run_layout import TEST_PREDICTIONS
from modules.tested_predictions import tested_samples
from workflows.final_report import describe_run
from workflows.fit_cli import MONITORED, FitCLI
from workflows.run_summary import split_metrics, write_test_metrics
from workflows.run_trainer import RunTrainer
from workflows.settings.saved import named_modules
from workflows.tracking import log_artifacts
from workflows.wandb_run import log_best

_log = logging.getLogger("tailmol")


@dataclass(frozen=True)
class FitResult:
    """A finished run.

    Attributes:
        folder: Folder of the run.
        best_checkpoint: The checkpoint with the best validation metric.
        metrics: Test metrics by name, as in `test_metrics.json`; None where a metric is undefined.
        is_first_process: Whether this is the process that writes and prints.
        out_of_fold: Whether the metrics are of out-of-fold predictions.
        final_checkpoint: The checkpoint of the refit, which predicts but was not tested; None without a refit.
    """

    folder: Path
    best_checkpoint: Path
    metrics: dict[str, float | None]
    is_first_process: bool
    out_of_fold: bool = False
    final_checkpoint: Path | None = None


def train(cli: FitCLI, goes_on: bool) -> FitResult:
    """Train, test and report.

    Args:
        cli: Settings, callbacks and trainer.
        goes_on: Whether the processes go on together; if not, the first one writes after the others have left.

    Raises:
        InputError: If the table is invalid, or there was no validated epoch.
    """
    data: dict[str, Any] = {"datamodule": cli.datamodule, "weights_only": True}
    with cast(RunTrainer, cli.trainer).working():
        cli.trainer.fit(cli.model, ckpt_path=cli.checkpoint or cli.interrupted_checkpoint(), **data)
    best = getattr(cli.trainer.checkpoint_callback, "best_model_path", "")
    if not best:
        raise InputError("trainer: expected at least one validated epoch to choose the best checkpoint, got none.")
    score = getattr(cli.trainer.checkpoint_callback, "best_model_score", None)
    if score is not None and cli.trainer.is_global_zero:
        name = MONITORED[cli.config.data.labels].removeprefix("val/").replace("_", " ")
        last, kept = cli.trainer.current_epoch - 1, read_checkpoint(Path(best)).epoch
        found = f"epoch {kept} has the best {name} of validation samples, {float(score):.3f}, and is kept"
        _log.info(f"Training ended after epoch {last}; {found}.")
    cli.trainer.test(cli.model, ckpt_path=best, verbose=False, **data)
    if cli.datamodule.split.fold is not None:
        scores = cli.model.tested.of_all_processes().in_order()
        if cli.trainer.is_global_zero:
            scores.save(scores_path(Path(best)))
    predictions = tested_samples(cli.model.decision, cli.model.tested).of_all_processes()
    metrics = split_metrics(cli.trainer, cli.datamodule, predictions.rows.cpu().numpy(), "test/")
    result = FitResult(cli.folder, Path(best), metrics, cli.trainer.is_global_zero)
    if not goes_on:
        leave_processes()
    if result.is_first_process:
        write_csv(predictions.frame(cli.datamodule, "test"), result.folder / TEST_PREDICTIONS)
        write_test_metrics(result.metrics, result.folder)
        _report_and_track(cli, result.best_checkpoint)
    return result


def _report_and_track(cli: FitCLI, best: Path) -> None:
    """Write the model card and, if asked, the report, and give the loggers what is known at the end only."""
    loggers = cli.trainer.loggers
    highest = getattr(cli.trainer.checkpoint_callback, "best_model_score", None)
    if highest is not None:
        log_best(loggers, MONITORED[cli.config.data.labels], float(highest))
    trust = named_modules(cli.model.run_config)
    page = describe_run(cli.folder, cli.config.report, loggers, cli.trainer.global_step, trust, cli.command)
    log_artifacts(loggers, cli.config.tracking, page, best, ["best"])
