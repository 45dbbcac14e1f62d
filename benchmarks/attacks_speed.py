"""How long the attacks take: wall time, CPU time of all threads and peak memory, on generated rows.

    python -m benchmarks.attacks_speed                    # every measurement, each in a process of its own
    python -m benchmarks.attacks_speed joins nearest      # some of them

Wall time means something on a quiet machine only; CPU seconds do always.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from attacks import Candidates, Claim, Game, Rows, View, run_game
from attacks.kernels import Neighbourhood
from attacks.membership.joins import matches
from attacks.threat import hash_columns
from dpsynth.domain import Domain
from dpsynth.records import Records

MILLION, COLUMNS = 1_000_000, 15
ORDERED = np.arange(COLUMNS) % 2 == 0


def clustered(rows: int, rng: np.random.Generator, cells: int = 32) -> NDArray[np.int64]:
    """Codes with dependent columns, as real tables have: 40 hidden groups with their own shares of each code."""
    shape = np.random.default_rng(1).dirichlet(np.full(cells, 0.3), size=(COLUMNS, 40)).cumsum(axis=2)
    group = rng.integers(0, 40, rows)
    codes = np.empty((rows, COLUMNS), np.int64)
    for c in range(COLUMNS):
        codes[:, c] = (rng.random(rows)[:, None] > shape[c][group]).sum(axis=1)
    return np.minimum(codes, cells - 1)


def _joins() -> str:
    rng = np.random.default_rng(0)
    codes = clustered(MILLION, rng)
    left = hash_columns(list(codes.T.astype(np.uint64)))
    codes[: MILLION // 4, 3] += 1  # a quarter matches but for one column, a quarter in all
    codes[MILLION // 2 :] = clustered(MILLION - MILLION // 2, rng)
    right = hash_columns(list(codes.T.astype(np.uint64)))
    clock = Clock()
    found = matches(left, right, 1)
    return clock.says(f"{int((found > 0).sum()):,} of 1,000,000 rows match")


def _nearest(codes: Callable[[int, np.random.Generator], NDArray[np.uint8]]) -> str:
    rng = np.random.default_rng(0)
    table, targets = codes(MILLION, rng), codes(20_000, rng)
    weights = rng.random(COLUMNS).tolist()
    Neighbourhood.of(table[:1000], ORDERED, weights).nearest(targets[:10])  # compiles
    clock = Clock()
    distances, _ = Neighbourhood.of(table, ORDERED, weights).nearest(targets)
    units = 255 * Neighbourhood.of(table[:2], ORDERED, weights).units
    return clock.says(f"median distance {np.median(distances) / units:.3f} of 1")


def _real_like(rows: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    return (clustered(rows, rng) * 8).astype(np.uint8)


def _worst(rows: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    return rng.integers(0, 256, (rows, COLUMNS)).astype(np.uint8)


def _suite() -> str:
    rng = np.random.default_rng(0)
    domain = Domain.from_sizes({f"c{i}": 32 for i in range(COLUMNS)})

    def records(codes: NDArray[np.int64]) -> Records:
        return Records.of(domain, {f"c{i}": codes[:, i] for i in range(COLUMNS)})

    def game(rows: int) -> Game:
        people, synthetic = clustered(rows, rng), clustered(rows, rng)
        candidates = Candidates(Rows.of_records(records(people), ORDERED), np.arange(rows), ORDERED)
        view = View(Rows.of_records(records(synthetic), ORDERED), candidates, 0.8)
        return Game(view, rng.random(rows) < 0.8, Claim(1.0, 1e-9), coin=0.2)

    run_game(game(500), rng)  # compiles
    large = game(50_000)
    clock = Clock()
    return clock.says(run_game(large, rng).verdict.lower())


class Clock:
    """Wall and CPU seconds since it was made."""

    def __init__(self) -> None:
        self.wall, self.cpu = time.perf_counter(), time.process_time()

    def says(self, found: str) -> str:
        wall, cpu = time.perf_counter() - self.wall, time.process_time() - self.cpu
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        return json.dumps({"wall": wall, "cpu": cpu, "peak": peak, "found": found})


MEASURED: dict[str, tuple[str, Callable[[], str]]] = {
    "joins": ("exact and one-mismatch join, 1M x 1M rows, 15 columns", _joins),
    "nearest": (
        "nearest of 1M rows for 20,000 targets, 15 mixed weighted columns",
        lambda: _nearest(_real_like),
    ),
    "worst": ("the same, every code uniform: nothing can be left out", lambda: _nearest(_worst)),
    "suite": ("default suite with controls, 50,000 rows x 15 columns", _suite),
}


def main() -> None:
    if sys.argv[1:2] == ["--one"]:
        print(MEASURED[sys.argv[2]][1]())
        return
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}\n")
    print("| what | wall s | CPU s | peak MB | found |\n|---|---|---|---|---|")
    for name in sys.argv[1:] or MEASURED:
        command = [sys.executable, "-m", "benchmarks.attacks_speed", "--one", name]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        took = json.loads(done.stdout.splitlines()[-1])
        print(
            f"| {MEASURED[name][0]} | {took['wall']:.1f} | {took['cpu']:.1f} | {took['peak']:.0f} | {took['found']} |"
        )


if __name__ == "__main__":
    main()
