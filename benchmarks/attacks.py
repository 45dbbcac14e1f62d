"""The attack suite on real tables: false alarms, power, strength per output, beside a published package.

    python -m benchmarks.attacks null --data DIR        # at least 200 outputs a table that leak nothing
    python -m benchmarks.attacks power --data DIR       # planted leaks, 20 seeds each
    python -m benchmarks.attacks outputs --data DIR     # every attack on every leaky output, with the extended set
    python -m benchmarks.attacks models --data DIR      # our own generators at several epsilons and without privacy
    python -m benchmarks.attacks again --data DIR       # some runs of earlier code once more: is the result the same?
    python -m benchmarks.attacks report                 # the tables, from what is stored (--page FILE: into that page)

`outputs` and `models` ask anonymeter about the same rows, in an environment of its own (--without-peer: they do not).
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

from attacks import Attack, AttackResult, Claim, Game
from attacks.asked import EXTENDED, Asked, default_attacks, further, resolved
from attacks.disclosure import InferByLearning, InferByNearest, Linkability
from attacks.evaluate import EVERYONE
from attacks.stats import rate_at
from attacks.suite import examine, with_bounds
from benchmarks.attacks_outputs import DELTA, LEAKY, NULL, POWER, TABLES, Make, Table, models, tables
from benchmarks.attacks_report import rewritten
from benchmarks.attacks_report import tables as made_tables
from benchmarks.attacks_version import digest
from benchmarks.peers.setup import DEFAULT, interpreter

STORE = DEFAULT / "attacks.jsonl"
Key = tuple[str, ...]


class Store:
    """Results by key, appended to a file as they come."""

    def __init__(self, path: Path) -> None:
        self.path, self.version = path, digest()
        lines = path.read_text().splitlines() if path.exists() else []
        self.known = {tuple(line["key"]): line for line in map(json.loads, lines)}
        self.again = self.seen = (
            0  # every so many-th result of earlier code is computed once more, and nothing else
        )

    def once(self, key: Key, compute: Callable[[], dict[str, Any]]) -> None:
        if self.again:
            self._compare(key, compute)
        elif key not in self.known:
            self._add(key, compute)

    def _compare(self, key: Key, compute: Callable[[], dict[str, Any]]) -> None:
        line = self.known.get(key)
        if line is None or line.get("attacks_version") == self.version:
            return
        self.seen += 1
        if self.seen % self.again == 0:
            now = compute()
            same = all(line[name] == value for name, value in now.items())
            self._add(("again", *key), lambda: {"same": same, "of": line.get("attacks_version")})

    def _add(self, key: Key, compute: Callable[[], dict[str, Any]]) -> None:
        start = time.process_time()
        found = compute()
        took = round(time.process_time() - start, 2)
        line = {"key": key, "attacks_version": self.version, **found, "cpu_seconds": took}
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


def told(game: Game, rng: np.random.Generator, other: Anonymeter | None) -> dict[str, Any]:
    """What every attack achieves, ours and the other package's, which are told the same of the columns.

    The secret is the last column, of whose target all others are known; two sources hold half of the columns each.
    Per attack: area, true-positive rate at 1 % false positives, how much more often right about members than about
    controls (at 10 % false positives where membership is asked), p-value. `p`: of the suite, family-wise.
    """
    names = game.view.synthetic.cells.domain.attributes
    half = len(names) // 2
    asked: list[Attack] = [
        InferByNearest(names[-1], names[:-1]), InferByLearning(names[-1], names[:-1]),
        Linkability(names[:half], names[half:]),
    ]  # fmt: skip
    results = examine(
        game, [*resolved([EXTENDED], game.view, Asked()), *asked], 1999, rng, lambda step, done: None
    )
    extra = {attack.name for attack in further(game.view, Asked())}
    default = [result for result in results if result.name not in extra]
    least = min(default, key=lambda result: result.adjusted_p)
    bounds = with_bounds(default, game, rng)
    return {
        "attacks": {r.name: _strength(r, game) for r in results if r.group == EVERYONE},
        "p": least.adjusted_p, "by": least.label, "auc": least.auc.value,
        "epsilon_at_least": max(r.bound.epsilon for r in bounds if r.bound),
        "anonymeter": None if other is None else other.games(game),
    }  # fmt: skip


def _strength(result: AttackResult, game: Game) -> list[float]:
    if result.success is not None:
        excess = result.success.excess.value
    else:
        tried = ~np.isnan(result.scores)
        rate = rate_at(result.scores[tried], game.member[tried], 0.1)
        excess = math.nan if rate is None else rate.value - 0.1
    at_one = result.rates[1].rate
    return [result.auc.value, math.nan if at_one is None else at_one.value, excess, result.p_value]


class Anonymeter:
    """The package in its own environment: one process, asked about one output after the other."""

    def __init__(self) -> None:
        python = interpreter("anonymeter", DEFAULT)
        script = Path(__file__).parent / "peers" / "with_anonymeter.py"
        self._process = subprocess.Popen(
            [str(python), str(script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def games(self, game: Game) -> dict[str, dict[str, float]]:
        """Of each of its three games the rates of right guesses, and the p-value of their difference."""
        ask, answer = self._process.stdin, self._process.stdout
        if ask is None or answer is None:
            raise ValueError("the process has no pipes")
        with tempfile.TemporaryDirectory() as folder:
            _written(game, Path(folder))
            ask.write(f"{folder}\n")
            ask.flush()
            found: dict[str, dict[str, float]] = json.loads(answer.readline())
        return found

    def close(self) -> None:
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._process.wait()


def outputs(
    data: Sequence[Table], store: Store, repeats: int, only: tuple[str, ...], other: Anonymeter | None
) -> None:
    """1000 members, 1000 held out."""
    for seed in range(repeats):
        for table in data:
            for kind, make in LEAKY.items():

                def run(
                    table: Table = table, kind: str = kind, make: Make = make, seed: int = seed
                ) -> dict[str, Any]:
                    rng = _seeded("outputs", table.name, kind, seed)
                    return told(table.game(make, 1000, 1000, rng), rng, other)

                if kind.startswith(only):
                    store.once(("outputs", table.name, kind, str(seed)), run)


def our_models(
    data: Sequence[Table], store: Store, repeats: int, only: tuple[str, ...], other: Anonymeter | None
) -> None:
    """5000 members, 1250 held out. Privacy's noise has no seed: the other package attacks the very same rows."""
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
                    return told(table.game(make, 5000, 1250, rng, claim), rng, other)

                if kind.startswith(only):
                    store.once(("models", table.name, kind, str(seed)), run)


def _written(game: Game, folder: Path) -> None:
    """As many members as controls, and the synthetic rows, as csv; ordered columns as numbers, the others as words.

    As many: the package asks whether a description fits one row of a table, and of a larger table it does so more often
    (or less), whatever the synthetic rows say.
    """
    view, member = game.view, game.member
    rows, few = view.candidates.rows, min(game.members, game.controls)
    for name, records in (
        ("members", rows.take(np.flatnonzero(member)[:few]).cells),
        ("controls", rows.take(np.flatnonzero(~member)[:few]).cells),
        ("synthetic", view.synthetic.cells),
    ):
        frame = pd.DataFrame({a: records[a].astype(np.int64) for a in records.domain.attributes})
        for a, ordered in zip(records.domain.attributes, view.candidates.ordered, strict=True):
            if not ordered:
                frame[a] = "v" + frame[a].astype(str)
        frame.to_csv(folder / f"{name}.csv", index=False)


CALIBRATION = {"null": (null, 200), "power": (power, 20)}
BESIDE = {"outputs": (outputs, 2), "models": (our_models, 2)}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("mode", choices=[*CALIBRATION, *BESIDE, "again", "report"])
    parser.add_argument("--data", type=Path)
    parser.add_argument("--store", type=Path, default=STORE)
    parser.add_argument("--repeats", type=int, default=0)
    parser.add_argument("--tables", nargs="+", default=list(TABLES))
    parser.add_argument("--every", type=int, default=5, help="again: one run of so many")
    parser.add_argument("--only", nargs="+", default=[""], help="outputs and models whose name begins so")
    parser.add_argument("--page", type=Path, help="report: the page whose tables are written anew")
    parser.add_argument("--without-peer", action="store_true", help="leave anonymeter out")
    chosen = parser.parse_args()
    store = Store(chosen.store)
    if chosen.mode == "report":
        lines = list(store.known.values())
        if chosen.page is None:
            print("\n\n".join(made_tables(lines).values()))
        else:
            chosen.page.write_text(rewritten(chosen.page.read_text(), lines))
        return
    if chosen.data is None:
        sys.exit("--data is needed: the folder of the tables")
    data = list(tables(chosen.data, tuple(chosen.tables)))
    if chosen.mode in (*CALIBRATION, "again"):
        store.again = chosen.every if chosen.mode == "again" else 0
        for name, (work, repeats) in CALIBRATION.items():
            if chosen.mode in (name, "again"):
                work(data, store, chosen.repeats or repeats)
        return
    beside, repeats = BESIDE[chosen.mode]
    other = None if chosen.without_peer else Anonymeter()
    beside(data, store, chosen.repeats or repeats, tuple(chosen.only), other)
    if other is not None:
        other.close()


if __name__ == "__main__":
    main()
