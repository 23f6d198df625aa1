"""Time and memory of `lightning predict` on a large table, relative to featurization and the encoder alone.

A fingerprint model of the bundled drugs, or a given one, predicts on distinct SMILES (randomized ones of the same
molecules). The reference featurizes the same rows as in training and runs the encoder on them, without reading or
writing tables. Both are timed in turns and without imports. The memory is the total of all processes of the command.
1 MB is 1e6 bytes.

    python -m benchmarks.predict [--rows 100000] [--repeats 2] [--ckpt_path FILE] [--format parquet] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from functools import partial
from pathlib import Path

from benchmarks.measuring import describe_machine, print_table, write_json
from benchmarks.memory import run


def predict(checkpoint: Path, table: Path, output: Path) -> None:
    """Run the command in this process and print its seconds."""
    from lightning_app.predict import main as command
    from workflows.terminal import Terminal

    start = time.perf_counter()
    options = ["--trainer.accelerator=cpu", "--trainer.enable_progress_bar=false"]
    paths = ["--ckpt_path", str(checkpoint), "--data.source", str(table), "--output", str(output)]
    command([*paths, *options], Terminal())
    print(json.dumps(time.perf_counter() - start))


def reference(checkpoint: Path, table: Path, output: Path) -> None:
    """Featurize, run the encoder, and print the seconds of both together.

    Args:
        checkpoint: Checkpoint of the model.
        table: A table with a column smiles.
        output: Folder of the features.
    """
    import torch

    from datamodules.features import featurize_cached, featurize_table
    from datamodules.sample_store import SampleRows
    from datamodules.tables.source_table import read_table
    from modules.drug_classifier import DrugClassifier

    model = DrugClassifier.load_from_checkpoint(checkpoint)
    assert model.task is not None
    given = read_table(table, need_labels=False)
    start = time.perf_counter()
    featured = featurize_table(given, model.task.features, partial(featurize_cached, cache_folder=output))
    rows = featured.usable_rows
    samples = SampleRows(featured.store, rows, rows, rows)
    with torch.no_grad():
        for first in range(0, len(rows), 512):
            model.network.encoder(samples[rows[first : first + 512]])
    print(json.dumps(time.perf_counter() - start))


def write_table(folder: Path, rows: int, suffix: str) -> Path:
    """Write a table of distinct SMILES and return its path.

    Args:
        folder: Folder of the table.
        rows: Number of rows.
        suffix: "csv" or "parquet".
    """
    import polars

    run(["benchmarks.memory_stages", "write", str(folder), str(rows)], folder)
    table = folder / f"{rows}.csv"
    if suffix == "parquet":
        polars.scan_csv(table).sink_parquet(table.with_suffix(".parquet"))
        table = table.with_suffix(".parquet")
    return table


def train(folder: Path) -> Path:
    """Train the fingerprint model for ten epochs and return its checkpoint."""
    options = ["--config", "encoder/fingerprint.yaml", "--trainer.max_epochs=10", "--trainer.accelerator=cpu"]
    places = ["--run.root", str(folder / "runs"), "--tracking.wandb", "disabled"]
    run(["lightning_app.cli", "fit", *options, *places, "--trainer.enable_progress_bar=false"], folder)
    return folder / "runs/inn_stems/version_0/checkpoints/best.ckpt"


def measure(checkpoint: Path, table: Path, folder: Path, rows: int, repeats: int) -> dict[str, float]:
    """Measure time and memory of both stages.

    Args:
        checkpoint: Checkpoint of the model.
        table: The table to predict on.
        folder: Working folder.
        rows: Number of rows of the table.
        repeats: Number of turns.
    """
    seconds: dict[str, list[float]] = {"reference": [], "predict": []}
    peak = 0.0
    for turn in range(repeats):
        for stage, own in seconds.items():
            output = folder / (f"features_{turn}" if stage == "reference" else f"out{table.suffix}")
            done = run(["benchmarks.predict", stage, str(checkpoint), str(table), str(output)], folder)
            own.append(float(done.output.splitlines()[-1]))
            if stage == "predict":
                peak = max(peak, done.together_gb)
    middle = {stage: statistics.median(values) for stage, values in seconds.items()}
    ratio = statistics.median(ours / base for ours, base in zip(seconds["predict"], seconds["reference"], strict=True))
    return {
        "predict_seconds": middle["predict"],
        "predict_rows_per_second": rows / middle["predict"],
        "predict_reference_seconds": middle["reference"],
        "predict_ratio": ratio,
        "predict_peak_mb": peak * 1000,
    }


def main() -> None:
    """Measure and print the table, or run one stage."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stage", nargs="*", help=argparse.SUPPRESS)
    parser.add_argument("--rows", type=int, default=100_000, help="default 100,000")
    parser.add_argument("--repeats", type=int, default=2, help="turns, default 2")
    parser.add_argument("--ckpt_path", type=Path, help="a checkpoint of a model of single molecules")
    parser.add_argument(
        "--format", choices=["csv", "parquet"], default="csv", help="format of the table and the output"
    )
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    options = parser.parse_args()
    if options.stage:
        stage, *paths = options.stage
        {"predict": predict, "reference": reference}[stage](*map(Path, paths))
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        checkpoint = options.ckpt_path.resolve() if options.ckpt_path else train(folder)
        table = write_table(folder, options.rows, options.format)
        figures = measure(checkpoint, table, folder, options.rows, options.repeats)
    header = ["rows", "predict, s", "rows/s", "features and encoder, s", "ratio", "peak, MB"]
    shown = [f"{options.rows:,}", *(f"{value:,.2f}" for value in figures.values())]
    print_table(header, [shown])
    print(describe_machine(len(os.sched_getaffinity(0))))
    write_json(figures, options.json)


if __name__ == "__main__":
    main()
