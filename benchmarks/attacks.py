"""The attack suite on real tables: false alarms, power, strength per output, speed.

    python benchmarks/attacks.py null  --data FOLDER [--repeats 200]
    python benchmarks/attacks.py power --data FOLDER [--repeats 20]
    python benchmarks/attacks.py table --data FOLDER [--repeats 5]
    python benchmarks/attacks.py speed --data FOLDER

FOLDER holds adult_census.csv.gz, nist_acs_national2019.csv.gz and bank_marketing.csv.gz; those not there are
left out. Nothing is written. One line of results at a time.
"""

from __future__ import annotations

import argparse
import math
import resource
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd

sys.path[:0] = [str(Path(__file__).resolve().parents[1] / part) for part in ("", "tests/attacks")]

import known_leaks  # noqa: E402

from attacks import AttackResult, Candidates, Claim, Game, Rows, View, run_game, stats  # noqa: E402
from attacks.asked import default_attacks  # noqa: E402
from attacks.suite import examine, with_bounds  # noqa: E402
from dpsynth.domain import Clique, Domain  # noqa: E402
from dpsynth.records import Records  # noqa: E402

TABLES = ("adult_census", "nist_acs_national2019", "bank_marketing")
CELLS = 32
DELTA = 1e-9
Mask = np.ndarray
Output = tuple[Records, tuple[Clique, ...] | None]
Make = Callable[[Records, Records, np.random.Generator], Output]
"""Members and reference rows -> synthetic rows and, when known, the measured cliques."""


class Table:
    """A real table, each numeric column of many values in 32 equal shares, each other column as it is."""

    def __init__(self, path: Path) -> None:
        frame = pd.read_csv(path).sample(frac=1.0, random_state=0)
        self.name = path.name.split(".")[0]
        codes: dict[str, np.ndarray] = {}
        ordered = []
        for name, column in frame.items():
            many = pd.api.types.is_numeric_dtype(column) and column.nunique() > CELLS
            coded = (
                pd.qcut(column.rank(method="average"), CELLS, duplicates="drop").cat.codes if many else column
            )
            codes[str(name)] = pd.factorize(coded, sort=True)[0].astype(np.int64) + 1
            ordered.append(pd.api.types.is_numeric_dtype(column))
        kept = [name for name in codes if codes[name].max() < 300]
        self.ordered = np.array([o for o, name in zip(ordered, codes, strict=True) if name in kept])
        domain = Domain.from_sizes({name: int(codes[name].max()) + 1 for name in kept})
        self.records = Records.of(domain, {name: codes[name] for name in kept})

    def game(
        self, make: Make, members: int, controls: int, rng: np.random.Generator, claim: Claim | None = None
    ) -> Game:
        """A random split; as many reference rows as there are members, fewer when the table is too small."""
        order = rng.permutation(len(self.records))
        pool, rest = order[: members + controls], order[members + controls :][:members]
        member = np.zeros(members + controls, bool)
        member[rng.choice(members + controls, members, replace=False)] = True
        synthetic, cliques = make(self.records.take(pool[member]), self.records.take(rest), rng)
        candidates = Candidates(
            Rows.of_records(self.records.take(pool), self.ordered), np.arange(len(pool)), self.ordered
        )
        view = View(Rows.of_records(synthetic, self.ordered), candidates, float(member.mean()), cliques)
        return Game(view, member, claim, coin=controls / (members + controls))


def tables(folder: Path) -> Iterator[Table]:
    for name in TABLES:
        path = folder / f"{name}.csv.gz"
        if path.exists():
            yield Table(path)


def _private_tree(epsilon: float) -> Make:
    """Noisy marginals of a tree that was chosen on reference rows; zCDP priced the classical way."""

    def make(members: Records, reference: Records, rng: np.random.Generator) -> Output:
        cliques = known_leaks.tree_cliques(reference)
        log = math.log(1 / DELTA)
        rho = (math.sqrt(log + epsilon) - math.sqrt(log)) ** 2
        sigma = math.sqrt((len(cliques) + 1) / (2 * rho))
        return known_leaks.tree(members, len(members), rng, sigma, cliques)

    return make


def _copies(share: float, base: Make) -> Make:
    def make(members: Records, reference: Records, rng: np.random.Generator) -> Output:
        return known_leaks.with_copies(base(members, reference, rng)[0], members, share, rng), None

    return make


def _fresh(members: Records, reference: Records, rng: np.random.Generator) -> Output:
    return known_leaks.fresh(reference, len(members), rng), None


def _independent(members: Records, reference: Records, rng: np.random.Generator) -> Output:
    return known_leaks.independent(reference, len(members), rng), None


def _tree(members: Records, reference: Records, rng: np.random.Generator) -> Output:
    return known_leaks.tree(members, len(members), rng)


def _tree_unknown(members: Records, reference: Records, rng: np.random.Generator) -> Output:
    return known_leaks.tree(members, len(members), rng)[0], None


def _exact_columns(members: Records, reference: Records, rng: np.random.Generator) -> Output:
    return known_leaks.independent(members, len(members), rng), None


def _noisy_tree(members: Records, reference: Records, rng: np.random.Generator) -> Output:
    return known_leaks.tree(members, len(members), rng, sigma=20.0)


def _perturbed(share: float) -> Make:
    def make(members: Records, reference: Records, rng: np.random.Generator) -> Output:
        return known_leaks.perturbed(members, share, len(members), rng), None

    return make


NULL: dict[str, Make] = {"fresh rows": _fresh, "tree at epsilon 0.1": _private_tree(0.1)}
LEAKS: dict[str, Make] = {
    "1 % copied among independent": _copies(0.01, _independent),
    "tree, no noise, cliques unknown": _tree_unknown,
    "bootstrap, 15 % of cells changed": _perturbed(0.15),
}
OUTPUTS: dict[str, Make] = {
    "copy": lambda members, reference, rng: (members, None),
    "bootstrap, 15 % of cells changed": _perturbed(0.15),
    "bootstrap, 50 % of cells changed": _perturbed(0.5),
    "2 % copied among independent": _copies(0.02, _independent),
    "2 % copied among fresh": _copies(0.02, _fresh),
    "tree, no noise": _tree,
    **{f"tree at epsilon {e:g}": _private_tree(e) for e in (100.0, 10.0, 3.0, 1.0)},
    "exact columns, independent": _exact_columns,
    "fresh rows": _fresh,
}


def found(game: Game, draws: int, rng: np.random.Generator) -> tuple[AttackResult, ...]:
    return examine(game, default_attacks(game.view), draws, rng, lambda step, done: None)


def null(folder: Path, repeats: int) -> None:
    """How often the suite calls a leak, or breaks a promise, where there is none (2000 members, 1000 held out)."""
    for table in tables(folder):
        for name, make in NULL.items():
            rng = np.random.default_rng(1)
            claim = Claim(0.1, DELTA)
            smallest, bounds = [], []
            for _ in range(repeats):
                game = table.game(make, 2000, 1000, rng, claim)
                results = with_bounds(found(game, 999, rng), game, rng)
                smallest.append(min(result.adjusted_p for result in results))
                bounds.append(max(result.bound.epsilon for result in results if result.bound))
            alarms = int((np.array(smallest) <= 0.05).sum())
            broken = int((np.array(bounds) > claim.epsilon).sum())
            print(
                f"{table.name:24} {name:22} leak called {alarms} of {repeats}: "
                f"{stats.clopper_pearson(alarms, repeats)}; violation {broken} of {repeats}",
                flush=True,
            )


def power(folder: Path, repeats: int) -> None:
    """How often each leak is called: 5000 members with 5000 or 555 held out (a tenth of all)."""
    for table in tables(folder):
        for held_out in (5000, 555):
            for name, make in LEAKS.items():
                rng = np.random.default_rng(2)
                games = (table.game(make, 5000, held_out, rng) for _ in range(repeats))
                seen = sum(min(r.adjusted_p for r in found(game, 1999, rng)) <= 0.05 for game in games)
                print(f"{table.name:24} {held_out:5} held out  {name:34} {seen} of {repeats}", flush=True)


def table(folder: Path, repeats: int) -> None:
    """Mean AUC and true-positive rate at 1 % false positives of every attack (1000 members, 1000 held out)."""
    for data in tables(folder):
        for name, make in OUTPUTS.items():
            rng = np.random.default_rng(3)
            seen: dict[str, list[tuple[float, float]]] = {}
            for _ in range(repeats):
                game = data.game(make, 1000, 1000, rng)
                for attack in default_attacks(game.view):
                    scores = attack(game.view, rng)
                    rate = stats.rate_at(scores, game.member, 0.01)
                    area = stats.auc(scores, game.member).value
                    seen.setdefault(attack.name, []).append((area, rate.value if rate else math.nan))
            cells = [
                f"{k} {np.mean([a for a, _ in v]):.3f}/{np.mean([r for _, r in v]):.3f}"
                for k, v in seen.items()
            ]
            print(f"{data.name:22} {name:34} " + "; ".join(cells), flush=True)


def speed(folder: Path, repeats: int) -> None:
    """The whole suite with controls on each table, a tenth held out."""
    for data in tables(folder):
        rng = np.random.default_rng(4)
        members = round(0.9 * len(data.records))
        game = data.game(_noisy_tree, members, len(data.records) - members, rng, Claim(10.0, DELTA))
        wall, cpu = time.perf_counter(), time.process_time()
        result = run_game(game, rng)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        size = f"{len(data.records)} x {len(data.ordered)}"
        print(
            f"{data.name:24} {size:12} {wall:6.1f} s, {cpu:6.1f} CPU-s, {peak:.0f} MB: {result.verdict}",
            flush=True,
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    modes = {"null": null, "power": power, "table": table, "speed": speed}
    parser.add_argument("mode", choices=modes)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--repeats", type=int, default=0)
    chosen = parser.parse_args()
    modes[chosen.mode](
        chosen.data, chosen.repeats or {"null": 200, "power": 20, "table": 5, "speed": 1}[chosen.mode]
    )
