"""Belief propagation on a contraction tree: log Z and all marginals from one table per clique.

Forward, every tensor is rescaled by its maximum and the logs are added up. The reverse sweep over the same
tree gives the adjoint of every leaf, and a marginal is leaf times adjoint. Tables live in one flat vector,
so that the estimation works on vectors.

Two number systems, one tree. *Linear* is fast and used when it is provably accurate: a cell that underflows
is below e^-745 of its tensor's maximum, so the mass lost is at most exp(-745 + slack) of Z, where `slack` is
the sum over steps of log(cells summed) - log(maximum of the result). Above `SAFE_SLACK` the same tree is
walked in logarithms, densely.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dpsynth.domain import Clique, Domain
from dpsynth.pgm.elimination import Plan, Scope, Step

Floats = NDArray[np.float64]

SAFE_SLACK = 500.0
"""Largest slack (nats) at which linear numbers are used: at most e^-245 of the mass is lost, no overflow."""

LOG_CHUNK = 1 << 22
"""Cells that meet at once in the log-space path."""


class Flat:
    """Where each table of a plan lies in one flat vector, and its axes there (as its consumer reads them)."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.lengths = np.array([plan.size(leaf) for leaf in plan.leaves], dtype=np.int64)
        self.starts = np.concatenate([[0], np.cumsum(self.lengths)[:-1]]).astype(np.int64)
        self.cells = int(self.lengths.sum())

    def stored(self, vector: Floats, leaf: int) -> Floats:
        """A view of the leaf's table with its axes as stored."""
        start, axes = int(self.starts[leaf]), self.plan.wanted[leaf]
        return vector[start : start + int(self.lengths[leaf])].reshape([self.plan.sizes[v] for v in axes])

    def names(self, leaf: int, domain: Domain) -> Clique:
        """The leaf's attributes in the order of its stored axes."""
        return tuple(domain.attributes[v] for v in self.plan.wanted[leaf])

    def table(self, vector: Floats, leaf: int) -> Floats:
        """A view of the leaf's table with its axes in the order of ``plan.leaves[leaf]``."""
        stored = self.plan.wanted[leaf]
        return self.stored(vector, leaf).transpose([stored.index(v) for v in self.plan.leaves[leaf]])

    def maxima(self, vector: Floats) -> Floats:
        return np.asarray(np.maximum.reduceat(vector, self.starts), dtype=np.float64)

    def spread(self, values: Floats) -> Floats:
        """One value per leaf -> one value per cell."""
        return np.repeat(values, self.lengths)


@dataclass(frozen=True, eq=False)
class Beliefs:
    """Log Z and the marginals (probabilities, flat, laid out as the potentials)."""

    log_z: float
    marginals: Floats
    linear: bool


class Inference:
    """Belief propagation for one plan; holds its buffers, so it is not for two threads at once."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.flat = Flat(plan)
        self._linear = _Linear(plan, self.flat)

    def run(self, potentials: Floats) -> Beliefs:
        """All marginals. `potentials` are logarithms, shape (cells,), -inf for cells that cannot be.

        Raises ValueError when no record at all is possible.
        """
        maxima = _finite_maxima(self.flat, potentials)
        scaled = potentials - self.flat.spread(maxima)
        if self._linear.forward(scaled):
            return Beliefs(float(maxima.sum()) + self._linear.log_z, self._linear.reverse(), True)
        dense = LogForward(self.plan, self.flat, scaled)
        return Beliefs(float(maxima.sum()) + dense.log_z, dense.reverse(), False)

    def forward(self, potentials: Floats) -> Forward:
        """The tensors of the forward pass, for sampling and for tables over kept variables."""
        maxima = _finite_maxima(self.flat, potentials)
        scaled = potentials - self.flat.spread(maxima)
        if self._linear.forward(scaled):
            linear = self._linear
            return Forward(self.plan, linear.inputs, float(maxima.sum()) + linear.log_z, True)
        dense = LogForward(self.plan, self.flat, scaled)
        return Forward(self.plan, dense.inputs, float(maxima.sum()) + dense.log_z, False)


@dataclass(frozen=True, eq=False)
class Forward:
    """`inputs[node]`: the node's tensor in the axes its consumer reads; values, or their logarithms."""

    plan: Plan
    inputs: list[Floats]
    log_z: float
    linear: bool

    def operands(self, step: Step) -> tuple[Floats, Floats]:
        """Left as (batch, a, s) and right as (batch, s, b) (ones without a right one)."""
        shapes = shapes_of(self.plan, step)
        left = self.inputs[step.left].reshape(shapes.left)
        if step.right is None:
            return left, np.full((1, shapes.left[2], 1), 1.0 if self.linear else 0.0)
        return left, self.inputs[step.right].reshape(shapes.right)


@dataclass(frozen=True)
class Shapes:
    left: tuple[int, int, int]
    right: tuple[int, int, int]
    out: tuple[int, int, int]


def shapes_of(plan: Plan, step: Step) -> Shapes:
    """Sizes of the groups (batch, a, s), (batch, s, b), (batch, a, b)."""
    batch, a, s, b = (plan.size(g) for g in (step.batch, step.a, step.summed, step.b))
    return Shapes((batch, a, s), (batch, s, b), (batch, a, b))


def _finite_maxima(flat: Flat, potentials: Floats) -> Floats:
    maxima = flat.maxima(potentials)
    if not np.isfinite(maxima).all():
        raise ValueError("a table has no possible cell, or an infinite one")
    return maxima


def _permutation(written: Scope, read: Scope) -> tuple[int, ...] | None:
    return None if written == read else tuple(written.index(v) for v in read)


class _Bound:
    """One step bound to its buffers (three-axis views), so that an evaluation is a few calls."""

    def __init__(self, plan: Plan, step: Step, nodes: tuple[Floats, Floats | None], read: Scope) -> None:
        shapes = shapes_of(plan, step)
        self.batch, self.a, self.s = shapes.left
        self.b = shapes.right[2]
        self.left = nodes[0].reshape(shapes.left)
        self.right = None if nodes[1] is None else nodes[1].reshape(shapes.right)
        self.out = np.empty(shapes.out)
        self.adjoint = np.empty(shapes.out)
        axes = [plan.sizes[v] for v in step.out_axes]
        order = _permutation(step.out_axes, read)
        self.read = self.out if order is None else np.empty([plan.sizes[v] for v in read])
        self.read_adjoint = self.adjoint if order is None else np.empty_like(self.read)
        self._out_as_read = self.out if order is None else self.out.reshape(axes).transpose(order)
        self._adjoint_as_read = self.adjoint if order is None else self.adjoint.reshape(axes).transpose(order)
        self.maximum = 1.0

    def forward(self) -> float:
        """Log of the result's maximum, by which it was divided; -inf when all of it underflowed."""
        if self.right is None:
            np.add.reduce(self.left, axis=2, out=self.out[:, :, 0])
        else:
            _product(self.left, self.right, self.out, self.s)
        self.maximum = float(np.maximum.reduce(self.out, axis=None))
        if not self.maximum > 0.0:
            return -math.inf
        np.divide(self._out_as_read, self.maximum, out=self.read)
        return math.log(self.maximum)

    def reverse(self, left_adjoint: Floats, right_adjoint: Floats | None) -> None:
        """From the adjoint of `read` to the adjoints of both operands, written in place."""
        np.divide(self.read_adjoint, self.maximum, out=self._adjoint_as_read)
        if self.right is None or right_adjoint is None:
            np.copyto(left_adjoint, self.adjoint)
            return
        _product(self.adjoint, self.right.swapaxes(1, 2), left_adjoint, self.b)
        _product(self.left.swapaxes(1, 2), self.adjoint, right_adjoint, self.a)


def _product(left: Floats, right: Floats, out: Floats, inner: int) -> None:
    """Batched matrix product; with an inner axis of one, plain broadcasting is several times faster."""
    if inner == 1:
        np.multiply(left, right, out=out)
    else:
        np.matmul(left, right, out=out)


class _Linear:
    def __init__(self, plan: Plan, flat: Flat) -> None:
        self._plan = plan
        self._values = np.empty(flat.cells)
        self._adjoints = np.empty(flat.cells)
        self.log_z = 0.0
        self.inputs = [flat.stored(self._values, i) for i in range(len(plan.leaves))]
        adjoints = [flat.stored(self._adjoints, i) for i in range(len(plan.leaves))]
        self._steps: list[_Bound] = []
        self._targets: list[tuple[Floats, Floats | None]] = []
        for index, step in enumerate(plan.steps):
            right = None if step.right is None else self.inputs[step.right]
            bound = _Bound(plan, step, (self.inputs[step.left], right), plan.wanted[len(plan.leaves) + index])
            shapes = shapes_of(plan, step)
            self._targets.append(
                (
                    adjoints[step.left].reshape(shapes.left),
                    None if step.right is None else adjoints[step.right].reshape(shapes.right),
                )
            )
            self._steps.append(bound)
            self.inputs.append(bound.read)
            adjoints.append(bound.read_adjoint)
        self._roots = [adjoints[root] for root in plan.roots]
        self._allowance = sum(math.log(plan.size(step.summed)) for step in plan.steps)

    def forward(self, scaled: Floats) -> bool:
        """Fill all tensors; False when linear numbers are not provably accurate for these potentials."""
        np.exp(scaled, out=self._values)
        self.log_z = 0.0
        for step in self._steps:
            self.log_z += step.forward()
            if not self._allowance - self.log_z < SAFE_SLACK:
                return False
        return True

    def reverse(self) -> Floats:
        for root in self._roots:
            root.fill(1.0)
        for step, target in zip(reversed(self._steps), reversed(self._targets), strict=True):
            step.reverse(*target)
        return self._values * self._adjoints


class LogForward:
    """The same tree in logarithms: no underflow, whatever the potentials; dense and slow."""

    def __init__(self, plan: Plan, flat: Flat, scaled: Floats) -> None:
        self._plan = plan
        self._flat = flat
        self.inputs: list[Floats] = [flat.stored(scaled, i) for i in range(len(plan.leaves))]
        for index, step in enumerate(plan.steps):
            out = self._contract(step)
            order = _permutation(step.out_axes, plan.wanted[len(plan.leaves) + index])
            self.inputs.append(out if order is None else np.ascontiguousarray(out.transpose(order)))
        self.log_z = sum(self.inputs[root].item() for root in plan.roots if self.inputs[root].size == 1)
        if self.log_z == -math.inf:
            raise ValueError("the forbidden cells leave no possible record")

    def _contract(self, step: Step) -> Floats:
        shapes = shapes_of(self._plan, step)
        left = self.inputs[step.left].reshape(shapes.left)
        right = (
            np.zeros((1, shapes.left[2], 1))
            if step.right is None
            else self.inputs[step.right].reshape(shapes.right)
        )
        out = log_product(np.broadcast_to(left, shapes.left), np.broadcast_to(right, shapes.right))
        return out.reshape([self._plan.sizes[v] for v in step.out_axes])

    def reverse(self) -> Floats:
        plan, leaves = self._plan, len(self._plan.leaves)
        adjoints: list[Floats | None] = [None] * len(self.inputs)
        for root in plan.roots:
            adjoints[root] = -self.inputs[root]
        for index in range(len(plan.steps) - 1, -1, -1):
            self._reverse_step(plan.steps[index], leaves + index, adjoints)
        out = np.empty(self._flat.cells)
        for leaf in range(leaves):
            adjoint = adjoints[leaf]
            assert adjoint is not None
            np.exp(
                self.inputs[leaf] + adjoint.reshape(self.inputs[leaf].shape), out=self._flat.stored(out, leaf)
            )
        return out

    def _reverse_step(self, step: Step, node: int, adjoints: list[Floats | None]) -> None:
        shapes, read = shapes_of(self._plan, step), self._plan.wanted[node]
        given = adjoints[node]
        assert given is not None
        given = given.reshape([self._plan.sizes[v] for v in read])
        order = _permutation(read, step.out_axes)
        adjoint = (given if order is None else given.transpose(order)).reshape(shapes.out)
        if step.right is None:
            adjoints[step.left] = np.broadcast_to(adjoint, shapes.left).copy()
            return
        left = self.inputs[step.left].reshape(shapes.left)
        right = self.inputs[step.right].reshape(shapes.right)
        adjoints[step.left] = log_product(adjoint, right.swapaxes(1, 2))
        adjoints[step.right] = log_product(left.swapaxes(1, 2), adjoint)


def log_product(left: Floats, right: Floats) -> Floats:
    """``log(exp(left) @ exp(right))`` for (batch, a, s) and (batch, s, b), without leaving log space."""
    batch, a, s = left.shape
    b = right.shape[2]
    out = np.empty((batch, a, b))
    rows = max(1, LOG_CHUNK // max(1, s * b))
    for start in range(0, batch * a, rows):
        index = np.arange(start, min(start + rows, batch * a))
        which, row = index // a, index % a
        terms = left[which, row, :, None] + right[which]
        out.reshape(batch * a, b)[index] = _log_sum(terms)
    return out


def _log_sum(terms: Floats) -> Floats:
    """Log-sum-exp over the middle axis; all -inf gives -inf."""
    top = terms.max(axis=1)
    safe = np.where(np.isneginf(top), 0.0, top)
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(np.exp(terms - safe[:, None, :]).sum(axis=1)) + safe, dtype=np.float64)
