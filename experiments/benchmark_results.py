"""Tables of results: those of the cells of a benchmark, and those of other programs on the same splits."""

from __future__ import annotations

from pathlib import Path

import polars

_TEXTS = ("data", "encoder", "method", "error", "settings", "arguments", "peer_settings")
"""Columns that are text even where every cell looks like a number, as a digest of decimal digits does."""


def read_results(path: Path) -> polars.DataFrame:
    """Read `cells.csv` or `peers.csv`, the types of whose metrics are inferred from all rows.

    Args:
        path: The file.
    """
    return polars.read_csv(path, infer_schema_length=None, schema_overrides=dict.fromkeys(_TEXTS, polars.String))
