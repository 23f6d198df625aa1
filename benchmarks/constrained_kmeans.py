"""Clusters the rows of a file with k-means-constrained; runs in the environment of the peers."""

from __future__ import annotations

import sys

import numpy


def main() -> None:
    """Write the cluster of each row; arguments: source, target, number of clusters, size bound, iterations."""
    from k_means_constrained import KMeansConstrained  # type: ignore[import-not-found]

    source, target = sys.argv[1:3]
    clusters, bound, iterations = map(int, sys.argv[3:])
    rows = numpy.load(source, allow_pickle=False).astype(numpy.float64)
    kmeans = KMeansConstrained(clusters, size_max=bound, init="random", n_init=1, max_iter=iterations, random_state=0)
    numpy.save(target, kmeans.fit_predict(rows))


if __name__ == "__main__":
    main()
