"""Speed of featurization: our graphs against RDKit's parser alone, and against the featurizers of other projects.

Everything runs on one core. The reference is a loop that only calls `Chem.MolFromSmiles`. Each turn takes other
molecules, the same for all contenders. The speeds of the peers are relative to the same loop in their own process,
which has another release of RDKit.

    python -m benchmarks.featurize [--table FILE --column X] [--json FILE]
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

from rdkit import Chem, rdBase

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
from datamodules.chemistry.molecule_features import FeatureSettings, feature_arrays, featurize
from datamodules.chemistry.molecule_graphs import GraphBuilder, SmilesReader
from datamodules.part_files import write_parts

CHUNK = 2_000
MOLECULES_FOR_TWO_CORES = 100_000
TITLES = {
    "parse": "RDKit's `MolFromSmiles` alone",
    "graph": "ours, graph",
    "graph_fingerprint": "ours, graph and Morgan counts",
    "peers_parse": "`MolFromSmiles` alone, RDKit of the peers",
    "chemprop": "chemprop, default",
    "chemprop_cuik": "chemprop with cuik-molmaker",
    "pyg": "PyG `from_smiles`",
    "dgllife": "dgllife, canonical",
}


def parse(smiles: list[str]) -> None:
    """Parse molecules and discard them."""
    with rdBase.BlockLogs():
        for text in smiles:
            Chem.MolFromSmiles(text)


def graphs(smiles: list[str]) -> None:
    """Our graphs without fingerprints."""
    with rdBase.BlockLogs():
        for start in range(0, len(smiles), CHUNK):
            read, builder = SmilesReader(), GraphBuilder()
            for text in smiles[start : start + CHUNK]:
                builder.add(text, read(text))
            builder.finish()


def graphs_and_fingerprints(smiles: list[str]) -> None:
    """Our graphs and fingerprints, as the data module computes them."""
    for start in range(0, len(smiles), CHUNK):
        featurize(smiles[start : start + CHUNK], FeatureSettings())


def parts_seconds(smiles: list[str], cores: list[int]) -> float:
    """Seconds of writing the part files on some cores; sets the cores of the process it is called in."""
    os.sched_setaffinity(0, cores)
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        write_parts(smiles, partial(feature_arrays, settings=FeatureSettings()), Path(folder), "Featurizing")
        return time.perf_counter() - start


def parse_seconds(smiles: list[str], cores: list[int]) -> float:
    """Seconds of the parser alone with the molecules divided among one process per core."""
    os.sched_setaffinity(0, cores)
    shares = [smiles[number :: len(cores)] for number in range(len(cores))]
    with ProcessPoolExecutor(len(cores), mp_context=get_context("spawn")) as pool:
        list(pool.map(parse, [share[:10] for share in shares]))
        start = time.perf_counter()
        list(pool.map(parse, shares))
        return time.perf_counter() - start


def two_cores_speedup(
    seconds: Callable[[list[str], list[int]], float], smiles: list[str], cores: list[int], repeats: int
) -> float:
    """Speedup of two cores over one, the median over the turns."""
    ratios = []
    with ProcessPoolExecutor(1, mp_context=get_context("spawn"), max_tasks_per_child=1) as pool:
        for _ in range(repeats):
            one, two = (pool.submit(seconds, smiles, cores[:number]).result() for number in (1, 2))
            ratios.append(one / two)
    return statistics.median(ratios)


def main() -> None:
    """Measure and print the table."""
    options = parse_options(__doc__, molecules=5_000, repeats=5)
    turns, cores = options.repeats + 1, sorted(os.sched_getaffinity(0))
    smiles = read_smiles(options.table, options.column, turns * options.molecules)
    os.sched_setaffinity(0, cores[:1])
    contenders = {
        name: lambda turn, work=work: work(smiles[turn::turns])
        for name, work in (("parse", parse), ("graph", graphs), ("graph_fingerprint", graphs_and_fingerprints))
    }
    with tempfile.TemporaryDirectory() as folder, Peers("featurize", smiles, Path(folder), turns, 1) as peers:
        own, others = measure_in_turns(contenders, peers, options.repeats)
    rows, figures = [], {"parse_per_second": options.molecules / statistics.median(own["parse"])}
    for times, reference in ((own, "parse"), (others, "peers_parse")):
        for name, values in times.items():
            rows.append(speed_row(TITLES[name], options.molecules, values, times[reference]))
            if name != reference:
                figures[f"{name}_vs_parse"] = speed_ratio(values, times[reference])
    print_table(["SMILES to graph, one core", "molecules/s", "times the parser", "range"], rows)
    os.sched_setaffinity(0, cores)
    if len(cores) > 1:
        many = (smiles * (MOLECULES_FOR_TWO_CORES // len(smiles) + 1))[:MOLECULES_FOR_TWO_CORES]
        for name, seconds in (("two_cores_speedup", parts_seconds), ("two_cores_parse_speedup", parse_seconds)):
            figures[name] = two_cores_speedup(seconds, many, cores, options.repeats)
        print(
            f"\n{len(many):,} molecules on two cores: {figures['two_cores_speedup']:.2f} times the speed of one; "
            f"two processes that only parse: {figures['two_cores_parse_speedup']:.2f} times that of one."
        )
    print(describe_machine(1))
    write_json(figures, options.json)


if __name__ == "__main__":
    main()
