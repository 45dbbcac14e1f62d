"""The compiled loop of `bags`. Imported at first use only; no bounds are checked here."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from dpsynth.compiling import compiled


@compiled
def _sum(members: Any, logs: Any) -> float:
    total = 0.0
    for v in range(len(logs)):
        if members[v]:
            total += logs[v]
    return total


@compiled
def _outside(one: Any, other: Any) -> bool:
    """Whether `one` has a member that `other` lacks."""
    missing = False
    for v in range(len(one)):
        missing |= one[v] and not other[v]
    return missing


@compiled
def _smallest(sums: Any, left: Any) -> int:
    best = -1
    for k in range(len(sums)):
        if left[k] and (best < 0 or sums[k] < sums[best]):
            best = k
    return best


@compiled
def _joined(graph: Any, i: int, logs: Any, sums: Any) -> None:
    """Joins the neighbours of i to each other and takes i away from them."""
    for j in range(len(graph)):
        if graph[i, j]:
            for v in range(len(graph)):
                graph[j, v] |= graph[i, v]
            graph[j, i] = False
            sums[j] = _sum(graph[j], logs)


@compiled
def eliminate(graph: Any, logs: Any, most: float, total: float, bags: Any) -> int:
    """Eliminates one attribute after the other, always that whose bag is smallest; the maximal bags go into the rows of
    `bags`, how many comes back: -1 when one bag passes exp(most) cells, or all together pass `total`.

    `graph` (attributes, attributes), true where two are joined and on the diagonal, is used up.
    """
    n, found, cells = len(graph), 0, 0.0
    sums, left = np.zeros(n), np.ones(n, np.bool_)
    for j in range(n):
        sums[j] = _sum(graph[j], logs)
    for _ in range(n):
        i = _smallest(sums, left)
        known = False
        for f in range(found):
            known = known or not _outside(graph[i], bags[f])
        left[i] = False
        if not known:
            bags[found] = graph[i]
            found += 1
            cells += math.exp(min(sums[i], 700.0))
        graph[i, i] = False
        if not known and graph[i].any() and (sums[i] > most or cells > total):
            return -1
        _joined(graph, i, logs, sums)
    return found
