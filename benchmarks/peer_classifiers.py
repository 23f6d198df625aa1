"""Other classifiers on the splits of a benchmark.

Logistic regression, random forests, gradient boosting, a small network and chemprop, each as it comes, with balanced
class weights, and decided on the validation samples by the objective `balanced_accuracy` of our models (the rows
`_decided`). All but chemprop, which reads the SMILES, get the fingerprint counts of `data.fingerprint_kinds` (for a
reaction, product minus reactants; for a pair, both) or the values of arrays; gradient boosting also gets descriptors of
RDKit.

Writes `peers.csv` into the folder of the benchmark, whose rows `lightning benchmark` includes in its tables. Rows that
exist are computed again only if the settings have changed. Gradient boosting and chemprop run in the environment of
`make peers` and are left out without it.

    python -m benchmarks.peer_classifiers --config benchmark/comparison.yaml
"""

from __future__ import annotations

import argparse
import os
import shlex
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars
from torch import Tensor

from base.atomic_file import write_csv
from benchmarks.measuring import PEERS_PYTHON
from benchmarks.peer_data import Fitted, PeerData, peer_data
from benchmarks.peer_decision import accuracies, decision_samples, log_probabilities, ranking
from benchmarks.peer_fits import DECIDED, FAMILIES, Family
from experiments.benchmark_plan import Cell, read_plan
from experiments.benchmark_results import read_results
from modules.decisions.objectives import AsTrained, BalancedAccuracy, HeadKept
from workflows.fit_cli import FitCLI
from workflows.settings.config_files import find_config
from workflows.settings.layers import settings_files

Row = dict[str, Any]


def load(cell: Cell) -> PeerData:
    """The data of a cell, split; an ensemble of folds is compared with peers on its split into three."""
    words = [*shlex.split(os.path.expandvars(cell.arguments)), "--folds", "null", "--data.keep_test", "false"]
    with tempfile.TemporaryDirectory() as runs:
        data = FitCLI([*words, "--run.root", runs, "--tracking.wandb", "disabled"]).datamodule
        data.setup("fit")
        return peer_data(data)


def measure(family: Family, data: PeerData, seed: int) -> dict[str, Row]:
    """Test metrics of the variants of a peer by method, and their seconds.

    Args:
        family: The peer.
        data: The samples.
        seed: Random seed of the fits.
    """
    counts, validation = data.counts, data.labels("validation")
    found: dict[str, Row] = {}
    at_prior: Tensor | None = None
    for name, fit in family.fits.items():
        start = time.monotonic()
        fitted = fit(data, seed)
        seconds = round(time.monotonic() - start, 1)
        if at_prior is None:
            at_prior = log_probabilities(fitted.validation, counts).argmax(dim=1)
        samples = decision_samples(fitted.validation, validation, counts, fitted.prior_removed, at_prior)
        kept = _accuracies(fitted, data, HeadKept().choose(samples).offset)["balanced_accuracy"]
        shared = {
            **ranking(fitted.test, data.labels("test"), counts),
            "balanced_accuracy_head_kept": kept,
            "train_samples": len(data.codes["train"]),
            "test_samples": len(data.codes["test"]),
            "seconds": seconds,
        }
        for method, objective in ((name, AsTrained()), (f"{name}{DECIDED}", BalancedAccuracy())):
            row = {**_accuracies(fitted, data, objective.choose(samples).offset), **shared}
            found[method] = {key: None if value != value else value for key, value in row.items()}
    return found


def _accuracies(fitted: Fitted, data: PeerData, offset: Tensor) -> dict[str, float]:
    """Accuracies on the test samples with an offset of the score of each class, (C,)."""
    return accuracies(log_probabilities(fitted.test, data.counts) + offset, data.labels("test"), data.counts)


def is_current(row: Mapping[str, Any], cell: Cell | None) -> bool:
    """Whether a row has the current settings, or is not one that this script would compute.

    Args:
        row: A row of `peers.csv`.
        cell: The cell of the plan with its data and split; None if there is none.
    """
    family = next((own for own in FAMILIES.values() if row["method"] in own.methods), None)
    if cell is None or family is None:
        return True
    return cell.agrees_with(row) and row.get("peer_settings") == family.settings


def chosen_families(names: list[str] | None) -> dict[str, Family]:
    """The families to fit, without those whose environment is missing.

    Args:
        names: Their names; those that are fitted by default if None.
    """
    families = {name: own for name, own in FAMILIES.items() if (own.by_default if names is None else name in names)}
    if PEERS_PYTHON.is_file():
        return families
    left_out = [name for name, own in families.items() if own.elsewhere]
    if left_out:
        print(f"Left out: {', '.join(left_out)}; `make peers` installs what they need.", file=sys.stderr)
    return {name: own for name, own in families.items() if not own.elsewhere}


def main() -> None:
    """Evaluate each peer on each split of each data set."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", required=True, help="the file of the benchmark")
    parser.add_argument("--folder", type=Path, help="default: results/<name of the file>")
    parser.add_argument("--peers", nargs="+", choices=FAMILIES, help="default: all but chemprop_ensemble")
    arguments = parser.parse_args()
    plan = read_plan(find_config(arguments.config), settings_files)
    folder = arguments.folder or Path("results") / plan.name
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "peers.csv"
    rows = read_results(path).rows(named=True) if path.is_file() else []
    firsts = {(cell.data, cell.split_seed): cell for cell in reversed(plan.cells)}
    rows = [row for row in rows if is_current(row, firsts.get((row["data"], row["split_seed"])))]
    families = chosen_families(arguments.peers)
    for (name, split_seed), cell in sorted(firsts.items()):
        known = {row["method"] for row in rows if (row["data"], row["split_seed"]) == (name, split_seed)}
        missing = [family for family in families.values() if not known.issuperset(family.methods)]
        if not missing:
            continue
        data = load(cell)
        for family in missing:
            if family.needs_molecules and not data.has_molecules:
                continue
            made = {"settings": cell.settings, "arguments": cell.arguments, "peer_settings": family.settings}
            for method, values in measure(family, data, split_seed).items():
                identity = {"data": name, "encoder": family.encoder, "method": method, "split_seed": split_seed}
                if method not in known:
                    rows.append({**identity, "seed": 0, "state": "complete", **values, **made})
                print(f"{name} split {split_seed} {method}: {values['balanced_accuracy']:.4f}", flush=True)
            write_csv(polars.DataFrame(rows, infer_schema_length=None), path)


if __name__ == "__main__":
    main()
