"""Writes a table as CSV, whole or as a stratified sample, on which a small machine can run many fits.

A sample has the share of each class in the table, but at least six rows of each class or all that it has. Rows are
drawn with a random seed and keep their order.

    python -m benchmarks.sample_table hiv --label Y --rows 6000 --output hiv_6000.csv
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy

from base.atomic_file import write_csv
from datamodules.datasets.dataset_catalog import find_source
from datamodules.feature_cache import default_cache_folder
from datamodules.tables.table_file import open_table

FEWEST = 6


def main() -> None:
    """Read the table and write the sample."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", help="a CSV, TSV or Parquet file, plain or packed, or a known data set")
    parser.add_argument("--label", required=True, help="the label column")
    parser.add_argument("--rows", type=int, help="approximate number of rows; default: all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, required=True, help="the CSV file to write")
    arguments = parser.parse_args()
    frame = open_table(find_source(arguments.table, default_cache_folder())).read().frame
    labels = frame[arguments.label].to_numpy()
    generator = numpy.random.default_rng(arguments.seed)
    kept = []
    for label in sorted(set(labels.tolist())):
        rows = numpy.flatnonzero(labels == label)
        share = (arguments.rows or len(labels)) * len(rows) / len(labels)
        number = min(len(rows), max(FEWEST, round(share)))
        kept.append(generator.choice(rows, number, replace=False))
    sample = frame[numpy.sort(numpy.concatenate(kept))]
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    write_csv(sample, arguments.output)
    print(f"{len(sample):,} of {len(frame):,} rows written to {arguments.output}.")


if __name__ == "__main__":
    main()
