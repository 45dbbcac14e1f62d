"""The two hot loops behind checked arguments: nearest neighbours and label permutations."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from attacks.sizes import FARTHEST, MISMATCH

Bytes = NDArray[np.uint8]
Distances = NDArray[np.uint16]

_THREADS = 2
_WORTH_A_THREAD = 1 << 28  # comparisons: about 20 ms
_MOST_COLUMNS = FARTHEST // MISMATCH


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
    `skip` = (first, last): rows ``first[i] .. last[i] - 1`` of the table are no neighbours of target i.
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
    if len(first) != len(targets) or len(last) != len(targets):
        raise ValueError("one range to skip per target")
    from attacks import compiled

    out = np.full((len(targets), k), FARTHEST, np.uint16)
    rows = np.ascontiguousarray(targets, dtype=np.uint8)
    columnwise = np.ascontiguousarray(table.T, dtype=np.uint8)
    is_ordered = np.ascontiguousarray(ordered, dtype=np.bool_)
    skip_first, skip_last = (np.ascontiguousarray(bound, dtype=np.int64) for bound in (first, last))

    def part(piece: slice) -> None:
        bounds = skip_first[piece], skip_last[piece]
        compiled.nearest(rows[piece], columnwise, is_ordered, *bounds, out[piece])

    _in_threads(part, len(rows), len(rows) * table.size)
    return out


def _in_threads(work: Callable[[slice], None], rows: int, size: int) -> None:
    """`work` on slices of the rows, at most two at a time; the compiled code lets go of the interpreter."""
    if size < _WORTH_A_THREAD or (os.cpu_count() or 1) < _THREADS:
        return work(slice(0, rows))
    half = rows // _THREADS
    with ThreadPoolExecutor(_THREADS) as pool:
        list(pool.map(work, [slice(0, half), slice(half, rows)]))


def permuted_sums(
    weights: NDArray[np.int64], level: NDArray[np.uint8], levels: int, chosen: int, draws: int, seed: int
) -> NDArray[np.int64]:
    """What `chosen` rows drawn without replacement add up to, `draws` times, shape (draws, j + levels).

    First the column sums of `weights` (n, j), then how many of the rows have ``level <= k`` for k = 0 ..
    levels - 1; `level` (n,) is at most `levels`. Exact integers; the draws are independent, and each of n
    rows is equally likely up to a relative n / 2**32.
    """
    if weights.ndim != 2 or len(level) != len(weights) or not 0 <= chosen <= len(weights):
        raise ValueError("cannot draw that many rows")
    if len(level) and level.max() > levels:
        raise ValueError("a level is out of range")
    from attacks import compiled

    out = np.zeros((draws, weights.shape[1] + levels), np.int64)
    compiled.permuted_sums(
        np.ascontiguousarray(weights, dtype=np.int64),
        np.ascontiguousarray(level, dtype=np.uint8),
        chosen,
        np.uint64(seed),
        out,
    )
    return out
