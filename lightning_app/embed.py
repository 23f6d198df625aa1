"""`lightning embed`: write the embeddings of a table."""

from __future__ import annotations

import json
from collections.abc import Mapping

from lightning.pytorch import Callback

from base.errors import InputError
from base.printable import printable
from callbacks.prediction_writer import PredictionWriter
from modules.evaluation.embedding_columns import EmbeddingColumns
from workflows.settings.command_help import Option
from workflows.table_cli import TableCLI
from workflows.terminal import Terminal, quiet_lightning


class EmbedCLI(TableCLI):
    """Settings and trainer of `lightning embed`."""

    subcommand_name = "embed"
    description = "Write the embeddings of a table of SMILES, from which the classifier decides."
    common_settings: Mapping[str, Mapping[str, str]] = {
        "Embeddings": {
            "ckpt_path": "run folder or checkpoint",
            "data.source": "table of SMILES, or .npz file of arrays",
            "data.smiles_columns": "columns of SMILES; as in training",
            "output": "file to write: .parquet or .npy",
        },
        **TableCLI.common_settings,
    }

    def own_options(self) -> dict[str, Option]:
        """Where to write the embeddings."""
        text = "File to write: .parquet with the columns that name a row, or .npy with a row of NaN for unusable ones."
        return {"output": Option(str | None, None, text), **super().own_options()}

    def before_instantiate_classes(self) -> None:
        """Check the options.

        Raises:
            InputError: If there is no output, or it cannot be written.
        """
        if self.config.output is None:
            raise InputError("output: expected a path that ends in .parquet or .npy, got none.")
        super().before_instantiate_classes()

    def name_columns(self, need_labels: bool = False) -> None:
        """See `DrugCLI`; labels are not read."""
        super().name_columns(need_labels)

    def callbacks(self) -> list[Callback]:
        """The writer of the embeddings."""
        self.writer = PredictionWriter(self.config.output, (".parquet", ".npy"))
        return [self.writer]


@quiet_lightning()
def main(arguments: list[str], terminal: Terminal) -> None:
    """Run the subcommand.

    Args:
        arguments: The command line after `embed`.
        terminal: Name and output options of the command.

    Raises:
        InputError: If a setting, a file or the table is invalid.
    """
    cli = EmbedCLI(arguments, terminal.command, not terminal.quiet)
    assert cli.trained_task is not None
    cli.model.build(cli.trained_task)
    size = cli.model.network.encoder.output_dim
    cli.write(EmbeddingColumns(size), terminal.quiet)
    if not cli.trainer.is_global_zero:
        return
    assert cli.writer is not None
    rows, unusable, output = cli.writer.rows, cli.writer.unusable, cli.config.output
    if terminal.json:
        print(json.dumps({"output": output, "rows": rows, "unusable": unusable, "size": size}))
    elif not terminal.quiet:
        print(
            printable(f"{rows:,} rows of {size} numbers written to {output}; {unusable:,} of them could not be used.")
        )
