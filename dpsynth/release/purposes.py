"""Whether the charges of a bundle are called what they are: against what the method plans, made again from public facts.

A charge's event is priced, and its purpose is only a word. But which purposes a method charges, in which order and for which
kinds of events, follows from its name, the schema and what the rows were for; all but the last are in the bundle. So the
plan is made again for every column that may have been the declared target. How much noise each of them has follows from
how the budget was split, and is not compared: it is in the event, and so in the price.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from itertools import takewhile
from typing import Any

from dpsynth.budget import Cost
from dpsynth.constraints_declared import MAPS
from dpsynth.discovery import BOUNDS, VALUES
from dpsynth.errors import DPSynthError, VerifyError
from dpsynth.mechanisms import MAX_CELLS, METHODS
from dpsynth.privacy import figures, persons
from dpsynth.privacy.events import flatten, from_json
from dpsynth.schema import Schema
from dpsynth.synthesis import task_of
from dpsynth.workload import Workload

Kinds = tuple[str, tuple[tuple[str, int], ...]]
"""A purpose with how many events of which kinds its charge has."""

SEARCHES = (VALUES, BOUNDS)
_SEARCHED = ("partition_selection", 1)
_COUNTED = ("discrete_gaussian", 1)
COST = Cost(0.5)
"""Of the plan that is made again: which charges there are does not depend on it."""


def check_purposes(stated: Mapping[str, Any], schema: Schema, same_build: bool) -> str:
    """What remains to be said of the charges' purposes; nothing where they are those of a plan of this method.

    Raises VerifyError (V145) where a bundle of this build has a purpose that its method does not charge, or not for such
    an event. Another build may have other plans: its purposes are only told.
    """
    found = [_kinds(charge["purpose"], from_json(charge["event"])) for charge in stated["charges"]]
    searched = list(takewhile(lambda one: one[0] in SEARCHES and one[1] == (_SEARCHED,), found))
    rest = found[len(searched) :]
    told = Counter(p for p, _ in searched) == Counter(p for p in schema.paid_for if p != MAPS)
    method, targets = stated["model"]["method"], (None, *schema.modelled)
    known: set[tuple[str, frozenset[str]]] = set()
    for target in targets:
        planned = _planned(schema, method, target)
        if planned is None:
            break
        if rest in (planned, [*planned, _published(schema)]) and told:
            return ""
        known |= {_loosely(one) for one in [*planned, _published(schema), *searched]}
    strange = [one[0] for one in found if _loosely(one) not in known]
    if strange and same_build and known:
        raise VerifyError(
            "V145",
            f"privacy.json: {method} charges nothing called {strange[0][:60]!r} for such an event",
            "do not rely on what the charges are called; their price was checked",
        )
    if strange:
        return f"this build knows no charge of {method} that is called {strange[0][:60]!r}"
    return f"the charges are of kinds that {method} makes, but their number or order is not that of a plan made again"


def _planned(schema: Schema, method: str, target: str | None) -> list[Kinds] | None:
    """What a run asks after its searches; None for a method that this build does not know or cannot plan."""
    if method not in METHODS:
        return None
    try:
        task = task_of(schema, Workload(target=target), MAX_CELLS)
        own = METHODS[method].plan(task, COST)
    except (DPSynthError, ValueError, LookupError):
        return None
    maps = len(schema.learnt_rules)
    told: list[Kinds] = [(MAPS, (("discrete_gaussian", maps),))] if maps else []
    sizes: list[Kinds] = [(persons.PURPOSE, (_COUNTED,))] if schema.several_rows else []
    return [*told, *(_kinds(charge.purpose, charge.event) for charge in own), *sizes]


def _published(schema: Schema) -> Kinds:
    return figures.PURPOSE, (("discrete_gaussian", len(schema.modelled)),)


def _kinds(purpose: str, event: Any) -> Kinds:
    counted: dict[str, int] = {}
    for part in flatten([event]):
        counted[part.kind] = counted.get(part.kind, 0) + int(getattr(part, "count", 1))
    return purpose, tuple(sorted(counted.items()))


def _loosely(one: Kinds) -> tuple[str, frozenset[str]]:
    return one[0], frozenset(kind for kind, _ in one[1])
