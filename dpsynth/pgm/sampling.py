"""Records from a contraction tree, backwards along its steps, in blocks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dpsynth.pgm.contraction import Floats, Forward
from dpsynth.pgm.elimination import Scope, Step
from dpsynth.records import code_dtype

Codes = NDArray[np.unsignedinteger[Any]]
Integers = NDArray[np.int64]

BLOCK = 1 << 20
"""Rows drawn together. Part of what a seed means: with another number the same seed gives other rows."""

CHUNK = 1 << 21
"""Cells of conditional tables made at once."""

KEPT_CELLS = 1 << 24
"""Cells of conditional tables that are kept from block to block, 8 bytes each."""


class Sampler:
    """Draws rows of the distribution that a forward pass belongs to.

    A step summed the variables s out of ``left[batch, a, s] * right[batch, s, b]``; backwards, s is drawn given
    (batch, a, b) with probabilities proportional to that product. Memory: a block's codes, 1 to 4 bytes a cell, and
    `KEPT_CELLS`.
    """

    def __init__(self, forward: Forward) -> None:
        self._forward = forward
        self._plan = forward.plan
        self._kept: dict[int, Floats] = {}
        self._room = KEPT_CELLS

    def blocks(self, n: int, rng: np.random.Generator) -> Iterator[list[Codes]]:
        """`n` rows as blocks of up to `BLOCK`: one column of codes per variable, rows in random order.

        Within each group of equal parents in a block the counts of the cells are the expected ones, rounded
        systematically. Each block takes one number from `rng`.
        """
        for start in range(0, max(n, 1), BLOCK):
            yield self._block(min(BLOCK, n - start), n, new_state(rng))

    def _block(self, rows: int, total: int, state: NDArray[np.uint64]) -> list[Codes]:
        columns: dict[int, Codes] = {}
        for number in range(len(self._plan.steps) - 1, -1, -1):
            step = self._plan.steps[number]
            if step.summed:
                parents = self._ravel(columns, step.out_axes, rows)
                drawn = self._draw(number, parents, total, state)
                self._unravel(columns, step.summed, drawn)
        return [columns[v] for v in range(len(self._plan.sizes))]

    def _ravel(self, columns: dict[int, Codes], scope: Scope, rows: int) -> NDArray[np.uint32]:
        """The rows' cell numbers in the tensor over `scope`."""
        if not scope:
            return np.zeros(rows, dtype=np.uint32)
        code = columns[scope[0]].astype(np.uint32)
        for v in scope[1:]:
            np.multiply(code, self._plan.sizes[v], out=code)
            np.add(code, columns[v], out=code)
        return code

    def _unravel(self, columns: dict[int, Codes], scope: Scope, codes: Codes) -> None:
        if len(scope) == 1:
            columns[scope[0]] = codes
            return
        parts = np.unravel_index(codes.astype(np.intp), [self._plan.sizes[v] for v in scope])
        for v, part in zip(scope, parts, strict=True):
            columns[v] = part.astype(code_dtype(self._plan.sizes[v]))

    def _draw(self, number: int, parents: NDArray[np.uint32], total: int, state: NDArray[np.uint64]) -> Codes:
        """Codes of the summed variables for every row: conditional counts per group, dealt out at random."""
        from dpsynth.pgm import dealing

        step = self._plan.steps[number]
        sizes, starts = _groups(parents, self._plan.size(step.out_axes))
        dealt = np.empty(len(parents), dtype=code_dtype(self._plan.size(step.summed)))
        for edges, groups in self._edges(number, sizes, total):
            dealing.fill(edges, sizes[groups], starts[groups], dealt, state)
        drawn = np.empty_like(dealt)
        dealing.hand_out(parents, starts, dealt, drawn)
        return drawn

    def _edges(
        self, number: int, sizes: NDArray[np.int32], total: int
    ) -> Iterator[tuple[Floats, Integers | slice]]:
        """(running sums of conditional weights, of which groups): of all at once where that table is kept, else of
        those that have rows, in pieces."""
        step = self._plan.steps[number]
        cells = self._plan.size(step.summed)
        whole = len(sizes) * cells
        if number not in self._kept and whole <= self._room and len(sizes) <= total:
            everything = np.arange(len(sizes))
            self._kept[number] = np.concatenate(
                [_running(self._forward, step, some) for some in _pieces(everything, cells)]
            )
            self._room -= whole
        if number in self._kept:
            yield self._kept[number], slice(None)
            return
        for some in _pieces(np.flatnonzero(sizes), cells):
            yield _running(self._forward, step, some), some


def _pieces(groups: Integers, cells: int) -> Iterator[Integers]:
    size = max(1, CHUNK // cells)
    for first in range(0, len(groups), size):
        yield groups[first : first + size]


def _running(forward: Forward, step: Step, groups: Integers) -> Floats:
    """Running sums of the unnormalised conditional tables of the summed variables, shape (groups, cells)."""
    left, right = forward.operands(step)
    batch, a, _ = left.shape
    b = right.shape[2]
    which, rest = np.divmod(groups, a * b)
    row, column = np.divmod(rest, b)
    one = left[which, row, :]
    other = right[which if right.shape[0] == batch else 0, :, column]
    if forward.linear:
        weights = one * other
    else:
        logs = one + other
        top = logs.max(axis=1, keepdims=True)
        weights = np.exp(logs - np.where(np.isneginf(top), 0.0, top))
    return np.asarray(np.cumsum(weights, axis=1), dtype=np.float64)


def deal(parents: NDArray[np.integer[Any]], weights: Floats, rng: np.random.Generator) -> Codes:
    """A cell for each row given its group, ``weights[parents[i]]`` (groups, cells) being proportional to the
    probabilities: in each group the expected counts, rounded systematically and dealt out at random."""
    from dpsynth.pgm import dealing

    state = new_state(rng)
    groups = parents.astype(np.uint32)
    sizes, starts = _groups(groups, len(weights))
    dealt = np.empty(len(parents), dtype=code_dtype(weights.shape[1]))
    dealing.fill(np.cumsum(weights, axis=1), sizes, starts, dealt, state)
    drawn = np.empty_like(dealt)
    dealing.hand_out(groups, starts, dealt, drawn)
    return drawn


def new_state(rng: np.random.Generator) -> NDArray[np.uint64]:
    """A seed for the compiled loops' stream of random bits."""
    return rng.integers(0, 1 << 64, size=1, dtype=np.uint64)


def _groups(parents: NDArray[np.uint32], number: int) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """How many rows each group has, and where its places start."""
    from dpsynth.pgm import dealing

    sizes = np.zeros(number, dtype=np.int32)
    dealing.tally(parents, sizes)
    return sizes, np.cumsum(sizes, dtype=np.int32) - sizes
