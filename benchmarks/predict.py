"""Time and memory of `lightning predict` on a large table, beside featurising and the encoder alone.

A fingerprint model of the embedded drugs, or the one given, predicts on distinct SMILES (other spellings of the
molecules of the HIV table where it lies beside the checkout). The reference featurises the same rows as training does
and runs the encoder on them, without reading, writing or anything else; both are timed without what importing takes,
in turns. The memory is that of all processes of the command together. 1 MB is 1e6 bytes.

    python -m benchmarks.predict [--rows 100000] [--repeats 2] [--ckpt_path FILE] [--format parquet] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
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
    """Featurise, run the encoder, and print the seconds of both.

    Args:
        checkpoint: The model.
        table: With a column smiles.
        output: A folder for the features.
    """
    import torch

    from datamodules.drug_records import featurise_table
    from datamodules.sample_rows import SampleRows
    from datamodules.tables.drug_table import read_table
    from modules.checkpoint_file import load_model

    model = load_model(checkpoint).eval()
    assert model.task is not None
    given = read_table(table, need_labels=False)
    start = time.perf_counter()
    featured = featurise_table(given, model.task.features, output)
    rows = featured.reasons.is_null().arg_true().to_numpy()
    samples = SampleRows(featured.store, rows, rows, rows)
    with torch.no_grad():
        for first in range(0, len(rows), 512):
            model.embed(samples[rows[first : first + 512]])
    print(json.dumps(time.perf_counter() - start))


def write_table(folder: Path, rows: int, suffix: str) -> Path:
    """A table of distinct SMILES.

    Args:
        folder: Where it goes.
        rows: How many.
        suffix: csv or parquet.
    """
    import polars

    run(["benchmarks.memory_stages", "write", str(folder), str(rows)], folder)
    table = folder / f"{rows}.csv"
    if suffix == "parquet":
        polars.scan_csv(table).sink_parquet(table.with_suffix(".parquet"))
        table = table.with_suffix(".parquet")
    return table


def train(folder: Path) -> Path:
    """Fit the fingerprint model for some epochs; returns its checkpoint."""
    options = ["--config", "encoder/fingerprint.yaml", "--trainer.max_epochs=10", "--trainer.accelerator=cpu"]
    places = ["--run.root", str(folder / "runs"), "--tracking.wandb", "disabled"]
    run(["lightning_app.cli", "fit", *options, *places, "--trainer.enable_progress_bar=false"], folder)
    return folder / "runs/inn_stems/version_0/checkpoints/best.ckpt"


def measure(checkpoint: Path, table: Path, folder: Path, rows: int, repeats: int) -> dict[str, float]:
    """The figures.

    Args:
        checkpoint: The model.
        table: What to predict on.
        folder: To work in.
        rows: Of the table.
        repeats: Turns.
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
    parser.add_argument("--ckpt_path", type=Path, help="a checkpoint of input molecule")
    parser.add_argument("--format", choices=["csv", "parquet"], default="csv", help="of the table and the output")
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
