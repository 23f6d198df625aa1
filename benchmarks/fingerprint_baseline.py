"""Our default against balanced logistic regression on Morgan counts, on the same splits.

Prints the balanced accuracy of both on the test split for each split seed, then the mean paired difference with its
95 % interval. Splits share drugs, so the interval is that of the corrected resampled t-test (Nadeau and Bengio 2003),
which is wider than the naive one.

    python benchmarks/fingerprint_baseline.py [--splits 10] [-- --config method/cross_entropy.yaml ...]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy
from scipy.sparse import csr_matrix
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score

from datamodules.drug_datamodule import DrugDataModule
from datamodules.splits import SplitName
from experiments.paired_statistics import corrected_interval


def baseline(split_seed: int) -> float:
    """Balanced accuracy of logistic regression on the counts, class_weight="balanced", on the test split."""
    data = DrugDataModule(source="inn_stems", split_seed=split_seed)
    data.setup("fit")

    def counts(split: SplitName) -> csr_matrix:
        rows = data.records.rows[split]
        batch = data.table.store.batch(rows, rows, data.records.codes[rows])
        places = (batch.fingerprint_molecule.numpy(), batch.fingerprint_bin.numpy())
        return csr_matrix((batch.fingerprint_count.numpy(), places), (len(rows), data.features.fingerprint_width))

    codes = {split: data.records.codes[rows] for split, rows in data.records.rows.items()}
    model = LogisticRegression(class_weight="balanced", max_iter=1000).fit(counts("train"), codes["train"])
    return float(balanced_accuracy_score(codes["test"], model.predict(counts("test"))))


def ours(split_seed: int, folder: Path, options: Sequence[str]) -> float:
    """Balanced accuracy of `lightning fit` on the test split."""
    place = ["--run.root", str(folder), "--run.version", f"split_{split_seed}", "--tracking.wandb", "disabled"]
    command = [sys.executable, "-m", "lightning_app.cli", "fit", "--data.split_seed", str(split_seed), *place]
    command += ["--trainer.enable_progress_bar", "false", "--report", "false", *options]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    (metrics,) = folder.glob(f"*/split_{split_seed}/test_metrics.json")
    return float(json.loads(metrics.read_text())["test/balanced_accuracy"])


def main() -> None:
    """Run both on every split and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--splits", type=int, default=10, help="number of split seeds, from 0")
    parser.add_argument("options", nargs="*", help="more options of lightning fit, after --")
    arguments = parser.parse_args()
    pairs = []
    print(f"{'split':>5} {'logistic':>9} {'ours':>9} {'difference':>11}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(arguments.splits):
            pairs.append((baseline(seed), ours(seed, Path(folder), arguments.options)))
            print(f"{seed:>5} {pairs[-1][0]:9.4f} {pairs[-1][1]:9.4f} {pairs[-1][1] - pairs[-1][0]:+11.4f}", flush=True)
    reference, own = (float(numpy.mean(column)) for column in zip(*pairs, strict=True))
    print(f"{'mean':>5} {reference:9.4f} {own:9.4f} {own - reference:+11.4f}")
    if len(pairs) > 1:
        mean, low, high = corrected_interval(numpy.array([own - reference for reference, own in pairs]), 0.2 / 0.7)
        print(f"paired difference {mean:+.4f}, 95 % interval {low:+.4f} to {high:+.4f} (corrected resampled t)")


if __name__ == "__main__":
    main()
