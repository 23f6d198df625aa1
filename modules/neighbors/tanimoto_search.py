"""Exact search for the most similar fingerprints, by Tanimoto similarity."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy
import torch
from numpy.typing import NDArray

if TYPE_CHECKING:
    from scipy.sparse import csr_array

_WORD = 64
_ALL = numpy.uint64(2**64 - 1)
# The bitmaps of some queries at once stay in the cache of a core.
_WORDS_AT_ONCE = 2**14
# With fewer words, threads would wait for each other.
_WORDS_OF_THREADS = 2**11
# One word of so many is looked at first; the best samples there bound the similarity of the best ones of all.
_STRIDE = 32


class TanimotoSearch:
    """Finds the most similar of N samples with binary fingerprints.

    A bitmap for each bin says which samples have it. The number of bins that a query shares with every sample is the
    sum of the bitmaps of its bins, which carry-save adders compute for 64 samples with each operation on a word. The
    samples are in order of their number of bins b, so that the number of shared bins with which the Tanimoto similarity
    to a query of a bins is at least t, ``t (a + b) / (1 + t)``, is the same for a word, and few samples remain.
    """

    def __init__(self, bits: csr_array) -> None:
        """Refer to the fingerprints; the bitmaps are made at the first search and take N W / 8 bytes.

        Args:
            bits: Bins of the samples, fp32 (N, W), of zeros and ones; N is 1 or more.
        """
        self.bits = bits
        sizes = numpy.diff(bits.indptr).astype(numpy.int64)
        order = numpy.argsort(sizes, kind="stable")
        distinct, counts = numpy.unique(sizes[order], return_counts=True)
        # Samples of the same number of bins begin with a new word.
        words = -(-counts // _WORD)
        shift = (words.cumsum() - words) * _WORD - (counts.cumsum() - counts)
        self._size_of_word = distinct.repeat(words)
        self._sample_at = numpy.full(len(self._size_of_word) * _WORD, -1)
        self._sample_at[numpy.arange(len(order)) + shift.repeat(counts)] = order

    def nearest(self, queries: csr_array, number: int) -> tuple[NDArray[Any], NDArray[Any]]:
        """Find the most similar samples of each query, the first one of equally similar ones.

        Args:
            queries: Bins of n queries, fp32 (n, W), of zeros and ones.
            number: Number of samples k to find, at most N.

        Returns:
            The samples, int64 (n, k), from the most similar on, and their similarities, float32 (n, k).
        """
        count = queries.shape[0]
        found = numpy.zeros((count, number), dtype=numpy.int64)
        similarity = numpy.zeros((count, number), dtype=numpy.float32)
        sizes = numpy.diff(queries.indptr).astype(numpy.int64)
        order = numpy.argsort(sizes, kind="stable")
        words = len(self._size_of_word)
        at_once = max(1, _WORDS_AT_ONCE // words)
        parts = [order[start : start + at_once] for start in range(0, count, at_once)]
        bitmaps = self._bitmaps

        def search(some: NDArray[Any]) -> None:
            found[some], similarity[some] = self._of_some(bitmaps, queries, some, sizes[some], number)

        if words < _WORDS_OF_THREADS:
            for some in parts:
                search(some)
        else:
            with ThreadPoolExecutor(torch.get_num_threads()) as threads:
                list(threads.map(search, parts))
        return found, similarity

    @cached_property
    def _bitmaps(self) -> NDArray[Any]:
        """Which samples have each bin, as words, uint64 (W + 1, words); the last one is empty."""
        width = self.bits.shape[1]
        columns = self.bits.tocsc()
        place = numpy.zeros(self.bits.shape[0], dtype=numpy.int64)
        used = self._sample_at >= 0
        place[self._sample_at[used]] = numpy.flatnonzero(used)
        bitmaps = numpy.zeros((width + 1, len(self._size_of_word) * _WORD // 8), dtype=numpy.uint8)
        has = numpy.zeros(len(self._sample_at), dtype=bool)
        for column in range(width):
            own = place[columns.indices[columns.indptr[column] : columns.indptr[column + 1]]]
            has[own] = True
            bitmaps[column] = numpy.packbits(has, bitorder="little")
            has[own] = False
        return bitmaps.view(numpy.uint64)

    def _of_some(
        self, bitmaps: NDArray[Any], queries: csr_array, some: NDArray[Any], sizes: NDArray[Any], number: int
    ) -> tuple[NDArray[Any], NDArray[Any]]:
        bins = numpy.full((len(some), max(1, int(sizes.max()))), len(bitmaps) - 1)
        for place, query in enumerate(some):
            bins[place, : sizes[place]] = queries.indices[queries.indptr[query] : queries.indptr[query + 1]]
        # The bitmap of a single query is not copied.
        shared = _sum_bits([bitmaps[own] if len(own) > 1 else bitmaps[own[0]][None] for own in bins.T])
        query, word = numpy.nonzero(kept := _at_least(shared, self._least(shared, sizes, number)))
        bit = numpy.unpackbits(kept[query, word].view(numpy.uint8), bitorder="little").reshape(-1, _WORD)
        own, offset = numpy.nonzero(bit)
        query, word = query[own], word[own]
        sample = self._sample_at[word * _WORD + offset]
        query, word, offset, sample = (values[sample >= 0] for values in (query, word, offset, sample))
        counts = sum(
            ((plane[query, word] >> offset.astype(numpy.uint64)) & numpy.uint64(1)).astype(numpy.int64) << place
            for place, plane in enumerate(shared)
        )
        similarity = _tanimoto(counts, sizes[query], self._size_of_word[word])
        ranked = numpy.lexsort((sample, -similarity, query))
        first = numpy.searchsorted(query[ranked], numpy.arange(len(some)))
        best = ranked[first[:, None] + numpy.arange(number)]
        return sample[best], similarity[best]

    def _least(self, shared: list[NDArray[Any]], sizes: NDArray[Any], number: int) -> NDArray[Any]:
        """Number of shared bins that the best samples have at least, int64 (n, words)."""
        stride = _STRIDE if len(self._size_of_word) > _STRIDE * number else 1
        words = slice(0, None, stride)
        counts = sum(
            numpy.unpackbits(
                numpy.ascontiguousarray(plane[:, words]).view(numpy.uint8), axis=1, bitorder="little"
            ).astype(numpy.int16)
            << place
            for place, plane in enumerate(shared)
        )
        similarity = _tanimoto(counts, sizes[:, None], self._size_of_word[words].repeat(_WORD))
        similarity[:, self._sample_at.reshape(-1, _WORD)[words].reshape(-1) < 0] = -1
        bound = numpy.partition(similarity, -number, axis=1)[:, [-number]].astype(numpy.float64).clip(min=0)
        total = sizes[:, None] + self._size_of_word
        # A little less, since the quotient is rounded.
        least: NDArray[Any] = numpy.ceil(bound * total / (1 + bound) - 1e-6 * total).astype(numpy.int64)
        return least


def _tanimoto(shared: Any, own: NDArray[Any], other: NDArray[Any]) -> NDArray[Any]:
    """Similarity of fingerprints by their numbers of bins, float32; 0 if both are empty."""
    shared = numpy.asarray(shared, dtype=numpy.float32)
    similarity: NDArray[Any] = shared / numpy.maximum((own + other).astype(numpy.float32) - shared, 1)
    return similarity


def _sum_bits(bitmaps: list[NDArray[Any]]) -> list[NDArray[Any]]:
    """The number of bitmaps that have each bit, in binary: a bitmap for each digit, the lowest one first."""
    planes, digit = [], bitmaps
    while digit:
        carries = []
        while len(digit) >= 3:
            first, second, third = digit.pop(), digit.pop(), digit.pop()
            odd = first ^ second
            carries.append((first & second) | (odd & third))
            digit.append(odd ^ third)
        if len(digit) == 2:
            first, second = digit
            carries.append(first & second)
            digit = [first ^ second]
        planes.append(digit[0])
        digit = carries
    return planes


def _at_least(planes: list[NDArray[Any]], least: NDArray[Any]) -> NDArray[Any]:
    """Which numbers in binary, see `_sum_bits`, are at least so large, as bitmaps; `least` is one number for a word."""
    greater = numpy.zeros_like(planes[0])
    equal = numpy.full_like(planes[0], _ALL)
    equal[least >= 2 ** len(planes)] = 0
    for place in reversed(range(len(planes))):
        # All bits of a word are those of its number.
        wanted = numpy.where((least >> place) & 1, _ALL, numpy.uint64(0))
        greater |= equal & planes[place] & ~wanted
        equal &= ~(planes[place] ^ wanted)
    found: NDArray[Any] = greater | equal
    return found
