"""The compiled loops of `counting`. Imported at first use only; no bounds are checked here."""

from __future__ import annotations

from typing import Any

from dpsynth.compiling import compiled


@compiled
def add_1(one: Any, weight: Any, out: Any) -> None:
    for row in range(len(one)):
        out[one[row]] += weight


@compiled
def add_2(one: Any, two: Any, n_two: int, weight: Any, out: Any) -> None:
    for row in range(len(one)):
        out[int(one[row]) * n_two + two[row]] += weight


@compiled
def add_3(one: Any, two: Any, three: Any, n_two: int, n_three: int, weight: Any, out: Any) -> None:
    for row in range(len(one)):
        out[(int(one[row]) * n_two + two[row]) * n_three + three[row]] += weight
