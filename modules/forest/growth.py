"""Growing a random forest."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy
from numpy.typing import NDArray

from modules.forest.trees import LARGEST_COUNT, Trees
from modules.processes import rank_and_world_size

if TYPE_CHECKING:
    from scipy.sparse import csr_array

_log = logging.getLogger("tailmol")

_SMALLEST_LEAF = 2
MOST_IN_BOOTSTRAP = 12_000
"""Largest number of samples that a tree is grown on, with which the time to grow it increases."""
# Samples times classes from which on growing takes seconds.
_LONG = 2**18
# The trees of scikit-learn have a number for each node and class, so that only some of them are grown at a time.
_NUMBERS_AT_ONCE = 2**27


def grow_trees(
    counts: csr_array, codes: NDArray[Any], trees: int, num_classes: int, kinds: Sequence[NDArray[numpy.int64]]
) -> Trees:
    """Grow a random forest (Breiman, 2001), by scikit-learn.

    Each tree is grown on a bootstrap sample of at most `MOST_IN_BOOTSTRAP`, asks for counts of one kind, chooses among
    the square root of their number at each node, and has two samples or more in each leaf. The forest depends on its
    arguments alone.

    Args:
        counts: Counts of N samples, (N, W); counts above 255 count as 255.
        codes: Class codes, int64 (N,).
        trees: Number of trees, which the kinds share evenly; the first ones have one more if need be.
        num_classes: Number of classes.
        kinds: Places of the counts of each kind, (w,) each.
    """
    from joblib import cpu_count, parallel_config
    from scipy.sparse import csc_matrix
    from sklearn.ensemble import RandomForestClassifier

    present = numpy.unique(codes)
    together = max(1, min(trees, _NUMBERS_AT_ONCE // (len(codes) * len(present))))
    rank, processes = rank_and_world_size()
    if rank == 0 and len(codes) * len(present) >= _LONG:
        _log.info(f"Growing a forest of {trees} trees on {len(codes):,} samples.")
    # The processes of a run share a machine.
    threads = max(1, cpu_count() // processes)
    parts: list[dict[str, NDArray[Any]]] = []
    # One kind at a time, since a copy of all counts may be large.
    for number, columns in enumerate(kinds[:trees]):
        grown_on = csc_matrix(counts[:, columns], dtype=numpy.float32)
        # Trees of scikit-learn refuse places of 64 bits.
        grown_on.indices, grown_on.indptr = (own.astype(numpy.int32) for own in (grown_on.indices, grown_on.indptr))
        numpy.minimum(grown_on.data, LARGEST_COUNT, out=grown_on.data)
        share = trees // len(kinds) + (number < trees % len(kinds))
        for first in range(0, share, together):
            forest = RandomForestClassifier(
                min(together, share - first),
                min_samples_leaf=_SMALLEST_LEAF,
                max_samples=min(MOST_IN_BOOTSTRAP, len(codes)),
                random_state=len(parts),
                n_jobs=threads,
            )
            # A caller may have asked joblib for processes, which would import all of this again.
            with parallel_config(backend="threading"):
                forest.fit(grown_on, codes)
            parts += [_arrays_of(own.tree_, present, columns) for own in forest.estimators_]
    sizes = [len(part["features"]) for part in parts]
    leaf_counts = [len(part["sizes"]) for part in parts]
    for part, node, leaf in zip(parts, _begins(sizes), _begins(leaf_counts), strict=True):
        part["following"] += numpy.where(part["features"] < 0, leaf, node)
    joined = {name: numpy.concatenate([part[name] for part in parts]) for name in parts[0]}
    return Trees(
        roots=_begins(sizes).astype(numpy.int32),
        features=joined["features"],
        limits=joined["limits"],
        following=joined["following"].astype(numpy.int32),
        starts=numpy.concatenate([[0], numpy.cumsum(joined["sizes"])]),
        codes=joined["codes"],
        shares=joined["shares"],
        class_counts=numpy.bincount(codes, minlength=num_classes),
    )


def _arrays_of(tree: Any, present: NDArray[Any], columns: NDArray[numpy.int64]) -> dict[str, NDArray[Any]]:
    """A tree of scikit-learn on these columns, whose first children follow their nodes, with sparse leaves."""
    is_leaf = tree.children_left < 0
    inner = numpy.flatnonzero(~is_leaf)
    if not numpy.array_equal(tree.children_left[inner], inner + 1):
        raise RuntimeError("scikit-learn: expected trees whose first children follow their nodes, got others.")
    shares = tree.value[is_leaf, 0]
    leaf, place = numpy.nonzero(shares)
    totals = shares.sum(axis=1)
    return {
        "features": numpy.where(is_leaf, -1, columns[numpy.where(is_leaf, 0, tree.feature)]).astype(numpy.int32),
        # Counts are whole numbers.
        "limits": numpy.where(is_leaf, 0, numpy.floor(tree.threshold)).astype(numpy.int32),
        "following": numpy.where(is_leaf, numpy.cumsum(is_leaf) - 1, tree.children_right),
        "sizes": numpy.bincount(leaf, minlength=len(shares)),
        "codes": present[place].astype(numpy.int32),
        "shares": (shares[leaf, place] / totals[leaf]).astype(numpy.float32),
    }


def _begins(sizes: list[int]) -> NDArray[Any]:
    """Where each of some parts begins that stand one after the other."""
    return numpy.cumsum(sizes) - sizes
