"""The stages that `memory.py` measures, each run in its own process; prints the seconds."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from benchmarks.measuring import class_of, read_smiles


def write(folder: Path, sizes: list[int], table: Path | None, column: str | None) -> None:
    """Write a table of each size; smaller tables are the first rows of larger ones.

    Args:
        folder: Folder of the tables.
        sizes: Numbers of rows.
        table: A table whose first rows are taken, or None for the bundled drugs, filled up.
        column: Its SMILES column; None for `smiles`.
    """
    import polars

    from datamodules.tables.table_file import open_table

    largest = max(sizes)
    if table is None:
        smiles = read_smiles(None, None, largest)
    else:
        frame = open_table(table).read().frame
        smiles = frame[column or "smiles"].head(largest).to_list()
    if len(smiles) < largest:
        raise SystemExit(f"table: expected {largest:,} rows or more, got {len(smiles):,} in {table}.")
    whole = polars.DataFrame({"smiles": smiles, "label": map(class_of, smiles)})
    for size in sizes:
        whole.head(size).write_csv(folder / f"{size}.csv")


def prepare(table: str, cache: str) -> None:
    """Read, featurize and split a table."""
    from datamodules.drug_datamodule import DrugDataModule

    start = time.perf_counter()
    DrugDataModule(table, cache_folder=cache).setup("fit")
    print(time.perf_counter() - start)


def first_batch(table: str, cache: str) -> None:
    """Do the same as `prepare`, then load one batch."""
    from datamodules.drug_datamodule import DrugDataModule

    start = time.perf_counter()
    data = DrugDataModule(table, cache_folder=cache)
    data.setup("fit")
    next(iter(data.train_dataloader()))
    print(time.perf_counter() - start)


def main() -> None:
    """Run one stage."""
    parser = argparse.ArgumentParser(description=__doc__)
    stages = parser.add_subparsers(dest="stage", required=True)
    writing = stages.add_parser("write")
    writing.add_argument("folder", type=Path)
    writing.add_argument("sizes", type=int, nargs="+")
    writing.add_argument("--table", type=Path)
    writing.add_argument("--column")
    for name in ("prepare", "first_batch"):
        stage = stages.add_parser(name)
        stage.add_argument("table")
        stage.add_argument("cache")
    options = parser.parse_args()
    if options.stage == "write":
        write(options.folder, options.sizes, options.table, options.column)
    else:
        {"prepare": prepare, "first_batch": first_batch}[options.stage](options.table, options.cache)


if __name__ == "__main__":
    main()
