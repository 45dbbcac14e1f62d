"""From sampled cells to finished rows: every step, in the one order that they have.

Values are drawn inside their cells, drawn again where a condition cuts a cell, moved where a constraint needs it; then come
columns that follow rules. All of it is computed from released facts and costs nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache, cached_property, partial
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from dpsynth.constraints import Repair, Rules
from dpsynth.constraints.repair import Hopeless
from dpsynth.constraints.sequences import Sequences
from dpsynth.encoding import Encoding
from dpsynth.errors import DataError
from dpsynth.evidence import Evidence
from dpsynth.formulas import Functions
from dpsynth.model.redrawing import redrawn
from dpsynth.model.ruling import with_ruled
from dpsynth.model.sequencing import Sequenced
from dpsynth.model.totalling import Totalling
from dpsynth.model.units import Drawn, with_units
from dpsynth.records import Records
from dpsynth.table import Table

Likely = Callable[[str], NDArray[np.float64]]


@dataclass(frozen=True, eq=False)
class Finishing:
    """What turns the records of one sample into rows. `evidence`: what the rows were asked to be, if anything; `likely`:
    how likely the model finds each cell of an attribute (without it all are alike); `fixed`: columns whose values, and
    `placed`: columns whose cells no constraint may alter; `sums`: totals that the rows of this sample have;
    `sequenced`: how the rows of a unit follow each other; `functions`: those that formulas call by name.
    """

    encoding: Encoding
    evidence: Evidence | None = None
    likely: Likely | None = None
    fixed: frozenset[str] = frozenset()
    placed: frozenset[str] = frozenset()
    sums: Totalling | None = None
    sequenced: Sequenced | None = None
    functions: Functions = field(default_factory=dict)

    def of_units(self, drawn: Drawn, rng: np.random.Generator) -> Table:
        """The rows of whole units: the unit's id stands in each of them, static columns have one value. Units that cannot
        keep the rules are drawn again. Raises DataError (D210) where hardly any unit can."""
        table, lost = self.tried(drawn, rng)
        if lost:
            table = redrawn(table, drawn, lost, self.tried, rng)
            self._require_kept_in_units(table)
        return table

    def tried(self, drawn: Drawn, rng: np.random.Generator) -> tuple[Table, tuple[Hopeless, ...]]:
        """The same rows, with those that cannot be made to keep the rules: they break them still."""
        kept = None
        if self.sequenced is not None:
            kept = partial(self.sequenced.placed, unit=drawn.unit, exact=drawn.exact)
        lost: list[Hopeless] = []
        table = self.rows(drawn.records, rng, drawn.first_row + 1, drawn.unit, kept, lost=lost)
        if not lost and self.sequenced is not None:
            require_in_order(table, self.sequenced.rules)
        return table, tuple(lost)

    def _require_kept_in_units(self, table: Table) -> None:
        if self._repair is not None:
            require_kept(table, self._repair.rules)
        if self.sequenced is not None:
            require_in_order(table, self.sequenced.rules)

    def rows(
        self,
        records: Records,
        rng: np.random.Generator,
        first_id: int = 1,
        unit: NDArray[np.int64] | None = None,
        kept: Callable[[Table], Table] | None = None,
        given: Mapping[str, NDArray[np.bool_]] = MappingProxyType({}),
        lost: list[Hopeless] | None = None,
    ) -> Table:
        """A row for each record, in its order; ids count from `first_id`. `unit`: each row's unit, as for `decode`; `kept`
        puts values in their place that are given; `given`: for some columns the rows in which no constraint alters them.
        Raises DataError (D210) for rows that no constraint lets be; with `lost`, these are added to it instead."""

        def mended(repair: Repair | None, table: Table) -> Table:
            if repair is None:
                return table
            redraw = lambda rows: self._again(records.take(rows), rng)  # noqa: E731
            if lost is None:
                return repair.mended(table, redraw, rng)
            found, hopeless = repair.tried(table, redraw, rng)
            lost.extend(hopeless)
            return found

        table = self.encoding.decode(records, rng, first_id, unit)
        if self.evidence is not None:
            table = self.evidence.refined(table, records, rng)
        if unit is not None:
            table = with_units(mended(self._of_units, table), unit)
            table = mended(self._before_exchange, table)
        if kept is not None:
            table = kept(table)
        repair = self._repair if unit is None else self._repair_within_units
        if repair is not None:
            table = mended(replace(repair, kept=given), table)
        if self.sums is not None:
            table = self._settled(self.sums, table, records, rng)
        if repair is not None and not lost:
            require_kept(table, repair.rules)
        return with_ruled(table, rng, unit, self.functions)

    def _settled(self, sums: Totalling, table: Table, records: Records, rng: np.random.Generator) -> Table:
        """With its share of declared sums, where no rule is broken."""
        repair = self._repair
        rules = Rules((), {}) if repair is None else repair.rules

        def mend(wrong: Table, name: str) -> Table:
            if repair is None:
                return wrong
            kept = replace(repair, fixed=self.fixed | {name})
            return kept.mended(wrong, lambda rows: self._again(records.take(rows), rng), rng)

        return sums.settled(table, rules, mend, rng)

    def _again(self, records: Records, rng: np.random.Generator) -> Table:
        """Other values in the same cells. Ids are not asked for, and there may be more rows than a unit's id has digits."""
        table = self.encoding.decode(records, rng, 1, np.zeros(len(records), dtype=np.int64))
        return table if self.evidence is None else self.evidence.refined(table, records, rng)

    @cached_property
    def _of_units(self) -> Repair | None:
        """Rules about none but static columns are kept before these get one value for all rows of a unit."""
        rules = Rules.of(self.encoding.schema).only_about(self.encoding.schema.unit.static)
        guards = {} if self.evidence is None else self.evidence.allowed
        return Repair(rules, self._likely, guards, self.fixed, self.placed) if rules else None

    @cached_property
    def _before_exchange(self) -> Repair | None:
        """Rules that an exchange of values within a unit cannot break are kept before it."""
        if self.sequenced is None or self._repair is None:
            return None
        rules = self.sequenced.rules.exchangeable(self._repair.rules)
        return (
            replace(self._repair, rules=rules, fixed=self.fixed | {*self.encoding.schema.unit.static})
            if rules
            else None
        )

    @cached_property
    def _likely(self) -> Likely:
        even = cache(lambda name: np.ones(self.encoding.domain[name]))
        return even if self.likely is None else cache(self.likely)

    @cached_property
    def _repair(self) -> Repair | None:
        rules = Rules.of(self.encoding.schema)
        guards = {} if self.evidence is None else self.evidence.allowed
        return Repair(rules, self._likely, guards, self.fixed, self.placed) if rules else None

    @cached_property
    def _repair_within_units(self) -> Repair | None:
        """What is the unit's stays as it is in each of its rows."""
        unit = self.encoding.schema.unit
        fixed = self.fixed | {*unit.static, *([] if unit.order is None else [unit.order])}
        fixed |= frozenset() if self.sequenced is None else self.sequenced.rules.columns
        return None if self._repair is None else replace(self._repair, fixed=fixed)


def require_in_order(table: Table, rules: Sequences) -> None:
    """Raises DataError (D211) for synthetic rows of units that break a rule about how they follow each other."""
    for number, rows in rules.broken(table).items():
        words = table.schema.constraints[number - 1].words
        raise DataError(
            "D211",
            f"{len(rows)} synthetic rows break constraint {number} ({words})",
            "the rows were altered, or this is a fault of ours: draw them again",
        )


def require_kept(table: Table, rules: Rules | None = None) -> None:
    """Raises DataError (D211) for synthetic rows that break a rule of their schema: the last look, at what is written."""
    found = (Rules.of(table.schema) if rules is None else rules).broken(table)
    for number, rows in found.items():
        raise DataError(
            "D211",
            f"{len(rows)} synthetic rows break constraint {number} ({table.schema.constraints[number - 1].words})",
            "the rows were altered, or this is a fault of ours: draw them again",
        )
