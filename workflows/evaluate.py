"""Evaluating a checkpoint."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

from base.atomic_file import write_csv, write_json
from modules.processes import leave_processes
from modules.run_layout import TEST_PREDICTIONS
from modules.tested_predictions import tested_samples
from workflows.drug_cli import DrugCLI
from workflows.run_lock import unlocking_folders
from workflows.run_summary import split_metrics
from workflows.run_trainer import RunTrainer
from workflows.settings.command_help import COMPUTING, RUN
from workflows.terminal import leave_messages_to_first_process, quiet_lightning


class _OneSplitCLI(DrugCLI):
    """Settings that are those of the run: also whether and where it is tracked, but not what W&B calls it."""

    common_settings: Mapping[str, Mapping[str, str]] = {
        "Model and data, by default those of the checkpoint": {
            "ckpt_path": "checkpoint written by lightning fit",
            "data.source": "table, .npz or name of a known data set",
            "data.smiles_columns": "columns of SMILES",
            "data.label_column": "column of labels",
            "data.split": "all: every row, whatever its split",
        },
        "Computing": COMPUTING,
        "Run": RUN,
    }
    kept_settings = ("seed_everything", "model", "data", "tracking")

    def adapt_settings(self, settings: dict[str, Any]) -> dict[str, Any]:
        """Drop what describes the W&B run of the training."""
        return {**settings, "tracking": {**settings["tracking"], "name": None, "job_type": None, "notes": None}}


class ValidateCLI(_OneSplitCLI):
    """Settings and trainer of `lightning validate`."""

    subcommand_name = "validate"
    description = "Compute the metrics of a checkpoint on the validation split."


class EvaluateCLI(_OneSplitCLI):
    """Settings and trainer of `lightning test`."""

    subcommand_name = "test"
    description = "Compute the metrics of a checkpoint on the test split."


@dataclass(frozen=True)
class Evaluation:
    """Metrics of a checkpoint.

    Attributes:
        folder: Folder of the run, with the file of metrics.
        metrics: Metrics by name; None where a metric is undefined.
        is_first_process: Whether this is the process that writes and prints.
    """

    folder: Path
    metrics: dict[str, float | None]
    is_first_process: bool


@quiet_lightning()
@unlocking_folders()
def evaluate(
    split: Literal["validation", "test"],
    options: Sequence[str],
    command: str = "lightning",
    show_progress: bool = True,
) -> Evaluation:
    """Compute the metrics of a checkpoint and write them into the folder of a new run.

    Args:
        split: The split; its metrics are written to `val_metrics.json` or `test_metrics.json`, and the predictions of
            the test split to `test_predictions.csv`.
        options: Options as on the command line, including `--ckpt_path`.
        command: Name of the command, for messages.
        show_progress: Whether to show a progress bar and, for the validation split, the metrics.

    Raises:
        InputError: If a setting, a file or the table is invalid.
    """
    validating = split == "validation"
    cli = (ValidateCLI if validating else EvaluateCLI)(list(options), command, show_progress)
    leave_messages_to_first_process(cli.trainer.is_global_zero)
    given: dict[str, Any] = {"datamodule": cli.datamodule, "ckpt_path": cli.checkpoint, "weights_only": True}
    with cast(RunTrainer, cli.trainer).working():
        if validating:
            cli.trainer.validate(cli.model, verbose=show_progress, **given)
        else:
            cli.trainer.test(cli.model, verbose=False, **given)
    prefix = "val" if validating else "test"
    predictions = None if validating else tested_samples(cli.model.decision, cli.model.tested).of_all_processes()
    rows = cli.datamodule.records.rows[split] if predictions is None else predictions.rows.cpu().numpy()
    metrics = split_metrics(cli.trainer, cli.datamodule, rows, f"{prefix}/")
    evaluation = Evaluation(cli.folder, metrics, cli.trainer.is_global_zero)
    leave_processes()
    if evaluation.is_first_process:
        if predictions is not None:
            write_csv(predictions.frame(cli.datamodule, "test"), evaluation.folder / TEST_PREDICTIONS)
        write_json(evaluation.metrics, evaluation.folder / f"{prefix}_metrics.json")
    return evaluation
