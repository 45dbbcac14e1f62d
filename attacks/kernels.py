"""The two hot loops, compiled on first use and cached: nearest neighbours and label permutations.

numba is imported when a kernel is first needed. Every array is checked by the Python function in front of
the compiled one; the compiled code itself does not check bounds.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]
Distances = NDArray[np.uint16]

FARTHEST = np.iinfo(np.uint16).max
MISMATCH = 255
_MOST_COLUMNS = FARTHEST // MISMATCH
_BLOCK = 2048  # rows of the table whose distances fit the first-level cache


def nearest(
    targets: Bytes,
    table: Bytes,
    ordered: NDArray[np.bool_],
    *,
    k: int = 1,
    skip: tuple[NDArray[np.int64], NDArray[np.int64]] | None = None,
) -> Distances:
    """Distances from each target to its `k` closest rows of the table, ascending, shape (targets, k).

    `targets` (t, columns) and `table` (n, columns) hold uint8 codes. A column adds ``|a - b|`` where
    `ordered`, else 255 for a mismatch: Gower's mixed distance times 255 times the number of columns.
    `skip` = (first, last): rows ``first[i] .. last[i] - 1`` of the table are not neighbours of target i.
    Missing neighbours (k > n) are at 65,535. Errors: ValueError when shapes disagree or columns > 257.
    """
    columns = len(ordered)
    if targets.ndim != 2 or table.ndim != 2 or targets.shape[1] != columns or table.shape[1] != columns:
        raise ValueError("targets, table and `ordered` must have the same columns")
    if not 0 < columns <= _MOST_COLUMNS:
        raise ValueError(f"between 1 and {_MOST_COLUMNS} columns")
    if k < 1:
        raise ValueError("k is at least 1")
    none = np.zeros(len(targets), np.int64)
    first, last = (none, none) if skip is None else skip
    out = np.full((len(targets), k), FARTHEST, np.uint16)
    _nearest()(
        np.ascontiguousarray(targets),
        np.ascontiguousarray(table.T),
        np.ascontiguousarray(ordered, dtype=np.bool_),
        np.ascontiguousarray(first, dtype=np.int64),
        np.ascontiguousarray(last, dtype=np.int64),
        out,
    )
    return out


def permuted_sums(weights: NDArray[np.int64], chosen: int, draws: int, seed: int) -> NDArray[np.int64]:
    """Column sums of `chosen` random rows of `weights` (n, j), drawn without replacement, `draws` times.

    Shape (draws, j). Exact integers; the draws are independent uniform subsets.
    """
    if weights.ndim != 2 or not 0 <= chosen <= len(weights):
        raise ValueError("cannot draw that many rows")
    out = np.zeros((draws, weights.shape[1]), np.int64)
    _permuted_sums()(np.ascontiguousarray(weights, dtype=np.int64), chosen, np.uint64(seed), out)
    return out


@functools.cache
def _nearest() -> Callable[..., Any]:
    from numba import njit

    @njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
    def nearest_kernel(targets, table, ordered, first, last, out):  # type: ignore[no-untyped-def]  # pragma: no cover
        count, columns = targets.shape
        rows = table.shape[1]
        k = out.shape[1]
        acc = np.empty(_BLOCK, np.uint16)
        for start in range(0, rows, _BLOCK):
            width = min(_BLOCK, rows - start)
            for i in range(count):
                for j in range(width):
                    acc[j] = 0
                for c in range(columns):
                    value = targets[i, c]
                    column = table[c, start : start + width]
                    if ordered[c]:
                        for j in range(width):
                            acc[j] += np.uint16(max(column[j], value) - min(column[j], value))
                    else:
                        for j in range(width):
                            acc[j] += np.uint16(MISMATCH) if column[j] != value else np.uint16(0)
                for j in range(max(first[i] - start, 0), min(last[i] - start, width)):
                    acc[j] = FARTHEST
                least = np.uint16(FARTHEST)
                for j in range(width):
                    least = min(least, acc[j])
                if least < out[i, k - 1]:
                    for j in range(width):
                        if acc[j] < out[i, k - 1]:
                            place = k - 1
                            while place > 0 and out[i, place - 1] > acc[j]:
                                out[i, place] = out[i, place - 1]
                                place -= 1
                            out[i, place] = acc[j]

    return nearest_kernel  # type: ignore[no-any-return]


@functools.cache
def _permuted_sums() -> Callable[..., Any]:
    from numba import njit

    @njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
    def sums_kernel(weights, chosen, seed, out):  # type: ignore[no-untyped-def]  # pragma: no cover
        rows, columns = weights.shape
        order = np.arange(rows)
        state = seed
        for draw in range(out.shape[0]):
            for i in range(chosen):
                state += np.uint64(0x9E3779B97F4A7C15)  # splitmix64 (Steele, Lea, Flood 2014)
                word = state
                word = (word ^ (word >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
                word = (word ^ (word >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
                word = word ^ (word >> np.uint64(31))
                j = i + np.int64(word % np.uint64(rows - i))
                row = order[j]
                order[j] = order[i]
                order[i] = row
                for c in range(columns):
                    out[draw, c] += weights[row, c]

    return sums_kernel  # type: ignore[no-any-return]
