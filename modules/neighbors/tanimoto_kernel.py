"""The loops of the search among many fingerprints, which Numba compiles at the first search."""

from __future__ import annotations

from typing import Any

import numpy
from numba import njit

BLOCK = 16
"""Number of bins that are added up at once."""
_DIGITS = 24
_ALL = numpy.uint64(2**64 - 1)
_NOTHING, _ONE = numpy.uint64(0), numpy.uint64(1)


@njit(nogil=True)
def search_tiles(
    tiles: Any,
    sizes: Any,
    sample_at: Any,
    order: Any,
    bins: Any,
    starts: Any,
    own_sizes: Any,
    found: Any,
    similarity: Any,
) -> None:
    """Find the most similar samples of some queries; of equally similar ones the first.

    The queries take turns at each tile, so that it stays in the cache of a core. A tile is passed over if the numbers
    of bins of its samples alone make them too different from a query, and so is a word. In the other words, the shared
    bins of 64 samples are counted at once, digit by digit, and compared with the number that a sample needs to be among
    the best found so far.

    Args:
        tiles: uint64 (T, W, words), which samples have each bin, a bit for each of the 64 samples of a word.
        sizes: int64 (T, words), number of bins of the samples of each word, ascending.
        sample_at: int64 (T, words, 64), the sample of each bit; -1 for none.
        order: int64 (T,), the tiles in the order in which they are searched.
        bins: The bins of the queries, one query after the other, uint64, each filled up to a multiple of `BLOCK` with a
            bin that no sample has.
        starts: int64 (n + 1,), where the bins of each query begin.
        own_sizes: int64 (n,), number of bins of each query.
        found: int64 (n, k), is filled with the samples, from the most similar on.
        similarity: float32 (n, k), is filled with their similarities.
    """
    digits = numpy.zeros(_DIGITS, dtype=numpy.uint64)
    last = found.shape[1] - 1
    found[:] = numpy.iinfo(numpy.int64).max
    similarity[:] = -1
    for tile in order:
        for query in range(len(found)):
            first, end = starts[query], starts[query + 1]
            own = own_sizes[query]
            near = min(max(own, sizes[tile, 0]), sizes[tile, -1])
            if min(own, near) < (similarity[query, last] - 1e-6) * max(own, near):
                continue
            for word in range(tiles.shape[2]):
                total = own + sizes[tile, word]
                bound = max(similarity[query, last], 0)
                # A little less, since the quotient is rounded.
                least = int(numpy.ceil(bound * total / (1 + bound) - 1e-6 * total))
                if least > min(own, sizes[tile, word]):
                    continue
                width = _count(tiles, tile, word, bins, first, end, digits)
                enough = _at_least(digits, width, least)
                if enough == _NOTHING:
                    continue
                for bit in range(64):
                    sample = sample_at[tile, word, bit]
                    if (enough >> numpy.uint64(bit)) & _ONE == _NOTHING or sample < 0:
                        continue
                    shared = _number(digits, width, bit)
                    value = numpy.float32(shared) / numpy.float32(max(total - shared, 1))
                    _insert(sample, value, found[query], similarity[query])


@njit(inline="always")
def _count(tiles: Any, tile: int, word: int, bins: Any, first: int, end: int, digits: Any) -> int:
    """Add up the bits of some bins, a multiple of `BLOCK`, with carry-save adders; returns the number of digits."""
    ones, twos, fours, eights = _NOTHING, _NOTHING, _NOTHING, _NOTHING
    width = 4
    for digit in range(4, _DIGITS):
        digits[digit] = _NOTHING
    for place in range(first, end, BLOCK):
        ones, twos, fours, left = _add_eight(tiles, tile, word, bins, place, ones, twos, fours)
        ones, twos, fours, right = _add_eight(tiles, tile, word, bins, place + 8, ones, twos, fours)
        eights, carry = _add(eights, left, right)
        digit = 4
        while carry != _NOTHING:
            before = digits[digit]
            digits[digit] = before ^ carry
            carry &= before
            digit += 1
        width = max(width, digit)
    digits[0], digits[1], digits[2], digits[3] = ones, twos, fours, eights
    return width


@njit(inline="always")
def _add_eight(
    tiles: Any, tile: int, word: int, bins: Any, place: int, ones: Any, twos: Any, fours: Any
) -> tuple[Any, Any, Any, Any]:
    """Add the bits of eight bins to three digits; returns these and what is carried to the fourth."""
    ones, first = _add(ones, tiles[tile, bins[place], word], tiles[tile, bins[place + 1], word])
    ones, second = _add(ones, tiles[tile, bins[place + 2], word], tiles[tile, bins[place + 3], word])
    twos, left = _add(twos, first, second)
    ones, first = _add(ones, tiles[tile, bins[place + 4], word], tiles[tile, bins[place + 5], word])
    ones, second = _add(ones, tiles[tile, bins[place + 6], word], tiles[tile, bins[place + 7], word])
    twos, right = _add(twos, first, second)
    fours, carry = _add(fours, left, right)
    return ones, twos, fours, carry


@njit(inline="always")
def _add(one: Any, two: Any, three: Any) -> tuple[Any, Any]:
    """Sum and carry of three bits, for 64 of them at once."""
    odd = one ^ two
    return odd ^ three, (one & two) | (odd & three)


@njit(inline="always")
def _at_least(digits: Any, width: int, least: int) -> Any:
    """Which of 64 numbers, given by their binary digits, are not below another."""
    if least >> width:
        return _NOTHING
    above, same = _NOTHING, _ALL
    for digit in range(width - 1, -1, -1):
        if (least >> digit) & 1:
            same &= digits[digit]
        else:
            above |= same & digits[digit]
            same &= ~digits[digit]
    return above | same


@njit(inline="always")
def _number(digits: Any, width: int, bit: int) -> int:
    """One of 64 numbers that are given by their binary digits."""
    found = 0
    for digit in range(width):
        if (digits[digit] >> numpy.uint64(bit)) & _ONE != _NOTHING:
            found += 1 << digit
    return found


@njit(inline="always")
def _insert(sample: int, value: Any, found: Any, similarity: Any) -> None:
    """Put a sample where it belongs among the best ones, if it does."""
    place = len(found)
    while place > 0 and (
        value > similarity[place - 1] or (value == similarity[place - 1] and sample < found[place - 1])
    ):
        place -= 1
    for behind in range(len(found) - 1, place, -1):
        found[behind], similarity[behind] = found[behind - 1], similarity[behind - 1]
    if place < len(found):
        found[place], similarity[place] = sample, value
