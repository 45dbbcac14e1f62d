"""The fast walk of a contraction tree: plain numbers, buffers made once, a few array calls for each step.

A product without a sum is one broadcast multiplication, written in the order of axes that its consumer reads.
A contraction is one batched matrix product. Small results are divided by their maximum, whose logarithms are
added up; a large result is left as it is, for its consumer will be scaled.
"""

from __future__ import annotations

import math
import string
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dpsynth.pgm.elimination import Plan, Scope, Step

Floats = NDArray[np.float64]

SAFE_SLACK = 500.0
"""Largest slack (nats) at which linear numbers are used: at most e^-245 of the mass is lost, no overflow."""

SCALE_CELLS = 1 << 13
"""Results of up to this many cells are rescaled; a pass over them costs nothing."""

SCALE_GROWTH = 100.0
"""A larger result is rescaled too when sums since the last rescaling could have grown by more (nats)."""


@dataclass(frozen=True)
class Shapes:
    """Sizes of the groups (batch, a, s), (batch, s, b) and (batch, a, b) of a step."""

    left: tuple[int, int, int]
    right: tuple[int, int, int]
    out: tuple[int, int, int]


def shapes_of(plan: Plan, step: Step) -> Shapes:
    batch, a, s, b = (plan.size(g) for g in (step.batch, step.a, step.summed, step.b))
    return Shapes((batch, a, s), (batch, s, b), (batch, a, b))


def permutation(written: Scope, read: Scope) -> tuple[int, ...] | None:
    """How to transpose axes `written` into the order `read`; None when there is nothing to do."""
    return None if written == read else tuple(written.index(v) for v in read)


@dataclass(frozen=True, eq=False)
class Node:
    """A tensor as its consumer reads it, and its adjoint in the same order of axes."""

    axes: Scope
    value: Floats
    adjoint: Floats


class Multiply:
    """``out = left * right`` with nothing summed."""

    def __init__(self, plan: Plan, left: Node, right: Node, read: Scope) -> None:
        shape = [plan.sizes[v] for v in read]
        self.node = Node(read, np.empty(shape), np.empty(shape))
        self._left, self._right = (_aligned(n.value, n.axes, read) for n in (left, right))
        self._reverses = (_Reverse(self.node, left, right), _Reverse(self.node, right, left))

    def forward(self) -> float:
        np.multiply(self._left, self._right, out=self.node.value)
        return 0.0

    def reverse(self) -> None:
        for side in self._reverses:
            side.run()


class _Reverse:
    """A factor's adjoint: the product's adjoint times the other factor, summed over axes the factor lacks."""

    def __init__(self, product: Node, factor: Node, other: Node) -> None:
        letter = {v: string.ascii_letters[i] for i, v in enumerate(product.axes)}
        given, held, wanted = ("".join(letter[v] for v in n.axes) for n in (product, other, factor))
        self._subscripts = f"{given},{held}->{wanted}"
        self._given, self._held, self._out = product.adjoint, other.value, factor.adjoint
        self._broadcast = None
        if len(given) == len(wanted):
            views = (
                _aligned(other.value, other.axes, product.axes),
                _aligned(self._out, factor.axes, product.axes),
            )
            self._broadcast = views

    def run(self) -> None:
        if self._broadcast is None:
            np.einsum(self._subscripts, self._given, self._held, out=self._out)
        else:
            other, out = self._broadcast
            np.multiply(self._given, other, out=out)


class Contract:
    """``out[batch, a, b] = sum over s of left[batch, a, s] * right[batch, s, b]``, or a plain sum of left."""

    def __init__(
        self, plan: Plan, step: Step, left: Node, right: Node | None, read: Scope, scale: bool
    ) -> None:
        shapes = shapes_of(plan, step)
        self._scale = scale
        self._maximum = 1.0
        self._left = left.value.reshape(shapes.left)
        self._left_adjoint = left.adjoint.reshape(shapes.left)
        self._right = None if right is None else right.value.reshape(shapes.right)
        self._right_adjoint = None if right is None else right.adjoint.reshape(shapes.right)
        self._out = np.empty(shapes.out)
        self._adjoint = np.empty(shapes.out)
        order = permutation(step.out_axes, read)
        axes, shape = [plan.sizes[v] for v in step.out_axes], [plan.sizes[v] for v in read]
        transpose = tuple(range(len(axes))) if order is None else order
        self._out_as_read = self._out.reshape(axes).transpose(transpose)
        self._adjoint_as_read = self._adjoint.reshape(axes).transpose(transpose)
        self.node = (
            Node(read, self._out_as_read, self._adjoint_as_read)
            if order is None
            else Node(read, np.empty(shape), np.empty(shape))
        )
        self._moved = order is not None

    def forward(self) -> float:
        """Log of what the result was divided by; -inf when all of it underflowed."""
        if self._right is None:
            np.add.reduce(self._left, axis=2, out=self._out[:, :, 0])
        else:
            _matmul(self._left, self._right, self._out)
        if not self._scale:
            if self._moved:
                np.copyto(self.node.value, self._out_as_read)
            return 0.0
        self._maximum = float(np.maximum.reduce(self._out, axis=None))
        if not self._maximum > 0.0:
            return -math.inf
        np.divide(self._out_as_read, self._maximum, out=self.node.value)
        return math.log(self._maximum)

    def reverse(self) -> None:
        if self._scale:
            np.divide(self.node.adjoint, self._maximum, out=self._adjoint_as_read)
        elif self._moved:
            np.copyto(self._adjoint_as_read, self.node.adjoint)
        if self._right is None or self._right_adjoint is None:
            np.copyto(self._left_adjoint, self._adjoint)
            return
        _matmul(self._adjoint, self._right.swapaxes(1, 2), self._left_adjoint)
        _matmul(self._left.swapaxes(1, 2), self._adjoint, self._right_adjoint)


def _matmul(left: Floats, right: Floats, out: Floats) -> None:
    """Batched matrix product; degenerate shapes by calls that are several times faster for them."""
    if left.shape[2] == 1:
        np.multiply(left, right, out=out)
    elif left.shape[1] == right.shape[2] == 1 and left.shape[0] > 1:
        np.einsum("bs,bs->b", left[:, 0, :], right[:, :, 0], out=out[:, 0, 0])
    else:
        np.matmul(left, right, out=out)


def _aligned(array: Floats, axes: Scope, read: Scope) -> Floats:
    """A view whose axes stand in the order of `read`, with 1 for those it lacks."""
    ordered = array.transpose([axes.index(v) for v in read if v in axes])
    return ordered[tuple(slice(None) if v in axes else None for v in read)]


class Linear:
    """All steps of a plan bound to their buffers. `inputs[node]`: its tensor as its consumer reads it."""

    def __init__(self, plan: Plan, values: list[Floats], adjoints: list[Floats]) -> None:
        """`values` and `adjoints`: views for the leaves, axes as their consumers read them."""
        leaves = len(plan.leaves)
        nodes = [Node(plan.wanted[i], values[i], adjoints[i]) for i in range(leaves)]
        growth = [0.0] * leaves
        self._steps: list[Multiply | Contract] = []
        for index, step in enumerate(plan.steps):
            read = plan.wanted[leaves + index]
            left, right = nodes[step.left], None if step.right is None else nodes[step.right]
            grown = growth[step.left] + (0.0 if step.right is None else growth[step.right])
            bound: Multiply | Contract
            if right is not None and not step.summed:
                bound = Multiply(plan, left, right, read)
            else:
                grown += math.log(plan.size(step.summed))
                scale = plan.size(read) <= SCALE_CELLS or grown > SCALE_GROWTH
                bound, grown = Contract(plan, step, left, right, read, scale), 0.0 if scale else grown
            self._steps.append(bound)
            nodes.append(bound.node)
            growth.append(grown)
        self.inputs = [node.value for node in nodes]
        self.log_z = 0.0
        self._roots = [nodes[root] for root in plan.roots]
        self._allowance = math.fsum(math.log(plan.size(step.summed)) for step in plan.steps)

    def forward(self) -> bool:
        """Fill all tensors; False when linear numbers are not provably accurate for these leaves.

        A cell that underflows loses at most e^-745 times the number of cells summed later, and Z is, on the
        same scale, what the later divisors multiply to.
        """
        self.log_z = 0.0
        for step in self._steps:
            self.log_z += step.forward()
            if self.log_z == -math.inf:
                return False
        left = math.fsum(math.log(max(float(root.value.max()), math.ulp(0.0))) for root in self._roots)
        return self._allowance - self.log_z - left < SAFE_SLACK

    def reverse(self) -> None:
        """Fill all adjoints of the leaves. Roots are scalars here, and 1."""
        for root in self._roots:
            root.adjoint.fill(1.0)
        for step in reversed(self._steps):
            step.reverse()
