"""In which order variables are summed out, and as which contractions. No data, no floats but sizes.

A plan belongs to a structure: the sizes of the variables and the scopes of the tables. Variables are
integers here, in the domain's order. No clique of the triangulation is ever a table: a variable that two
tensors share is summed out while they are contracted, as one batched matrix product.
"""

from __future__ import annotations

import math
import random
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

RESTARTS, BUILT = 24, 8
"""Randomised searches for a cheaper order beside the greedy one; how many become plans to compare."""

MET_SHARE = 0.3
"""What a cell that meets in a contraction costs, in cells written."""

Scope = tuple[int, ...]


@dataclass(frozen=True)
class Step:
    """``out[batch, a, b] = sum over s of left[batch, a, s] * right[batch, s, b]``.

    `left` and `right` are node numbers: leaves come first, then the outputs of steps. Without `right` it is
    a plain sum, ``out[a] = sum over s of left[a, s]``. Every group lists variables in the order of the axes.
    Tensors are stored with the axes `left_axes`, `right_axes` and `out_axes`: group after group as above, but
    where nothing is summed all three in the order in which the output is read.
    """

    left: int
    right: int | None
    batch: Scope
    a: Scope
    b: Scope
    summed: Scope
    left_axes: Scope
    right_axes: Scope
    out_axes: Scope

    @property
    def scope(self) -> Scope:
        """All variables that meet in this step."""
        return self.out_axes + self.summed


@dataclass(frozen=True)
class Plan:
    """A contraction tree: leaves, then steps that combine them until only `roots` are left.

    `wanted[node]` is the order of axes in which the node's one consumer reads it. `cells` counts what an
    inference allocates for leaves and step outputs, `largest` the cells that meet in the largest step.
    """

    sizes: tuple[int, ...]
    leaves: tuple[Scope, ...]
    steps: tuple[Step, ...]
    roots: tuple[int, ...]
    wanted: tuple[Scope, ...]
    cells: int
    largest: int

    @property
    def room(self) -> int:
        """Cells to hold against a limit: what is allocated, or an eighth of the largest step."""
        return max(self.cells, self.largest // 8)

    def size(self, scope: Iterable[int]) -> int:
        return math.prod(self.sizes[v] for v in scope)


def plan_contraction(
    sizes: Sequence[int], scopes: Sequence[Collection[int]], keep: Collection[int] = ()
) -> Plan:
    """The contraction tree for tables over `scopes`, summing out all variables but `keep`.

    Every variable outside `keep` must be in some scope. With `keep`, the one root's axes are `keep` in its
    order; without, there is one scalar root per connected component.
    """
    kept = frozenset(keep)
    built = [_build(sizes, scopes, kept, order) for order in _orders(sizes, scopes, kept)[:BUILT]]
    best = min(built, key=_Builder.cost)
    leaves = [tuple(scope) for scope in scopes]
    return _with_axes(tuple(sizes), leaves, best.steps, tuple(best.live), tuple(keep))


def elimination_order(
    sizes: Sequence[int], scopes: Sequence[Collection[int]], keep: Collection[int] = ()
) -> list[int]:
    """An order of all variables but `keep` in which few cells meet."""
    return _orders(sizes, scopes, frozenset(keep))[0]


def _orders(sizes: Sequence[int], scopes: Sequence[Collection[int]], keep: frozenset[int]) -> list[list[int]]:
    """Greedy orders, best first: always next the variable whose elimination meets the fewest cells.

    Where more meets than the largest table has, a few runs with perturbed sizes are tried too. The
    perturbations come from a fixed seed: a structure always has the same plan.
    """
    graph = _neighbours(len(sizes), scopes)
    logs = [math.log(size) for size in sizes]
    first, cost, largest = _greedy(graph, logs, keep, None)
    found = {tuple(first): cost}
    rng = random.Random(len(scopes))
    search = largest > max(sum(logs[v] for v in scope) for scope in scopes) + 1e-9
    for _ in range(RESTARTS if search else 0):
        order, cost, _ = _greedy(graph, logs, keep, rng)
        found.setdefault(tuple(order), cost)
    return [list(order) for order in sorted(found, key=lambda order: found[order])]


def _build(
    sizes: Sequence[int], scopes: Sequence[Collection[int]], keep: frozenset[int], order: list[int]
) -> _Builder:
    builder = _Builder(sizes, scopes, keep)
    for variable in order:
        builder.eliminate(variable)
    if keep:
        builder.join()
    return builder


def _neighbours(variables: int, scopes: Iterable[Collection[int]]) -> list[set[int]]:
    graph: list[set[int]] = [set() for _ in range(variables)]
    for scope in scopes:
        for v in scope:
            graph[v].update(scope)
    for v, adjacent in enumerate(graph):
        adjacent.discard(v)
    return graph


def _greedy(
    graph: list[set[int]], logs: list[float], keep: frozenset[int], rng: random.Random | None
) -> tuple[list[int], float, float]:
    """(order, cells that meet in all steps, log of those in the largest)."""
    graph = [set(adjacent) for adjacent in graph]
    met = {v: logs[v] + sum(logs[u] for u in graph[v]) for v in range(len(graph)) if v not in keep}
    order, cost, largest = [], 0.0, 0.0
    while met:
        v = min(met, key=lambda u: met[u] + (rng.random() * 1.5 if rng else 0.0))
        cells = met.pop(v)
        cost, largest = cost + math.exp(min(cells, 700.0)), max(largest, cells)
        order.append(v)
        adjacent = graph[v]
        for u in adjacent:
            graph[u] |= adjacent
            graph[u] -= {u, v}
        for u in adjacent:
            if u in met:
                met[u] = logs[u] + sum(logs[w] for w in graph[u])
    return order, cost, largest


@dataclass
class _Raw:
    left: int
    right: int | None
    summed: frozenset[int]


class _Builder:
    """Live tensors by node number, and the steps that made them."""

    def __init__(self, sizes: Sequence[int], scopes: Sequence[Collection[int]], keep: frozenset[int]) -> None:
        self._sizes = sizes
        self._keep = keep
        self._next = len(scopes)
        self.live: dict[int, frozenset[int]] = {i: frozenset(s) for i, s in enumerate(scopes)}
        self._holders: list[set[int]] = [set() for _ in sizes]
        for node, scope in self.live.items():
            for v in scope:
                self._holders[v].add(node)
        self.steps: list[_Raw] = []
        self._traffic = 0.0

    def cost(self) -> float:
        """Cells written, and a part of the cells that met: about proportional to the time of a sweep."""
        return self._traffic

    def eliminate(self, variable: int) -> None:
        nodes = sorted(self._holders[variable])
        while len(nodes) > 2:
            left, right = min(
                ((i, j) for k, i in enumerate(nodes) for j in nodes[k + 1 :]),
                key=lambda pair: self._price(*pair),
            )
            nodes = [n for n in nodes if n not in (left, right)] + [self._contract(left, right)]
        if len(nodes) == 2:
            self._contract(*nodes)
        elif nodes:
            self._sum_out(nodes[0])

    def join(self) -> None:
        """Multiply what is left into one tensor."""
        nodes = sorted(self.live, key=lambda n: self._cells(self.live[n]))
        while len(nodes) > 1:
            nodes = [self._contract(nodes[0], nodes[1]), *nodes[2:]]

    def _price(self, left: int, right: int) -> tuple[int, int]:
        """Cells of the product, then what it adds: small tables join before any meets the largest."""
        one, two = self.live[left], self.live[right]
        product = self._cells(one | two)
        return product, product - self._cells(one) - self._cells(two)

    def _cells(self, scope: Iterable[int]) -> int:
        return math.prod(self._sizes[v] for v in scope)

    def _private(self, nodes: set[int]) -> frozenset[int]:
        """Variables that no other live tensor holds and nobody keeps."""
        scope = frozenset().union(*(self.live[n] for n in nodes))
        return frozenset(v for v in scope if v not in self._keep and self._holders[v] <= nodes)

    def _contract(self, left: int, right: int) -> int:
        left, right = self._sum_out(left), self._sum_out(right)
        scope = self.live[left] | self.live[right]
        summed = self._private({left, right})
        return self._add(_Raw(left, right, summed), scope - summed)

    def _sum_out(self, node: int) -> int:
        summed = self._private({node})
        return self._add(_Raw(node, None, summed), self.live[node] - summed) if summed else node

    def _add(self, step: _Raw, scope: frozenset[int]) -> int:
        node, self._next = self._next, self._next + 1
        for old in (step.left, step.right):
            if old is not None:
                for v in self.live.pop(old):
                    self._holders[v].discard(old)
        self.live[node] = scope
        self._traffic += self._cells(scope) + MET_SHARE * self._cells(scope | step.summed)
        for v in scope:
            self._holders[v].add(node)
        self.steps.append(step)
        return node


def _with_axes(
    sizes: tuple[int, ...], leaves: list[Scope], raw: list[_Raw], roots: tuple[int, ...], keep: Scope
) -> Plan:
    """Fix the order of all axes from the roots down, so that most tensors are read as they were written."""
    scopes = [frozenset(leaf) for leaf in leaves]
    for step in raw:
        parts = scopes[step.left] | (scopes[step.right] if step.right is not None else frozenset())
        scopes.append(parts - step.summed)
    wanted: list[Scope] = [()] * len(scopes)
    for root in roots:
        wanted[root] = keep
    steps: list[Step] = []
    for index in range(len(raw) - 1, -1, -1):
        ordered = _ordered_step(raw[index], scopes, wanted[len(leaves) + index])
        wanted[ordered.left] = ordered.left_axes
        if ordered.right is not None:
            wanted[ordered.right] = ordered.right_axes
        steps.append(ordered)
    for node in roots:
        if node < len(leaves) and not keep:
            wanted[node] = leaves[node]
    steps.reverse()

    def count(scope: Iterable[int]) -> int:
        return math.prod(sizes[v] for v in scope)

    return Plan(
        sizes=sizes,
        leaves=tuple(leaves),
        steps=tuple(steps),
        roots=roots,
        wanted=tuple(wanted),
        cells=sum(count(s) for s in scopes),
        largest=max((count(s.scope) for s in steps), default=1),
    )


def _ordered_step(raw: _Raw, scopes: list[frozenset[int]], wanted: Scope) -> Step:
    left = scopes[raw.left]
    right = scopes[raw.right] if raw.right is not None else frozenset()
    summed = tuple(sorted(raw.summed))
    batch = tuple(v for v in wanted if v in left and v in right)
    a = tuple(v for v in wanted if v in left and v not in right)
    b = tuple(v for v in wanted if v not in left)
    if raw.right is not None and not summed:
        axes = [tuple(v for v in wanted if v in side) for side in (left, right)]
        return Step(raw.left, raw.right, batch, a, b, (), axes[0], axes[1], wanted)
    first, second = raw.left, raw.right
    if second is not None and b and a and wanted[len(batch) : len(batch) + len(b)] == b:
        first, second, a, b = second, first, b, a
    return Step(first, second, batch, a, b, summed, batch + a + summed, batch + summed + b, batch + a + b)
