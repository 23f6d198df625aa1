"""`lightning predict`: labels and probabilities for a table of SMILES."""

from __future__ import annotations

from typing import Any

from lightning.pytorch import Callback
from lightning.pytorch.cli import LightningArgumentParser

from callbacks.prediction_writer import PredictionWriter
from lightning_app.drug_cli import DrugCLI


class PredictCLI(DrugCLI):
    """Settings of prediction."""

    subcommand_name = "predict"
    uses_run_folder = False

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Where the predictions go."""
        super().add_arguments_to_parser(parser)
        parser.add_argument("--output", type=str, required=True, help="The .csv, .tsv or .parquet file to write.")

    def adapt_settings(self, settings: dict[str, Any]) -> dict[str, Any]:
        """Only the SMILES columns of the training table are looked for in the new one."""
        settings["data"] |= {"id_column": None, "split_column": None, "label_column": None}
        return settings

    def callbacks(self) -> list[Callback]:
        """The writer."""
        self.writer = PredictionWriter(self.config.output)
        return [self.writer]


def main(arguments: list[str]) -> None:
    """Run the subcommand.

    Args:
        arguments: The command line after `predict`.

    Raises:
        InputError: If the user's input is at fault.
    """
    cli = PredictCLI(arguments)
    cli.trainer.predict(
        cli.model, datamodule=cli.datamodule, ckpt_path=cli.checkpoint, return_predictions=False, weights_only=True
    )
    # Lightning calls no hook of the writer where there is nothing to predict.
    cli.writer.write(cli.trainer, cli.model)
    if cli.trainer.is_global_zero:
        reasons = cli.datamodule.table.reasons
        unusable = len(reasons) - reasons.null_count()
        print(f"{len(reasons):,} rows written to {cli.config.output}; {unusable:,} could not be used (column reason).")
