"""Decision trees on counts and what they say of classes, in numpy alone."""

from __future__ import annotations

from typing import Any

import numpy
from numpy.typing import NDArray

LARGEST_COUNT = 255
"""Counts above it count as much as it does."""
_LIFT_DOUBT = 0.05


class Trees:
    """Random trees, whose leaves have the shares of classes among training samples.

    With the share p_c of class c in the leaf of a sample, in the mean over the trees, and the share r_c of the class
    among all training samples, the opinion on class c is ``log(p_c / r_c + 0.05)``. Classes without training samples
    get the mean opinion.

    The nodes of all trees stand one after the other, each tree from its root on; the first child of a node follows it.

    Attributes:
        roots: The root of each tree, int32 (T,), ascending.
        features: The feature that a node asks for, int32 (N,); -1 in leaves.
        limits: A sample with at most so many goes to the first child of a node, int32 (N,).
        following: The second child of a node; of a leaf its number, int32 (N,).
        starts: The first of the entries of each leaf, and the number of all entries, int64 (L + 1,).
        codes: Class code of each entry, int32 (E,).
        shares: Share of the class in the leaf, fp32 (E,).
        class_counts: Training samples of each class, int64 (C,).
    """

    def __init__(
        self,
        roots: NDArray[Any],
        features: NDArray[Any],
        limits: NDArray[Any],
        following: NDArray[Any],
        starts: NDArray[Any],
        codes: NDArray[Any],
        shares: NDArray[Any],
        class_counts: NDArray[Any],
    ) -> None:
        """Take trees as arrays; see the attributes."""
        self.roots, self.features, self.limits, self.following = roots, features, limits, following
        self.starts, self.codes, self.shares, self.class_counts = starts, codes, shares, class_counts

    def leaves(self, counts: NDArray[Any]) -> NDArray[Any]:
        """Find the leaf of each tree that a sample falls into, int32 (n, T).

        Args:
            counts: Counts of samples, uint8 (n, W).
        """
        samples, trees = len(counts), len(self.roots)
        nodes = numpy.tile(self.roots, samples)
        way = numpy.arange(samples * trees)
        while len(way):
            at = nodes[way]
            asked = self.features[at]
            inner = asked >= 0
            way, at, asked = way[inner], at[inner], asked[inner]
            goes_first = counts[way // trees, asked] <= self.limits[at]
            nodes[way] = numpy.where(goes_first, at + 1, self.following[at])
        found: NDArray[Any] = self.following[nodes].reshape(samples, trees)
        return found

    def opinions(self, leaves: NDArray[Any]) -> NDArray[Any]:
        """Compute the opinions on samples, fp32 (n, C), from their leaves, (n, T)."""
        samples, trees = leaves.shape
        classes = len(self.class_counts)
        first, end = self.starts[leaves.ravel()], self.starts[leaves.ravel() + 1]
        sizes = end - first
        entries = numpy.repeat(first - numpy.cumsum(sizes) + sizes, sizes) + numpy.arange(sizes.sum())
        owner = numpy.repeat(numpy.repeat(numpy.arange(samples), trees), sizes)
        votes = numpy.bincount(owner * classes + self.codes[entries], self.shares[entries], samples * classes)
        known = self.class_counts > 0
        lift = votes.reshape(samples, classes) / trees * self.class_counts.sum() / numpy.maximum(self.class_counts, 1)
        opinion = numpy.log(lift + _LIFT_DOUBT)
        filled = numpy.where(known, opinion, opinion[:, known].mean(axis=1, keepdims=True))
        found: NDArray[Any] = filled.astype(numpy.float32)
        return found
