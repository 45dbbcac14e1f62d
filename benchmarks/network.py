"""The network on noisy marginals beside our best marginal method: errors, prediction, CPU, memory.

    OMP_NUM_THREADS=1 python -m benchmarks.network --data DIR       # adult_coded, national2019, bank_marketing
    OMP_NUM_THREADS=1 python -m benchmarks.network --dense            # a table whose pairs all matter
    python -m benchmarks.network --data DIR --table-only   # the table from stored results

DIR holds the tables that `benchmarks/tables.py` reads. Every run is a process of its own, stored as soon as it ends. Our
privacy noise cannot be seeded: a "seed" numbers the runs. As many synthetic rows as training rows are scored.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.scores import score
from benchmarks.tables import TABLES, Table, split

DELTA = 1e-5
DENSE = "dense"
RESULTS = Path("build/network.jsonl")


def dense(rows: int = 40_000, columns: int = 24, classes: int = 12, cells: int = 6) -> Table:
    """Columns that all hang together: each answers a hidden class of the row, with its own permutation of cells.

    Given the class, columns are independent; without it every pair is as strongly associated as every other.
    """
    rng = np.random.default_rng(1)
    hidden = rng.integers(0, classes, rows)
    shares = rng.dirichlet(np.full(cells, 0.4), (columns, classes))
    edges = shares.cumsum(axis=2)
    drawn = rng.random((rows, columns))
    codes = (drawn[:, :, None] > edges[np.arange(columns), hidden[:, None]]).sum(axis=2)
    names = [f"c{i:02}" for i in range(columns)]
    train, held_out = split(np.minimum(codes, cells - 1).astype(np.int64))
    return Table(DENSE, dict.fromkeys(names, cells), (), None, train, held_out)


def table_of(name: str, data: Path | None) -> Table:
    if name == DENSE:
        return dense()
    if data is None:
        raise SystemExit("--data DIR: where are the tables?")
    return TABLES[name](data)


def main() -> None:
    options = arguments()
    if options.one:
        name, method, epsilon = options.one
        print(json.dumps(run(table_of(name, options.data), method, float(epsilon))))
        return
    if not options.table_only:
        for name, method, epsilon, seed in wanted(options):
            if not any(same(r, name, method, epsilon, seed) for r in stored(options.results)):
                keep(options, name, method, epsilon, seed)
    print(report(list(stored(options.results))))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path)
    parser.add_argument("--tables", nargs="+", default=list(TABLES), choices=[*TABLES, DENSE])
    parser.add_argument("--dense", action="store_true", help="the densely correlated table only")
    parser.add_argument("--methods", nargs="+", default=["network", "tree"])
    parser.add_argument("--epsilon", nargs="+", type=float, default=[1.0, 3.0, 10.0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--table-only", action="store_true")
    parser.add_argument("--one", nargs=3, metavar=("TABLE", "METHOD", "EPSILON"), help=argparse.SUPPRESS)
    return parser.parse_args()


def wanted(options: argparse.Namespace) -> Iterator[tuple[str, str, float, int]]:
    for seed in range(options.seeds):
        for name in [DENSE] if options.dense else options.tables:
            for epsilon in options.epsilon:
                for method in options.methods:
                    yield name, method, epsilon, seed


def keep(options: argparse.Namespace, name: str, method: str, epsilon: float, seed: int) -> None:
    """One run in a process of its own, added to the results."""
    command = [sys.executable, "-m", "benchmarks.network", "--one", name, method, str(epsilon)]
    if options.data:
        command += ["--data", str(options.data)]
    quiet = {**os.environ, "OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=quiet, check=False)
    if done.returncode:
        raise SystemExit(done.stderr[-2000:])
    found = {"table": name, "method": method, "epsilon": epsilon, "seed": seed, **json.loads(done.stdout)}
    options.results.parent.mkdir(parents=True, exist_ok=True)
    with options.results.open("a") as file:
        file.write(json.dumps(found) + "\n")
    print(found, file=sys.stderr, flush=True)


def run(table: Table, method: str, epsilon: float) -> dict[str, float | None]:
    """Fit, sample and score; CPU seconds of the fit, PyTorch's loading included, and of the sample."""
    import dpsynth
    from dpsynth.workload import Workload

    schema = dpsynth.Schema(columns={name: column(table, name) for name in table.domain})
    frame = pd.DataFrame(table.train, columns=list(table.domain))
    start = time.process_time()
    model = dpsynth.fit(
        frame,
        schema,
        method=method,
        epsilon=epsilon,
        delta=DELTA,
        workload=Workload(target=table.target),
    )
    fitted = time.process_time()
    rows = model.sample(len(table.train), rng=np.random.default_rng(0)).astype(np.int64).to_numpy()
    sampled = time.process_time()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    found = score(table, rows)
    return {
        "one": found.one_way,
        "two": found.two_way,
        "three": found.three_way,
        "auc": found.auc,
        "fit_s": fitted - start,
        "sample_s": sampled - fitted,
        "mb": peak,
    }


def column(table: Table, name: str) -> dict[str, object]:
    size = table.domain[name]
    if name in table.ordered:
        return {"type": "integer", "min": 0, "max": size - 1, "cells": size}
    return {"type": "category", "values": list(range(size))}


def stored(path: Path) -> Iterator[dict[str, object]]:
    if path.exists():
        yield from (json.loads(line) for line in path.read_text().splitlines())


def same(found: dict[str, object], name: str, method: str, epsilon: float, seed: int) -> bool:
    return (found["table"], found["method"], found["epsilon"], found["seed"]) == (name, method, epsilon, seed)


def report(found: list[dict[str, object]]) -> str:
    """Means over runs, one line for each table, epsilon and method."""
    lines = [
        "| table | epsilon | method | runs | 1-way | 2-way | 3-way | AUC | fit CPU-s | peak MB |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    keys = sorted({(str(r["table"]), float(str(r["epsilon"])), str(r["method"])) for r in found})
    for name, epsilon, method in keys:
        runs = [r for r in found if (r["table"], r["epsilon"], r["method"]) == (name, epsilon, method)]
        mean = {k: _mean([r[k] for r in runs]) for k in ("one", "two", "three", "auc", "fit_s", "mb")}
        lines.append(
            f"| {name} | {epsilon:g} | {method} | {len(runs)} | {mean['one']} | {mean['two']} | {mean['three']} "
            f"| {mean['auc']} | {mean['fit_s']} | {mean['mb']} |"
        )
    return "\n".join(lines)


def _mean(values: list[object]) -> str:
    known = [float(str(v)) for v in values if v is not None]
    if not known:
        return "-"
    found = float(np.mean(known))
    return f"{found:.4f}" if found < 1 else f"{found:.1f}"


if __name__ == "__main__":
    main()
