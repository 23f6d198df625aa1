"""Shared parts of the benchmarks: molecules, timing in turns, the process of the peers, and tables."""

from __future__ import annotations

import argparse
import gc
import json
import os
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType

CHECKOUT = Path(__file__).resolve().parents[1]
PEERS_PYTHON = CHECKOUT / ".venv-peers" / "bin" / "python"
INN_TABLE = CHECKOUT / "datamodules" / "datasets" / "inn_stems" / "inn_stems.csv"

Work = Callable[[int], object]
"""A function to time, called with the number of the turn."""

Times = dict[str, list[float]]
"""Seconds of each turn, by name."""


def parse_options(description: str | None, molecules: int, repeats: int) -> argparse.Namespace:
    """Parse the command line that the benchmarks share.

    Args:
        description: Docstring of the script.
        molecules: Default number of molecules.
        repeats: Default number of measured turns.
    """
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--table", type=Path, help="a table of SMILES instead of the bundled drugs")
    parser.add_argument("--column", help="its SMILES column (default: smiles)")
    parser.add_argument("--molecules", type=int, default=molecules, help=f"default {molecules:,}")
    parser.add_argument("--repeats", type=int, default=repeats, help=f"measured turns, default {repeats}")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    return parser.parse_args()


def read_smiles(table: Path | None, column: str | None, number: int) -> list[str]:
    """Read distinct SMILES that RDKit can parse, in random order.

    A table that is too small is filled up with randomized SMILES of its molecules.

    Args:
        table: A table, or None for the bundled drugs.
        column: Its SMILES column; None for `smiles`.
        number: Number of SMILES.
    """
    from rdkit import Chem, rdBase

    from datamodules.tables.table_file import open_table

    if table is None:
        table, column = INN_TABLE, "smiles"
    frame = open_table(table).read().frame
    smiles = list(dict.fromkeys(text for text in frame[column or "smiles"] if text))
    random.Random(0).shuffle(smiles)
    with rdBase.BlockLogs():
        readable = [text for text in smiles[: number + number // 10] if Chem.MolFromSmiles(text)]
    return _rewritten(readable, number) if len(readable) < number else readable[:number]


def _rewritten(smiles: Sequence[str], number: int) -> list[str]:
    from rdkit import Chem

    found = dict.fromkeys(smiles)
    for seed in range(1, 1_000):
        for text in smiles:
            found |= dict.fromkeys(Chem.MolToRandomSmilesVect(Chem.MolFromSmiles(text), 10, randomSeed=seed))
            if len(found) >= number:
                texts = list(found)[:number]
                random.Random(0).shuffle(texts)
                return texts
    raise SystemExit(
        f"molecules: expected a table with {number:,} distinct SMILES of its molecules, got {len(found):,}."
    )


def class_of(smiles: str) -> str:
    """An artificial label from the number of letters C in a SMILES, equal for all SMILES of a drug and its salts."""
    largest = max(component.count("C") for component in smiles.upper().split("."))
    return str(min(largest, 39) // 2)


class Peers:
    """A process in the environment of the peers that measures them turn by turn.

    Without that environment it measures nothing.
    """

    def __init__(self, task: str, smiles: Sequence[str], folder: Path, turns: int, threads: int) -> None:
        """Start the process.

        Args:
            task: One of the tasks of `peers.py`.
            smiles: The molecules.
            folder: Folder for a file with the molecules.
            turns: Number of turns.
            threads: Number of threads of each peer.
        """
        self._process: subprocess.Popen[str] | None = None
        if not PEERS_PYTHON.is_file():
            print("The peers are left out; `make peers` installs them.", file=sys.stderr)
            return
        file = folder / "smiles.txt"
        file.write_text("\n".join(smiles))
        command = [str(PEERS_PYTHON), "-m", "benchmarks.peers", task, str(file), str(turns)]
        environment = os.environ | {"OMP_NUM_THREADS": str(threads), "DGLBACKEND": "pytorch"}
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=CHECKOUT, env=environment
        )

    def __enter__(self) -> Peers:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()
            self._process.wait()

    def measure(self, turn: int) -> dict[str, float]:
        """Seconds of each peer in one turn."""
        process = self._process
        if process is None or process.stdin is None or process.stdout is None:
            return {}
        process.stdin.write(f"{turn}\n")
        process.stdin.flush()
        reply = process.stdout.readline()
        if not reply:
            raise SystemExit(f"The peers' process ended with status {process.wait()}.")
        return {name: float(value) for name, value in json.loads(reply).items()}


def seconds(work: Work, turn: int) -> float:
    """Seconds of one call."""
    gc.collect()
    start = time.perf_counter()
    work(turn)
    return time.perf_counter() - start


def measure_in_turns(contenders: Mapping[str, Work], peers: Peers | None, repeats: int) -> tuple[Times, Times]:
    """Time every contender once per turn, so that a slow phase of the machine affects all of them.

    The first turn is a warm-up and is not counted.

    Args:
        contenders: Functions that run in this process, by name.
        peers: The process of the peers.
        repeats: Number of measured turns.

    Returns:
        The times of the contenders in this process, and those of the peers.
    """
    own: Times = {}
    others: Times = {}
    for turn in range(repeats + 1):
        measured = {name: seconds(work, turn) for name, work in contenders.items()}
        of_peers = peers.measure(turn) if peers else {}
        if turn:
            for times, values in ((own, measured), (others, of_peers)):
                for name, value in values.items():
                    times.setdefault(name, []).append(value)
    return own, others


def speed_ratio(times: Sequence[float], reference: Sequence[float]) -> float:
    """Speed relative to the reference, the median over the turns."""
    return statistics.median(base / value for value, base in zip(times, reference, strict=True))


def speed_row(name: str, number: int, times: Sequence[float], reference: Sequence[float]) -> list[str]:
    """A row of a table: name, items per second, and the relative speed with its range over the turns.

    Args:
        name: The first cell.
        number: Number of items in a turn.
        times: Seconds of each turn.
        reference: Seconds of each turn of the reference.
    """
    ratios = [base / value for value, base in zip(times, reference, strict=True)]
    middle = statistics.median(ratios)
    rate = number / statistics.median(times)
    return [name, f"{rate:,.0f}", f"{middle:.3f}", f"{min(ratios):.3f} to {max(ratios):.3f}"]


def print_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table as Markdown."""
    for cells in (header, ["---"] * len(header), *rows):
        print("| " + " | ".join(cells) + " |")


def write_json(values: Mapping[str, float], path: Path | None) -> None:
    """Write values as JSON; without a path, do nothing."""
    if path:
        path.write_text(json.dumps({name: round(value, 4) for name, value in values.items()}, indent=1) + "\n")


def describe_machine(cores: int) -> str:
    """The processor, the number of cores used, and its support of 16-bit arithmetic."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    about = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    flags = set(about.get("flags", "").split())
    has = [f"{'with' if flag in flags else 'without'} {flag}" for flag in ("amx_bf16", "avx512_bf16")]
    return f"{about.get('model name', 'unknown processor')}, {cores} core(s), {', '.join(has)}."
