"""Tables of results: those of the cells of a benchmark, and those of other programs on the same splits."""

from __future__ import annotations

import logging
import shlex
from pathlib import Path

import polars

from experiments.benchmark_plan import BenchmarkPlan, Cell

_log = logging.getLogger("tailmol")

_TEXTS = ("data", "encoder", "method", "error", "settings", "arguments", "peer_settings")
"""Columns that are text even where every cell looks like a number, as a digest of decimal digits does."""


def read_results(path: Path) -> polars.DataFrame:
    """Read `cells.csv` or `peers.csv`, the types of whose metrics are inferred from all rows.

    Args:
        path: The file.
    """
    return polars.read_csv(path, infer_schema_length=None, schema_overrides=dict.fromkeys(_TEXTS, polars.String))


def with_peers(frame: polars.DataFrame, plan: BenchmarkPlan, folder: Path, config: str) -> polars.DataFrame:
    """The results, followed by those of other programs on the same splits from `peers.csv`, if any.

    Rows with other arguments or settings than the cells of their split are left out with a warning.

    Args:
        frame: Results of the cells.
        plan: The cells.
        folder: Folder of the benchmark.
        config: The file of the benchmark, for the warning.
    """
    path = folder / "peers.csv"
    if not path.is_file():
        return frame
    peers = read_results(path)
    peers = peers.filter(polars.col("data").is_in(frame["data"].unique().implode()))
    cells: dict[tuple[str, int], list[Cell]] = {}
    for cell in plan.cells:
        cells.setdefault((cell.data, cell.split_seed), []).append(cell)
    of_rows = [(row, cells.get((row["data"], row["split_seed"]), [])) for row in peers.iter_rows(named=True)]
    current = [not own or any(cell.agrees_with(row) for cell in own) for row, own in of_rows]
    if stale := current.count(False):
        command = shlex.join(
            ["python", "-m", "benchmarks.peer_classifiers", "--config", config, "--folder", str(folder)]
        )
        _log.warning(
            f"peers.csv: {stale} of {len(current)} rows have other arguments or settings than the grid and are left "
            f"out; {command} --peers NAMES computes those of the peers that it names again."
        )
    return polars.concat([frame, peers.filter(polars.Series(current, dtype=polars.Boolean))], how="diagonal_relaxed")
