"""A small private table and its project file, as text and as a frame. A module of its own: `conftest` is the name
of several."""

from __future__ import annotations

import numpy as np
import pandas as pd

SECRET = "zq9"
"""Part of every person's id in the small table: it must never be quoted."""

PROJECT = """\
version: 1
data: {path: claims.csv, unit: {entity: person, column: person, rows_per_unit: 2}, missing_values: ['']}
budget: {epsilon: 2.0, delta: 1.0e-6, ledger: claims.ledger, dataset: claims, promise: {epsilon: 4.0, delta: 1.0e-6}}
columns:
  person: {type: id, format: "P-######"}
  age: {type: integer, min: 0, max: 99, cells: 10}
  plan: {type: category, values: [A, B, C], missing: true}
  smoker: {type: boolean, true_value: 'yes', false_value: 'no'}
  cost: {type: number, min: 0, max: 1000, cells: 8, decimals: 2}
generator: {method: mst, workload: {target: smoker}}
audit: {holdout: 0.3}
release:
  purpose: testing
  recipient: nobody
  lawful_basis: made-up rows
  prohibited_uses: [any]
  contact: the tests
  approver: the tests
  review_date: 2031-01-31
  bounds_decided_by: the tests
"""


def small_table(people: int = 600, seed: int = 3) -> pd.DataFrame:
    """Up to three rows a person; plan depends on age, smoking on plan, cost on both."""
    rng = np.random.default_rng(seed)
    person = np.repeat(np.arange(people), rng.integers(1, 4, people))
    n = len(person)
    age = np.clip(rng.normal(45, 18, people)[person], 0, 99).astype(int)
    plan = np.where(
        rng.random(n) < 0.05, "", np.where(age > 60, "C", np.where(rng.random(n) < 0.5, "A", "B"))
    )
    smoker = np.where(rng.random(n) < np.where(plan == "B", 0.6, 0.15), "yes", "no")
    cost = np.round(np.clip(rng.gamma(2, 60, n) + 300 * (smoker == "yes"), 0, 1000), 2)
    ids = [f"{SECRET}-{p}" for p in person]
    return pd.DataFrame({"person": ids, "age": age, "plan": plan, "smoker": smoker, "cost": cost})
