"""Predictions of runs for the test rows of a public benchmark."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from base.errors import InputError
from modules.checkpoint_file import checkpoint_to_predict_with, read_checkpoint
from modules.drug_classifier import DrugClassifier
from tailmol.model import Model
from workflows.submission import RunPredictions, names_of_test_sets, own_test_rows
from workflows.table_cli import check_output


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
        InputError: If a table is missing, a run is given twice or cannot be read, the output would replace a table or
            a checkpoint, the runs have other numbers of test rows or do not name their column of classes, or a row has
            no prediction.
    """
    checkpoints = {path: checkpoint_to_predict_with(path) for path in paths}
    for place, path in enumerate(paths):
        if any(checkpoints[path].resolve() == checkpoints[other].resolve() for other in paths[:place]):
            raise InputError(f"RUN: expected different runs, got {path} twice.")
    read = {path: read_checkpoint(checkpoint, "RUN") for path, checkpoint in checkpoints.items()}
    sources = [str((saved.settings.get("data") or {}).get("source", "")) for saved in read.values()]
    check_output(output, [*sources, *map(str, (*tables, *checkpoints.values()))])
    if gone := [table for table in tables if not table.is_file()]:
        raise InputError(f"test: expected an existing file, got {gone[0]}.")
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
