"""Seconds that the nearest training samples of 1,000 drugs take, among up to a million.

The fingerprints are those of the bundled drugs, mixed: each sample has a bin of one drug with probability 0.7 and a
bin of another with probability 0.3, so that bins are as frequent and as many as in drugs. The queries are made in the
same way. Embeddings are random unit vectors of 128 numbers. Times are medians of three searches of 1,000 queries at
once, after the index was made.

    python -m benchmarks.nearest [--sizes 10000 100000 1000000] [--json FILE]
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy
import torch
from scipy.sparse import csr_array, vstack

from benchmarks.measuring import describe_machine, print_table, write_json
from datamodules.drug_datamodule import DrugDataModule
from modules.neighbors.training_samples import TrainingSamples
from modules.sample_fingerprints import bits_of_rows
from modules.unit_embeddings import unit_embeddings

QUERIES, NUMBER, WIDTH, THREADS, REPEATS = 1_000, 3, 128, 2, 3
SIZES = (10_000, 100_000, 1_000_000)
HEADER = ["training samples", "index, s", "1,000 queries by Tanimoto, s", "by cosine, s"]
_AT_ONCE = 50_000


def mixed(drugs: csr_array, samples: int, seed: int) -> csr_array:
    """Fingerprints of made samples.

    Args:
        drugs: Bins of real drugs, fp32 (n, W).
        samples: Number of samples to make.
        seed: Random seed.

    Returns:
        fp32 (samples, W), of zeros and ones.
    """
    generator = numpy.random.default_rng(seed)
    parts = []
    for start in range(0, samples, _AT_ONCE):
        size = min(_AT_ONCE, samples - start)
        both = []
        for share in (0.7, 0.3):
            own = drugs[generator.integers(0, drugs.shape[0], size)]
            own.data = (generator.random(len(own.data)) < share).astype(numpy.float32)
            both.append(own)
        part = both[0] + both[1]
        part.eliminate_zeros()
        part.data[:] = 1
        parts.append(part)
    return vstack(parts, format="csr")


def seconds(search: Callable[[], object]) -> float:
    """Median of several runs."""
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        search()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def measure(drugs: csr_array, size: int) -> dict[str, float]:
    """Seconds of the index and of both searches.

    Args:
        drugs: Bins of real drugs, fp32 (n, W).
        size: Number of training samples.
    """
    queries = mixed(drugs, QUERIES, 1)
    generator = torch.Generator().manual_seed(0)
    embeddings = unit_embeddings(torch.randn(size, WIDTH, generator=generator)).half().numpy()
    asked = torch.randn(QUERIES, WIDTH, generator=generator)
    codes, texts = numpy.zeros(size, dtype=numpy.int64), [""] * size
    found = {}
    for name, by_tanimoto in (("tanimoto", True), ("cosine", False)):
        samples = TrainingSamples(texts, texts, codes, embeddings, mixed(drugs, size, 0), by_tanimoto)
        start = time.perf_counter()
        samples.nearest(asked[:1], queries[:1], NUMBER)
        found[f"index_{name}"] = time.perf_counter() - start
        found[name] = seconds(lambda samples=samples: samples.nearest(asked, queries, NUMBER))  # type: ignore[misc]
    return found


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    parser.add_argument("--json", type=Path, help="file to write the measurements to")
    given = parser.parse_args()
    torch.set_num_threads(THREADS)
    data = DrugDataModule(split="all")
    data.setup("test")
    drugs = bits_of_rows(data, numpy.arange(len(data.records.codes)), data.task)
    rows = {size: measure(drugs, size) for size in given.sizes}
    print_table(
        HEADER,
        [
            [f"{size:,}", f"{row['index_tanimoto']:.2f}", f"{row['tanimoto']:.2f}", f"{row['cosine']:.2f}"]
            for size, row in rows.items()
        ],
    )
    print(describe_machine(THREADS))
    write_json({f"{name}_{size}": value for size, row in rows.items() for name, value in row.items()}, given.json)


if __name__ == "__main__":
    main()
