"""`lightning predict`: predict labels and probabilities, with evidence, for a table or for one sample."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from lightning.pytorch import Callback

from base.errors import InputError
from base.printable import printable
from base.ranges import check_whole
from callbacks.decision_writer import DecisionUser
from callbacks.prediction_writer import SHOWN, PredictionWriter
from modules.decisions.settings import DecisionSettings, ObjectiveName
from modules.evaluation.evidence_columns import NEIGHBORS
from modules.evaluation.prediction_evidence import load_evidence
from modules.evaluation.prediction_sets import check_coverage
from modules.make_columns import make_columns
from reports.prediction_page import write_prediction_page
from workflows.settings.command_help import Option
from workflows.table_cli import TableCLI, check_output
from workflows.terminal import Terminal, quiet_lightning


class PredictCLI(TableCLI):
    """Settings and trainer of `lightning predict`."""

    subcommand_name = "predict"
    description = "Predict labels and probabilities, with evidence, for a table of SMILES or for one SMILES."
    common_settings: Mapping[str, Mapping[str, str]] = {
        "Prediction": {
            "ckpt_path": "run folder or checkpoint to predict with",
            "data.source": "table of SMILES, or .npz file of arrays",
            "data.smiles_columns": "columns of SMILES; as in training",
            "output": "file to write: .csv, .tsv or .parquet",
            "smiles": "one sample instead; two molecules as A>>B",
            "top": "most probable classes to write; null: all",
            "neighbors": "nearest training samples to write",
            "coverage": "0.9: sets that hold 90 % of true labels",
            "html": f"page to write of the first {SHOWN} rows",
        },
        "Decision of these predictions alone": {
            "decision": "balanced_accuracy, head_kept, recall, ...",
            "points": "head_kept: points of head accuracy to lose",
            "classes": "recall: labels of the classes",
            "least": "recall: their smallest mean recall",
            "costs": "cost_matrix: CSV file of the costs",
        },
        **TableCLI.common_settings,
    }

    def own_options(self) -> dict[str, Option]:
        """What to predict, and where to write the predictions."""
        return {
            "output": Option(str | None, None, "File to write: .csv, .tsv or .parquet."),
            "smiles": Option(
                str | None, None, "A single sample, whose prediction is printed; join two molecules by >>."
            ),
            "top": Option(
                int | None,
                None,
                "Number of most probable classes to write; null writes the probability of every class.",
            ),
            "neighbors": Option(int, NEIGHBORS, "Number of nearest training samples to write for each sample."),
            "coverage": Option(
                float | None,
                None,
                "Share of samples, such as 0.9, whose set of labels must contain the true one; of several labels, the "
                "share of labels that sets must contain; null writes no sets.",
            ),
            "html": Option(
                str | None, None, f"HTML page to write, of the first {SHOWN} rows with their nearest training samples."
            ),
            **super().own_options(),
            "decision": Option(
                ObjectiveName | None,
                None,
                "What these predictions are best at; null keeps the decision of the checkpoint (docs/decisions.md).",
            ),
            "points": Option(float, 1.0, "For head_kept, the percentage points of head accuracy that may be lost."),
            "classes": Option(list[str], [], "For recall, the labels of the classes."),
            "least": Option(
                float, 0.9, "For recall, the smallest mean recall of the classes; of several labels, that of each."
            ),
            "costs": Option(str | None, None, "For cost_matrix, a CSV file of the costs."),
        }

    @property
    def decision(self) -> DecisionSettings | None:
        """Settings of the decision for this prediction only; None for that of the checkpoint."""
        given = self.config
        if given.decision is None:
            return None
        return DecisionSettings(given.decision, given.points, given.classes, given.least, given.costs)

    def before_instantiate_classes(self) -> None:
        """Check the options.

        Raises:
            InputError: If not exactly one of `output` and `smiles` is given, or `output` cannot be written.
        """
        if (self.config.output is None) == (self.config.smiles is None):
            given = "neither" if self.config.output is None else "both"
            raise InputError(f"output: expected either --output or --smiles, got {given}.")
        if self.config.output is not None:
            check_output(Path(self.config.output), (self.config.costs,))
        if self.config.html is not None:
            if self.config.output is None:
                raise InputError("html: expected --output beside it, got --smiles.")
            others = (self.config.data.source, self.config.ckpt_path, self.config.output, self.config.costs)
            check_output(Path(self.config.html), others, "html")
        super().before_instantiate_classes()

    def name_columns(self, need_labels: bool = False) -> None:
        """See `DrugCLI`; a single sample has no columns."""
        if self.config.smiles is None:
            super().name_columns(need_labels)

    def check_numbers(self) -> None:
        """See `DrugCLI.check_numbers`."""
        super().check_numbers()
        check_whole("top", self.config.top, 1, optional=True)
        check_whole("neighbors", self.config.neighbors, 0, 1_000)
        if self.config.coverage is not None:
            check_coverage(self.config.coverage)

    def callbacks(self) -> list[Callback]:
        """The writer of the predictions, if there is a file to write, and what chooses their decision."""
        self.writer = PredictionWriter(self.config.output) if self.config.output else None
        self.decision_user = None if self.decision is None else DecisionUser(self.decision)
        return [] if self.writer is None else [one for one in (self.writer, self.decision_user) if one is not None]


@quiet_lightning()
def main(arguments: list[str], terminal: Terminal) -> None:
    """Run the subcommand.

    Args:
        arguments: The command line after `predict`.
        terminal: Name and output options of the command.

    Raises:
        InputError: If a setting, a file or the table is invalid.
    """
    cli = PredictCLI(arguments, terminal.command, not terminal.quiet)
    assert cli.checkpoint is not None
    assert cli.trained_task is not None
    if cli.config.smiles is not None:
        from lightning_app.predict_one import predict_one

        numbers = cli.config.top, cli.config.neighbors, cli.config.coverage
        predict_one(Path(cli.checkpoint), cli.config.smiles, *numbers, terminal, cli.trust, cli.decision)
        return
    assert cli.writer is not None
    cli.model.build(cli.trained_task)
    checkpoint, evidence = Path(cli.checkpoint), load_evidence(Path(cli.checkpoint))
    columns = make_columns(cli.model, checkpoint, evidence, cli.config.top, cli.config.neighbors, cli.config.coverage)
    if cli.decision_user is not None:
        cli.decision_user.evidence = columns.evidence
    cli.write(columns, terminal.quiet)
    if cli.trainer.is_global_zero:
        if cli.config.html is not None:
            # A column of the table may be named like one of predictions that these do not have.
            first = [replace(shown, frame=shown.frame.select(columns.names)) for shown in cli.writer.first]
            files = Path(cli.config.data.source), Path(cli.config.output), checkpoint
            write_prediction_page(Path(cli.config.html), *files, first, cli.writer.rows, evidence, cli.config.coverage)
            named = any(name for shown in first for name in shown.names)
            if not named and not terminal.quiet and not terminal.json:
                print(
                    "The page has no names, since no usual name of such a column was found; --data.id_column names it."
                )
        _report(cli.writer.rows, cli.writer.unusable, cli.config.output, cli.config.html, terminal)


def _report(rows: int, unusable: int, output: str, page: str | None, terminal: Terminal) -> None:
    if terminal.json:
        print(json.dumps({"output": output, "page": page, "rows": rows, "unusable": unusable}))
    elif not terminal.quiet:
        found = f"{unusable:,} of them could not be used (see the column reason)"
        print(printable(f"{rows:,} rows written to {output}; {found}."))
        if page is not None:
            print(printable(f"Page: {page}"))
