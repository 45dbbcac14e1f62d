"""The compiled loops of `counting`. Imported at first use only; no bounds are checked here.

The places of `place_2` to `place_4` are reckoned modulo their own type, so that 16-bit ones fill a vector register with
twice as many. Numbering cells apart from adding to them lets the first be vectorised.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from dpsynth.compiling import compiled


@compiled
def place_2(one: Any, two: Any, n_two: Any, places: Any) -> None:
    for row in range(len(places)):
        places[row] = one[row] * n_two + two[row]


@compiled
def place_3(one: Any, two: Any, three: Any, n_two: Any, n_three: Any, places: Any) -> None:
    for row in range(len(places)):
        places[row] = (one[row] * n_two + two[row]) * n_three + three[row]


@compiled
def place_4(
    one: Any, two: Any, three: Any, four: Any, n_two: Any, n_three: Any, n_four: Any, places: Any
) -> None:
    for row in range(len(places)):
        places[row] = ((one[row] * n_two + two[row]) * n_three + three[row]) * n_four + four[row]


@compiled
def add(places: Any, weight: Any, out: Any) -> None:
    for row in range(len(places)):
        out[places[row]] += weight


@compiled
def add_fours(fours: Any, out: Any) -> None:
    """One for each of the four 16-bit places in a word: fewer loads leave room for more misses of the first cache."""
    mask, one = np.uint64(0xFFFF), np.uint32(1)
    for row in range(len(fours)):
        word = fours[row]
        out[word & mask] += one
        out[(word >> np.uint64(16)) & mask] += one
        out[(word >> np.uint64(32)) & mask] += one
        out[word >> np.uint64(48)] += one
