"""Which method to take, from what is declared: schema, rows, epsilon. Reads no data, so the advice costs nothing.

The order of methods is that of `benchmarks/generators.md` and `benchmarks/network.md`, measured on real tables.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dpsynth.errors import CapacityError
from dpsynth.mechanisms.network import pair_error
from dpsynth.synthesis import Plan

ORDER = ("tree", "tree-aim", "aim", "network", "privbayes", "mst", "gan", "independent")
"""Best first, by errors of marginals on the tables of the benchmark."""

DROWNED = 0.3
"""Mean error of single columns by noise alone above which nothing can be learnt of pairs."""

CLEAR = 0.06
"""Mean error of pairs by noise alone, all measured at once, below which the network passes the tree."""


@dataclass(frozen=True)
class Considered:
    """A method at a budget, as it would run, or why it cannot."""

    method: str
    epsilon: float
    plan: Plan | None
    refused: CapacityError | None = None

    def ones_error(self, rows: int) -> float | None:
        """The part that noise has in the error of a single column, mean over columns."""
        if self.plan is None:
            return None
        found = [self.plan.expected_error((a,), rows) for a in self.plan.domain.attributes]
        known = [error for error in found if error is not None]
        return float(np.mean(known)) if known else None

    def as_json(self, rows: int) -> dict[str, Any]:
        return {
            "method": self.method,
            "epsilon": self.epsilon,
            "single_columns_error": self.ones_error(rows),
            "cells": None if self.plan is None else sum(self.plan.domain.sizes),
            "memory_bytes": None if self.plan is None else self.plan.memory(),
            "refused": None if self.refused is None else self.refused.as_json(),
        }


@dataclass(frozen=True)
class Advice:
    """`method` is None when none of those compared can run."""

    epsilon: float
    method: str | None
    reason: str


def advised(found: Sequence[Considered], rows: int) -> Advice:
    """The method to take among those compared at one epsilon, and why."""
    epsilon = found[0].epsilon
    able = {c.method: c.plan for c in found if c.plan is not None}
    if not able:
        return Advice(
            epsilon, None, "none of these can count so many cells: declare fewer, or raise count_cells"
        )
    first = min(able, key=_place)
    plan = able[first]
    noise = next(c.ones_error(rows) for c in found if c.method == first)
    if len(plan.domain) == 1:
        return Advice(epsilon, first, "one column is modelled: all methods measure it alike")
    if "independent" in able and noise is not None and noise > DROWNED:
        return Advice(
            epsilon,
            "independent",
            f"noise alone puts {noise:.0%} of the rows into a wrong cell of a single column: of pairs it leaves nothing; "
            "more rows, fewer cells or a larger epsilon would change that",
        )
    if "network" in able:
        network = able["network"]
        pairs = pair_error(network.task, network.cost, rows)
        told = network.task.workload.target
        if pairs is not None and pairs < CLEAR and told is None:
            return Advice(
                epsilon,
                "network",
                f"all pairs can be measured at once with {pairs:.1%} noise each, and no target is named: the network uses "
                "all of them, where a tree must leave some out",
            )
    return Advice(epsilon, first, _because(first, plan))


def _because(method: str, plan: Plan) -> str:
    target = plan.task.workload.target
    if method == "tree":
        said = "the smallest errors on the real tables of the benchmark at this much noise"
        return said if target is None else f"{said}, and rows that predict '{target}' about as well as any"
    return "the best of those compared, on the real tables of the benchmark"


def _place(method: str) -> int:
    return ORDER.index(method) if method in ORDER else len(ORDER)


def summary(found: Sequence[Considered], advice: Sequence[Advice], rows: int) -> str:
    """One line for each method, the advice below."""
    lines = [
        f"noise part of the error for {rows:,} rows (expected total variation)",
        f"{'epsilon':>8}  {'method':<12} {'single columns':>14} {'cells':>9} {'memory':>10}",
    ]
    for one in sorted(found, key=lambda c: c.epsilon):
        error = one.ones_error(rows)
        if one.plan is None or error is None:
            why = "" if one.refused is None else f"cannot run: {one.refused.code}"
            lines.append(f"{one.epsilon:>8g}  {one.method:<12} {why}")
            continue
        memory = max(1, round(one.plan.memory() / 2**20))
        cells = sum(one.plan.domain.sizes)
        lines.append(f"{one.epsilon:>8g}  {one.method:<12} {error:>14.1%} {cells:>9,} {memory:>7,} MB")
    for one_advice in advice:
        taken = one_advice.method or "none"
        lines.append(f"recommended at epsilon {one_advice.epsilon:g}: {taken}; {one_advice.reason}")
    return "\n".join(lines)
