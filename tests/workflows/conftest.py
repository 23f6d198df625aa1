"""Runs that several files of tests read."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.workflows.multilabel_tables import COLUMNS, options, with_columns
from workflows.fit import fit


@pytest.fixture(scope="session")
def multilabel_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with a refit, on a table with a column for each of several labels."""
    folder = with_columns(tmp_path_factory.mktemp("columns")).parent
    return fit(options(folder, COLUMNS, "--refit=true"), show_progress=False).folder
