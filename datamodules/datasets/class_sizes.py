"""Sizes of the classes in a downloaded file."""

from __future__ import annotations

from pathlib import Path

import polars

from base.errors import InputError


def class_sizes(file: Path, label_column: str) -> list[int]:
    """Number of rows of each class of a table; empty if the table has no such column.

    Args:
        file: A comma-separated .csv file or a tab-separated file, plain or compressed with gzip.
        label_column: Name of the column of classes.

    Raises:
        InputError: If the file cannot be read as a table.
    """
    try:
        table = polars.scan_csv(file, separator="," if file.suffix == ".csv" else "\t", infer_schema=False)
        if label_column not in table.collect_schema().names():
            return []
        labels = table.select(polars.col(label_column).str.strip_chars()).collect().to_series()
    except (polars.exceptions.PolarsError, OSError) as error:
        raise InputError(f"data.source: {file} cannot be read as a table ({error}).") from error
    return labels.filter(labels != "").value_counts()["count"].to_list()
