"""`lightning predict`: labels, probabilities and evidence for a table or for one sample."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, Trainer
from lightning.pytorch.cli import LightningArgumentParser

from base.errors import InputError
from callbacks.prediction_writer import PredictionWriter
from datamodules.prediction_rows import CHUNK_ROWS
from modules.evaluation.prediction_columns import PredictionColumns
from modules.evaluation.prediction_evidence import load_evidence
from workflows.drug_cli import DrugCLI
from workflows.terminal import terminal_mode


class PredictCLI(DrugCLI):
    """Parses the settings of prediction."""

    subcommand_name = "predict"
    uses_run_folder = False

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add the options of prediction."""
        super().add_arguments_to_parser(parser)
        parser.add_argument("--output", type=str, default=None, help="The .csv, .tsv or .parquet file to write.")
        parser.add_argument(
            "--smiles",
            type=str,
            default=None,
            help="One sample to predict on the terminal, two molecules joined by >>.",
        )
        parser.add_argument(
            "--top", type=int, default=None, help="Number of best classes to write, instead of a column for each class."
        )
        parser.add_argument(
            "--chunk_rows", type=int, default=CHUNK_ROWS, help="About how many rows are in memory at a time."
        )

    def adapt_settings(self, settings: dict[str, Any]) -> dict[str, Any]:
        """Look for the SMILES columns of the training table alone in the new one."""
        settings["data"] |= {"id_column": None, "split_column": None, "label_column": None}
        return settings

    def before_instantiate_classes(self) -> None:
        """Check the options.

        Raises:
            InputError: If there is not exactly one of `output` and `smiles`, or a number is out of range.
        """
        super().before_instantiate_classes()
        if (self.config.output is None) == (self.config.smiles is None):
            raise InputError("output: expected either a file to write, or with --smiles one sample to predict.")
        if self.config.chunk_rows < 1:
            raise InputError(f"chunk_rows: expected 1 or more, got {self.config.chunk_rows}.")

    def callbacks(self) -> list[Callback]:
        """The writer of the file."""
        self.writer = PredictionWriter(self.config.output) if self.config.output else None
        return [self.writer] if self.writer else []

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """A trainer without a progress bar, which the writer shows."""
        return super().instantiate_trainer(**kwargs, enable_progress_bar=False)


def main(arguments: list[str]) -> None:
    """Run the subcommand.

    Args:
        arguments: The command line after `predict`.

    Raises:
        InputError: If the user's input is at fault.
    """
    cli = PredictCLI(arguments)
    assert cli.checkpoint is not None
    if cli.config.smiles is not None:
        from lightning_app.predict_one import answer_one

        answer_one(Path(cli.checkpoint), cli.config.smiles, cli.config.top)
        return
    assert cli.trained_task is not None
    assert cli.writer is not None
    cli.model.build(cli.trained_task)
    evidence = load_evidence(Path(cli.checkpoint))
    columns = PredictionColumns(cli.trained_task.classes, cli.model.decision.has_uncertainty, evidence, cli.config.top)
    shown = cli.config.trainer.enable_progress_bar is not False and not terminal_mode().quiet
    cli.writer.expect(columns, shown)
    cli.datamodule.chunk_rows = cli.config.chunk_rows
    try:
        cli.trainer.predict(
            cli.model,
            datamodule=cli.datamodule,
            return_predictions=False,
            ckpt_path=cli.checkpoint,
            weights_only=True,
        )
        cli.writer.join(cli.trainer)
    finally:
        cli.writer.remove_chunks(cli.trainer)
    if cli.trainer.is_global_zero:
        _report(cli.writer.rows, cli.writer.unusable, cli.config.output)


def _report(rows: int, unusable: int, output: str) -> None:
    if terminal_mode().json:
        print(json.dumps({"output": output, "rows": rows, "unusable": unusable}))
    elif not terminal_mode().quiet:
        print(f"{rows:,} rows written to {output}; {unusable:,} could not be used (column reason).")
