"""`lightning submit`: write predictions of test rows in the form that a public benchmark evaluates."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from base.printable import printable
from workflows.settings.command_help import TRUST
from workflows.submission import RunPredictions
from workflows.terminal import Terminal


def main(arguments: list[str], terminal: Terminal) -> None:
    """Run the subcommand.

    Args:
        arguments: The command line after `submit`.
        terminal: Name and output options of the command.

    Raises:
        InputError: If a run or a table cannot be read, a row has no prediction, or the form does not fit the runs.
    """
    from base.atomic_file import write_json
    from base.errors import InputError
    from modules.saved_settings.known_classes import trusted_modules
    from workflows.submission import polaris_predictions, tdc_predictions

    given = make_parser(terminal.command).parse_args(arguments)
    if (given.form == "tdc") != (given.benchmark is not None):
        expected = "the name of the benchmark for tdc" if given.form == "tdc" else "none for polaris"
        raise InputError(f"benchmark: expected {expected}, got {given.benchmark or 'none'}.")
    runs = predict_tests(given.runs, given.test, given.output, trusted_modules(given.trust))
    rows = sum(len(frame) for frame in runs[0].predictions.values())
    if given.form == "tdc":
        write_json(tdc_predictions(runs, given.benchmark), given.output)
    else:
        write_json(polaris_predictions(runs), given.output)
    if terminal.json:
        print(json.dumps({"output": str(given.output), "runs": len(runs), "rows": rows}))
    elif not terminal.quiet:
        several = "s" if len(runs) > 1 else ""
        print(printable(f"Predictions of {len(runs)} run{several} for {rows:,} test rows written to {given.output}."))


def predict_tests(
    paths: Sequence[Path], tables: Sequence[Path], output: Path, trust: tuple[str, ...] = ()
) -> list[RunPredictions]:
    """The predictions of runs for test rows.

    Args:
        paths: Folders of runs, or checkpoints.
        tables: The tables of test rows; the test rows of each run's own table if there are none.
        output: The file that the predictions will be written to.
        trust: Modules with classes of the user that the checkpoints may name.

    Raises:
        InputError: If a run is given twice or cannot be read, the output would replace a table or a checkpoint, the
            runs have other numbers of test rows or do not name their column of classes, or a row has no prediction.
    """
    from base.errors import InputError
    from modules.checkpoint_file import checkpoint_to_predict_with, read_checkpoint
    from modules.drug_classifier import DrugClassifier
    from tailmol import Model
    from workflows.submission import names_of_test_sets, own_test_rows
    from workflows.table_cli import check_output

    checkpoints = {path: checkpoint_to_predict_with(path) for path in paths}
    for place, path in enumerate(paths):
        if any(checkpoints[path].resolve() == checkpoints[other].resolve() for other in paths[:place]):
            raise InputError(f"RUN: expected different runs, got {path} twice.")
    read = {path: read_checkpoint(checkpoint, "RUN") for path, checkpoint in checkpoints.items()}
    sources = [str((saved.settings.get("data") or {}).get("source", "")) for saved in read.values()]
    check_output(output, [*sources, *map(str, (*tables, *checkpoints.values()))])
    found = []
    for path, saved in read.items():
        target = None if saved.task.is_multilabel else (saved.settings.get("data") or {}).get("label_column")
        if target is None and not saved.task.is_multilabel:
            raise InputError(f"RUN: expected a run that names its column of classes, got none in {saved.path}.")
        own = [] if tables else [own_test_rows(saved, trust)]
        # Without evidence, since nearest training samples are not submitted.
        model = Model(DrugClassifier.load_from_checkpoint(saved.path, "cpu", setting="RUN", trust=trust))
        predictions = {
            name: model.predict(rows) for name, rows in zip(names_of_test_sets(tables), own or tables, strict=True)
        }
        found.append(RunPredictions(str(path), model.classes, target, predictions))
    sizes = [sum(map(len, run.predictions.values())) for run in found]
    if min(sizes) < max(sizes):
        raise InputError(f"RUN: expected runs with the same test rows, got {min(sizes):,} and {max(sizes):,} of them.")
    return found


def make_parser(command: str = "lightning") -> argparse.ArgumentParser:
    """The parser of the subcommand.

    Args:
        command: Name of the command, for messages.
    """
    from typing import get_args

    from workflows.submission import Form

    parser = argparse.ArgumentParser(
        prog=f"{command} submit",
        description="Write the predictions of runs for the test rows of a public benchmark as the JSON file that its "
        "library evaluates (docs/benchmarks.md).",
    )
    parser.add_argument(
        "runs",
        type=Path,
        nargs="+",
        metavar="RUN",
        help="folders of runs, or checkpoints: one for each seed for tdc, one for each target column for polaris",
    )
    parser.add_argument("--form", required=True, choices=get_args(Form), help="library of the benchmark")
    parser.add_argument("--output", type=Path, required=True, metavar="FILE", help="JSON file to write")
    parser.add_argument("--benchmark", metavar="NAME", help="for tdc: name of the benchmark, such as herg")
    parser.add_argument(
        "--test",
        type=Path,
        nargs="+",
        default=[],
        metavar="FILE",
        help="tables of the test rows, each a test set (default: the test rows of the table of each run, for runs with "
        "--data.split file)",
    )
    parser.add_argument("--trust", action="append", default=[], metavar="MODULE", help=TRUST["trust"].help)
    return parser
