"""The nearest training samples, as a second opinion on the logits of a network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy
import torch
from numpy.typing import NDArray
from torch import Tensor

from datamodules.batch import Batch
from datamodules.drug_task import DrugTask
from modules.neighbors.tanimoto_search import TanimotoSearch
from modules.sample_fingerprints import bits_width, sample_bits
from modules.second_opinion import SecondOpinion

if TYPE_CHECKING:
    from scipy.sparse import csr_array

_POWER = 4
_DOUBT = 0.05
# Both bound the memory of the similarities of some samples to all that are remembered.
_AT_ONCE = 256
_BINS_AT_ONCE = 2**21
_SEARCHES_AT_ONCE = 4096
# After so many comparisons, which take about as long as compiling a search, the search is compiled.
_COMPARISONS_TO_COMPILE = 2**27


class NearestSamples(SecondOpinion):
    """Remembers training samples, and says which classes are frequent among those that are most similar to a sample.

    With the Tanimoto similarities t_i of the `number` nearest remembered samples i, their classes y_i, and the share
    r_c of class c among all remembered samples, the opinion on class c is

        log((sum_i t_i^4 [y_i = c] / r_c + 0.05) / (sum_i t_i^4 + 0.05)),

    the logarithm of how many times more frequent the class is among the neighbors than everywhere. It is near 0 for a
    sample that is like no other. Classes that are not remembered get the mean opinion. Of equally similar samples, the
    first ones count.

    Attributes:
        number: Number of nearest samples.
        bits: Bins of the remembered samples, fp32 (N, W); None before there are any.
        codes: Their class codes, int64 (N,).
    """

    def forget(self) -> None:
        """Remember nothing and have no opinion."""
        super().forget()
        self.number = 0
        self.bits: csr_array | None = None
        self.codes: NDArray[Any] = numpy.zeros(0, dtype=numpy.int64)
        self._compared = 0
        self._search: TanimotoSearch | None = None

    @staticmethod
    def features(batch: Batch, task: DrugTask) -> csr_array:
        """The bins that are not zero in the fingerprints of each sample, see `sample_bits`."""
        return sample_bits(batch, task)

    @property
    def width(self) -> int | None:
        """Number of bins of a sample; None if nothing is remembered."""
        return None if self.bits is None else int(self.bits.shape[1])

    @staticmethod
    def width_of(task: DrugTask) -> int:
        """See `SecondOpinion.width_of`."""
        return bits_width(task)

    def learn(self, features: csr_array, codes: NDArray[Any], number: int) -> None:
        """Remember training samples in place of those before; the weight stays.

        Args:
            features: Bins of the samples, fp32 (N, W), of zeros and ones.
            codes: Their class codes, int64 (N,).
            number: Number of nearest samples to ask.
        """
        self.bits, self.codes, self.number = features, codes, number
        self._sizes = torch.from_numpy(numpy.diff(features.indptr)).float()
        self._search = None

    def opinions(self, features: csr_array) -> Tensor:
        """Compute the opinions on samples, fp32 (n, C), on the CPU.

        Args:
            features: Bins of the samples, fp32 (n, W).
        """
        samples, width = features.shape
        self._compared += samples * len(self.codes)
        if self._search is None and self._compared > _COMPARISONS_TO_COMPILE:
            self._search = TanimotoSearch(self.bits, compiled=True)
        size = _SEARCHES_AT_ONCE if self._search else max(1, min(_AT_ONCE, _BINS_AT_ONCE // width))
        found = [self._of_some(features[start : start + size]) for start in range(0, samples, size)]
        return torch.cat(found) if found else torch.zeros(0, self.num_classes)

    def _nearest(self, bits: csr_array) -> tuple[Tensor, Tensor]:
        """Similarities and places of the nearest samples; places of zeros are not defined."""
        number = min(self.number, len(self.codes))
        if self._search is not None:
            found, similarities = self._search.nearest(bits, number)
            return torch.from_numpy(similarities), torch.from_numpy(found)
        # Times dense samples, a sparse product is five times as fast as times sparse ones.
        shared = torch.from_numpy(self.bits @ numpy.ascontiguousarray(bits.toarray().T))
        either = (self._sizes.unsqueeze(1) + torch.from_numpy(numpy.diff(bits.indptr))).sub_(shared)
        return nearest_first(shared.div_(either.clamp_(min=1)).t().contiguous(), number)

    def _of_some(self, bits: csr_array) -> Tensor:
        nearest, places = self._nearest(bits)
        counts = torch.from_numpy(numpy.bincount(self.codes, minlength=self.num_classes)).float()
        votes = nearest**_POWER
        of_class = torch.zeros(len(votes), self.num_classes)
        of_class.scatter_add_(1, torch.from_numpy(self.codes)[places], votes)
        lift = of_class * len(self.codes) / counts.clamp(min=1)
        opinion = ((lift + _DOUBT) / (votes.sum(dim=1, keepdim=True) + _DOUBT)).log()
        known = counts > 0
        return torch.where(known, opinion, opinion[:, known].mean(dim=1, keepdim=True))

    def get_extra_state(self) -> dict[str, Any]:
        """What is remembered, as tensors and numbers."""
        if self.weight == 0 or self.bits is None:
            return {}
        return {
            **self.mixture_state(),
            "number": self.number,
            "width": self.bits.shape[1],
            "starts": torch.from_numpy(self.bits.indptr.astype(numpy.int64)),
            "bins": torch.from_numpy(self.bits.indices.astype(numpy.int32)),
            "codes": torch.from_numpy(self.codes),
        }

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Restore what a checkpoint remembers.

        Raises:
            ValueError: If it is not valid.
        """
        from scipy.sparse import csr_array

        self.forget()
        if not state:
            return
        starts, bins, codes = (_integers(state, name) for name in ("starts", "bins", "codes"))
        number: Any = state.get("number")
        width: Any = state.get("width")
        valid = (
            all(type(value) is int and value >= 1 for value in (number, width))
            and len(codes) >= 1
            and len(starts) == len(codes) + 1
            and starts[0] == 0
            and starts[-1] == len(bins)
            and bool((numpy.diff(starts) >= 0).all())
            and _within(bins, width)
            and _within(codes, self.num_classes)
            and self.set_mixture(state)
        )
        if not valid:
            raise ValueError("neighbors: expected bins and class codes of training samples, got other values.")
        ones = numpy.ones(len(bins), dtype=numpy.float32)
        self.learn(csr_array((ones, bins, starts), shape=(len(codes), width)), codes.astype(numpy.int64), number)


def nearest_first(similarity: Tensor, number: int) -> tuple[Tensor, Tensor]:
    """The largest similarities of each row, of equal ones the first, which `topk` does not promise.

    Args:
        similarity: Similarities of n samples to N others, at least 0, (n, N).
        number: How many to choose, at most N.

    Returns:
        The similarities and their places, (n, number) each; the places of zeros are not defined.
    """
    found, places = similarity.topk(min(number + 1, similarity.shape[1]), dim=1)
    nearest, least = found[:, :number], found[:, number - 1 : number]
    # Which of those count that are as similar as the last one matters only if one of them is left out.
    for row in ((found[:, number:] == least).any(dim=1) & (least[:, 0] > 0)).nonzero()[:, 0].tolist():
        equal = nearest[row] == least[row]
        places[row, :number][equal] = (similarity[row] == least[row]).nonzero()[: int(equal.sum()), 0]
    return nearest, places[:, :number]


def _integers(state: Mapping[str, Any], name: str) -> NDArray[Any]:
    values = state.get(name)
    if not isinstance(values, Tensor) or values.ndim != 1 or values.dtype not in (torch.int32, torch.int64):
        raise ValueError(f"neighbors.{name}: expected a vector of integers, got another value.")
    return values.cpu().numpy()


def _within(values: NDArray[Any], end: int) -> bool:
    return not len(values) or bool(values.min() >= 0 and values.max() < end)
