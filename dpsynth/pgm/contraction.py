"""Belief propagation on a contraction tree: log Z and all marginals from one table per clique.

Forward, every tensor is rescaled by its maximum and the logs are added up. The reverse sweep over the same
tree gives the adjoint of every leaf, and a marginal is leaf times adjoint. Tables live in one flat vector,
so that the estimation works on vectors.

Two number systems, one tree. *Linear* is fast and used when it is provably accurate: a cell that underflows
lies below e^-745 of its tensor's scale, so the mass lost is at most exp(-745 + slack) of Z, where `slack` is the
sum over steps of log(cells summed) - log(what the result was divided by). Above `linear.SAFE_SLACK` the same
tree is walked in logarithms, densely.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dpsynth.domain import Clique, Domain
from dpsynth.pgm.elimination import Plan, Step
from dpsynth.pgm.linear import Linear, permutation, shapes_of

Floats = NDArray[np.float64]

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
        self._values = np.empty(self.flat.cells)
        self._adjoints = np.empty(self.flat.cells)
        leaves = range(len(plan.leaves))
        self._linear = Linear(
            plan,
            [self.flat.stored(self._values, i) for i in leaves],
            [self.flat.stored(self._adjoints, i) for i in leaves],
        )

    def run(self, potentials: Floats) -> Beliefs:
        """All marginals. `potentials` are logarithms, shape (cells,), -inf for cells that cannot be.

        Raises ValueError when no record at all is possible.
        """
        scaled, log_scale = self._scaled(potentials)
        np.exp(scaled, out=self._values)
        if self._linear.forward():
            self._linear.reverse()
            return Beliefs(log_scale + self._linear.log_z, self._values * self._adjoints, True)
        dense = LogForward(self.plan, self.flat, scaled)
        return Beliefs(log_scale + dense.log_z, dense.reverse(), False)

    def forward(self, potentials: Floats) -> Forward:
        """The tensors of the forward pass, for sampling and for tables over kept variables."""
        scaled, log_scale = self._scaled(potentials)
        np.exp(scaled, out=self._values)
        if self._linear.forward():
            return Forward(self.plan, self._linear.inputs, log_scale + self._linear.log_z, True)
        dense = LogForward(self.plan, self.flat, scaled)
        return Forward(self.plan, dense.inputs, log_scale + dense.log_z, False)

    def _scaled(self, potentials: Floats) -> tuple[Floats, float]:
        """Potentials with the largest of each table at 0, and the sum of what was taken off."""
        maxima = np.maximum.reduceat(potentials, self.flat.starts)
        if not np.isfinite(maxima).all():
            raise ValueError("a table has no possible cell, or an infinite one")
        return potentials - self.flat.spread(maxima), float(maxima.sum())


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


class LogForward:
    """The same tree in logarithms: no underflow, whatever the potentials; dense and slow."""

    def __init__(self, plan: Plan, flat: Flat, scaled: Floats) -> None:
        self._plan = plan
        self._flat = flat
        self.inputs: list[Floats] = [flat.stored(scaled, i) for i in range(len(plan.leaves))]
        for index, step in enumerate(plan.steps):
            out = self._contract(step)
            order = permutation(step.out_axes, plan.wanted[len(plan.leaves) + index])
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
        order = permutation(read, step.out_axes)
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
