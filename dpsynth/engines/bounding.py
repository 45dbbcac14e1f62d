"""Of each unit the first records by rank: the bound, for all engines that hold a unit's records together."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Words = NDArray[np.uint64]
_BITS = 64


def first_of_each(
    units: tuple[Words, Words], ranks: tuple[Words, Words], bound: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The rows that stay, those of a unit together and by rank, and how many each unit keeps: at most `bound`.

    `units`, `ranks`: two words of each row's unit and of its rank, shape (rows,). Of equal ranks the lower row is the first.
    """
    order, starts = _ordered(units, ranks)
    begins = np.flatnonzero(starts)
    lengths = np.diff(np.append(begins, len(order)))
    place = np.arange(len(order)) - np.repeat(begins, lengths)
    return order[place < bound], np.minimum(lengths, bound)


def _ordered(units: tuple[Words, Words], ranks: tuple[Words, Words]) -> tuple[NDArray[np.int64], Any]:
    """All rows by unit and rank, and where a unit begins.

    Two sorts of single words, which are several times as fast as one by four: by the first word of the unit, then by the
    number of the unit with as much of the rank as there is room for. Where that cannot tell, all four words do.
    """
    order = np.argsort(units[0])
    number = np.cumsum(_starts(units[0][order])) - 1
    bits = int(number[-1]).bit_length() if len(number) else 0
    both = (number.astype(np.uint64) << np.uint64(_BITS - bits)) if bits else np.zeros(len(order), np.uint64)
    both |= ranks[0][order] >> np.uint64(bits)
    sorted_both = np.argsort(both)
    order, both = order[sorted_both], both[sorted_both]
    if _doubtful(units, ranks, order, both):
        order = np.lexsort((ranks[1], ranks[0], units[1], units[0]))
    elif (both[1:] == both[:-1]).any():
        order = order[np.lexsort((order, both))]  # equal ones in the order of their rows
    starts = _starts(units[0][order]) | _starts(units[1][order])
    return order, starts


def _doubtful(
    units: tuple[Words, Words], ranks: tuple[Words, Words], order: NDArray[np.int64], both: Words
) -> bool:
    """Whether two units share their first word, or two different ranks of a unit what was compared of them."""
    first, second = units[0][order], units[1][order]
    shared = (first[1:] == first[:-1]) & (second[1:] != second[:-1])
    tied = np.flatnonzero(both[1:] == both[:-1])
    above, below = order[tied], order[tied + 1]
    unlike = (ranks[0][above] != ranks[0][below]) | (ranks[1][above] != ranks[1][below])
    return bool(shared.any() or unlike.any())


def _starts(values: Words) -> NDArray[np.bool_]:
    """Where a value differs from the one before; the first always does."""
    found = np.ones(len(values), dtype=bool)
    found[1:] = values[1:] != values[:-1]
    return found
