"""Speed of the training loader against those of PyG and chemprop, on featurized molecules.

One turn is one epoch of batches of 512, without and with a worker process, whose start is included. Our batches also
hold fingerprints.

    python -m benchmarks.loader [--table FILE --column X] [--json FILE]
"""

from __future__ import annotations

import statistics
import tempfile
from pathlib import Path

import numpy
import polars

from benchmarks.measuring import (
    Peers,
    Work,
    class_of,
    describe_machine,
    measure_in_turns,
    parse_options,
    print_table,
    read_smiles,
    speed_ratio,
    speed_row,
    write_json,
)
from datamodules.drug_datamodule import DrugDataModule

BATCH_SIZE = 512
TITLES = {"ours": "ours", "pyg": "PyG `DataLoader`", "chemprop": "chemprop `build_dataloader`, cached graphs"}


def epoch(data: DrugDataModule) -> Work:
    """A pass over the training batches."""

    def work(turn: int) -> None:
        for _ in data.train_dataloader():
            pass

    return work


def main() -> None:
    """Measure and print the table."""
    options = parse_options(__doc__, molecules=20_000, repeats=7)
    smiles = read_smiles(options.table, options.column, options.molecules)
    with tempfile.TemporaryDirectory() as folder:
        table = Path(folder) / "table.csv"
        polars.DataFrame({"smiles": smiles, "label": map(class_of, smiles)}).write_csv(table)
        contenders = {}
        for workers in (0, 1):
            data = DrugDataModule(str(table), batch_size=BATCH_SIZE, num_workers=workers, cache_folder=folder)
            data.setup("fit")
            contenders[f"ours_{workers}"] = epoch(data)
        rows = data.records.rows["train"]
        trained = numpy.array(smiles, dtype=object)[rows].tolist()
        with Peers("loader", trained, Path(folder), options.repeats + 1, 1) as peers:
            own, others = measure_in_turns(contenders, peers, options.repeats)
    times = own | others
    cells = []
    for name, values in times.items():
        title, workers_used = name.rsplit("_", 1)
        cells.append(speed_row(f"{TITLES[title]}, {workers_used} workers", len(rows), values, own["ours_0"]))
    print_table([f"epoch of {len(rows):,}", "molecules/s", "times ours without workers", "range"], cells)
    print(describe_machine(2))
    figures = {
        "loader_molecules_per_second": len(rows) / statistics.median(own["ours_0"]),
        "loader_batches_per_second": len(rows) / BATCH_SIZE / statistics.median(own["ours_0"]),
        "loader_worker_molecules_per_second": len(rows) / statistics.median(own["ours_1"]),
    }
    for peer in ("pyg", "chemprop"):
        for suffix, workers in (("", 0), ("_worker", 1)):
            if f"{peer}_{workers}" in others:
                ratio = speed_ratio(own[f"ours_{workers}"], others[f"{peer}_{workers}"])
                figures[f"loader{suffix}_vs_{peer}"] = ratio
    write_json(figures, options.json)


if __name__ == "__main__":
    main()
