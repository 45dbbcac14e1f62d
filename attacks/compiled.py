"""The compiled loops. Imported by `kernels` on first use only: importing numba takes half a second.

No bounds are checked here; the functions in `kernels` vouch for every shape.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from attacks.sizes import BLOCK, FARTHEST, MISMATCH


@njit(nogil=True, cache=True)
def _distances(target: Any, table: Any, ordered: Any, start: int, width: int, acc: Any) -> None:
    """Distances from one target to `width` rows of the table (columns, n) from `start` on, into `acc`."""
    for j in range(width):
        acc[j] = 0
    for c in range(len(target)):
        value = target[c]
        column = table[c, start : start + width]
        if ordered[c]:
            for j in range(width):
                acc[j] += np.uint16(max(column[j], value) - min(column[j], value))
        else:
            for j in range(width):
                acc[j] += np.uint16(MISMATCH) if column[j] != value else np.uint16(0)


@njit(nogil=True, cache=True)
def _insert(acc: Any, width: int, kept: Any) -> None:
    """Keeps the smallest of `kept` (ascending) and ``acc[:width]``."""
    k = len(kept)
    least = np.uint16(FARTHEST)
    for j in range(width):
        least = min(least, acc[j])
    if least >= kept[k - 1]:
        return
    for j in range(width):
        if acc[j] < kept[k - 1]:
            place = k - 1
            while place > 0 and kept[place - 1] > acc[j]:
                kept[place] = kept[place - 1]
                place -= 1
            kept[place] = acc[j]


@njit(nogil=True, cache=True)
def nearest(targets: Any, table: Any, ordered: Any, first: Any, last: Any, out: Any) -> None:
    """The k smallest distances per target, into `out` (targets, k) filled with FARTHEST."""
    rows = table.shape[1]
    acc = np.empty(BLOCK, np.uint16)
    for start in range(0, rows, BLOCK):
        width = min(BLOCK, rows - start)
        for i in range(len(targets)):
            _distances(targets[i], table, ordered, start, width, acc)
            for j in range(max(first[i] - start, 0), min(last[i] - start, width)):
                acc[j] = FARTHEST
            _insert(acc, width, out[i])


@njit(nogil=True, cache=True)
def permuted_sums(weights: Any, level: Any, chosen: int, seed: Any, out: Any) -> None:
    """Sums of `chosen` rows drawn without replacement and their numbers by level, once per row of `out`."""
    rows, columns = weights.shape
    levels = out.shape[1] - columns
    order = np.arange(rows).astype(np.uint32)
    count = np.empty(levels + 1, np.int64)
    state = seed
    for draw in range(len(out)):
        count[:] = 0
        for i in range(chosen):
            state += np.uint64(0x9E3779B97F4A7C15)  # splitmix64 (Steele, Lea and Flood 2014)
            word = state
            word = (word ^ (word >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
            word = (word ^ (word >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
            word = (word ^ (word >> np.uint64(31))) >> np.uint64(32)
            j = i + np.int64((word * np.uint64(rows - i)) >> np.uint64(32))
            row = order[j]
            order[j] = order[i]
            order[i] = row
            for c in range(columns):
                out[draw, c] += weights[row, c]
            count[level[row]] += 1
        total = 0
        for k in range(levels):
            total += count[k]
            out[draw, columns + k] = total
