"""The hot loops behind checked arguments: exact nearest neighbours, votes, trees and label permutations."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from attacks.sizes import FARTHEST, MISMATCH

Bytes = NDArray[np.uint8]
Distances = NDArray[np.uint32]
Index = NDArray[np.int64]

_THREADS = 2
_WORTH_A_THREAD = 1 << 26  # comparisons, were no block left out
_NARROW = (2**16 - 1) // MISMATCH - 1  # unweighted columns whose sum has 16 bits
_UNITS = 1 << 23  # what declared weights add up to as integers; times 255 it has 32 bits


@dataclass(frozen=True, eq=False)
class Neighbourhood:
    """A table arranged for exact searches: in blocks of near rows, most of which a search can leave out.

    A column adds ``|a - b|`` where ordered, else 255 for a mismatch, times its integer weight. `units`: the sum
    of the weights, so that ``distance / (255 * units)`` is Gower's distance in [0, 1].
    """

    columns: Bytes  # (columns, rows), the columns that say most first
    order: NDArray[np.uint32]  # which row of the table each is
    starts: Index
    low: Bytes
    high: Bytes
    chosen: Index  # which column of the table each is
    ordered: NDArray[np.bool_]
    weights: NDArray[Any]
    units: int

    @classmethod
    def of(
        cls, table: Bytes, ordered: NDArray[np.bool_], weights: Sequence[float] | None = None
    ) -> Neighbourhood:
        """Of a table (rows, columns) of uint8 codes; `weights`: one per column, 0 leaves it out, only ratios count.

        Weights are rounded to 1 / 2**23 of their sum, none to 0. Errors: ValueError for other shapes or weights.
        """
        if table.ndim != 2 or table.shape[1] != len(ordered) or len(ordered) == 0:
            raise ValueError("the table and `ordered` must have the same columns")
        whole = _integers(weights, len(ordered))
        chosen = _telling_first(table, ordered, whole)
        from attacks import compiled

        columns = np.ascontiguousarray(table[:, chosen].T, dtype=np.uint8)
        is_ordered, whole = np.ascontiguousarray(ordered[chosen], dtype=np.bool_), whole[chosen]
        order = np.arange(len(table), dtype=np.uint32)
        starts = np.zeros(len(table) + 1, np.int64)
        blocks = compiled.arrange(columns, is_ordered, whole.astype(np.float64), order, starts)
        starts = starts[: blocks + 1].copy()
        columns = np.ascontiguousarray(columns[:, order])
        low, high = np.empty((2, len(chosen), blocks), np.uint8)
        compiled.boxes(columns, starts, low, high)
        return cls(columns, order, starts, low, high, chosen, is_ordered, whole, int(whole.sum()))

    def nearest(
        self, targets: Bytes, k: int = 1, skip: tuple[Index, Index] | None = None
    ) -> tuple[Distances, Index]:
        """Distances to the `k` closest rows, ascending, and which rows these are, both (targets, k).

        `skip` = (first, last): rows ``first[i] .. last[i] - 1`` of the table are no neighbours of target i. Of
        equally distant rows any may be named. Missing neighbours are at FARTHEST, row -1.
        """
        if k < 1:
            raise ValueError("k is at least 1")
        none = np.zeros(len(targets), np.int64)
        first, last = (none, none) if skip is None else skip
        if len(first) != len(targets) or len(last) != len(targets):
            raise ValueError("one range to skip per target")
        from attacks import compiled

        farthest = np.iinfo(self.weights.dtype).max
        out = np.full((len(targets), k), farthest, self.weights.dtype)
        rows = np.full((len(targets), k), -1, np.int64)
        wanted = np.ascontiguousarray(targets[:, self.chosen], dtype=np.uint8)
        first, last = (np.ascontiguousarray(bound, dtype=np.int64) for bound in (first, last))

        def part(piece: slice) -> None:
            compiled.search(
                wanted[piece], self.columns, self.order, self.starts, self.low, self.high, self.ordered,
                self.weights, first[piece], last[piece], farthest, out[piece], rows[piece],
            )  # fmt: skip

        if self.columns.shape[1]:
            _in_threads(part, len(targets), len(targets) * self.columns.size)
        return np.where(rows < 0, np.uint32(FARTHEST), out), rows


def _integers(weights: Sequence[float] | None, columns: int) -> NDArray[Any]:
    """Weights as integers in the type that their sum of distances needs."""
    if weights is None:
        return np.ones(columns, np.uint16 if columns <= _NARROW else np.uint32)
    given = np.asarray(weights, np.float64)
    if given.shape != (columns,) or not np.isfinite(given).all() or given.min() < 0 or given.max() == 0:
        raise ValueError("weights: one finite number per column, none negative, not all 0")
    rounded = np.maximum(np.rint(given / given.sum() * _UNITS), 1.0)
    return np.asarray(np.where(given > 0, rounded, 0.0), np.uint32)


def _telling_first(table: Bytes, ordered: NDArray[np.bool_], weights: NDArray[Any]) -> Index:
    """The columns of positive weight; those first by which rows differ most, so that a search gives up early."""
    some = table[:: max(1, len(table) // 2000)].astype(np.int64)
    spread = np.zeros(len(ordered))
    for c in range(len(ordered) if len(some) else 0):
        counts = np.bincount(some[:, c], minlength=256)
        away = np.abs(some[:, c] - np.median(some[:, c])).mean()
        spread[c] = away if ordered[c] else MISMATCH * (1.0 - counts.max() / len(some))
    by_spread = np.argsort(-spread * weights, kind="stable")
    return np.asarray(by_spread[weights[by_spread] > 0], np.int64)


def nearest(
    targets: Bytes,
    table: Bytes,
    ordered: NDArray[np.bool_],
    *,
    k: int = 1,
    skip: tuple[Index, Index] | None = None,
) -> Distances:
    """Distances from each target to its `k` closest rows of the table, ascending, shape (targets, k).

    `targets` (t, columns) and `table` (n, columns) hold uint8 codes. A column adds ``|a - b|`` where
    `ordered`, else 255 for a mismatch: Gower's mixed distance times 255 times the number of columns.
    `skip` and missing neighbours: as in `Neighbourhood.nearest`. Errors: ValueError when shapes disagree.
    """
    if targets.ndim != 2 or targets.shape[1] != len(ordered):
        raise ValueError("targets, table and `ordered` must have the same columns")
    return Neighbourhood.of(table, ordered).nearest(targets, k, skip)[0]


def _in_threads(work: Callable[[slice], None], rows: int, size: int) -> None:
    """`work` on slices of the rows, at most two at a time; the compiled code lets go of the interpreter."""
    half = rows // _THREADS
    parts = [slice(0, half), slice(half, rows)]
    _each(lambda i: work(parts[i]), len(parts), size)


def _each(work: Callable[[int], None], parts: int, size: int) -> None:
    """`work` on each part, on threads of their own where `size` is worth it."""
    if size < _WORTH_A_THREAD or (os.cpu_count() or 1) < _THREADS:
        for part in range(parts):
            work(part)
        return
    with ThreadPoolExecutor(_THREADS) as pool:
        list(pool.map(work, range(parts)))


def posterior_votes(
    rows: Bytes, candidates: Bytes, log_ratios: NDArray[np.float32]
) -> tuple[NDArray[np.float64], float]:
    """Each row's posterior over the candidates, summed over the rows, and the rows' mean log evidence.

    `rows` (r, columns) and `candidates` (n, columns) hold uint8 codes, r and n above 0; ``log_ratios[c, a, b]``:
    log of P[a row has code a, made from a candidate with code b] / P[it has code a]. Shape of the sum: (n,).
    """
    width = candidates.shape[1]
    if not len(rows) or not len(candidates) or log_ratios.shape != (width, 256, 256):
        raise ValueError("needs rows, candidates and one table of 256 x 256 per column")
    from attacks import compiled

    wanted = np.ascontiguousarray(rows, dtype=np.uint8)
    columns = np.ascontiguousarray(candidates.T, dtype=np.uint8)
    halves = np.array_split(wanted, _THREADS) if len(wanted) >= _THREADS else [wanted]
    votes = np.zeros((len(halves), len(candidates)))
    evidence = np.zeros(len(halves))

    def half(i: int) -> None:
        evidence[i] = len(halves[i]) * compiled.posterior_votes(halves[i], columns, log_ratios, votes[i])

    _each(half, len(halves), wanted.size * len(candidates))
    return votes.sum(axis=0), float(evidence.sum() / len(wanted))


def tree_votes(
    known: Bytes, made: NDArray[np.bool_], asked: Bytes, ordered: NDArray[np.bool_],
    *, trees: int, leaf: int, tries: int, seed: int,
) -> NDArray[np.float64]:  # fmt: skip
    """How synthetic the rows asked about look to randomized trees, in [0, 1], shape (m,).

    The mean share of `made` rows in the leaves that they fall into, both kinds counting as much in all. `known` (n,
    columns) and `asked` (m, columns) hold uint8 codes, `made` (n,) says which of the known rows are synthetic; both
    kinds occur. A node takes the best of `tries` random cuts that leave `leaf` rows on both sides.
    """
    kinds = int(made.sum())
    if known.shape[1] != asked.shape[1] or len(made) != len(known) or not 0 < kinds < len(known):
        raise ValueError("needs known rows of both kinds and the same columns to ask about")
    from attacks import compiled_trees

    each = [np.ascontiguousarray(rows.T, dtype=np.uint8) for rows in (known, asked)]
    weight, halves = (len(known) - kinds) / kinds, (trees // 2, trees - trees // 2)
    out = np.zeros((_THREADS, len(asked)))

    def half(i: int) -> None:  # each with a stream of its own, however many threads there are
        own = np.random.SeedSequence((seed, i)).generate_state(1, np.uint64)[0]
        flags = np.ascontiguousarray(made), np.ascontiguousarray(ordered)
        compiled_trees.votes(
            each[0], flags[0], each[1], flags[1], weight, leaf, tries, halves[i], own, out[i]
        )

    _each(half, len(halves), 64 * trees * len(known))
    return np.asarray(out.sum(axis=0) / trees)


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
    halves = np.array_split(out, _THREADS)
    given = np.ascontiguousarray(weights, dtype=np.int64), np.ascontiguousarray(level, dtype=np.uint8)

    def half(i: int) -> None:  # each with a stream of its own, however many threads there are
        own = np.random.SeedSequence((seed, i)).generate_state(1, np.uint64)[0]
        compiled.permuted_sums(*given, chosen, own, halves[i])

    _each(half, len(halves), 16 * draws * chosen)  # each step waits for memory
    return out
