"""Public grids: where the cells of a number begin, and which values a cell can stand for. No data.

A grid over whole steps is an array of starts, shape (cells,), int64, increasing, and a last step: cell i
holds the steps ``starts[i] .. starts[i + 1] - 1``, the last one runs to `last` itself. Integers are steps; a
date is its day number; a number with d decimals is ``value * 10**d``.
"""

from __future__ import annotations

import math
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from dpsynth.declared import Fault

MAX_CELLS = 100_000
MAX_STEP = 10**15
"""Largest scaled value: decimals of up to 15 digits and doubles correspond one to one."""

DEFAULT_CELLS = 256
"""Fine, because methods merge cells that drown in noise by released counts, and a spike in a wide cell is lost for good:
on Adult at epsilon 1, 32 cells put 59 % of the rows into another hour of work, 256 put 2 % (`benchmarks/resolution.py`)."""

Steps = NDArray[np.int64]
Scale = Literal["linear", "log"]
"""Cells of one width, or, for amounts with a long tail, of widths that grow with the amount."""


@lru_cache(maxsize=4096)
def integer_starts(
    low: int, high: int, cells: int | None, edges: tuple[int, ...] | None, scale: Scale = "linear"
) -> Steps:
    """Starts of the cells of ``low .. high``. Raises Fault (S120 to S123)."""
    _check_bounds(low, high, cells, edges, scale)
    if max(abs(low), abs(high)) > MAX_STEP:
        raise Fault("S120", "bounds lie beyond 1e15 in size", "use type: number, or type: category for codes")
    if edges is not None:
        _check_edges(low, high, edges)
        # the upper bound as the last edge closes the last cell instead of opening one
        inner = [edge for edge in edges if low < edge < high]
        return _frozen([low, *inner])
    values = high - low + 1
    count = cells if cells is not None else min(values, DEFAULT_CELLS)
    if count > values:
        raise Fault("S123", f"{count} cells for {values} whole numbers", f"use at most {values} cells")
    if scale == "log":
        return _frozen(_increasing([round(edge) for edge in _logarithmic(low, high, count)], high))
    return _frozen([low + values * i // count for i in range(count)])


@lru_cache(maxsize=4096)
def number_edges(
    low: float, high: float, cells: int | None, edges: tuple[float, ...] | None, scale: Scale = "linear"
) -> NDArray[np.float64]:
    """Lower edges of the cells of ``[low, high]``, shape (cells,), float64. Raises Fault (S120 to S123)."""
    _check_bounds(low, high, cells, edges, scale)
    if edges is not None:
        _check_edges(low, high, edges)
        return _frozen_floats([low, *(edge for edge in edges if low < edge < high)])
    count = 1 if low == high else cells if cells is not None else DEFAULT_CELLS
    if scale == "log":
        plain = _logarithmic(low, high, count)
        short = [low, *(float(f"{edge:.3g}") for edge in plain[1:])]
        distinct = all(a < b for a, b in pairwise([*short, high]))
        return _frozen_floats(short if distinct else plain)
    width = exact(high) - exact(low)
    return _frozen_floats([float(exact(low) + width * i / count) for i in range(count)])


@lru_cache(maxsize=4096)
def default_integer_starts(low: int, high: int, scale: Scale, special: tuple[int, ...]) -> Steps:
    """Starts of the cells where nobody says how many: one for each value, up to `DEFAULT_CELLS`, and none that would hold
    special values only."""
    starts = integer_starts(low, high, None, None, scale)
    return _frozen(starts[_with_room(starts, high, special)].tolist())


@lru_cache(maxsize=4096)
def default_number_edges(
    low: float, high: float, scale: Scale, decimals: int | None, special: tuple[float, ...]
) -> NDArray[np.float64]:
    """Lower edges of the cells where nobody says how many: one for each value, up to `DEFAULT_CELLS`, or half as
    many, again and again, where the decimals leave a cell empty; none for special values only. Raises Fault (S120, S127).
    """
    _check_bounds(low, high, None, None, scale)
    count = DEFAULT_CELLS
    if decimals is not None:
        count = max(
            1, min(count, math.floor(exact(high) * 10**decimals) - math.ceil(exact(low) * 10**decimals) + 1)
        )
    while True:
        edges = number_edges(low, high, count, None, scale)
        digits = default_decimals(tuple(edges.tolist()), high) if decimals is None else decimals
        try:
            starts, last = number_starts(tuple(edges.tolist()), high, digits)
        except Fault:
            if count == 1:
                raise
            count //= 2
            continue
        scaled = [exact(value) * 10**digits for value in special]
        steps = tuple(int(step) for step in scaled if step.denominator == 1)
        return _frozen_floats(edges[_with_room(starts, last, steps)].tolist())


def _with_room(starts: Steps, last: int, special: tuple[int, ...]) -> NDArray[np.bool_]:
    """Which starts stay, so that every cell holds something beside special values: a cell of such values only joins the one
    before it, or the first one that behind it. All stay where everything is special."""
    ends = np.append(starts[1:] - 1, last)
    inside = np.array([step for step in special if starts[0] <= step <= last], dtype=np.int64)
    held = np.bincount(np.searchsorted(starts, inside, side="right") - 1, minlength=len(starts))
    full = held > ends - starts
    if full.all():
        return np.ones(len(starts), dtype=bool)
    keep = ~full
    first = int(np.argmin(full))
    keep[0], keep[first] = True, first == 0 or keep[0]
    return keep


def _logarithmic(low: float, high: float, cells: int) -> list[float]:
    """Lower edges that lie evenly on the scale ``sign(x) * log(1 + |x|)``: even near zero, ratios far from it."""
    ends = [math.copysign(math.log1p(abs(x)), x) for x in (low, high)]
    points = [ends[0] + (ends[1] - ends[0]) * i / cells for i in range(cells)]
    return [math.copysign(math.expm1(abs(x)), x) for x in points]


def _increasing(starts: list[int], last: int) -> list[int]:
    """The same starts, moved up, and then down, as far as each cell needs to hold a whole number."""
    for i in range(1, len(starts)):
        starts[i] = max(starts[i], starts[i - 1] + 1)
    for i in range(len(starts) - 1, -1, -1):
        starts[i] = min(starts[i], last - (len(starts) - 1 - i))
    return starts


def default_decimals(edges: tuple[float, ...], high: float) -> int:
    """Decimals of decoded values: two, or more for a thousand values in every cell, if 15 digits allow."""
    widths = [b - a for a, b in zip(edges, [*edges[1:], high], strict=True)]
    narrow = min((w for w in widths if w > 0), default=1.0)
    wanted = max(2, math.ceil(3 - math.log10(narrow)))
    magnitude = max(abs(edges[0]), abs(high), 1e-12)
    return max(0, min(wanted, math.floor(14.9 - math.log10(magnitude)), 12))


@lru_cache(maxsize=4096)
def number_starts(edges: tuple[float, ...], high: float, decimals: int) -> tuple[Steps, int]:
    """Starts of the cells in steps of ``10**-decimals``, and the last step.

    Edges and bounds are taken as the decimal numbers they were written as. Raises Fault (S127) when a cell
    holds no number with so few decimals, or when values need more than 15 digits.
    """
    scale = 10**decimals
    if max(abs(edges[0]), abs(high)) * scale > MAX_STEP:
        raise Fault(
            "S127", f"{decimals} decimals need more than 15 digits", "declare fewer decimals or closer bounds"
        )
    starts = [math.ceil(exact(edge) * scale) for edge in edges]
    last = math.floor(exact(high) * scale)
    if any(a >= b for a, b in zip(starts, [*starts[1:], last + 1], strict=True)):
        raise Fault(
            "S127", f"a cell holds no number with {decimals} decimals", "declare more decimals or wider cells"
        )
    return _frozen(starts), last


def _frozen(steps: list[int]) -> Steps:
    array = np.array(steps, dtype=np.int64)
    array.setflags(write=False)
    return array


def _frozen_floats(edges: list[float]) -> NDArray[np.float64]:
    array = np.array(edges, dtype=np.float64)
    array.setflags(write=False)
    return array


def exact(value: float) -> Fraction:
    """The decimal number that `value` is written as (0.1 is one tenth)."""
    return Fraction(Decimal(repr(float(value))))


def _check_bounds(
    low: float, high: float, cells: int | None, edges: tuple[float, ...] | None, scale: Scale
) -> None:
    if low > high:
        raise Fault("S120", f"min {low:g} is above max {high:g}", "exchange them")
    if cells is not None and edges is not None:
        raise Fault("S121", "gives both cells and edges", "keep one of them")
    if edges is not None and scale != "linear":
        raise Fault("S121", "gives both edges and a scale", "keep one of them")
    if cells is not None and not 1 <= cells <= MAX_CELLS:
        raise Fault("S123", f"{cells} cells", f"use 1 to {MAX_CELLS:,}; 8 to 32 suit most columns")


def _check_edges(low: float, high: float, edges: tuple[float, ...]) -> None:
    if len(edges) > MAX_CELLS:
        raise Fault("S123", f"{len(edges)} edges", f"use at most {MAX_CELLS:,}")
    if any(a >= b for a, b in pairwise(edges)):
        raise Fault("S122", "edges do not increase", "list each once, smallest first")
    if edges and (edges[0] < low or edges[-1] > high):
        raise Fault(
            "S122", f"edges leave [{low:g}, {high:g}]", "keep them within min and max, or widen those"
        )
