"""Records from a contraction tree, backwards along its steps."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dpsynth.pgm.contraction import Floats, Forward
from dpsynth.pgm.elimination import Plan, Scope, Step
from dpsynth.records import code_dtype

Codes = NDArray[np.unsignedinteger[Any]]
Integers = NDArray[np.int64]

CHUNK = 1 << 21
"""Cells of conditional tables held at once."""


def sample_codes(forward: Forward, n: int, rng: np.random.Generator) -> list[Codes]:
    """One column of codes per variable, each of shape (n,), rows in random order.

    A step summed the variables s out of ``left[batch, a, s] * right[batch, s, b]``; backwards, s is drawn
    given (batch, a, b) with probabilities proportional to that product. Memory: n codes per variable and
    `CHUNK` cells.
    """
    plan = forward.plan
    columns: dict[int, Codes] = {}
    for step in reversed(plan.steps):
        if step.summed:
            parents = _ravel(plan, columns, step.out_axes, n)
            drawn = _draw(forward, step, parents, rng)
            _unravel(plan, columns, step.summed, drawn)
    return [columns[v] for v in range(len(plan.sizes))]


def _ravel(plan: Plan, columns: dict[int, Codes], scope: Scope, n: int) -> Codes:
    """The rows' cell numbers in the tensor over `scope`, in the narrowest type."""
    kind = code_dtype(plan.size(scope))
    if not scope:
        return np.zeros(n, dtype=kind)
    code = columns[scope[0]].astype(kind)
    for v in scope[1:]:
        np.multiply(code, plan.sizes[v], out=code)
        np.add(code, columns[v], out=code)
    return np.asarray(code, dtype=kind)


def _unravel(plan: Plan, columns: dict[int, Codes], scope: Scope, codes: Codes) -> None:
    if len(scope) == 1:
        columns[scope[0]] = codes
        return
    parts = np.unravel_index(codes.astype(np.intp), [plan.sizes[v] for v in scope])
    for v, part in zip(scope, parts, strict=True):
        columns[v] = part.astype(code_dtype(plan.sizes[v]))


def _draw(forward: Forward, step: Step, parents: Codes, rng: np.random.Generator) -> Codes:
    """Codes of the summed variables for every row: conditional counts per group, dealt out at random."""
    cells = forward.plan.size(step.summed)
    sizes = np.bincount(parents, minlength=forward.plan.size(step.out_axes))
    groups = np.flatnonzero(sizes)
    dealt = np.empty(len(parents), dtype=code_dtype(cells))
    values = np.arange(cells, dtype=dealt.dtype)
    start, chunk = 0, max(1, CHUNK // cells)
    for first in range(0, len(groups), chunk):
        some = groups[first : first + chunk]
        counts = systematic(_weights(forward, step, some), sizes[some], rng)
        end = start + int(sizes[some].sum())
        dealt[start:end] = np.repeat(np.broadcast_to(values, counts.shape).ravel(), counts.ravel())
        start = end
    drawn = np.empty_like(dealt)
    order = rng.permutation(len(parents))
    # Rows of a group stand in random order before the stable sort, so which row gets which cell is random.
    drawn[order[np.argsort(parents[order], kind="stable")]] = dealt
    return drawn


def _weights(forward: Forward, step: Step, groups: Integers) -> Floats:
    """Unnormalised conditional tables of the summed variables, shape (groups, cells)."""
    left, right = forward.operands(step)
    batch, a, _ = left.shape
    b = right.shape[2]
    which, rest = np.divmod(groups, a * b)
    row, column = np.divmod(rest, b)
    one = left[which, row, :]
    other = right[which if right.shape[0] == batch else 0, :, column]
    if forward.linear:
        return np.asarray(one * other, dtype=np.float64)
    logs = one + other
    return np.asarray(np.exp(logs - logs.max(axis=1, keepdims=True)), dtype=np.float64)


def systematic(weights: Floats, sizes: Integers, rng: np.random.Generator) -> Integers:
    """Counts per group and cell: ``sizes[g] * weights[g] / sum`` rounded up or down, right on average.

    Each row adds up to `sizes[g]`; a cell of weight 0 gets 0. With one uniform offset u per group, the first
    c cells together get floor(expected + u).
    """
    edges = np.cumsum(weights, axis=1)
    whole = edges[:, -1:].copy()
    full = edges >= whole
    edges *= sizes[:, None] / whole
    edges += rng.random(len(sizes))[:, None]
    upto = np.minimum(np.floor(edges).astype(np.int64), sizes[:, None])
    upto[full] = np.broadcast_to(sizes[:, None], upto.shape)[full]
    return np.diff(upto, axis=1, prepend=0)
