"""The compiled loop of the classifier: extremely randomized trees (Geurts et al. 2006) on rows of bytes.

Imported by `kernels` on first use only, which vouches for every shape. A tree is never stored: the rows asked about
fall through it while it grows.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


@njit(nogil=True, cache=True)
def _below(state: Any, limit: Any) -> Any:
    """A number below `limit` from splitmix64 (Steele, Lea and Flood 2014); moves ``state[0]`` on."""
    state[0] += _GOLDEN
    word = state[0]
    word = (word ^ (word >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    word = (word ^ (word >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    word = (word ^ (word >> np.uint64(31))) >> np.uint64(32)
    return np.int64((word * np.uint64(limit)) >> np.uint64(32))


@njit(nogil=True, cache=True)
def _purity(first: float, second: float) -> float:
    """Sum of squares over the sum of the two classes' weights: Gini impurity, turned round and scaled."""
    return (first * first + second * second) / (first + second) if first + second > 0 else 0.0


@njit(nogil=True, cache=True)
def _cut_at(column: Any, order: Any, start: int, stop: int, ordered: bool, state: Any) -> Any:
    """A random cut of these rows, as the codes ``low .. high`` of one side; (1, 0) where there is none."""
    least, most = 255, 0
    for j in range(start, stop):
        code = int(column[order[j]])
        if code < least:
            least = code
        if code > most:
            most = code
    if least == most:
        return 1, 0
    if ordered:
        return 0, least + _below(state, most - least)
    code = int(column[order[start + _below(state, stop - start)]])
    return code, code


@njit(nogil=True, cache=True)
def _gain(
    column: Any, order: Any, start: int, stop: int, low: int, high: int, made: Any, weight: float, leaf: int
) -> float:
    """How much purer the two sides are; -1 when one has fewer than `leaf` rows."""
    inside, made_inside, made_all = 0, 0, 0
    for j in range(start, stop):
        row = order[j]
        there = low <= column[row] <= high
        inside += there
        made_inside += there & made[row]
        made_all += made[row]
    outside = stop - start - inside
    if inside < leaf or outside < leaf:
        return -1.0
    made_outside = made_all - made_inside
    return _purity(weight * made_inside, inside - made_inside) + _purity(
        weight * made_outside, outside - made_outside
    )


@njit(nogil=True, cache=True)
def _split(column: Any, order: Any, start: int, stop: int, low: int, high: int, spare: Any) -> int:
    """Puts the rows with codes low .. high first; where the others begin."""
    middle, right = start, 0
    for j in range(start, stop):
        row = order[j]
        if low <= column[row] <= high:
            order[middle] = row
            middle += 1
        else:
            spare[right] = row
            right += 1
    order[middle:stop] = spare[:right]
    return middle


@njit(nogil=True, cache=True)
def votes(
    known: Any, made: Any, asked: Any, ordered: Any, weight: float, leaf: int, tries: int, trees: int, seed: Any,
    out: Any,
) -> None:  # fmt: skip
    """Adds to `out` (asked rows,) the weighted share of made rows in each tree's leaf.

    `known` (columns, n), `made` (n,): which of them are synthetic, each counting `weight`; `asked` (columns, m).
    """
    width, rows = known.shape
    spare = np.empty(max(rows, asked.shape[1]), np.uint32)
    state = np.array([seed], np.uint64)
    for _ in range(trees):
        order, wanted = np.arange(rows).astype(np.uint32), np.arange(asked.shape[1]).astype(np.uint32)
        waiting = [(0, rows, 0, asked.shape[1])]
        while len(waiting) > 0:
            start, stop, first, last = waiting.pop()
            if first == last:
                continue
            inside = 0
            for j in range(start, stop):
                inside += made[order[j]]
            mixed = 0 < inside < stop - start
            best, column, low, high = 0.0, -1, 0, 0
            for _ in range(tries if mixed and stop - start >= 2 * leaf else 0):
                c = _below(state, width)
                a, b = _cut_at(known[c], order, start, stop, ordered[c], state)
                if a <= b:
                    gain = _gain(known[c], order, start, stop, a, b, made, weight, leaf)
                    if gain > best:
                        best, column, low, high = gain, c, a, b
            if column < 0:
                share = weight * inside / (weight * inside + stop - start - inside)
                for j in range(first, last):
                    out[wanted[j]] += share
                continue
            middle = _split(known[column], order, start, stop, low, high, spare)
            between = _split(asked[column], wanted, first, last, low, high, spare)
            waiting.append((middle, stop, between, last))
            waiting.append((start, middle, first, between))
