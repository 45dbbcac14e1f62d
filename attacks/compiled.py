"""The compiled loops. Imported by `kernels` on first use only: importing numba takes half a second.

No bounds are checked here; the functions in `kernels` vouch for every shape.

The exact search for neighbours: a table is cut into blocks of near rows, as a k-d tree cuts it. A block's box
(smallest and largest code per column) gives a lower bound on the distance to all of its rows; blocks that cannot
hold a neighbour are not looked at, of the others the nearest first.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from attacks.sizes import BLOCK, MISMATCH

_NEGLIGIBLE = 14.0  # log odds: below one in a million
_BEST_FIRST = 8  # blocks taken in order of their bounds; the rest in order of the table


@njit(nogil=True, cache=True)
def _cut(counts: Any, size: int, ordered: Any, weights: Any) -> tuple[int, int]:
    """The column and the code after which to cut rows with these counts (columns, 256); column -1: all alike.

    Each column is cut nearest to its median; the one whose rows are then farthest from the cut is taken.
    """
    most, column, cut = 0.0, -1, 0
    for c in range(len(counts)):
        below, at, left, miss = 0, -1, 0, size + 1
        for code in range(255):
            below += counts[c, code]
            if 0 < below < size and abs(2 * below - size) < miss:
                at, left, miss = code, below, abs(2 * below - size)
        if at < 0:
            continue
        far = MISMATCH * min(left, size - left)
        if ordered[c]:
            far = 0
            for code in range(256):
                far += counts[c, code] * abs(code - at)
        if far * weights[c] > most:
            most, column, cut = far * weights[c], c, at
    return column, cut


@njit(nogil=True, cache=True)
def _part(codes: Any, order: Any, start: int, stop: int, cut: int, spare: Any) -> int:
    """Puts the rows of ``order[start:stop]`` with codes up to `cut` first; where the others begin."""
    middle, right = start, 0
    for j in range(start, stop):
        if codes[order[j]] <= cut:
            order[middle] = order[j]
            middle += 1
        else:
            spare[right] = order[j]
            right += 1
    order[middle:stop] = spare[:right]
    return middle


@njit(nogil=True, cache=True)
def arrange(columns: Any, ordered: Any, weights: Any, order: Any, starts: Any) -> int:
    """Permutes `order` so that blocks of at most BLOCK near rows follow each other; how many blocks.

    ``columns`` (columns, rows). ``starts[b]`` becomes block b's first place in `order`.
    """
    width, rows = columns.shape
    counts = np.empty((width, 256), np.int64)
    spare = np.empty(rows, order.dtype)
    blocks = 0
    waiting = [(0, rows)]
    while len(waiting) > 0:
        start, stop = waiting.pop()
        if stop - start <= BLOCK:
            starts[blocks] = start
            blocks += 1
            continue
        counts[:] = 0
        for c in range(width):
            for j in range(start, stop):
                counts[c, columns[c, order[j]]] += 1
        column, cut = _cut(counts, stop - start, ordered, weights)
        middle = start + BLOCK
        if column >= 0:
            middle = _part(columns[column], order, start, stop, cut, spare)
        waiting.append((middle, stop))
        waiting.append((start, middle))
    starts[blocks] = rows
    return blocks


@njit(nogil=True, cache=True)
def boxes(columns: Any, starts: Any, low: Any, high: Any) -> None:
    """Smallest and largest code of each block, into `low` and `high` (columns, blocks)."""
    for c in range(len(columns) if columns.shape[1] else 0):
        for b in range(len(starts) - 1):
            block = columns[c, starts[b] : starts[b + 1]]
            low[c, b] = block.min()
            high[c, b] = block.max()


@njit(nogil=True, cache=True)
def _bounds(target: Any, low: Any, high: Any, ordered: Any, weights: Any, out: Any) -> None:
    """A lower bound on the distance from the target to every row of each block."""
    out[:] = 0
    for c in range(len(target)):
        code, weight = target[c], weights[c]
        least, most = low[c], high[c]
        if ordered[c]:
            for b in range(len(out)):
                inside = min(max(code, least[b]), most[b])
                out[b] += weight * (max(code, inside) - min(code, inside))
        else:
            whole = weight * MISMATCH
            for b in range(len(out)):
                out[b] += whole if (code < least[b]) | (code > most[b]) else 0


@njit(nogil=True, cache=True)
def _least(values: Any, width: int) -> Any:
    least = values[0]
    for j in range(width):
        least = min(least, values[j])
    return least


@njit(nogil=True, cache=True)
def _scan(target: Any, block: Any, ordered: Any, weights: Any, acc: Any, limit: Any) -> bool:
    """Distances from the target to the rows of a block (columns, rows), into `acc`.

    False, and `acc` unfinished, when half of the columns already put every row at `limit` or beyond.
    """
    width = block.shape[1]
    acc[:width] = 0
    for c in range(len(target)):
        if c == len(target) // 2 and _least(acc, width) >= limit:
            return False
        code, weight, column = target[c], weights[c], block[c]
        if ordered[c]:
            for j in range(width):
                acc[j] += weight * (max(column[j], code) - min(column[j], code))
        else:
            whole = weight * MISMATCH
            for j in range(width):
                acc[j] += whole if column[j] != code else 0
    return bool(_least(acc, width) < limit)


@njit(nogil=True, cache=True)
def _keep(acc: Any, numbers: Any, first: int, last: int, kept: Any, rows: Any) -> None:
    """Keeps the smallest of `kept` (ascending) and `acc`, and whose they are; none numbered first .. last - 1."""
    k = len(kept)
    for j in range(len(numbers)):
        if acc[j] < kept[k - 1] and not first <= numbers[j] < last:
            place = k - 1
            while place > 0 and kept[place - 1] > acc[j]:
                kept[place] = kept[place - 1]
                rows[place] = rows[place - 1]
                place -= 1
            kept[place] = acc[j]
            rows[place] = numbers[j]


@njit(nogil=True, cache=True)
def search(
    targets: Any, columns: Any, order: Any, starts: Any, low: Any, high: Any, ordered: Any, weights: Any,
    first: Any, last: Any, farthest: Any, out: Any, rows: Any,
) -> None:  # fmt: skip
    """The k smallest distances per target and whose they are, into `out` and `rows` (targets, k).

    `out` comes filled with `farthest`, which no distance reaches.
    """
    blocks, k = len(starts) - 1, out.shape[1]
    bounds = np.empty(blocks, out.dtype)
    acc = np.empty(BLOCK, out.dtype)
    for i in range(len(targets)):
        _bounds(targets[i], low, high, ordered, weights, bounds)
        for turn in range(_BEST_FIRST + blocks):
            b = bounds.argmin() if turn < _BEST_FIRST else turn - _BEST_FIRST
            if bounds[b] >= out[i, k - 1]:
                if turn < _BEST_FIRST:
                    break
                continue
            start, stop = starts[b], starts[b + 1]
            bounds[b] = farthest
            if _scan(targets[i], columns[:, start:stop], ordered, weights, acc, out[i, k - 1]):
                _keep(acc, order[start:stop], first[i], last[i], out[i], rows[i])


@njit(nogil=True, cache=True)
def posterior_votes(rows: Any, columns: Any, tables: Any, votes: Any) -> float:
    """Adds each row's posterior over the candidates (columns, n) to `votes` (n,); the mean log evidence."""
    n = columns.shape[1]
    acc = np.empty(n, np.float32)
    evidence = 0.0
    for i in range(len(rows)):
        acc[:] = 0
        for c in range(len(columns)):
            table, column = tables[c, rows[i, c]], columns[c]
            for j in range(n):
                acc[j] += table[column[j]]
        top = acc.max()
        total = 0.0
        for j in range(n):
            below = acc[j] - top
            acc[j] = np.exp(below) if below > -_NEGLIGIBLE else 0.0
            total += acc[j]
        evidence += top + np.log(total / n)
        for j in range(n):
            votes[j] += acc[j] / total
    return float(evidence / len(rows))


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
