"""The compiled loop of thinning. Imported at first use only: importing numba takes half a second.

No bounds are checked here; `thinning` vouches for every shape.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from dpsynth.compiling import compiled


@compiled
def keep_most_due(codes: Any, columns: Any, strides: Any, firsts: Any, cells: Any, kept: Any) -> None:
    """`kept` gets one candidate of each ``len(codes) // len(kept)``: that with the largest sum, over tables, of the weighted
    number of records that its cell still lacks of its share.

    `codes` (candidates, columns); a record's cell of table t is ``firsts[t]`` plus its codes in ``columns[t]`` times
    ``strides[t]``, three of them. `cells` (cells, 4), side by side as one look at memory brings them: records kept so far,
    the share of all records that is due, the weight, and nothing.
    """
    each = len(codes) // len(kept)
    tables = len(columns)
    places = np.empty((each, tables), dtype=np.int32)
    for number in range(len(kept)):
        best, least = 0, np.inf
        for candidate in range(each):
            row = number * each + candidate
            surplus = 0.0
            for t in range(tables):
                place = firsts[t]
                for axis in range(3):
                    place += np.int32(codes[row, columns[t, axis]]) * strides[t, axis]
                places[candidate, t] = place
                surplus += (cells[place, 0] - number * cells[place, 1]) * cells[place, 2]
            if surplus < least:
                best, least = candidate, surplus
        kept[number] = number * each + best
        for t in range(tables):
            cells[places[best, t], 0] += 1
