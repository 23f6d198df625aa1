"""A random forest as a second opinion on the logits of a network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy
import torch
from numpy.typing import NDArray
from torch import Tensor

from datamodules.batch import Batch
from datamodules.drug_task import DrugTask
from modules.forest.growth import grow_trees
from modules.forest.trees import LARGEST_COUNT, Trees
from modules.sample_fingerprints import counts_width, sample_counts
from modules.second_opinion import SecondOpinion

if TYPE_CHECKING:
    from scipy.sparse import csr_array

_MOST_AT_ONCE = 1024
_COUNTS_AT_ONCE = 2**23
# After so many searches for a leaf, which take about as long as compiling the search, it is compiled.
_LEAVES_TO_COMPILE = 2**18
# Sums of larger counts could overflow.
_MOST_SAMPLES = 2**40
_TYPES = {
    "roots": torch.int32,
    "features": torch.int32,
    "limits": torch.int32,
    "following": torch.int32,
    "starts": torch.int64,
    "codes": torch.int32,
    "shares": torch.float32,
    "class_counts": torch.int64,
}


class Forest(SecondOpinion):
    """Grows a random forest on training samples, and says which classes its leaves have more of than all samples.

    A network weighs every bin of a fingerprint a little; a tree asks for few of them, one after the other.

    Attributes:
        trees: The trees; None before there are any.
    """

    def forget(self) -> None:
        """Forget the trees and have no opinion."""
        super().forget()
        self.trees: Trees | None = None
        self._width: int | None = None
        self._found = 0

    @staticmethod
    def features(batch: Batch, task: DrugTask) -> csr_array:
        """The counts in the fingerprints of each sample, see `sample_counts`."""
        return sample_counts(batch, task)

    @property
    def width(self) -> int | None:
        """Number of counts of a sample; None before there are trees."""
        return self._width

    @staticmethod
    def width_of(task: DrugTask) -> int:
        """See `SecondOpinion.width_of`."""
        return counts_width(task)

    def learn(
        self, features: csr_array, codes: NDArray[Any], trees: int, kinds: Sequence[NDArray[numpy.int64]]
    ) -> None:
        """Grow a forest on training samples in place of that before; the weight stays.

        Args:
            features: Counts of the samples, fp32 (N, W).
            codes: Their class codes, int64 (N,).
            trees: Number of trees.
            kinds: Places of the counts of each kind, of which a tree asks for one, see `grow_trees`.
        """
        self.trees = grow_trees(features, codes, trees, self.num_classes, kinds)
        self._width = features.shape[1]

    def opinions(self, features: csr_array) -> Tensor:
        """Compute the opinions on samples, fp32 (n, C), on the CPU.

        Args:
            features: Counts of the samples, fp32 (n, W).
        """
        samples, width = features.shape
        size = max(1, min(_MOST_AT_ONCE, _COUNTS_AT_ONCE // width))
        found = [self._of_some(features[start : start + size]) for start in range(0, samples, size)]
        return torch.cat(found) if found else torch.zeros(0, self.num_classes)

    def _of_some(self, features: csr_array) -> Tensor:
        trees = self.trees
        assert trees is not None
        features.data = numpy.minimum(features.data, LARGEST_COUNT).astype(numpy.uint8)
        counts = features.toarray()
        self._found += len(counts) * len(trees.roots)
        if self._found <= _LEAVES_TO_COMPILE:
            return torch.from_numpy(trees.opinions(trees.leaves(counts)))
        from modules.forest.tree_kernel import find_leaves

        leaves = numpy.empty((len(counts), len(trees.roots)), dtype=numpy.int32)
        find_leaves(counts, trees.roots, trees.features, trees.limits, trees.following, leaves)
        return torch.from_numpy(trees.opinions(leaves))

    def get_extra_state(self) -> dict[str, Any]:
        """The trees, as tensors and numbers."""
        if self.weight == 0 or self.trees is None:
            return {}
        arrays = {name: torch.from_numpy(getattr(self.trees, name)) for name in _TYPES}
        return {**self.mixture_state(), "width": self._width, **arrays}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Restore the trees of a checkpoint.

        Raises:
            ValueError: If they are not valid.
        """
        self.forget()
        if not state:
            return
        found, width = {name: state.get(name) for name in _TYPES}, state.get("width")
        arrays = {
            name: values.cpu().numpy()
            for name, values in found.items()
            if isinstance(values, Tensor) and values.ndim == 1 and values.dtype == _TYPES[name]
        }
        if len(arrays) == len(_TYPES) and type(width) is int:
            trees = Trees(**arrays)
            if _are_trees(trees, width, self.num_classes) and self.set_mixture(state):
                self.trees, self._width = trees, width
                return
        raise ValueError("forest: expected the nodes and leaves of trees, got other values.")


def _are_trees(trees: Trees, width: int, classes: int) -> bool:
    """Whether every way from a root ends in a leaf of its tree, and every leaf has shares of classes."""
    nodes, leaves, entries = len(trees.features), len(trees.starts) - 1, len(trees.codes)
    if not (
        width >= 1
        and len(trees.limits) == len(trees.following) == nodes
        and len(trees.shares) == entries
        and len(trees.class_counts) == classes
        and len(trees.roots) >= 1
        and trees.roots[0] == 0
        and _within(trees.roots, nodes)
        and bool((numpy.diff(trees.roots) >= 1).all())
        and leaves >= 1
        and trees.starts[0] == 0
        and trees.starts[-1] == entries
        and _within(trees.starts, entries + 1)
        and bool((numpy.diff(trees.starts) >= 1).all())
    ):
        return False
    number = numpy.arange(nodes)
    ends = numpy.append(trees.roots[1:], nodes)
    last = numpy.repeat(ends, numpy.diff(numpy.append(trees.roots, nodes)))
    is_leaf = trees.features < 0
    # A second child stands behind the first one, so that each step leads to a later node of the tree.
    in_order = numpy.where(
        is_leaf,
        (trees.following >= 0) & (trees.following < leaves),
        (trees.following > number + 1) & (trees.following < last) & (trees.features < width),
    )
    return (
        bool(in_order.all())
        and _within(trees.codes, classes)
        and _within(trees.class_counts, _MOST_SAMPLES)
        and bool((trees.class_counts > 0).any())
        and bool(((trees.shares > 0) & (trees.shares <= 1)).all())
    )


def _within(values: NDArray[Any], end: int) -> bool:
    return bool(((values >= 0) & (values < end)).all())
