"""Exact search for the most similar fingerprints, by Tanimoto similarity."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy
import torch
from numpy.typing import NDArray

if TYPE_CHECKING:
    from scipy.sparse import csr_array

_WORD = 64
# The bitmaps of some queries at once stay in the cache of a core.
_WORDS_AT_ONCE = 2**14
# With fewer words, a search takes less time than Numba takes to compile one.
_WORDS_TO_COMPILE = 2**11
# The bitmaps of all bins of so many words stay in the cache of a core.
_WORDS_OF_TILE = 2**6
_QUERIES_AT_ONCE = 50
# The best samples of one word in so many bound the similarity of the best ones of all.
_STRIDE = 32
# So many words are looked at for the bound at least, if there are as many.
_FEWEST_WORDS = 32


class TanimotoSearch:
    """Finds the most similar of N samples with binary fingerprints.

    A bitmap for each bin says which samples have it. The number of bins that a query shares with every sample is the
    sum of the bitmaps of its bins, which carry-save adders compute for 64 samples with each operation on a word. The
    samples are in order of their number of bins b, so that the number of shared bins with which the Tanimoto similarity
    to a query of a bins is at least t, ``t (a + b) / (1 + t)``, is the same for a word, and few samples remain.

    A bound t is known from a part of the samples. In compiled loops (`search_tiles`), it is that of the best ones found
    so far.
    """

    def __init__(self, bits: csr_array, compiled: bool | None = None) -> None:
        """Refer to the fingerprints; the bitmaps are made at the first search and take N W / 8 bytes.

        Args:
            bits: Bins of the samples, fp32 (N, W), of zeros and ones; N is 1 or more.
            compiled: Whether to compile the loops, which takes two seconds once in a process; None compiles them among
                more than 131,000 samples.
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
        self._compiled = len(self._size_of_word) >= _WORDS_TO_COMPILE if compiled is None else compiled

    def nearest(self, queries: csr_array, number: int) -> tuple[NDArray[Any], NDArray[Any]]:
        """Find the most similar samples of each query, the first one of equally similar ones.

        Args:
            queries: Bins of n queries, fp32 (n, W), of zeros and ones.
            number: Number of samples k to find, at most N.

        Returns:
            The samples, int64 (n, k), from the most similar on, and their similarities, float32 (n, k).
        """
        if self._compiled:
            return self._of_tiles(queries, number)
        count = queries.shape[0]
        found = numpy.zeros((count, number), dtype=numpy.int64)
        similarity = numpy.zeros((count, number), dtype=numpy.float32)
        sizes = numpy.diff(queries.indptr).astype(numpy.int64)
        bitmaps = self._bitmaps
        words = bitmaps.shape[1]
        few = slice(0, None, max(1, min(_STRIDE, words // max(_FEWEST_WORDS, number))))
        sampled = numpy.ascontiguousarray(bitmaps[:, few])
        bounds = numpy.zeros(count)
        order = numpy.argsort(sizes, kind="stable")
        for some in _parts(order, max(1, _WORDS_AT_ONCE // sampled.shape[1])):
            bounds[some] = self._bound(_rows(sampled, queries, some), few, sizes[some], number)
        for some in _parts(order, max(1, _WORDS_AT_ONCE // words)):
            rows = _rows(bitmaps, queries, some)
            found[some], similarity[some] = self._of_some(rows, sizes[some], bounds[some], number)
        return found, similarity

    def _of_tiles(self, queries: csr_array, number: int) -> tuple[NDArray[Any], NDArray[Any]]:
        from modules.neighbors.tanimoto_kernel import BLOCK, search_tiles

        tiles, size_of_word, sample_at = self._tiles
        nothing = numpy.uint64(tiles.shape[1] - 1)
        middle = size_of_word[:, _WORDS_OF_TILE // 2]
        found = numpy.zeros((queries.shape[0], number), dtype=numpy.int64)
        similarity = numpy.zeros(found.shape, dtype=numpy.float32)
        sizes = numpy.diff(queries.indptr).astype(numpy.int64)

        def search(some: NDArray[Any]) -> None:
            # Samples of as many bins as the queries first, since the best ones are mostly among these.
            order = numpy.argsort(numpy.abs(middle - numpy.median(sizes[some])), kind="stable")
            starts = numpy.append(0, (-(-sizes[some] // BLOCK) * BLOCK).cumsum())
            bins = numpy.full(starts[-1], nothing)
            for query, start in zip(some, starts, strict=False):
                own = queries.indices[queries.indptr[query] : queries.indptr[query + 1]]
                bins[start : start + len(own)] = own
            best = numpy.empty((len(some), number), dtype=numpy.int64), numpy.empty((len(some), number), numpy.float32)
            search_tiles(tiles, size_of_word, sample_at, order, bins, starts, sizes[some], *best)
            found[some], similarity[some] = best

        threads = torch.get_num_threads()
        at_once = max(1, min(_QUERIES_AT_ONCE, -(-len(sizes) // threads)))
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(search, _parts(numpy.argsort(sizes, kind="stable"), at_once)))
        return found, similarity

    @cached_property
    def _bitmaps(self) -> NDArray[Any]:
        """Which samples have each bin, as words, uint64 (W + 1, words); the last one is empty."""
        bitmaps = numpy.zeros((self.bits.shape[1] + 1, len(self._size_of_word)), dtype=numpy.uint64)
        for column, words in self._columns():
            bitmaps[column] = words
        return bitmaps

    @cached_property
    def _tiles(self) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
        """The first three arguments of `search_tiles`; the last bin of a tile is empty."""
        words = len(self._size_of_word)
        missing = -words % _WORDS_OF_TILE
        sizes = numpy.pad(self._size_of_word, (0, missing), mode="edge").reshape(-1, _WORDS_OF_TILE)
        samples = numpy.pad(self._sample_at, (0, missing * _WORD), constant_values=-1)
        tiles = numpy.zeros((len(sizes), self.bits.shape[1] + 1, _WORDS_OF_TILE), dtype=numpy.uint64)
        for column, own in self._columns():
            tiles[:, column] = numpy.pad(own, (0, missing)).reshape(-1, _WORDS_OF_TILE)
        return tiles, sizes, samples.reshape(*sizes.shape, _WORD)

    def _columns(self) -> Iterator[tuple[int, NDArray[Any]]]:
        """Each bin, and which samples have it, as words, uint64 (words,)."""
        columns = self.bits.tocsc()
        place = numpy.zeros(self.bits.shape[0], dtype=numpy.int64)
        used = self._sample_at >= 0
        place[self._sample_at[used]] = numpy.flatnonzero(used)
        has = numpy.zeros(len(self._sample_at), dtype=bool)
        for column in range(self.bits.shape[1]):
            own = place[columns.indices[columns.indptr[column] : columns.indptr[column + 1]]]
            has[own] = True
            yield column, numpy.packbits(has, bitorder="little").view(numpy.uint64)
            has[own] = False

    def _bound(self, rows: list[NDArray[Any]], words: slice, sizes: NDArray[Any], number: int) -> NDArray[Any]:
        """Similarity that the best samples have at least, by those of some words, float64 (n,)."""
        counts = sum(
            numpy.unpackbits(plane.view(numpy.uint8), axis=1, bitorder="little").astype(numpy.int16) << place
            for place, plane in enumerate(_sum_bits(rows))
        )
        similarity = _tanimoto(counts, sizes[:, None], self._size_of_word[words].repeat(_WORD))
        similarity[:, self._sample_at.reshape(-1, _WORD)[words].reshape(-1) < 0] = -1
        bound: NDArray[Any] = numpy.partition(similarity, -number, axis=1)[:, -number].astype(numpy.float64)
        return bound.clip(min=0)

    def _of_some(
        self, rows: list[NDArray[Any]], sizes: NDArray[Any], bounds: NDArray[Any], number: int
    ) -> tuple[NDArray[Any], NDArray[Any]]:
        total, bound = sizes[:, None] + self._size_of_word, bounds[:, None]
        # Number of shared bins that the best samples have at least; a little less, since the quotient is rounded.
        least = numpy.ceil(bound * total / (1 + bound) - 1e-6 * total).astype(numpy.int64)
        # The sum of the number of shared bins and of `more` has this digit where enough are shared.
        digit = len(rows).bit_length()
        more = (2**digit - least).clip(min=0)
        # All bits of a word are those of its number.
        shared = _sum_bits(rows, [(-((more >> place) & 1)).view(numpy.uint64) for place in range(digit + 1)])
        query, word = numpy.nonzero(kept := shared[digit])
        bit = numpy.unpackbits(kept[query, word].view(numpy.uint8), bitorder="little").reshape(-1, _WORD)
        own, offset = numpy.nonzero(bit)
        query, word = query[own], word[own]
        sample = self._sample_at[word * _WORD + offset]
        query, word, offset, sample = (values[sample >= 0] for values in (query, word, offset, sample))
        counts = sum(
            ((plane[query, word] >> offset.astype(numpy.uint64)) & numpy.uint64(1)).astype(numpy.int64) << place
            for place, plane in enumerate(shared)
        )
        similarity = _tanimoto(counts - more[query, word], sizes[query], self._size_of_word[word])
        ranked = numpy.lexsort((sample, -similarity, query))
        first = numpy.searchsorted(query[ranked], numpy.arange(len(sizes)))
        best = ranked[first[:, None] + numpy.arange(number)]
        return sample[best], similarity[best]


def _parts(order: NDArray[Any], size: int) -> list[NDArray[Any]]:
    """Consecutive parts of an array, each of a size but for the last."""
    return [order[start : start + size] for start in range(0, len(order), size)]


def _rows(bitmaps: NDArray[Any], queries: csr_array, some: NDArray[Any]) -> list[NDArray[Any]]:
    """The bitmaps of the first bin of some queries, of their second bin, and so on, uint64 (n, words) each."""
    starts, ends = queries.indptr[some], queries.indptr[some + 1]
    bins = numpy.full((len(some), max(1, int((ends - starts).max()))), len(bitmaps) - 1)
    for own, start, end in zip(bins, starts, ends, strict=True):
        own[: end - start] = queries.indices[start:end]
    # The bitmap of a single query is not copied.
    return [bitmaps[own] if len(own) > 1 else bitmaps[own[0]][None] for own in bins.T]


def _tanimoto(shared: Any, own: NDArray[Any], other: NDArray[Any]) -> NDArray[Any]:
    """Similarity of fingerprints by their numbers of bins, float32; 0 if both are empty."""
    shared = numpy.asarray(shared, dtype=numpy.float32)
    similarity: NDArray[Any] = shared / numpy.maximum((own + other).astype(numpy.float32) - shared, 1)
    return similarity


def _sum_bits(bitmaps: list[NDArray[Any]], more: Sequence[NDArray[Any]] = ()) -> list[NDArray[Any]]:
    """The number of bitmaps that have each bit, in binary: a bitmap for each digit, the lowest one first.

    Args:
        bitmaps: One or more bitmaps, uint64 (n, words).
        more: Numbers that are added to it, in binary in the same way.
    """
    planes: list[NDArray[Any]] = []
    digit, spare = list(bitmaps), numpy.empty_like(bitmaps[0])
    while digit:
        digit.extend(more[len(planes) : len(planes) + 1])
        carries = []
        while len(digit) >= 3:
            first, second, third = digit.pop(), digit.pop(), digit.pop()
            odd, carry = first ^ second, first & second
            carry |= numpy.bitwise_and(odd, third, out=spare)
            carries.append(carry)
            odd ^= third
            digit.append(odd)
        if len(digit) == 2:
            first, second = digit
            carries.append(first & second)
            digit = [first ^ second]
        planes.append(digit[0])
        digit = carries
    return planes
