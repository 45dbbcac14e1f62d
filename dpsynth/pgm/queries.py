"""Many marginals of one distribution at once: their eliminations are shared.

Variables are summed out one after the other, always the one where the fewest cells meet; queries that hold it part
there from those that do not. Each query is a leaf of the tree that results, so hundreds of small marginals cost a few
eliminations each instead of one for every variable.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dpsynth.pgm.elimination import Scope

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Tensor:
    """Values and the variables of its axes."""

    values: Floats
    axes: Scope

    def along(self, axes: Sequence[int]) -> Floats:
        """A view with these axes, 1 cell long where it has none."""
        held = self.values.transpose([self.axes.index(v) for v in axes if v in self.axes])
        return held[tuple(slice(None) if v in self.axes else None for v in axes)]


@dataclass(frozen=True, eq=False)
class Answer:
    """A query's table (None when it would have taken too many cells), to be multiplied by ``exp(log_scale)``."""

    query: frozenset[int]
    table: Tensor | None
    log_scale: float


@dataclass(frozen=True, eq=False)
class _State:
    """Factors whose product, times ``exp(log_scale)``, is the distribution with some variables summed out."""

    factors: tuple[Tensor, ...]
    log_scale: float


class _TooLarge(Exception):
    pass


def shared_marginals(
    sizes: Sequence[int], factors: Sequence[Tensor], queries: Sequence[frozenset[int]], max_cells: int
) -> Iterator[Answer]:
    """One answer for each of `queries`, different sets of variables, in an order of its own.

    `factors` are not negative and cover the variables ``0 .. len(sizes) - 1``. Nothing of more than `max_cells` is
    made: a query that cannot go on without has no table.
    """
    walk = _Walk(sizes, max_cells)
    yield from walk.descend(_State(tuple(factors), 0.0), frozenset(range(len(sizes))), list(queries))


class _Walk:
    def __init__(self, sizes: Sequence[int], limit: int) -> None:
        self._sizes = sizes
        self._limit = limit

    def descend(
        self, state: _State, undecided: frozenset[int], queries: list[frozenset[int]]
    ) -> Iterator[Answer]:
        try:
            while undecided:
                if len(queries) == 1:
                    undecided -= queries[0]
                variable = min(undecided, key=lambda v: self._met(state, v), default=-1)
                undecided -= {variable}
                holding = [q for q in queries if variable in q]
                if variable < 0 or len(holding) == len(queries):
                    continue
                if holding:
                    yield from self.descend(state, undecided, holding)
                    queries = [q for q in queries if variable not in q]
                state = self._eliminated(state, variable)
            (query,) = queries
            answer = Answer(query, self._joined(state.factors), state.log_scale)
        except _TooLarge:
            yield from (Answer(query, None, 0.0) for query in queries)
        else:
            yield answer

    def _met(self, state: _State, variable: int) -> int:
        """Cells that meet when the variable is summed out."""
        scope: set[int] = set()
        for factor in state.factors:
            if variable in factor.axes:
                scope.update(factor.axes)
        return math.prod(self._sizes[v] for v in scope)

    def _eliminated(self, state: _State, variable: int) -> _State:
        """The same with one variable summed out; the new factor is divided by its maximum."""
        holders = [f for f in state.factors if variable in f.axes]
        while len(holders) > 2:
            holders = self._reduced(holders)
        if len(holders) == 2:
            found = self._contracted(holders[0], holders[1], variable)
        else:
            (only,) = holders
            axis = only.axes.index(variable)
            found = Tensor(np.asarray(only.values.sum(axis=axis)), only.axes[:axis] + only.axes[axis + 1 :])
        rest = tuple(f for f in state.factors if variable not in f.axes)
        top = float(found.values.max())
        if not top > 0.0:
            return _State((*rest, found), state.log_scale)
        np.divide(found.values, top, out=found.values)
        return _State((*rest, found), state.log_scale + math.log(top))

    def _joined(self, factors: Sequence[Tensor]) -> Tensor:
        """All multiplied, small ones first."""
        left = list(factors)
        while len(left) > 1:
            left = self._reduced(left)
        return left[0]

    def _reduced(self, tensors: list[Tensor]) -> list[Tensor]:
        """Two of them multiplied: those whose product is smallest."""

        def price(pair: tuple[Tensor, Tensor]) -> tuple[int, int]:
            cells = self._cells({*pair[0].axes, *pair[1].axes})
            return cells, cells - pair[0].values.size - pair[1].values.size

        pairs = ((a, b) for i, a in enumerate(tensors) for b in tensors[i + 1 :])
        left, right = min(pairs, key=price)
        # the longest axis last: NumPy's inner loop runs along it
        axes = tuple(sorted({*left.axes, *right.axes}, key=lambda v: self._sizes[v]))
        self._check(axes)
        product = Tensor(np.asarray(left.along(axes) * right.along(axes)), axes)
        return [t for t in tensors if t is not left and t is not right] + [product]

    def _contracted(self, left: Tensor, right: Tensor, summed: int) -> Tensor:
        """The product summed over a variable that both hold, as one batched matrix product."""
        both = [v for v in left.axes if v in right.axes and v != summed]
        a = [v for v in left.axes if v not in right.axes]
        b = [v for v in right.axes if v not in left.axes]
        axes = (*both, *a, *b)
        self._check(axes)
        batch, m = self._cells(both), self._sizes[summed]
        one = left.along((*both, *a, summed)).reshape(batch, -1, m)
        two = right.along((*both, summed, *b)).reshape(batch, m, -1)
        return Tensor(np.matmul(one, two).reshape([self._sizes[v] for v in axes]), axes)

    def _check(self, axes: Sequence[int]) -> None:
        if self._cells(axes) > self._limit:
            raise _TooLarge

    def _cells(self, axes: Sequence[int] | set[int]) -> int:
        return math.prod(self._sizes[v] for v in axes)
