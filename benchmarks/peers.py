"""Measures the peers of one benchmark turn by turn; `measuring.Peers` runs it in the environment of the peers.

For each line of input, the number of a turn, it prints one JSON object with the seconds of each peer. A peer that
cannot be imported is left out.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import warnings
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from benchmarks.measuring import Work, seconds

Build = Callable[[], dict[str, Work]]


def featurize(smiles: list[str], turns: int) -> list[Build]:
    """SMILES to graphs, with other molecules in each turn; `peers_parse` is the reference for all."""
    from rdkit import Chem, rdBase

    def each(convert: Callable[[str], object]) -> Work:
        def work(turn: int) -> None:
            with rdBase.BlockLogs():
                for text in smiles[turn::turns]:
                    convert(text)

        return work

    def parser() -> dict[str, Work]:
        return {"peers_parse": each(Chem.MolFromSmiles)}

    def chemprop() -> dict[str, Work]:
        from chemprop.data import MoleculeDatapoint  # type: ignore[import-not-found]
        from chemprop.featurizers import SimpleMoleculeMolGraphFeaturizer  # type: ignore[import-not-found]

        featurizer = SimpleMoleculeMolGraphFeaturizer()
        return {"chemprop": each(lambda text: featurizer(MoleculeDatapoint.from_smi(text).mol))}

    def chemprop_cuik() -> dict[str, Work]:
        from chemprop.featurizers import CuikmolmakerMolGraphFeaturizer

        featurizer = CuikmolmakerMolGraphFeaturizer()

        def work(turn: int) -> None:
            chosen = smiles[turn::turns]
            for start in range(0, len(chosen), 64):
                featurizer(chosen[start : start + 64])

        return {"chemprop_cuik": work}

    def pyg() -> dict[str, Work]:
        from torch_geometric.utils import from_smiles

        return {"pyg": each(from_smiles)}

    def dgllife() -> dict[str, Work]:
        from dgllife.utils import (  # type: ignore[import-not-found]
            CanonicalAtomFeaturizer,
            CanonicalBondFeaturizer,
            mol_to_bigraph,
        )

        features = {"node_featurizer": CanonicalAtomFeaturizer(), "edge_featurizer": CanonicalBondFeaturizer()}
        return {"dgllife": each(lambda text: mol_to_bigraph(Chem.MolFromSmiles(text), **features))}

    return [parser, chemprop, chemprop_cuik, pyg, dgllife]


def train_step(smiles: list[str], turns: int) -> list[Build]:
    """Forward and backward pass on one batch of all molecules; `peers_dense` is the reference for all."""
    from benchmarks import peer_models

    return [partial(build, smiles) for build in peer_models.BUILDERS]


def loader(smiles: list[str], turns: int) -> list[Build]:
    """One epoch over featurized molecules, without and with a worker process."""
    batch_size = 512

    def drain(loader: object) -> Work:
        def work(turn: int) -> None:
            for _ in loader:  # type: ignore[attr-defined]
                pass

        return work

    def pyg() -> dict[str, Work]:
        from torch_geometric.loader import DataLoader
        from torch_geometric.utils import from_smiles

        data = [from_smiles(text) for text in smiles]
        return {
            f"pyg_{workers}": drain(DataLoader(data, batch_size, shuffle=True, num_workers=workers))
            for workers in (0, 1)
        }

    def chemprop() -> dict[str, Work]:
        from chemprop.data import MoleculeDatapoint, MoleculeDataset, build_dataloader

        data = MoleculeDataset([MoleculeDatapoint.from_smi(text) for text in smiles])
        data.cache = True
        return {
            f"chemprop_{workers}": drain(build_dataloader(data, batch_size, num_workers=workers)) for workers in (0, 1)
        }

    return [pyg, chemprop]


TASKS: Mapping[str, Callable[[list[str], int], list[Build]]] = {
    "featurize": featurize,
    "train_step": train_step,
    "loader": loader,
}


def importable(build: Build) -> dict[str, Work]:
    """The work of a peer, or nothing if a package is missing."""
    try:
        return build()
    except ImportError as error:
        print(f"A peer is left out: {error}", file=sys.stderr)
        return {}


def main() -> None:
    """Measure a turn for each line of input."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", choices=TASKS)
    parser.add_argument("smiles", type=Path, help="a file with one SMILES per line")
    parser.add_argument("turns", type=int)
    arguments = parser.parse_args()
    # Libraries print to stderr, so that stdout has the replies alone.
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        builds = TASKS[arguments.task](arguments.smiles.read_text().split("\n"), arguments.turns)
        contenders = dict(pair for build in builds for pair in importable(build).items())
        for line in sys.stdin:
            print(json.dumps({name: seconds(work, int(line)) for name, work in contenders.items()}), file=replies)
            replies.flush()


if __name__ == "__main__":
    main()
