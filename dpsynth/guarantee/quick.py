"""All quick audits: seconds for each method, on made-up tables."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from dpsynth.budget import Budget
from dpsynth.guarantee.choices import audit_choices
from dpsynth.guarantee.discoveries import audit_discovery
from dpsynth.guarantee.findings import Findings
from dpsynth.guarantee.gradients import audit_gradients
from dpsynth.guarantee.structure import audit_structure
from dpsynth.guarantee.tables import Tables, people
from dpsynth.guarantee.white_box import audit_method
from dpsynth.progress import Progress, silent

SLOW = frozenset({"network", "gan"})
"""Methods that train: fewer fits each."""


def quick_audits(
    methods: Sequence[str],
    budget: Budget,
    *,
    tables: Tables | None = None,
    light: bool = False,
    progress: Progress = silent,
) -> list[Findings]:
    """The curator's questions once, then each method: white box and structure. `light`: fewer fits, and no training
    method in the structural audits. `tables` replaces the built-in ones in the white box."""
    steps: list[tuple[str, Callable[[], Findings]]] = [
        ("choices", audit_choices),
        ("gradients", audit_gradients),
        ("discovery", audit_discovery),
    ]
    for method in methods:
        steps.append((method, _white(method, budget, tables, light)))
        if not (light and method in SLOW):
            steps.append((method, _structure(method, budget)))
    found = []
    for number, (name, audit) in enumerate(steps):
        progress("auditing the guarantee", number / len(steps))
        del name
        found.append(audit())
    progress("auditing the guarantee", 1.0)
    return found


def _white(method: str, budget: Budget, tables: Tables | None, light: bool) -> Callable[[], Findings]:
    few = 1 if method in SLOW or light else 3
    chosen = people(150 if method in SLOW else 700) if tables is None else tables
    return lambda: audit_method(method, budget, tables=chosen, fits=few)


def _structure(method: str, budget: Budget) -> Callable[[], Findings]:
    return lambda: audit_structure(method, budget)
