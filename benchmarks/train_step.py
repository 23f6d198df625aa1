"""Speed of a training step: our graph networks against their dense layers alone, and against those of other projects.

A step is a forward and a backward pass on one batch of molecules, on two threads. The reference is the dense layers of
the GIN (width 300, 5 layers) on the same number of atoms, without message passing. A comparison of our networks with a
peer is relative to this reference in the process of each.

    python -m benchmarks.train_step [--table FILE --column X] [--json FILE]
"""

from __future__ import annotations

import statistics
import tempfile
from pathlib import Path

import numpy
import torch
from torch import nn

from benchmarks.measuring import (
    Peers,
    describe_machine,
    measure_in_turns,
    parse_options,
    print_table,
    read_smiles,
    speed_ratio,
    speed_row,
    write_json,
)
from benchmarks.peer_models import GCN_HIDDEN, GCN_LAYERS, HIDDEN, LAYERS, training_step
from datamodules.batch import Batch
from datamodules.chemistry.molecule_features import FeatureSettings, featurize
from datamodules.drug_task import DrugTask
from datamodules.sample_store import SampleMolecules, SampleStore
from modules.encoders.encoder import Encoder
from modules.encoders.gcn import GCN
from modules.encoders.gin import GIN

THREADS = 2
TITLES = {
    "dense": "dense layers of GIN alone",
    "gin": "ours, GIN 300 x 5 with bonds",
    "gin_bf16": "ours, the same under bfloat16 autocast",
    "gcn": "ours, the paper's GCN 128 x 3",
    "peers_dense": "dense layers alone, in the peers' process",
    "pyg_gin": "PyG, GIN 300 x 5",
    "pyg_gin_bf16": "PyG, the same under bfloat16 autocast",
    "dgl_gin": "DGL, GIN 300 x 5",
    "chemprop": "chemprop, message passing 300 x 3",
    "pyg_gcn": "PyG, GCN 128 x 3",
    "dgllife_gcn": "dgllife, GCN 128 x 3",
}


def one_batch(smiles: list[str]) -> Batch:
    """All molecules as one batch."""
    rows, settings = numpy.arange(len(smiles)), FeatureSettings()
    molecules = SampleMolecules(featurize(smiles, settings), rows[:, None], settings.fingerprint_width)
    return SampleStore(molecules).batch(rows, rows, rows)


def built(encoder: Encoder) -> Encoder:
    """Build the layers of an encoder of molecules, and return it."""
    encoder.build(DrugTask("molecule", ("a", "b"), (1, 1), FeatureSettings()))
    return encoder


def main() -> None:
    """Measure and print the table."""
    options = parse_options(__doc__, molecules=512, repeats=5)
    torch.set_num_threads(THREADS)
    smiles = read_smiles(options.table, options.column, options.molecules)
    batch = one_batch(smiles)
    gin, gcn = built(GIN(HIDDEN, LAYERS)), built(GCN(GCN_HIDDEN, GCN_LAYERS))
    dense = nn.Sequential(*(layer.get_submodule("update") for layer in gin.get_submodule("layers").children()))
    assert batch.molecules is not None
    atoms = torch.randn(len(batch.molecules.atom_codes), HIDDEN, requires_grad=True)
    contenders = {
        "dense": training_step(dense, lambda: dense(atoms)),
        "gin": training_step(gin, lambda: gin(batch)),
        "gin_bf16": training_step(gin, lambda: gin(batch), bfloat16=True),
        "gcn": training_step(gcn, lambda: gcn(batch)),
    }
    turns = options.repeats + 1
    with tempfile.TemporaryDirectory() as folder, Peers("train_step", smiles, Path(folder), turns, THREADS) as peers:
        own, others = measure_in_turns(contenders, peers, options.repeats)
    rows, figures = [], {}
    for times, reference in ((own, "dense"), (others, "peers_dense")):
        for name, values in times.items():
            rows.append(speed_row(TITLES[name], len(smiles), values, times[reference]))
            figures[f"{name}_molecules_per_second"] = len(smiles) / statistics.median(values)
            if name != reference:
                figures[f"{name}_vs_dense"] = speed_ratio(values, times[reference])
    figures["gin_fp32_vs_dense"] = figures.pop("gin_vs_dense")
    print_table([f"step on {len(smiles)} molecules", "molecules/s", "times the dense layers", "range"], rows)
    if "pyg_gin" in others:
        for name in ("gin_fp32", "gin_bf16"):
            figures[f"{name}_vs_pyg_fp32"] = figures[f"{name}_vs_dense"] / figures["pyg_gin_vs_dense"]
        print(f"\nOurs to PyG's GIN in fp32: {figures['gin_fp32_vs_pyg_fp32']:.2f}", end="")
        print(f", with ours in bfloat16: {figures['gin_bf16_vs_pyg_fp32']:.2f}.")
    print(describe_machine(THREADS))
    write_json(figures, options.json)


if __name__ == "__main__":
    main()
