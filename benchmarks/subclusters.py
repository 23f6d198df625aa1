"""How fast and how tight our sub-clusters are, beside flat k-means and k-means with a size bound.

Random unit vectors of 128 numbers, a size bound of 100: isotropic ones in one class; mixtures of blobs with Pareto
sizes in one class; and such mixtures in a hundred classes with sizes like 1 / rank. Contenders get `n / 100` clusters
and 25 iterations. Slow ones are left out where the data are too many for them.

    python -m benchmarks.subclusters [--sizes 12000 100000 500000 1000000] [--data isotropic] [--json FILE]
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy
import torch
from torch import Tensor
from torch.nn import functional

from benchmarks.measuring import CHECKOUT, PEERS_PYTHON, describe_machine, print_table, write_json
from modules.subclusters import subcluster
from modules.unit_embeddings import group_means

WIDTH, BOUND, CLASSES, ITERATIONS, THREADS = 128, 100, 100, 25, 2
BLOBS_OF_ONE_CLASS, BLOBS_OF_EACH_CLASS = 300, 20
LARGEST_FOR_FLAT, LARGEST_FOR_SKLEARN, LARGEST_FOR_CONSTRAINED = 500_000, 100_000, 12_000
SIZES = (12_000, 100_000, 500_000, 1_000_000)
REPEATS = 3
OURS = ("bounded", "kmeans")

Method = Callable[[Tensor, Tensor], Tensor]
"""From unit vectors and classes to clusters."""


def isotropic(number: int) -> tuple[Tensor, Tensor]:
    """One class without structure."""
    generator = torch.Generator().manual_seed(0)
    rows = functional.normalize(torch.randn(number, WIDTH, generator=generator))
    return rows, torch.zeros(number, dtype=torch.int64)


def blobs(number: int, centres: int, seed: int) -> Tensor:
    """A mixture whose parts have Pareto sizes."""
    generator = torch.Generator().manual_seed(seed)
    shares = torch.from_numpy(numpy.random.default_rng(seed).pareto(1.0, centres) + 1).float()
    chosen = torch.multinomial(shares / shares.sum(), number, replacement=True, generator=generator)
    noise = torch.randn(number, WIDTH, generator=generator)
    return functional.normalize(torch.randn(centres, WIDTH, generator=generator)[chosen] + 0.5 * noise)


def clustered(number: int) -> tuple[Tensor, Tensor]:
    """One class of blobs."""
    return blobs(number, BLOBS_OF_ONE_CLASS, 0), torch.zeros(number, dtype=torch.int64)


def long_tailed(number: int) -> tuple[Tensor, Tensor]:
    """Classes of blobs, sizes like 1 / rank."""
    shares = 1 / torch.arange(1, CLASSES + 1)
    counts = (number * shares / shares.sum()).long()
    counts[0] += number - counts.sum()
    rows = torch.cat([blobs(count, BLOBS_OF_EACH_CLASS, seed) for seed, count in enumerate(counts.tolist())])
    return rows, torch.arange(CLASSES).repeat_interleave(counts)


def with_bound(rows: Tensor, classes: Tensor) -> tuple[Tensor, Tensor]:
    """The same with one more class at the end, of as many rows as the bound, which sets it for all data."""
    smallest = functional.normalize(torch.ones(BOUND, WIDTH))
    return torch.cat([rows, smallest]), torch.cat([classes, torch.full((BOUND,), int(classes.max()) + 1)])


def ours(method: str) -> Method:
    """Our sub-clusters of rows `with_bound`."""

    def found(rows: Tensor, classes: Tensor) -> Tensor:
        chosen: Literal["kmeans", "bounded"] = "kmeans" if method == "kmeans" else "bounded"
        return subcluster(rows, classes, int(classes.max()) + 1, BOUND, chosen).ids

    return found


def in_each_class(inside: Callable[[Tensor, int], Tensor]) -> Method:
    """A k-means run in each class by itself."""

    def found(rows: Tensor, classes: Tensor) -> Tensor:
        ids, count = torch.zeros_like(classes), 0
        for label in range(int(classes.max()) + 1):
            members = (classes == label).nonzero().squeeze(1)
            chosen = inside(rows[members], max(1, len(members) // BOUND))
            ids[members] = chosen + count
            count += int(chosen.max()) + 1
        return ids

    return found


def faiss_kmeans(rows: Tensor, clusters: int) -> Tensor:
    """FAISS on all rows."""
    import faiss

    kmeans = faiss.Kmeans(
        WIDTH, clusters, niter=ITERATIONS, min_points_per_centroid=1, max_points_per_centroid=len(rows)
    )
    kmeans.train(rows.numpy())
    return torch.from_numpy(kmeans.assign(rows.numpy())[1]).long()


def sklearn_kmeans(rows: Tensor, clusters: int) -> Tensor:
    """scikit-learn from random rows."""
    from sklearn.cluster import KMeans

    kmeans = KMeans(clusters, init="random", n_init=1, max_iter=ITERATIONS, random_state=0)
    return torch.from_numpy(kmeans.fit_predict(rows.numpy())).long()


def constrained_kmeans(rows: Tensor, clusters: int) -> Tensor:
    """The optimal assignment within the bound in each iteration, in the peers' environment."""
    if len(rows) <= BOUND:
        return torch.zeros(len(rows), dtype=torch.int64)
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "rows.npy", Path(folder) / "ids.npy"
        numpy.save(source, rows.numpy())
        numbers = [str(number) for number in (-(-len(rows) // BOUND), BOUND, ITERATIONS)]
        command = [str(PEERS_PYTHON), "-m", "benchmarks.constrained_kmeans", str(source), str(target), *numbers]
        subprocess.run(command, check=True, cwd=CHECKOUT)
        return torch.from_numpy(numpy.load(target, allow_pickle=False)).long()


def mean_squared_distance(rows: Tensor, ids: Tensor) -> float:
    """From each row to the mean of its cluster."""
    means, _ = group_means(rows, ids, int(ids.max()) + 1)
    return float((rows - means[ids]).square().sum(dim=1).mean())


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    parser.add_argument("--data", nargs="+", default=["isotropic", "clustered", "long_tailed"], help="which data")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    options = parser.parse_args()
    import faiss

    torch.set_num_threads(THREADS)
    faiss.omp_set_num_threads(THREADS)
    flat = in_each_class(faiss_kmeans)
    contenders: dict[str, tuple[Method, int, int]] = {
        "bounded": (ours("bounded"), max(options.sizes), REPEATS),
        "kmeans": (ours("kmeans"), LARGEST_FOR_FLAT, 1),
        "FAISS, 25 iterations": (flat, LARGEST_FOR_FLAT, 1),
        "scikit-learn": (in_each_class(sklearn_kmeans), LARGEST_FOR_SKLEARN, 1),
    }
    if PEERS_PYTHON.is_file():
        contenders["k-means-constrained"] = in_each_class(constrained_kmeans), LARGEST_FOR_CONSTRAINED, 1
    else:
        print("k-means-constrained is left out; `make peers` installs it.", file=sys.stderr)
    rows, seconds, distances, violations, excess = [], {}, {}, 0, 0.0
    ours("bounded")(*with_bound(*long_tailed(2_000)))
    for size in options.sizes:
        for data in (make for make in (isotropic, clustered, long_tailed) if make.__name__ in options.data):
            points, classes = data(size)
            bounded_points, bounded_classes = with_bound(points, classes)
            fewest = int((-(-torch.bincount(classes) // BOUND)).sum())
            for name, (method, largest, repeats) in contenders.items():
                if size > largest:
                    continue
                key, times = (size, data.__name__, name), []
                rows_and_classes = (bounded_points, bounded_classes) if name in OURS else (points, classes)
                for _ in range(repeats):
                    start = time.perf_counter()
                    ids = method(*rows_and_classes)[:size]
                    times.append(time.perf_counter() - start)
                seconds[key], distances[key] = statistics.median(times), mean_squared_distance(points, ids)
                counts = torch.bincount(ids)
                if name == "bounded":
                    violations += int((counts > BOUND).sum())
                    per_class = torch.zeros(int(classes.max()) + 1, dtype=torch.int64)
                    owner = torch.zeros_like(counts).scatter_(0, ids, classes)
                    per_class += torch.bincount(owner, minlength=len(per_class))
                    excess = max(excess, float((per_class / -(-torch.bincount(classes) // BOUND)).max()))
                cells = [f"{size:,}", data.__name__.replace("_", "-"), name, f"{seconds[key]:.2f}"]
                cells += [f"{distances[key]:.4f}", f"{len(counts):,}", f"{len(counts) / fewest:.3f}"]
                rows.append([*cells, f"{int(counts.min())} to {int(counts.max())}"])
                print(" ".join(rows[-1]), flush=True)
    header = ["samples", "data", "method", "seconds", "mean squared distance", "clusters", "of the fewest", "sizes"]
    print_table(header, rows)
    figures = {"size_violations": float(violations), "number_excess_max": excess}

    def ratio(values: dict[tuple[int, str, str], float], size: int, data: str, name: str, other: str) -> float | None:
        pair = (size, data, name), (size, data, other)
        return values[pair[0]] / values[pair[1]] if all(key in values for key in pair) else None

    flat_name = "FAISS, 25 iterations"
    found = {
        "speedup_vs_flat_500k": ratio(seconds, 500_000, "isotropic", flat_name, "bounded"),
        "speedup_in_class_500k": ratio(seconds, 500_000, "long_tailed", flat_name, "bounded"),
        "seconds_1m": max(
            (seconds[key] for key in seconds if key[0] == 1_000_000 and key[2] == "bounded"), default=None
        ),
        "distance_vs_constrained": ratio(distances, 12_000, "clustered", "bounded", "k-means-constrained"),
        "distance_vs_flat_isotropic": max(
            filter(None, (ratio(distances, size, "isotropic", "bounded", flat_name) for size in options.sizes)),
            default=None,
        ),
    }
    figures |= {name: value for name, value in found.items() if value is not None}
    for name, value in figures.items():
        print(f"{name}: {value:.3f}")
    print(describe_machine(THREADS))
    write_json(figures, options.json)


if __name__ == "__main__":
    main()
