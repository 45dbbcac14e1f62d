"""Belief propagation on a contraction tree: log Z and all marginals from one table per clique.

Forward, every tensor is rescaled by its maximum and the logs are added up. The reverse sweep over the same
tree gives the adjoint of every leaf, and a marginal is leaf times adjoint. Tables live in one flat vector,
so that the estimation works on vectors.

Two number systems, one tree. *Linear* is fast and used when it is provably accurate: a cell that underflows
lies below e^-745 of its tensor's scale, so the mass lost is at most exp(-745 + slack) of Z, where `slack` is
the sum over steps of log(cells summed) - log(what the result was divided by). Above `linear.SAFE_SLACK` the
same tree is walked in logarithms, densely.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dpsynth.domain import Clique, Domain
from dpsynth.pgm.elimination import Plan, Step
from dpsynth.pgm.linear import Linear, shapes_of
from dpsynth.pgm.logspace import LogSpace

Floats = NDArray[np.float64]


class Flat:
    """Where each table of a plan lies in one flat vector, and its axes there (as its consumer reads them)."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.lengths = np.array([plan.size(leaf) for leaf in plan.leaves], dtype=np.int64)
        self.starts = np.concatenate([[0], np.cumsum(self.lengths)[:-1]]).astype(np.int64)
        self.cells = int(self.lengths.sum())
        ends = np.cumsum(self.lengths).tolist()
        self._stored = [
            (slice(start, end), tuple(plan.sizes[v] for v in axes))
            for start, end, axes in zip(self.starts.tolist(), ends, plan.wanted, strict=False)
        ]

    def stored(self, vector: Floats, leaf: int) -> Floats:
        """A view of the leaf's table with its axes as stored."""
        place, shape = self._stored[leaf]
        return vector[place].reshape(shape)

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
        self._linear = Linear(plan, self._leaves(self._values), self._leaves(self._adjoints))

    def run(self, potentials: Floats) -> Beliefs:
        """All marginals. `potentials` are logarithms, shape (cells,), -inf for cells that cannot be.

        Raises ValueError when no record at all is possible.
        """
        scaled, log_scale = self._scaled(potentials)
        np.exp(scaled, out=self._values)
        if self._linear.forward():
            self._linear.reverse()
            return Beliefs(log_scale + self._linear.log_z, self._values * self._adjoints, True)
        dense = LogSpace(self.plan, self._leaves(scaled))
        marginals = np.empty(self.flat.cells)
        dense.reverse(self._leaves(marginals))
        return Beliefs(log_scale + dense.log_z, marginals, False)

    def forward(self, potentials: Floats) -> Forward:
        """The tensors of the forward pass, for sampling and for tables over kept variables."""
        scaled, log_scale = self._scaled(potentials)
        np.exp(scaled, out=self._values)
        if self._linear.forward():
            return Forward(self.plan, self._linear.inputs, log_scale + self._linear.log_z, True)
        dense = LogSpace(self.plan, self._leaves(scaled))
        return Forward(self.plan, dense.inputs, log_scale + dense.log_z, False)

    def _leaves(self, vector: Floats) -> list[Floats]:
        return [self.flat.stored(vector, i) for i in range(len(self.plan.leaves))]

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
        """Of a step that sums: left as (batch, a, s) and right as (batch, s, b), ones without a right one."""
        shapes = shapes_of(self.plan, step)
        left = self.inputs[step.left].reshape(shapes.left)
        if step.right is None:
            return left, np.full((1, shapes.left[2], 1), 1.0 if self.linear else 0.0)
        return left, self.inputs[step.right].reshape(shapes.right)
