"""The advice of `plan --compare`: from declared facts alone, with its reason."""

from __future__ import annotations

import pytest

from dpsynth.cli.choosing import Advice, Considered, advised, summary
from dpsynth.errors import CapacityError
from dpsynth.schema import Schema
from dpsynth.synthesis import plan
from dpsynth.workload import Workload

EVERY = ("independent", "mst", "tree", "aim", "network")


def schema(columns: int, cells: int = 4) -> Schema:
    kind = {"type": "integer", "min": 0, "max": cells - 1, "cells": cells}
    return Schema.model_validate({"columns": {f"c{i}": kind for i in range(columns)}})


def considered(
    columns: int, epsilon: float, methods: tuple[str, ...] = EVERY, target: str | None = None
) -> list[Considered]:
    found = []
    for method in methods:
        planned = plan(schema(columns), method=method, epsilon=epsilon, delta=1e-6, workload=Workload(target))
        found.append(Considered(method, epsilon, planned))
    return found


@pytest.mark.parametrize(
    ("columns", "epsilon", "target", "rows", "method", "word"),
    [
        (10, 5.0, None, 40_000, "network", "pairs"),
        (10, 5.0, "c1", 40_000, "tree", "c1"),
        (10, 0.3, None, 4_000, "tree", "benchmark"),
        (10, 0.01, None, 500, "independent", "noise"),
        (1, 1.0, None, 500, "independent", "one column"),
    ],
)
def test_what_is_declared_decides(
    columns: int, epsilon: float, target: str | None, rows: int, method: str, word: str
) -> None:
    methods = ("independent",) if columns == 1 else EVERY
    found = advised(considered(columns, epsilon, methods, target), rows)
    assert found.method == method
    assert word in found.reason


def test_only_what_was_compared_is_recommended() -> None:
    found = considered(6, 1.0, ("independent", "mst"))
    assert advised(found, 20_000).method == "mst"


def test_what_cannot_run_is_said_in_the_table() -> None:
    refused = Considered("aim", 1.0, None, CapacityError("C110", "too many cells", "declare fewer"))
    found = [refused, *considered(6, 1.0, ("mst",))]
    advice = advised(found, 20_000)
    lines = summary(found, [advice], 20_000).splitlines()
    assert len(lines) == 5
    assert "cannot run: DPS-C110" in lines[2]
    assert lines[-1].startswith("recommended at epsilon 1: mst")
    assert refused.as_json(20_000)["refused"]["code"]
    nothing = advised([refused], 20_000)
    assert nothing == Advice(1.0, None, nothing.reason)
    assert "count_cells" in nothing.reason
