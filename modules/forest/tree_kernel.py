"""The loop from the root of a tree to a leaf, which Numba compiles at its first use."""

from __future__ import annotations

from typing import Any

from numba import njit


@njit(nogil=True)
def find_leaves(counts: Any, roots: Any, features: Any, limits: Any, following: Any, leaves: Any) -> None:
    """As `Trees.leaves`, tree by tree, so that each stays in the cache of a core.

    Args:
        counts: uint8 (n, W), the counts of samples.
        roots: See `Trees`.
        features: See `Trees`.
        limits: See `Trees`.
        following: See `Trees`.
        leaves: int32 (n, T), is filled with the leaves.
    """
    for tree in range(len(roots)):
        for sample in range(len(counts)):
            node = roots[tree]
            while features[node] >= 0:
                if counts[sample, features[node]] <= limits[node]:
                    node += 1
                else:
                    node = following[node]
            leaves[sample, tree] = following[node]
