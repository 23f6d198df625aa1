"""Classifiers of scikit-learn on the splits of a benchmark.

Logistic regression and random forests, each plain and with balanced class weights, on the fingerprint counts of
`data.fingerprint_kinds` (for a reaction, product minus reactants; for a pair, both) or on the values of arrays. Writes
`peers.csv` into the folder of the benchmark, whose rows `lightning benchmark` includes in its tables. Rows that exist
are computed again only if the settings have changed.

    python -m benchmarks.peer_classifiers --config benchmark/comparison.yaml
"""

from __future__ import annotations

import argparse
import os
import shlex
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars
import torch
from scipy.sparse import csr_matrix, hstack
from sklearn.base import ClassifierMixin
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression

from base.atomic_file import write_csv
from datamodules.drug_datamodule import DrugDataModule
from datamodules.splits.splitters import SplitName
from experiments.benchmark_plan import Cell, read_plan
from modules.evaluation.tail_metrics import TailMetrics
from workflows.fit_cli import FitCLI
from workflows.settings.config_files import find_config
from workflows.settings.layers import settings_files

PEERS: dict[str, Callable[[int], ClassifierMixin]] = {
    "logistic": lambda seed: LogisticRegression(max_iter=1000),
    "logistic_balanced": lambda seed: LogisticRegression(max_iter=1000, class_weight="balanced"),
    "forest": lambda seed: RandomForestClassifier(500, n_jobs=-1, random_state=seed),
    "forest_balanced": lambda seed: RandomForestClassifier(
        500, n_jobs=-1, random_state=seed, class_weight="balanced_subsample"
    ),
}


def load(cell: Cell, folder: str) -> DrugDataModule:
    """The data of a cell, split."""
    words = shlex.split(os.path.expandvars(cell.arguments))
    data = FitCLI([*words, "--run.root", folder, "--tracking.wandb", "disabled"]).datamodule
    data.setup("fit")
    return data


def features(data: DrugDataModule, split: SplitName) -> csr_matrix:
    """Fingerprint counts of the samples of a split, or the values of arrays."""
    rows = data.records.rows[split]
    batch = data.table.store.batch(rows, rows, data.records.codes[rows])
    fingerprints = batch.fingerprints
    assert fingerprints is not None
    places = (fingerprints.molecule.numpy(), fingerprints.bin.numpy())
    counts = csr_matrix((fingerprints.count.numpy(), places), fingerprints.shape)
    if counts.shape[0] == len(rows):
        return counts
    first, second = counts[0::2], counts[1::2]
    return second - first if data.task.input == "reaction" else hstack([first, second]).tocsr()


def measure(name: str, data: DrugDataModule, seed: int) -> dict[str, Any]:
    """Test metrics of one classifier, and its seconds."""
    codes = {split: data.records.codes[rows] for split, rows in data.records.rows.items()}
    start = time.monotonic()
    model: Any = PEERS[name](seed).fit(features(data, "train"), codes["train"])
    probabilities = torch.zeros(len(codes["test"]), data.task.num_classes)
    probabilities[:, model.classes_] = torch.from_numpy(model.predict_proba(features(data, "test"))).float()
    metrics = TailMetrics(torch.tensor(data.task.class_counts))
    metrics.update(probabilities, torch.from_numpy(codes["test"]))
    values = {key: float(value) for key, value in metrics.compute().items() if value.ndim == 0}
    return {
        **{key: value if value == value else None for key, value in values.items()},
        "train_samples": len(codes["train"]),
        "test_samples": len(codes["test"]),
        "seconds": round(time.monotonic() - start, 1),
    }


def _is_current(row: dict[str, Any], cell: Cell | None) -> bool:
    """Whether a row has the current settings, or its settings are unknown or not part of the plan."""
    return cell is None or all(row.get(name) in (None, getattr(cell, name)) for name in ("settings", "arguments"))


def main() -> None:
    """Evaluate each classifier on each split of each data set."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", required=True, help="the file of the benchmark")
    parser.add_argument("--folder", type=Path, help="default: results/<name of the file>")
    arguments = parser.parse_args()
    plan = read_plan(find_config(arguments.config), settings_files)
    folder = arguments.folder or Path("results") / plan.name
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "peers.csv"
    rows = polars.read_csv(path, infer_schema_length=None).rows(named=True) if path.is_file() else []
    firsts = {(cell.data, cell.split_seed): cell for cell in reversed(plan.cells)}
    rows = [row for row in rows if _is_current(row, firsts.get((row["data"], row["split_seed"])))]
    known = {(row["data"], row["split_seed"], row["method"]) for row in rows}
    for (name, split_seed), cell in sorted(firsts.items()):
        missing = [peer for peer in PEERS if (name, split_seed, peer) not in known]
        if not missing:
            continue
        with tempfile.TemporaryDirectory() as runs:
            data = load(cell, runs)
        for peer in missing:
            identity = {"data": name, "encoder": "fingerprint", "method": peer, "split_seed": split_seed, "seed": 0}
            made = {"settings": cell.settings, "arguments": cell.arguments}
            rows.append({**identity, "state": "complete", **measure(peer, data, split_seed), **made})
            print(f"{name} split {split_seed} {peer}: {rows[-1]['balanced_accuracy']:.4f}", flush=True)
            write_csv(polars.DataFrame(rows, infer_schema_length=None), path)


if __name__ == "__main__":
    main()
