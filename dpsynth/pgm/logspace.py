"""The careful walk of a contraction tree: all in logarithms, so nothing underflows; dense and slow."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from dpsynth.pgm.elimination import Plan, Scope, Step
from dpsynth.pgm.linear import shapes_of

Floats = NDArray[np.float64]

CHUNK = 1 << 22
"""Cells that meet at once."""


class LogSpace:
    """Log tensors of the forward pass: `inputs[node]` as the node's consumer reads it."""

    def __init__(self, plan: Plan, leaves: list[Floats]) -> None:
        """Raises ValueError when no record at all is possible."""
        self._plan = plan
        self.inputs = list(leaves)
        for index, step in enumerate(plan.steps):
            left, right = self._operands(step)
            out = self._tensor(log_product(left, right), step.batch + step.a + step.b)
            read = plan.wanted[len(leaves) + index]
            self.inputs.append(_moved(out, step.batch + step.a + step.b, read).copy())
        scalars = [self.inputs[root] for root in plan.roots if self.inputs[root].size == 1]
        self.log_z = math.fsum(scalar.item() for scalar in scalars)
        if self.log_z == -math.inf:
            raise ValueError("the forbidden cells leave no possible record")

    def reverse(self, marginals: list[Floats]) -> None:
        """Write each leaf's marginal (probabilities) into its view."""
        plan, leaves = self._plan, len(marginals)
        adjoints: dict[int, Floats] = {root: -self.inputs[root] for root in plan.roots}
        for index in range(len(plan.steps) - 1, -1, -1):
            self._reverse_step(plan.steps[index], leaves + index, adjoints)
        for leaf, marginal in enumerate(marginals):
            np.exp(self.inputs[leaf] + adjoints[leaf], out=marginal)

    def _reverse_step(self, step: Step, node: int, adjoints: dict[int, Floats]) -> None:
        given = _moved(adjoints.pop(node), self._plan.wanted[node], step.batch + step.a + step.b)
        adjoint = given.reshape(shapes_of(self._plan, step).out)
        left, right = self._operands(step)
        if step.right is None:
            found = np.broadcast_to(adjoint, left.shape)
        else:
            found = log_product(adjoint, right.swapaxes(1, 2))
            tensor = self._tensor(
                log_product(left.swapaxes(1, 2), adjoint), step.batch + step.summed + step.b
            )
            adjoints[step.right] = _moved(tensor, step.batch + step.summed + step.b, step.right_axes)
        tensor = self._tensor(found, step.batch + step.a + step.summed)
        adjoints[step.left] = _moved(tensor, step.batch + step.a + step.summed, step.left_axes)

    def _operands(self, step: Step) -> tuple[Floats, Floats]:
        """Left as (batch, a, s) and right as (batch, s, b); zeros without a right one."""
        shapes = shapes_of(self._plan, step)
        left = _moved(self.inputs[step.left], step.left_axes, step.batch + step.a + step.summed)
        if step.right is None:
            return left.reshape(shapes.left), np.zeros(shapes.right)
        right = _moved(self.inputs[step.right], step.right_axes, step.batch + step.summed + step.b)
        return left.reshape(shapes.left), right.reshape(shapes.right)

    def _tensor(self, groups: Floats, axes: Scope) -> Floats:
        return groups.reshape([self._plan.sizes[v] for v in axes])


def _moved(array: Floats, axes: Scope, wanted: Scope) -> Floats:
    """A view with its axes in another order."""
    return array.transpose([axes.index(v) for v in wanted])


def log_product(left: Floats, right: Floats) -> Floats:
    """``log(exp(left) @ exp(right))`` for (batch, a, s) and (batch, s, b), without leaving log space."""
    batch, a, s = left.shape
    b = right.shape[2]
    out = np.empty((batch * a, b))
    rows = max(1, CHUNK // max(1, s * b))
    for start in range(0, batch * a, rows):
        index = np.arange(start, min(start + rows, batch * a))
        which, row = index // a, index % a
        out[index] = _log_sum(left[which, row, :, None] + right[which])
    return out.reshape(batch, a, b)


def _log_sum(terms: Floats) -> Floats:
    """Log-sum-exp over the middle axis; all -inf gives -inf."""
    top = terms.max(axis=1)
    safe = np.where(np.isneginf(top), 0.0, top)
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(np.exp(terms - safe[:, None, :]).sum(axis=1)) + safe, dtype=np.float64)
