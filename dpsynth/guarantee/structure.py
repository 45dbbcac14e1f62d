"""Structural audits: what no statistic shows, or shows for sure.

* *One door*: a fit whose answers come from another table must give that table's model, bit for bit. Whatever else a fit
  takes from its rows (a row count, a category, a bound, a mean) makes a difference.
* *Secret noise*: two fits alike in everything that a user can seed must differ.
* *Nothing raw*: no object that holds rows, and no raw value, can be reached from a fitted model.
* *Free sampling*: sampling asks no engine anything, charges nothing, and one seed gives one table.
* *Hold-out*: what is counted are the rows of the people who were not held out, at most so many of each.
"""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pandas as pd

from attacks.guarantee.aliasing import reachable
from dpsynth.budget import Budget
from dpsynth.guarantee.findings import Fault, Findings
from dpsynth.guarantee.rehearsing import doors, receipt_of, rehearse, replaced
from dpsynth.guarantee.tables import Tables, people
from dpsynth.model import FittedModel
from dpsynth.privacy.curator import Curator
from dpsynth.privacy.intake import Intake
from dpsynth.privacy.ledger import Run
from dpsynth.privacy.receipt import Receipt
from dpsynth.privacy.rehearsal import scripted
from dpsynth.records import Records
from dpsynth.synthesis import Plan, plan
from dpsynth.table import Table

ROWS = 50
SEED = 20261122
HOLDOUT = 0.3
MARK, MARKED = "zq-marker-zq", 73.91
"""An id and an amount that occur once, to be looked for in the model."""


def audit_structure(method: str, budget: Budget, tables: Tables | None = None) -> Findings:
    """All structural audits of one method, a few fits."""
    chosen = people(200) if tables is None else tables
    preview = plan(chosen.schema, method=method, epsilon=budget.epsilon, delta=budget.delta)
    receipt = receipt_of(preview)
    model, kept = rehearse(_marked(chosen), preview, receipt, schema=chosen.schema)
    faults = [
        *one_door(chosen, preview, receipt),
        *secret_noise(chosen, preview, receipt),
        *nothing_raw(model, kept, method),
        *free_sampling(model, kept, method),
        *hold_out(chosen, preview, receipt),
    ]
    return Findings(f"structure: {method}", faults=tuple(faults))


def one_door(tables: Tables, preview: Plan, receipt: Receipt) -> list[Fault]:
    """The same exact answers for two tables that differ in every awkward unit at once: is the model the same?"""
    answers = tables.alone.engine

    def door(own: Intake, run: Run) -> Curator:
        return Curator(answers, run, scripted())

    everybody = pd.concat([tables.base, *(each.rows for each in tables.neighbours)], ignore_index=True)
    with doors(door):
        one, other = (
            rehearse(frame, preview, receipt, schema=tables.schema)[0] for frame in (tables.base, everybody)
        )
    found = []
    if one.id != other.id:
        found.append(
            _fault("one door", preview.method, "the model depends on rows beyond the curator's answers")
        )
    if one.default_rows() != other.default_rows():
        found.append(_fault("one door", preview.method, "the number of rows does not come from an answer"))
    if not _sample(one).equals(_sample(other)):
        found.append(
            _fault("one door", preview.method, "the sample depends on rows beyond the curator's answers")
        )
    return found


def secret_noise(tables: Tables, preview: Plan, receipt: Receipt) -> list[Fault]:
    """Two fits under the same seeds of every generator that a user can reach."""
    fits = []
    for _ in range(2):
        random.seed(SEED)
        with _numpy_seeded():
            fits.append(rehearse(tables.base, preview, receipt, schema=tables.schema)[0])
    same = [
        np.array_equal(a.values, b.values)
        for a, b in zip(fits[0].measurements, fits[1].measurements, strict=False)
        if a.values.size > 1
    ]
    if same and any(same):
        return [_fault("secret noise", preview.method, "two fits under one seed drew the same noise")]
    return []


class _numpy_seeded:
    """numpy's global generator, seeded inside the block and put back after it."""

    def __enter__(self) -> None:
        self._state = np.random.get_state()  # noqa: NPY002
        np.random.seed(SEED)  # noqa: NPY002

    def __exit__(self, *error: object) -> None:
        np.random.set_state(self._state)  # noqa: NPY002


def nothing_raw(model: FittedModel, kept: Intake, method: str) -> list[Fault]:
    """Everything that can be reached from a model: no rows, no door to them, no raw value."""
    private = (Table, Records, Intake, Curator, Run, pd.DataFrame, type(kept.engine))
    found = []
    for thing in reachable(model):
        if isinstance(thing, private):
            found.append(_fault("nothing raw", method, f"the model holds a {type(thing).__name__}"))
        elif isinstance(thing, str) and MARK in thing:
            found.append(_fault("nothing raw", method, "the model holds an id of the private table"))
        elif _holds_mark(thing):
            found.append(_fault("nothing raw", method, "the model holds a value of the private table"))
    return list(dict.fromkeys(found))


def _holds_mark(thing: Any) -> bool:
    if isinstance(thing, np.ndarray):
        return thing.dtype.kind == "f" and bool(np.any(thing == MARKED))
    return isinstance(thing, float) and thing == MARKED


def free_sampling(model: FittedModel, kept: Intake, method: str) -> list[Fault]:
    """Samples ask nobody, and a seed gives one table."""
    asked: list[str] = []
    engine = type(kept.engine)
    honest = engine.marginals

    def counting(own: Any, cliques: Any) -> Any:
        asked.append("count")
        return honest(own, cliques)

    with replaced(engine, "marginals", counting):
        one, other = _sample(model), _sample(model)
    found = []
    if asked:
        found.append(_fault("free sampling", method, "sampling counted private rows"))
    if not one.equals(other):
        found.append(_fault("free sampling", method, "one seed gives two tables: something else is drawn on"))
    return found


def hold_out(tables: Tables, preview: Plan, receipt: Receipt) -> list[Fault]:
    """Exact answers of a fit with a hold-out, against the rows of the people who were not held out."""

    def door(own: Intake, run: Run) -> Curator:
        return Curator(own.engine, run, scripted(), planned=own.planned)

    with doors(door):
        model, kept = rehearse(tables.base, preview, receipt, schema=tables.schema, holdout=HOLDOUT)
    person = tables.base[tables.schema.unit.column].to_numpy()
    held, trained = person[kept.holdout], person[kept.training]
    found = []
    if set(held) & set(trained):
        found.append(_fault("hold-out", preview.method, "somebody is held out and trained on"))
    if not len(held):
        found.append(_fault("hold-out", preview.method, "nobody was held out"))
    expected = int((~np.isin(person, held)).sum())  # nobody of the made-up table has more rows than may be
    singles = [m for m in model.measurements if len(m.clique) == 1 and not m.merges]
    if any(m.total != expected for m in singles):
        found.append(
            _fault("hold-out", preview.method, "other rows were counted than those of people not held out")
        )
    return found


def _marked(tables: Tables) -> pd.DataFrame:
    frame = tables.base.copy()
    frame.loc[0, tables.schema.unit.column] = MARK
    frame.loc[0, "cost"] = MARKED
    return frame


def _sample(model: FittedModel) -> pd.DataFrame:
    return model.sample(ROWS, np.random.default_rng(SEED))


def _fault(check: str, about: str, words: str) -> Fault:
    return Fault(check, about, words)
