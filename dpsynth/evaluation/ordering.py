"""Cells in the order of their values, for comparisons that put neighbours together or rank them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from dpsynth.encoding import Encoding
from dpsynth.records import Records


def leading_cells(encoding: Encoding) -> dict[str, int]:
    """How many leading cells of each ordered attribute lie on its scale. After them come special values and
    the missing one, which have no neighbours."""
    names = encoding.domain.attributes
    return {name: encoding.ordered_cells(name) for name in names if encoding.is_ordered(name)}


def in_order(encoding: Encoding, tables: Sequence[Records]) -> tuple[list[Records], Mapping[str, int]]:
    """The same tables with the cells of ordered attributes renumbered by value, and how many of them have one.

    A special value within the bounds (a zero with a cell of its own) takes its place among the numbers, so that
    it is ranked where it belongs; a code outside them (-1 for "never") and a missing value come last.
    """
    places: dict[str, NDArray[np.int64]] = {}
    leading: dict[str, int] = {}
    for name in encoding.domain.attributes:
        if encoding.is_ordered(name):
            middle = encoding.midpoints(name)
            leading[name] = int(np.isfinite(middle).sum())
            places[name] = _places(middle)
    renumbered = [
        Records.of(t.domain, {a: places[a][t[a]] if a in places else t[a] for a in t.domain.attributes})
        for t in tables
    ]
    return renumbered, leading


def _places(middle: NDArray[np.float64]) -> NDArray[np.int64]:
    """The new number of each cell; NaN sorts last, in the order that it had."""
    places = np.empty(len(middle), dtype=np.int64)
    places[np.argsort(middle, kind="stable")] = np.arange(len(middle))
    return places
