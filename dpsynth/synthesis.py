"""plan(), load(), and what a fit does inside its reservation: what a run asks and costs, then the run itself."""

from __future__ import annotations

import itertools
import logging
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from dpsynth import discovering
from dpsynth.budget import Budget, Cost
from dpsynth.constraining import with_maps, with_zeros
from dpsynth.constraint_checks import refuse_contradictions
from dpsynth.domain import Clique, Domain
from dpsynth.encoding import Encoding
from dpsynth.errors import BudgetError, CapacityError, SchemaError, UsageError
from dpsynth.mechanisms import MAX_CELLS, METHODS, Fit, Mechanism, Task, method_for
from dpsynth.model import FittedModel
from dpsynth.model.rehearsal import rehearse, told
from dpsynth.model.ruling import require_makeable
from dpsynth.pgm.zeros import Estimation
from dpsynth.prior import Prior, from_prior
from dpsynth.privacy.accounting import Certificate, calibrate, certify
from dpsynth.privacy.curator import Curator
from dpsynth.privacy.discovery import Search
from dpsynth.privacy.events import Charge, Event
from dpsynth.privacy.intake import Intake
from dpsynth.privacy.ledger import Ledger, Run, Unit
from dpsynth.privacy.persons import PURPOSE, Shared
from dpsynth.progress import Progress, silent
from dpsynth.schema import Schema
from dpsynth.table import Table
from dpsynth.unit_names import UnitNames
from dpsynth.workload import Workload

LOG = logging.getLogger(__name__)

COUNT_CELLS = 30_000_000
"""Limit for the cells of all tables that a mechanism may have to count at once."""
CELL_BYTES = 32
"""About what a cell needs: exact and noisy counts, an estimate, a potential."""


@dataclass(frozen=True)
class Plan:
    """A run, fixed before the first row is read: what will be asked, with how much noise, at which price.

    `cost` is the method's own; what the searches for values and bounds cost comes before it, and `sizes`, for how many
    rows units have, after it. `task` has room for the most
    that they can find.
    """

    method: str
    task: Task
    unit: Unit
    budget: Budget
    cost: Cost
    charges: tuple[Charge, ...]
    certificate: Certificate
    count_cells: float = COUNT_CELLS
    searches: tuple[Search, ...] = ()
    sizes: Cost | None = None
    doubts: tuple[str, ...] = ()
    """In words, what may leave the model without rows, though it need not."""

    def tell(self) -> None:
        """Log the doubts, before anything is charged."""
        for doubt in told(self.doubts):
            LOG.warning("%s", doubt)

    @property
    def domain(self) -> Domain:
        return self.task.domain

    @property
    def mechanism(self) -> Mechanism:
        return method_for(self.method, self.task)

    def noise(self) -> dict[Clique, float]:
        """The noise scale, in rows a cell, of each marginal that is measured whatever the data."""
        return self.mechanism.noise(self.task, self.cost)

    def chosen_noise(self) -> float | None:
        """The noise scale, in rows a cell, of each marginal that the data will choose."""
        return self.mechanism.chosen_noise(self.task, self.cost)

    def memory(self) -> int:
        """About how many bytes the tables of counts need at most, beside the encoded rows."""
        return self.mechanism.cells(self.task) * CELL_BYTES

    def expected_error(self, clique: Clique, rows: int) -> float | None:
        """The part that noise has in the error of a marginal, if it is measured in a table of `rows` rows: the expected
        total variation, half of sqrt(2 / pi) sigma a cell (a bound: the model averages some of it away)."""
        sigma = self.noise().get(clique, self.chosen_noise())
        if sigma is None:
            return None
        return min(1.0, self.domain.size(clique) * sigma * math.sqrt(2 / math.pi) / (2 * rows))


def plan(
    schema: Schema,
    *,
    method: str,
    epsilon: float,
    delta: float | None = None,
    ledger: Ledger | None = None,
    workload: Workload | None = None,
    max_cells: float = MAX_CELLS,
    count_cells: float = COUNT_CELLS,
    also: Sequence[Charge] = (),
) -> Plan:
    """The largest run of `method` that keeps (epsilon, delta) and fits the ledger. Reads nothing, costs nothing.

    `delta` defaults to the ledger's. `workload`: what the rows are for. `max_cells` limits a model that grows
    with what the data shows, `count_cells` all tables that may have to be counted at once. `also`: charges of the same
    run that come after the method's and are paid out of the same epsilon.

    Raises UsageError for an unknown method, SchemaError for a schema that cannot be modelled, CapacityError for one
    too large to be counted, BudgetError for a promise that no run can keep or the ledger cannot hold.
    """
    if method not in METHODS:
        raise UsageError("U130", f"there is no method {method!r}", f"choose one of {', '.join(METHODS)}")
    budget = Budget(epsilon, _delta(delta, ledger))
    require_makeable(schema)
    unit = unit_of(schema)
    refuse_contradictions(schema)
    doubts = rehearse(schema)
    task = task_of(schema, workload or Workload(), max_cells)
    mechanism = method_for(method, task)
    _check_size(mechanism, task, count_cells)

    def charges_of(cost: Cost) -> tuple[Charge, ...]:
        first = [search.charge for search in discovering.searches(schema, budget, cost)]
        shared = Shared.of(discovering.rest(schema, cost), schema.several_rows)
        return (*first, *mechanism.plan(task, shared.method), *shared.charges(), *also)

    def events(cost: Cost) -> list[Event]:
        return [charge.event for charge in charges_of(cost)]

    whole = calibrate(events, budget)
    charges, certificate = charges_of(whole), certify(events(whole), budget.delta)
    asked = discovering.searches(schema, budget, whole)
    own = Shared.of(discovering.rest(schema, whole), schema.several_rows)
    return Plan(
        method, task, unit, budget, own.method, charges, certificate, count_cells, asked, own.sizes, doubts
    )


def _check_size(mechanism: Mechanism, task: Task, limit: float) -> None:
    """Before anything is spent: a run that dies for want of memory has spent its budget."""
    domain = task.domain
    if not len(domain):
        raise SchemaError(
            "S150", "no column is modelled", "ids and dropped columns make no table: declare another"
        )
    cells = mechanism.cells(task)
    if cells > limit:
        wide = ", ".join(
            f"'{a}' ({domain[a]:,})" for a in sorted(domain.attributes, key=lambda a: -domain[a])[:3]
        )
        side_by_side = sum(domain.sizes)
        square = ", and it holds all pairs of them" if cells > side_by_side**2 / 2 else ""
        raise CapacityError(
            "C110",
            f"{mechanism.name} may have to hold {cells:.3g} cells at once, {cells * CELL_BYTES / 2**30:.3g} GB (limit "
            f"{limit:.3g} cells): the columns have {side_by_side:,} cells together{square}; the widest are {wide}",
            "declare fewer cells or values for them, raise generator: {count_cells: ...}, or take method: independent",
        )


def fit_reserved(
    table: Table,
    preview: Plan,
    run: Run,
    *,
    holdout: float,
    prior: Prior | None = None,
    progress: Progress = silent,
) -> tuple[FittedModel, Intake]:
    """The run itself, inside a reservation, whose block is left (and so committed) when the model is safe.

    Values and bounds are discovered first, and the model's schema knows them. The intake is private: it says which rows
    were held out. ValueError when table, plan and reservation are
    not of one unit: the receipt would promise what was not enforced.
    """
    if unit_of(table.schema) != preview.unit:
        raise ValueError("the table's unit is not the plan's")
    progress("reading", 1.0)
    intake = discovering.bounded(table, unit_keys(table), holdout=holdout)
    table, intake = discovering.discovered(table, intake, run, preview.searches)
    model = fit_behind(intake.curator(run), table.schema, preview, run, prior=prior, progress=progress)
    return model, intake


def fit_behind(
    curator: Curator,
    schema: Schema,
    preview: Plan,
    run: Run,
    *,
    prior: Prior | None = None,
    progress: Progress = silent,
) -> FittedModel:
    """The measuring and fitting, behind the door: `schema` is complete, `run` has been charged for what completed it.

    ValueError when the reservation is not of the plan's unit.
    """
    # What the plan admitted must not be refused once it is paid: twice, for what a tree's messages need.
    progress("measuring", 0.0)
    task = preview.task
    if preview.searches:
        task = task_of(schema, task.workload, task.max_cells)
    estimate = Estimation(task.zeros, 2 * preview.count_cells, progress, ordered=task.in_order)
    begin: Fit = estimate
    if prior is not None:
        task, begin = from_prior(prior, schema, task, estimate)
    found = preview.mechanism.measure(curator, task, preview.cost, begin, progress)
    sizes = None if preview.sizes is None else curator.unit_sizes(preview.sizes, PURPOSE)
    progress("measuring", 1.0)
    receipt = run.receipt()
    if receipt.unit != preview.unit:
        raise ValueError("the reservation's unit is not the plan's: reserve(..., unit=plan.unit)")
    schema = with_maps(schema, found.measurements)
    model = FittedModel.of(schema, found.generator, preview.method, found.measurements, receipt, sizes)
    return model if prior is None else replace(model, prior=prior.note)


def load(path: str | Path) -> FittedModel:
    """A model that was saved; raises VerifyError when its files are not what was written."""
    return FittedModel.load(Path(path))


def task_of(schema: Schema, workload: Workload, max_cells: float) -> Task:
    """What a mechanism is told: public facts of the schema."""
    encoding = Encoding(schema)
    names = encoding.domain.attributes
    task = Task(
        domain=encoding.domain,
        rows_per_unit=unit_of(schema).rows_per_unit,
        workload=workload,
        max_cells=max_cells,
        ordered=frozenset(a for a in names if encoding.is_ordered(a)),
        apart={a: encoding.domain[a] - encoding.ordered_cells(a) for a in names if encoding.is_ordered(a)},
    )
    return with_zeros(task, schema)


def unit_of(schema: Schema) -> Unit:
    """The schema's unit of privacy as the ledger writes it."""
    return Unit(schema.unit.entity, schema.unit.column, schema.unit.rows_per_unit)


def unit_keys(table: Table, nameless: Iterator[int] | None = None) -> UnitNames | None:
    """Each row's unit as bytes; None when a row is a unit. `nameless`: where the numbers below come from, when the table
    is one of several parts.

    A row without an id is a unit that has no name: its key is a number, behind a byte that no name begins with.
    Raises ValueError for a table that was read without the column of its units.
    """
    if table.schema.unit.column is None:
        return None
    if table.units is None or table.unit_labels is None:
        raise ValueError("the table lacks the column of its unit")
    nameless = itertools.count() if nameless is None else nameless
    one, nothing = (pa.scalar(text, pa.large_string()) for text in ("\x01", ""))
    texts = pa.array(table.unit_labels, pa.large_string())
    names = pc.binary_join_element_wise(one, texts, nothing).cast(pa.large_binary())
    if texts.null_count:
        gone = texts.is_null().to_pylist()
        own = pa.array([b"\x00%d" % next(nameless) if one else None for one in gone], pa.large_binary())
        names = pc.coalesce(names, own)
    return UnitNames.coded(names, table.units)


def _delta(delta: float | None, ledger: Ledger | None) -> float:
    if delta is not None:
        return delta
    if ledger is None:
        raise BudgetError(
            "B401", "no delta was given", "state one well below 1 / (number of units), such as 1e-9"
        )
    return ledger.promise.delta
