"""The attack suite on real tables: false alarms, power, strength per output, beside a published package.

    python -m benchmarks.attacks null --data DIR        # at least 200 outputs a table that leak nothing
    python -m benchmarks.attacks power --data DIR       # planted leaks, 20 seeds each
    python -m benchmarks.attacks outputs --data DIR     # every attack on every leaky output, with the extended set
    python -m benchmarks.attacks models --data DIR      # our own generators at several epsilons
    python -m benchmarks.attacks peer --data DIR        # anonymeter, in an environment of its own, on the same outputs
    python -m benchmarks.attacks report                 # the tables, from what is stored; runs nothing

DIR holds adult_coded.csv.gz, nist_acs_national2019.csv.gz and bank_marketing.csv.gz; those not there are left out.
Every run is stored as a line of JSON (--store) as soon as it ends: an interrupted command goes on where it stopped.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from attacks import AttackResult, Claim, Game
from attacks.asked import EXTENDED, Asked, default_attacks, resolved
from attacks.suite import examine, with_bounds
from benchmarks.attacks_outputs import DELTA, LEAKY, NULL, POWER, TABLES, Make, Table, models, tables
from benchmarks.attacks_report import report
from benchmarks.peers.setup import DEFAULT, interpreter

STORE = DEFAULT / "attacks.jsonl"
Key = tuple[str, ...]


class Store:
    """Results by key, appended to a file as they come."""

    def __init__(self, path: Path) -> None:
        self.path = path
        lines = path.read_text().splitlines() if path.exists() else []
        self.known = {tuple(line["key"]): line for line in map(json.loads, lines)}

    def once(self, key: Key, compute: Callable[[], dict[str, Any]]) -> None:
        if key in self.known:
            return
        start = time.process_time()
        line = {"key": key, **compute(), "cpu_seconds": round(time.process_time() - start, 2)}
        self.known[key] = line
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a") as out:
            out.write(json.dumps(line) + "\n")
        print(json.dumps(line)[:300], flush=True)


def found(game: Game, draws: int, rng: np.random.Generator) -> tuple[AttackResult, ...]:
    return examine(game, default_attacks(game.view), draws, rng, lambda step, done: None)


def _seeded(*parts: object) -> np.random.Generator:
    return np.random.default_rng(list("/".join(map(str, parts)).encode()))


def null(data: Sequence[Table], store: Store, repeats: int) -> None:
    """600 members, 300 held out; the kinds of output in turn."""
    for seed in range(repeats):
        for table in data:
            kind = list(NULL)[seed % len(NULL)]

            def run(table: Table = table, kind: str = kind, seed: int = seed) -> dict[str, Any]:
                rng = _seeded("null", table.name, seed)
                game = table.game(NULL[kind], 600, 300, rng, Claim(0.1, DELTA))
                results = with_bounds(found(game, 999, rng), game, rng)
                least = min(results, key=lambda result: result.adjusted_p)
                bound = max(result.bound.epsilon for result in results if result.bound)
                return {"p": least.adjusted_p, "by": least.label, "epsilon_at_least": bound}

            store.once(("null", table.name, kind, str(seed)), run)


def power(data: Sequence[Table], store: Store, repeats: int) -> None:
    """5000 members, 1250 held out (a fifth of all)."""
    for seed in range(repeats):
        for table in data:
            for kind, make in POWER.items():

                def run(
                    table: Table = table, kind: str = kind, make: Make = make, seed: int = seed
                ) -> dict[str, Any]:
                    rng = _seeded("power", table.name, kind, seed)
                    game = table.game(make, 5000, 1250, rng)
                    least = min(found(game, 1999, rng), key=lambda result: result.adjusted_p)
                    return {"p": least.adjusted_p, "by": least.label}

                store.once(("power", table.name, kind, str(seed)), run)


def strengths(game: Game, rng: np.random.Generator, extended: bool) -> dict[str, Any]:
    """Area and true-positive rate at 1 % false positives of every attack, and what the suite makes of them."""
    attacks = resolved([EXTENDED], game.view, Asked()) if extended else default_attacks(game.view)
    default = {attack.name for attack in default_attacks(game.view)}
    each = examine(game, attacks, 1999, rng, lambda step, done: None)
    everyone = {
        r.name: [r.auc.value, r.rates[1].rate.value if r.rates[1].rate else math.nan]
        for r in each
        if r.group == "everyone"
    }
    least = min((r for r in each if r.name in default), key=lambda r: r.adjusted_p)
    return {"attacks": everyone, "p": least.adjusted_p, "by": least.label}


def outputs(data: Sequence[Table], store: Store, repeats: int) -> None:
    """1000 members, 1000 held out."""
    for seed in range(repeats):
        for table in data:
            for kind, make in LEAKY.items():

                def run(
                    table: Table = table, kind: str = kind, make: Make = make, seed: int = seed
                ) -> dict[str, Any]:
                    rng = _seeded("outputs", table.name, kind, seed)
                    return strengths(table.game(make, 1000, 1000, rng), rng, extended=True)

                store.once(("outputs", table.name, kind, str(seed)), run)


def our_models(data: Sequence[Table], store: Store, repeats: int) -> None:
    """5000 members, 1250 held out."""
    for seed in range(repeats):
        for table in data:
            for kind, (make, epsilon) in models().items():

                def run(
                    table: Table = table,
                    kind: str = kind,
                    make: Make = make,
                    epsilon: float = epsilon,
                    seed: int = seed,
                ) -> dict[str, Any]:
                    rng = _seeded("models", table.name, kind, seed)
                    claim = Claim(epsilon, DELTA) if math.isfinite(epsilon) else None
                    game = table.game(make, 5000, 1250, rng, claim)
                    results = with_bounds(found(game, 1999, rng), game, rng)
                    least = min(results, key=lambda result: result.adjusted_p)
                    return {
                        "p": least.adjusted_p, "by": least.label, "auc": least.auc.value,
                        "epsilon_at_least": max(r.bound.epsilon for r in results if r.bound),
                    }  # fmt: skip

                store.once(("models", table.name, kind, str(seed)), run)


def peer(data: Sequence[Table], store: Store, repeats: int) -> None:
    """Anonymeter's singling out, linkability and inference on the very outputs of `outputs`."""
    python = interpreter("anonymeter", DEFAULT)
    script = Path(__file__).parent / "peers" / "with_anonymeter.py"
    for seed in range(repeats):
        for table in data:
            for kind, make in LEAKY.items():

                def run(
                    table: Table = table, kind: str = kind, make: Make = make, seed: int = seed
                ) -> dict[str, Any]:
                    game = table.game(make, 1000, 1000, _seeded("outputs", table.name, kind, seed))
                    with tempfile.TemporaryDirectory() as folder:
                        _written(game, Path(folder))
                        done = subprocess.run(
                            [str(python), str(script), folder], check=True, capture_output=True, text=True
                        )
                    return json.loads(done.stdout.splitlines()[-1])

                store.once(("peer", table.name, kind, str(seed)), run)


def _written(game: Game, folder: Path) -> None:
    """Members, controls and synthetic rows as csv; ordered columns as numbers, the others as words."""
    view, member = game.view, game.member
    rows = view.candidates.rows
    for name, records in (
        ("members", rows.take(np.flatnonzero(member)).cells),
        ("controls", rows.take(np.flatnonzero(~member)).cells),
        ("synthetic", view.synthetic.cells),
    ):
        frame = pd.DataFrame({a: records[a].astype(np.int64) for a in records.domain.attributes})
        for a, ordered in zip(records.domain.attributes, view.candidates.ordered, strict=True):
            if not ordered:
                frame[a] = "v" + frame[a].astype(str)
        frame.to_csv(folder / f"{name}.csv", index=False)


MODES = {
    "null": (null, 200),
    "power": (power, 20),
    "outputs": (outputs, 2),
    "models": (our_models, 2),
    "peer": (peer, 1),
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("mode", choices=[*MODES, "report"])
    parser.add_argument("--data", type=Path)
    parser.add_argument("--store", type=Path, default=STORE)
    parser.add_argument("--repeats", type=int, default=0)
    parser.add_argument("--tables", nargs="+", default=list(TABLES))
    chosen = parser.parse_args()
    store = Store(chosen.store)
    if chosen.mode == "report":
        print(report(list(store.known.values())))
        return
    if chosen.data is None:
        sys.exit("--data is needed: the folder of the tables")
    work, repeats = MODES[chosen.mode]
    work(list(tables(chosen.data, tuple(chosen.tables))), store, chosen.repeats or repeats)


if __name__ == "__main__":
    main()
