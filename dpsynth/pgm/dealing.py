"""The compiled loops of sampling. Imported at first use only: importing numba takes half a second.

No bounds are checked here; `sampling` vouches for every shape.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from dpsynth.compiling import compiled


@compiled
def _word(seed: Any, number: Any) -> Any:
    """The 64 random bits with this number: splitmix64 (Steele, Lea and Flood 2014)."""
    word = seed + np.uint64(number + 1) * np.uint64(0x9E3779B97F4A7C15)
    word = (word ^ (word >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    word = (word ^ (word >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return word ^ (word >> np.uint64(31))


@compiled
def _used(state: Any, words: int) -> None:
    state[0] += np.uint64(words) * np.uint64(0x9E3779B97F4A7C15)


@compiled
def _shuffle(dealt: Any, start: int, size: int, seed: Any, used: int) -> int:
    """Fisher and Yates; how many words it took."""
    if dealt[start] == dealt[start + size - 1]:  # they stand in order: all are the same
        return 0
    for k in range(size - 1, 0, -1):
        word = _word(seed, used + k) >> np.uint64(32)
        other = start + np.int64((word * np.uint64(k + 1)) >> np.uint64(32))
        dealt[start + k], dealt[other] = dealt[other], dealt[start + k]
    return size


@compiled
def fill(edges: Any, sizes: Any, starts: Any, dealt: Any, state: Any) -> None:
    """Systematic counts of each group's cells: `dealt` gets each cell as often as it is due, in random order.

    `edges` (groups, cells) are running sums of weights; group g has ``sizes[g]`` places from ``starts[g]`` on. With
    one uniform u per group the first c cells together get floor(expected + u).
    """
    cells = edges.shape[1]
    seed, used = state[0], 0
    for row in range(len(edges)):
        size = sizes[row]
        if size == 0:
            continue
        start = starts[row]
        u = float(_word(seed, used) >> np.uint64(11)) / 9007199254740992.0
        used += 1
        whole = edges[row, cells - 1]
        scale = size / whole
        if size * 16 < cells:
            for k in range(size):
                low, high = 0, cells - 1
                while low < high:
                    middle = (low + high) // 2
                    edge = edges[row, middle]
                    if edge >= whole or int(edge * scale + u) > k:
                        high = middle
                    else:
                        low = middle + 1
                dealt[start + k] = low
        else:
            done = 0
            for c in range(cells):
                edge = edges[row, c]
                upto = size if edge >= whole else min(size, int(edge * scale + u))
                for k in range(done, upto):
                    dealt[start + k] = c
                done = max(done, upto)
                if done == size:
                    break
        used += _shuffle(dealt, start, size, seed, used)
    _used(state, used)


@compiled
def hand_out(parents: Any, starts: Any, dealt: Any, out: Any) -> None:
    """Each row takes the next cell of its group. `starts` is used up."""
    for row in range(len(parents)):
        place = starts[parents[row]]
        out[row] = dealt[place]
        starts[parents[row]] = place + 1


@compiled
def tally(parents: Any, sizes: Any) -> None:
    """Adds the number of rows of each group to `sizes`."""
    for row in range(len(parents)):
        sizes[parents[row]] += 1


@compiled
def look_up(codes: Any, first: Any, number: Any, found: Any, rows: Any, groups: Any) -> int:
    """Each row's cell of `first`; which rows have a number that is not negative, which one, and how many they are."""
    done = 0
    for row in range(len(codes)):
        code = codes[row]
        found[row] = first[code]
        rows[done], groups[done] = row, number[code]
        done += number[code] >= 0
    return done
