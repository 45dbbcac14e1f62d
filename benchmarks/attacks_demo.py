"""The bundled table: how often the default attacks call a leak, when there is one and when there is none.

    python -m benchmarks.attacks_demo --fits 100 [--epsilon 1] [--method mst]

"members": fitted and held out as `dpsynth demo` does. "other people": fitted on one half of the people, attacked
with the other half as members and held-out, of whom the model knows nothing: there every alarm is false.
"""

from __future__ import annotations

import argparse
from dataclasses import replace

import numpy as np

from attacks import AttackResult, Claim, Game, stats
from attacks.asked import default_attacks
from attacks.prepare import Files, prepare
from attacks.suite import examine
from dpsynth import demo_data
from dpsynth.auditing import Private
from dpsynth.model import FittedModel
from dpsynth.privacy.intake import Intake
from dpsynth.privacy.ledger import Ledger
from dpsynth.synthesis import fit_reserved, plan
from dpsynth.table import Table, read_table

DELTA, HOLDOUT = 1e-8, 0.2


def fitted(table: Table, method: str, epsilon: float, holdout: float) -> tuple[FittedModel, Intake]:
    preview = plan(table.schema, method=method, epsilon=epsilon, delta=DELTA)
    account = Ledger.in_memory(preview.budget, preview.unit)
    with account.reserve("benchmark", preview.charges, preview.budget, unit=preview.unit) as run:
        return fit_reserved(table, preview, run, holdout=holdout)


def attacked(
    model: FittedModel, private: Private, rows: int, epsilon: float, rng: np.random.Generator
) -> tuple[AttackResult, ...]:
    """The default attacks, without controls."""
    synthetic = model.sample_table(rows, rng)
    cliques = tuple(m.clique for m in model.measurements)
    prepared = prepare(Files(synthetic, private.training, private.holdout), model.schema, cliques, rng)
    if prepared.view is None:
        raise SystemExit(prepared.problem)
    view = replace(prepared.view, prior=1.0 - HOLDOUT)
    game = Game(view, prepared.member, Claim(epsilon, DELTA), True, HOLDOUT)
    return examine(game, default_attacks(view), 1999, rng, lambda step, done: None)


def members(table: Table, method: str, epsilon: float, rng: np.random.Generator) -> tuple[AttackResult, ...]:
    model, intake = fitted(table, method, epsilon, HOLDOUT)
    rows = round(model.generator.total / (1.0 - HOLDOUT))
    return attacked(model, Private.of(table, intake), rows, epsilon, rng)


def other_people(
    table: Table, method: str, epsilon: float, rng: np.random.Generator
) -> tuple[AttackResult, ...]:
    units = np.asarray(table.units)
    people = int(units.max()) + 1
    known, held = rng.random(people) < 0.5, rng.random(people) < HOLDOUT
    model, _ = fitted(table.take(np.flatnonzero(known[units])), method, epsilon, 0.0)
    private = Private(
        table.take(np.flatnonzero(~known[units] & ~held[units])),
        table.take(np.flatnonzero(~known[units] & held[units])),
    )
    return attacked(model, private, round(model.generator.total), epsilon, rng)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--fits", type=int, default=100)
    parser.add_argument("--epsilon", type=float, default=1.0)
    parser.add_argument("--method", default="mst")
    chosen = parser.parse_args()
    with demo_data.project() as project:
        table = read_table(project.data_path, project.schema)
    for kind, run in (("members", members), ("other people", other_people)):
        called, areas = 0, []
        for seed in range(chosen.fits):
            found = run(table, chosen.method, chosen.epsilon, np.random.default_rng(seed))
            called += min(result.adjusted_p for result in found) <= 0.05
            areas.append(next(result.auc.value for result in found if result.name == "marginal ratio"))
        rate = stats.clopper_pearson(called, chosen.fits)
        spread = np.std(areas) / np.sqrt(len(areas))
        print(
            f"{kind}: leak called in {rate}; marginal ratio, mean AUC {np.mean(areas):.4f} +- {spread:.4f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
