"""A run without a ledger behind it: it accepts exactly the planned charges, opens grants, and writes all of it down."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

import numpy as np

from dpsynth.budget import Budget, Cost
from dpsynth.engines.memory import MemoryEngine
from dpsynth.entropy import Stream
from dpsynth.mechanisms import METHODS, Found, Mixed, Task
from dpsynth.pgm import fit
from dpsynth.privacy.curator import Curator
from dpsynth.privacy.events import Charge, Event
from dpsynth.privacy.ledger import Run, Unit
from dpsynth.privacy.ledger_book import RunRecord
from dpsynth.privacy.ledger_run import Grant
from dpsynth.progress import Progress, silent
from dpsynth.records import Records
from dpsynth.workload import Workload


class FreeRun(Run):
    """As a reserved run, for nothing. `made`: charges of the run; `inner`: charges inside its grants."""

    def __init__(self, plan: Sequence[Charge]) -> None:
        record = RunRecord(0, "", "free", "test", Budget(1.0, 1e-6), Unit("row"), tuple(plan), None)
        super().__init__(record, (), lambda *end: None, _no_receipt)
        self.made: list[Charge] = []
        self.inner: list[Charge] = []
        self.grants: list[Grant] = []

    def charge(self, purpose: str, event: Event) -> None:
        super().charge(purpose, event)
        self.made.append(Charge(purpose, event))

    def grant(self, purpose: str) -> Grant:
        found = super().grant(purpose)
        self.made.append(Charge(purpose, found.event))
        self.grants.append(found)
        strict = found.charge

        def told(purpose: str, event: Event) -> None:
            strict(purpose, event)
            self.inner.append(Charge(purpose, event))

        found.charge = told  # type: ignore[method-assign]
        return found


def _no_receipt(seeded: bool) -> NoReturn:
    raise AssertionError("a free run has no receipt")


def measured(
    name: str,
    records: Records,
    cost: Cost,
    *,
    rows_per_unit: int = 1,
    workload: Workload | None = None,
    max_cells: float = 5e6,
    ordered: frozenset[str] = frozenset(),
    seed: bytes = b"mechanisms",
    progress: Progress = silent,
) -> tuple[Found | Mixed, FreeRun]:
    """What a mechanism releases of these records, and the run that it was charged to."""
    task = Task(records.domain, rows_per_unit, workload or Workload(), max_cells, ordered)
    run = FreeRun(METHODS[name].plan(task, cost))
    units = np.arange(len(records)) // rows_per_unit
    curator = Curator(MemoryEngine(records, rows_per_unit, units), run, Stream.for_tests(seed))
    return METHODS[name].measure(curator, task, cost, fit, progress), run
