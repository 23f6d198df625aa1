"""Speed and quality of our sub-clusters, relative to flat k-means and to k-means with a size bound.

Random unit vectors of 128 dimensions and a size bound of 100: isotropic ones in one class; mixtures of blobs with
Pareto sizes in one class; and such mixtures in a hundred classes with sizes proportional to 1 / rank. Other methods
get `n / 100` clusters and 25 iterations. Slow methods are left out on large data.

    python -m benchmarks.subclusters [--sizes 12000 100000 500000 1000000] [--data isotropic] [--json FILE]
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
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
FLAT, CONSTRAINED = "FAISS, 25 iterations", "k-means-constrained"
HEADER = ["samples", "data", "method", "seconds", "mean squared distance", "clusters", "times the fewest", "sizes"]

Method = Callable[[Tensor, Tensor], Tensor]
"""Returns a cluster for each unit vector, given the vectors and their classes."""


Key = tuple[int, str, str]
"""Number of samples, name of the data, name of the method."""


@dataclass(frozen=True)
class Contender:
    """A method to measure.

    Attributes:
        method: The method.
        largest: Number of samples above which it is left out.
        repeats: Number of runs, of which the median time counts.
    """

    method: Method
    largest: int
    repeats: int


@dataclass(frozen=True)
class Measurement:
    """The result of a method on one data set.

    Attributes:
        seconds: Median time of a run.
        distance: Mean squared distance of the samples to the mean of their cluster.
        ids: ``(N,)``, the cluster of each sample.
    """

    seconds: float
    distance: float
    ids: Tensor


def isotropic(number: int) -> tuple[Tensor, Tensor]:
    """One class without structure."""
    generator = torch.Generator().manual_seed(0)
    rows = functional.normalize(torch.randn(number, WIDTH, generator=generator))
    return rows, torch.zeros(number, dtype=torch.int64)


def blobs(number: int, centers: int, seed: int) -> Tensor:
    """A mixture whose components have Pareto sizes."""
    generator = torch.Generator().manual_seed(seed)
    shares = torch.from_numpy(numpy.random.default_rng(seed).pareto(1.0, centers) + 1).float()
    chosen = torch.multinomial(shares / shares.sum(), number, replacement=True, generator=generator)
    noise = torch.randn(number, WIDTH, generator=generator)
    return functional.normalize(torch.randn(centers, WIDTH, generator=generator)[chosen] + 0.5 * noise)


def clustered(number: int) -> tuple[Tensor, Tensor]:
    """One class of blobs."""
    return blobs(number, BLOBS_OF_ONE_CLASS, 0), torch.zeros(number, dtype=torch.int64)


def long_tailed(number: int) -> tuple[Tensor, Tensor]:
    """Classes of blobs with sizes proportional to 1 / rank."""
    shares = 1 / torch.arange(1, CLASSES + 1)
    counts = (number * shares / shares.sum()).long()
    counts[0] += number - counts.sum()
    rows = torch.cat([blobs(count, BLOBS_OF_EACH_CLASS, seed) for seed, count in enumerate(counts.tolist())])
    return rows, torch.arange(CLASSES).repeat_interleave(counts)


DATA = (isotropic, clustered, long_tailed)


def with_bound(rows: Tensor, classes: Tensor) -> tuple[Tensor, Tensor]:
    """The data with another class of as many rows as the bound; the smallest class sets the bound."""
    smallest = functional.normalize(torch.ones(BOUND, WIDTH))
    return torch.cat([rows, smallest]), torch.cat([classes, torch.full((BOUND,), int(classes.max()) + 1)])


def ours(method: str) -> Method:
    """Our sub-clusters, for data from `with_bound`."""

    def found(rows: Tensor, classes: Tensor) -> Tensor:
        chosen: Literal["kmeans", "bounded"] = "kmeans" if method == "kmeans" else "bounded"
        return subcluster(rows, classes, int(classes.max()) + 1, BOUND, chosen).ids

    return found


def in_each_class(inside: Callable[[Tensor, int], Tensor]) -> Method:
    """A k-means that is run in each class separately."""

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
    """k-means of FAISS without subsampling."""
    import faiss

    kmeans = faiss.Kmeans(
        WIDTH, clusters, niter=ITERATIONS, min_points_per_centroid=1, max_points_per_centroid=len(rows)
    )
    kmeans.train(rows.numpy())
    return torch.from_numpy(kmeans.assign(rows.numpy())[1]).long()


def sklearn_kmeans(rows: Tensor, clusters: int) -> Tensor:
    """k-means of scikit-learn with random initial centers."""
    from sklearn.cluster import KMeans

    kmeans = KMeans(clusters, init="random", n_init=1, max_iter=ITERATIONS, random_state=0)
    return torch.from_numpy(kmeans.fit_predict(rows.numpy())).long()


def constrained_kmeans(rows: Tensor, clusters: int) -> Tensor:
    """k-means with an optimal assignment within the bound, in the environment of the peers."""
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
    """Mean squared distance of the rows to the mean of their cluster."""
    means, _ = group_means(rows, ids, int(ids.max()) + 1)
    return float((rows - means[ids]).square().sum(dim=1).mean())


def make_contenders(largest: int) -> dict[str, Contender]:
    """The methods by name; k-means-constrained only if the environment of the peers exists.

    Args:
        largest: Number of samples of the largest data.
    """
    contenders = {
        "bounded": Contender(ours("bounded"), largest, REPEATS),
        "kmeans": Contender(ours("kmeans"), LARGEST_FOR_FLAT, 1),
        FLAT: Contender(in_each_class(faiss_kmeans), LARGEST_FOR_FLAT, 1),
        "scikit-learn": Contender(in_each_class(sklearn_kmeans), LARGEST_FOR_SKLEARN, 1),
    }
    if PEERS_PYTHON.is_file():
        contenders[CONSTRAINED] = Contender(in_each_class(constrained_kmeans), LARGEST_FOR_CONSTRAINED, 1)
    else:
        print(f"{CONSTRAINED} is left out; `make peers` installs it.", file=sys.stderr)
    return contenders


def measure(contender: Contender, points: Tensor, classes: Tensor, bounded: bool) -> Measurement:
    """Run a method and judge its clusters.

    Args:
        contender: The method.
        points: ``(N, WIDTH)``, unit vectors.
        classes: ``(N,)``, their classes.
        bounded: Whether the method reads its size bound from a further class.
    """
    given = with_bound(points, classes) if bounded else (points, classes)
    times = []
    for _ in range(contender.repeats):
        start = time.perf_counter()
        ids = contender.method(*given)[: len(points)]
        times.append(time.perf_counter() - start)
    return Measurement(statistics.median(times), mean_squared_distance(points, ids), ids)


def bound_figures(ids: Tensor, classes: Tensor) -> tuple[int, float]:
    """The number of clusters above the size bound, and the largest ratio of clusters in a class to the fewest."""
    counts = torch.bincount(ids)
    owner = torch.zeros_like(counts).scatter_(0, ids, classes)
    per_class = torch.bincount(owner, minlength=int(classes.max()) + 1)
    return int((counts > BOUND).sum()), float((per_class / -(-torch.bincount(classes) // BOUND)).max())


def compare(measured: dict[Key, Measurement]) -> dict[str, float]:
    """Speed and distance of our bounded sub-clusters relative to other methods, where both were measured."""

    def ratios(
        figure: Callable[[Measurement], float], keys: list[tuple[int, str]], name: str, other: str
    ) -> list[float]:
        pairs = [((*key, name), (*key, other)) for key in keys]
        known = [pair for pair in pairs if measured.keys() >= set(pair)]
        return [figure(measured[first]) / figure(measured[second]) for first, second in known]

    def seconds(one: Measurement) -> float:
        return one.seconds

    def distance(one: Measurement) -> float:
        return one.distance

    sizes = sorted({size for size, _, _ in measured})
    found = {
        "speedup_vs_flat_500k": ratios(seconds, [(500_000, "isotropic")], FLAT, "bounded"),
        "speedup_in_class_500k": ratios(seconds, [(500_000, "long_tailed")], FLAT, "bounded"),
        "seconds_1m": [one.seconds for key, one in measured.items() if key[0] == 1_000_000 and key[2] == "bounded"],
        "distance_vs_constrained": ratios(distance, [(12_000, "clustered")], "bounded", CONSTRAINED),
        "distance_vs_flat_isotropic": ratios(distance, [(size, "isotropic") for size in sizes], "bounded", FLAT),
    }
    return {name: max(values) for name, values in found.items() if values}


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    parser.add_argument("--data", nargs="+", default=[make.__name__ for make in DATA], help="the data to use")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    options = parser.parse_args()
    import faiss

    torch.set_num_threads(THREADS)
    faiss.omp_set_num_threads(THREADS)
    contenders = make_contenders(max(options.sizes))
    # The first run compiles and allocates.
    contenders["bounded"].method(*with_bound(*long_tailed(2_000)))
    rows, measured, violations, excess = [], {}, 0, 0.0
    for size, make in itertools.product(options.sizes, DATA):
        if make.__name__ not in options.data:
            continue
        points, classes = make(size)
        fewest = int((-(-torch.bincount(classes) // BOUND)).sum())
        for name, contender in contenders.items():
            if size > contender.largest:
                continue
            one = measured[size, make.__name__, name] = measure(contender, points, classes, bounded=name in OURS)
            counts = torch.bincount(one.ids)
            if name == "bounded":
                above, ratio = bound_figures(one.ids, classes)
                violations, excess = violations + above, max(excess, ratio)
            cells = [f"{size:,}", make.__name__.replace("_", "-"), name, f"{one.seconds:.2f}", f"{one.distance:.4f}"]
            cells += [f"{len(counts):,}", f"{len(counts) / fewest:.3f}", f"{int(counts.min())} to {int(counts.max())}"]
            rows.append(cells)
            print(" ".join(cells), flush=True)
    print_table(HEADER, rows)
    figures = {"size_violations": float(violations), "number_excess_max": excess, **compare(measured)}
    for name, value in figures.items():
        print(f"{name}: {value:.3f}")
    print(describe_machine(THREADS))
    write_json(figures, options.json)


if __name__ == "__main__":
    main()
