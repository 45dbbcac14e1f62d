"""Runs inside a generator's own environment: many fits on two neighbouring tables, a line of JSON for each.

    PYTHON audit_child.py FOLDER    # reads task.json, without.npy, with.npy, coins.npy; appends to scores.jsonl

The scores are what anybody sees who gets the rows: how many there are by default, and how often the added row's values and
combination come. Lines that are there already are not done again. The CPU limit is the operating system's.
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
from task import Task, cpu_seconds

SIZED = {"smartnoise"}
"""Libraries whose samples have a size of their own when none is asked for."""


def scores(rows: np.ndarray, unit: np.ndarray) -> dict[str, float]:
    same = rows == unit
    found = {"rows": float(len(rows)), "the unit's row": float(same.all(axis=1).sum())}
    return {**found, **{f"column {i} as the unit's": float(hit) for i, hit in enumerate(same.sum(axis=0))}}


def main(folder: Path) -> None:
    task = Task.read(folder / "task.json")
    adapter = importlib.import_module(f"with_{task.library}")
    tables = [np.load(folder / "without.npy"), np.load(folder / "with.npy")]
    unit = tables[1][-1]
    coins = np.load(folder / "coins.npy")
    ends = int(cpu_seconds() + task.cpu_limit) + 1
    resource.setrlimit(resource.RLIMIT_CPU, (ends, ends + 5))
    out = folder / "scores.jsonl"
    done = len(out.read_text().splitlines()) if out.exists() else 0
    (folder / "version.json").write_text(json.dumps(adapter.version()))
    for coin in coins[done:]:
        seed = int.from_bytes(
            os.urandom(4), "big"
        )  # a peer's noise may follow from it: a new one for each fit
        np.random.seed(seed)  # noqa: NPY002
        sample = adapter.fit(replace(task, seed=seed), tables[int(coin)])
        found = scores(np.asarray(sample(task.rows_wanted)), unit)
        if task.library in SIZED:
            found["default rows"] = float(len(sample(None)))
        if hasattr(adapter, "fitted_total"):
            found["total of the fitted object"] = round(adapter.fitted_total(), 6)
        with out.open("a") as lines:
            lines.write(json.dumps({**found, "with": int(coin), "cpu_s": cpu_seconds()}) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
