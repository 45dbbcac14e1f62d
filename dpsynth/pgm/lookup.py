"""Evidence looked up in a graphical model: the unknown attributes of many records, drawn exactly.

The known attributes are not summed out but looked up: what is left of each table is one over the unknown attributes for each
combination of known cells that it sees. The contraction tree of those rests is walked once for all records together; a
step is done once for each combination that its part of the tree sees, so that records with the same evidence, or with the
same evidence near a step, share the work.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from dpsynth.domain import Domain
from dpsynth.pgm.elimination import Plan, Step, plan_contraction
from dpsynth.pgm.graphical import GraphicalModel
from dpsynth.pgm.linear import SAFE_SLACK, permutation, shapes_of
from dpsynth.pgm.sampling import CHUNK, new_state
from dpsynth.records import Codes, code_dtype
from dpsynth.threads import one_thread

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

HELD_CELLS = 1 << 24
"""Cells of all tensors held at once, 8 bytes each; more combinations of evidence are worked through in parts."""

MAX_DENSE = 1 << 22
"""Groups of rows that are numbered without looking which of them occur."""

_MAX_NUMBER = 1 << 62


@dataclass(frozen=True, eq=False)
class Distinct:
    """Rows numbered by the combination of cells that they have: equal rows have equal numbers, 0, 1, ... in the
    combinations' own order; `first` is a row of each."""

    number: Integers
    first: Integers

    @classmethod
    def of(cls, columns: Sequence[tuple[Integers, int]]) -> Distinct:
        """`columns`: numbers, and how many each could be."""
        whole, most = np.zeros(len(columns[0][0]), dtype=np.int64), 1
        for cells, size in columns:
            if most * size > _MAX_NUMBER:
                _, whole = np.unique(whole, return_inverse=True)
                most = len(whole)
            whole, most = whole * size + cells, most * size
        _, first, number = np.unique(whole, return_index=True, return_inverse=True)
        return cls(number.reshape(-1), first)

    def __len__(self) -> int:
        return len(self.first)


@dataclass(frozen=True, eq=False)
class Draws:
    """Cells of the unknown attributes, shape (rows,) each. Rows in `impossible` have no chance, whatever the unknown cells
    are; those in `risky` could lose mass by underflow. Neither was drawn."""

    cells: Mapping[str, Codes]
    impossible: Integers
    risky: Integers


@one_thread()
def draw_given(model: GraphicalModel, known: Mapping[str, Integers], rng: np.random.Generator) -> Draws:
    """For rows whose `known` attributes (one at least) have these cells, shape (rows,) each."""
    domain = model.domain
    rows = len(next(iter(known.values())))
    cells = {a: np.zeros(rows, dtype=code_dtype(domain[a])) for a in domain.attributes if a not in known}
    if not cells:
        return Draws({}, _excluded(model, known), np.zeros(0, dtype=np.int64))
    walk = _Walk.of(model, frozenset(known))
    distinct = Distinct.of([(c, domain[a]) for a, c in known.items()])
    order = np.argsort(distinct.number, kind="stable")
    starts = np.searchsorted(distinct.number[order], np.arange(len(distinct) + 1))
    impossible, risky = np.zeros(rows, dtype=bool), np.zeros(rows, dtype=bool)
    for part in _parts(walk, {a: c[distinct.first] for a, c in known.items()}, len(distinct)):
        chosen = order[starts[part.low] : starts[part.high]]
        evidence = distinct.number[chosen] - part.low
        impossible[chosen], risky[chosen] = part.impossible[evidence], part.risky[evidence]
        good = ~(part.impossible | part.risky)[evidence]
        for attribute, codes in part.drawn(evidence[good], rng).items():
            cells[attribute][chosen[good]] = codes
    return Draws(cells, np.flatnonzero(impossible), np.flatnonzero(risky & ~impossible))


@dataclass(frozen=True, eq=False)
class _Leaf:
    """A table's logarithms: a row for each combination of its known cells, a column for each of the unknown ones (in the
    order of axes in which its consumer reads them)."""

    known: tuple[str, ...]
    table: Floats
    slack: Floats
    """What each row was divided by, beyond what all could be: -inf where nothing is possible."""


@dataclass(frozen=True, eq=False)
class _Walk:
    """The contraction tree of a model with some attributes looked up."""

    model: GraphicalModel
    plan: Plan
    leaves: tuple[_Leaf, ...]

    @property
    def domain(self) -> Domain:
        return self.model.domain

    @classmethod
    def of(cls, model: GraphicalModel, known: frozenset[str]) -> _Walk:
        domain = model.domain
        open_tables = {c: t for c, t in model.potentials.items() if not known.issuperset(c)}
        scopes = [tuple(domain.index(a) for a in c if a not in known) for c in open_tables]
        sizes = [1 if a in known else domain[a] for a in domain.attributes]
        plan = plan_contraction(sizes, scopes)
        leaves = tuple(
            _leaf(domain, clique, table, known, [domain.attributes[v] for v in plan.wanted[number]])
            for number, (clique, table) in enumerate(open_tables.items())
        )
        return cls(model, plan, leaves)


def _excluded(model: GraphicalModel, known: Mapping[str, Integers]) -> Integers:
    """Rows whose known cells one table alone excludes."""
    mask = np.zeros(len(next(iter(known.values()))), dtype=bool)
    for clique, table in model.potentials.items():
        if set(clique) <= set(known):
            mask |= np.isneginf(table[tuple(known[a] for a in clique)])
    return np.flatnonzero(mask)


def _leaf(
    domain: Domain, clique: tuple[str, ...], table: Floats, known: frozenset[str], read: Sequence[str]
) -> _Leaf:
    held = tuple(a for a in clique if a in known)
    rows = math.prod(domain[a] for a in held)
    flat = table.transpose([clique.index(a) for a in (*held, *read)]).reshape(rows, -1)
    top = flat.max(axis=1)
    with np.errstate(invalid="ignore"):
        weights = np.exp(flat - np.where(np.isneginf(top), 0.0, top)[:, None])
    return _Leaf(held, weights, np.where(np.isneginf(top), np.inf, 0.0))


@dataclass(frozen=True, eq=False)
class _Seen:
    """How many different combinations of evidence a node's part of the tree sees, and which each record has."""

    number: Integers
    count: int


@dataclass(frozen=True, eq=False)
class _Joined:
    """A step's combinations, each one of its left side's and one of its right side's."""

    left: Integers
    right: Integers | None


class _Part:
    """Distinct evidences `low` to `high`: tensors for each combination that a node sees, and draws along them."""

    def __init__(self, walk: _Walk, low: int, high: int, seen: list[_Seen], joins: list[_Joined]) -> None:
        self.low, self.high = low, high
        self._walk, self._seen, self._joins = walk, seen, joins
        self._values: list[Floats] = [leaf.table for leaf in walk.leaves]
        slack = [leaf.slack for leaf in walk.leaves]
        for node, (step, join) in enumerate(zip(walk.plan.steps, joins, strict=True), len(walk.leaves)):
            value, lost = self._forward(step, join)
            before = slack[step.left][join.left]
            if join.right is not None and step.right is not None:
                before = before + slack[step.right][join.right]
            self._values.append(_as_read(walk.plan, node, step, value))
            slack.append(before + lost)
        total = np.zeros(high - low)
        for root in walk.plan.roots:
            total += slack[root][seen[root].number]
        self.impossible = np.isposinf(total)
        self.risky = total > SAFE_SLACK

    def _forward(self, step: Step, join: _Joined) -> tuple[Floats, Floats]:
        """The step's results, the largest of each at 1, and the logarithms of what they were divided by, negated."""
        plan = self._walk.plan
        out = np.empty((len(join.left), plan.size(step.out_axes)))
        each = max(plan.size(s) for s in (step.left_axes, step.right_axes, step.out_axes))
        size = max(1, CHUNK // each)
        for start in range(0, len(out), size):
            some = slice(start, start + size)
            left = self._values[step.left][join.left[some]]
            right = (
                None
                if step.right is None or join.right is None
                else self._values[step.right][join.right[some]]
            )
            out[some] = _contracted(plan, step, left, right)
        top = out.max(axis=1)
        np.divide(out, top[:, None], out=out, where=top[:, None] > 0)
        with np.errstate(divide="ignore"):
            return out, -np.log(top)

    def drawn(self, evidence: Integers, rng: np.random.Generator) -> dict[str, Codes]:
        """Codes of the unknown attributes for rows with these evidences (numbers from `low`)."""
        plan, found = self._walk.plan, dict[int, Codes]()
        state = new_state(rng)
        for number in range(len(plan.steps) - 1, -1, -1):
            step = plan.steps[number]
            if step.summed:
                group = self._seen[len(plan.leaves) + number].number[evidence]
                codes = self._step(number, group, found, state, len(evidence))
                _unravel(plan, step.summed, codes, found)
        return {self._walk.domain.attributes[v]: codes for v, codes in found.items()}

    def _step(
        self,
        number: int,
        group: Integers,
        found: Mapping[int, Codes],
        state: NDArray[np.uint64],
        rows: int,
    ) -> Codes:
        """Cells of the summed variables, dealt out among rows that see the same and have the same outer cells."""
        from dpsynth.pgm import dealing

        plan, step = self._walk.plan, self._walk.plan.steps[number]
        outer, cells = plan.size(step.out_axes), plan.size(step.summed)
        key = group.copy()
        for v in step.out_axes:
            key *= plan.sizes[v]
            key += found[v]
        parents, names = _numbered(key, len(self._joins[number].left) * outer)
        sizes = np.zeros(len(names) if names is not None else int(parents.max(initial=0)) + 1, np.int32)
        dealing.tally(parents, sizes)
        starts = np.cumsum(sizes, dtype=np.int32) - sizes
        dealt = np.empty(rows, dtype=code_dtype(cells))
        for some in _pieces(np.flatnonzero(sizes), cells):
            weights = self._weights(number, some if names is None else names[some])
            dealing.fill(np.cumsum(weights, axis=1), sizes[some], starts[some], dealt, state)
        drawn = np.empty_like(dealt)
        dealing.hand_out(parents, starts, dealt, drawn)
        return drawn

    def _weights(self, number: int, keys: Integers) -> Floats:
        """Conditional tables of the summed variables, shape (keys, cells), not normalised."""
        plan, step, join = self._walk.plan, self._walk.plan.steps[number], self._joins[number]
        shapes = shapes_of(plan, step)
        batch, a, s = shapes.left
        b = shapes.right[2]
        group, rest = np.divmod(keys, batch * a * b)
        which, rest = np.divmod(rest, a * b)
        row, column = np.divmod(rest, b)
        left = self._values[step.left].reshape(-1, batch, a, s)[join.left[group], which, row]
        if step.right is None or join.right is None:
            return np.asarray(left)
        right = self._values[step.right].reshape(-1, batch, s, b)[join.right[group], which, :, column]
        return np.asarray(left * right)


def _contracted(plan: Plan, step: Step, left: Floats, right: Floats | None) -> Floats:
    """One step for many pairs of tensors, shape (pairs, cells of the result)."""
    pairs = len(left)
    if right is None:
        return np.asarray(left.reshape(pairs, -1, plan.size(step.summed)).sum(axis=2))
    if not step.summed:
        one, two = (
            side.reshape([pairs, *(plan.sizes[v] if v in axes else 1 for v in step.out_axes)])
            for side, axes in ((left, step.left_axes), (right, step.right_axes))
        )
        return np.asarray((one * two).reshape(pairs, -1))
    shapes = shapes_of(plan, step)
    product = np.matmul(left.reshape(pairs, *shapes.left), right.reshape(pairs, *shapes.right))
    return np.asarray(product.reshape(pairs, -1))


def _as_read(plan: Plan, node: int, step: Step, value: Floats) -> Floats:
    """Results in the order of axes that their consumer reads."""
    order = permutation(step.out_axes, plan.wanted[node])
    if order is None:
        return value
    apart = value.reshape([len(value), *(plan.sizes[v] for v in step.out_axes)])
    return np.ascontiguousarray(apart.transpose([0, *(axis + 1 for axis in order)])).reshape(len(value), -1)


def _numbered(key: Integers, most: int) -> tuple[NDArray[np.uint32], Integers | None]:
    """Keys as small numbers, and which key each number is (None: the number itself)."""
    if most <= MAX_DENSE:
        return key.astype(np.uint32), None
    names, number = np.unique(key, return_inverse=True)
    return number.reshape(-1).astype(np.uint32), names


def _pieces(groups: Integers, cells: int) -> Iterator[Integers]:
    size = max(1, CHUNK // cells)
    for first in range(0, len(groups), size):
        yield groups[first : first + size]


def _unravel(plan: Plan, scope: Sequence[int], codes: Codes, found: dict[int, Codes]) -> None:
    parts = np.unravel_index(codes.astype(np.intp), [plan.sizes[v] for v in scope])
    for v, part in zip(scope, parts, strict=True):
        found[v] = part.astype(code_dtype(plan.sizes[v]))


def _parts(walk: _Walk, cells: Mapping[str, Integers], number: int) -> Iterator[_Part]:
    """All distinct evidences, in parts whose tensors together are not too large."""
    waiting = [(0, number)] if number else []
    while waiting:
        low, high = waiting.pop()
        seen, joins, size = _looked_at(walk, {a: c[low:high] for a, c in cells.items()}, high - low)
        if size > HELD_CELLS and high - low > 1:
            count = min(high - low, math.ceil(1.5 * size / HELD_CELLS))
            edges = [low + (high - low) * i // count for i in range(count + 1)]
            waiting += [(a, b) for a, b in pairwise(edges) if a < b][::-1]
            continue
        part = _Part(walk, low, high, seen, joins)
        part.impossible[_excluded(walk.model, {a: c[low:high] for a, c in cells.items()})] = True
        yield part


def _looked_at(
    walk: _Walk, cells: Mapping[str, Integers], rows: int
) -> tuple[list[_Seen], list[_Joined], int]:
    """What each node sees of these evidences, the combinations of each step, and cells of all results."""
    domain, plan = walk.domain, walk.plan
    seen: list[_Seen] = []
    for leaf in walk.leaves:
        code = np.zeros(rows, dtype=np.int64)
        for attribute in leaf.known:
            code = code * domain[attribute] + cells[attribute]
        seen.append(_Seen(code, len(leaf.table)))
    joins: list[_Joined] = []
    size = 0
    for step in plan.steps:
        left = seen[step.left]
        sides = [(left.number, left.count)]
        if step.right is not None:
            sides.append((seen[step.right].number, seen[step.right].count))
        distinct = Distinct.of(sides)
        right = None if step.right is None else seen[step.right].number[distinct.first]
        joins.append(_Joined(left.number[distinct.first], right))
        seen.append(_Seen(distinct.number, len(distinct)))
        size += len(distinct) * plan.size(step.out_axes)
    return seen, joins, size
