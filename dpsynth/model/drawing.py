"""Rows from a distribution over a schema's cells: any number, under conditions, in groups, or completed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, ClassVar, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dpsynth.conditions import parse
from dpsynth.constraints.totals import Totals
from dpsynth.domain import Domain
from dpsynth.encoding import Encoding
from dpsynth.errors import CapacityError, UsageError
from dpsynth.evidence import Evidence
from dpsynth.formulas import Functions
from dpsynth.model.finishing import Finishing
from dpsynth.model.groups import LEAST_EXPECTED, Balance, Groups
from dpsynth.model.partial import DECODED, Partial
from dpsynth.model.ruling import require_functions
from dpsynth.model.thinning import thinned_batches
from dpsynth.model.totalling import Totalling, kinds_of
from dpsynth.model.units import Units
from dpsynth.persons import UnitSizes
from dpsynth.records import Records
from dpsynth.records import joined as joined_records
from dpsynth.schema import Schema
from dpsynth.table import Source, Table, joined

MAX_VALUES = 500_000_000
"""Limit for the values (rows times columns) of one sample."""


class Generator(Protocol):
    """A distribution over encoded records, as a file can hold it."""

    kind: ClassVar[str]

    @property
    def domain(self) -> Domain: ...

    @property
    def total(self) -> float:
        """Released number of records."""
        ...

    def sample(self, n: int, rng: np.random.Generator) -> Records: ...

    def sample_batches(self, n: int, rng: np.random.Generator) -> Iterator[Records]:
        """The same records in batches of a size of its own, at least one."""
        ...

    def marginal(self, clique: tuple[str, ...]) -> NDArray[np.float64]:
        """Expected counts of a clique's cells."""
        ...

    def conditioned(self, weights: Mapping[str, NDArray[np.float64]]) -> Generator:
        """Given evidence: the share of each cell, shape (cells,), that may be. ValueError when no record may."""
        ...

    def state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]: ...


class Drawable:
    """What rows are drawn from: a schema, a distribution over its cells, and how many rows units have (`sizes` None: each
    row stands for itself)."""

    schema: Schema
    generator: Generator
    sizes: UnitSizes | None
    functions: Functions

    @property
    def domain(self) -> Domain:
        return self.generator.domain

    def default_rows(self) -> int:
        """Of the table that declared totals are about, or the released number of records, rounded: never the number of rows
        that were read."""
        return Totals.of(self.schema).size or self.whole_rows(round(self.generator.total))

    def whole_rows(self, rows: int) -> int:
        """The number of rows nearest to `rows`, 1 at least, that whole units make, where a rule says how many one has."""
        rows = max(1, rows)
        if self.sizes is None:
            return rows
        return Units.of(self.schema, self.sizes, self.generator, self.generator, None).whole(rows)

    def sample_records(self, n: int | None, rng: np.random.Generator) -> Records:
        """`n` encoded records (`default_rows()` without a number)."""
        rows = self.default_rows() if n is None else _row_number(n)
        require_rows(rows, len(self.domain))
        return joined_records(list(thinned_batches(self.generator, rows, rng)))

    def sample_batches(
        self,
        n: int | None = None,
        rng: np.random.Generator | None = None,
        where: str | None = None,
        balance: Balance | None = None,
        rows_each: int | None = None,
        units: int | None = None,
    ) -> Iterator[Table]:
        """The rows of `sample` in batches of up to `DECODED`, made as they are asked for: any number of rows.

        `where` is a condition as `dpsynth.conditions` reads it; all rows meet it, and have the model's distribution
        given that. Then `n` defaults to the number of such rows that the model expects. `balance` fixes how many rows
        each value of a column, or each combination of several, gets (see `model.groups.Balance`); `rows_each` rows
        each, instead of `n` in all. Everything else is drawn from the model given the group, exactly. Other samples are
        thinned from more candidates, so that they stray less from the model (see `model.thinning`).

        Declared totals of the table hold for rows without `where` and `balance`: exactly for as many rows as they are
        about (the default then), in proportion for others.

        Where units have several rows, those of a unit come in one batch, and `units` of them may be asked for instead
        of `n` rows (U258 for both, U259 where every row stands for itself, as it does under `balance`).

        Raises UsageError: U191 to U195 for a condition that cannot be used, U153 when the model has next to no such
        rows; U231 to U236 for groups that cannot be formed or that the model has next to no rows of.
        """
        encoding = Encoding(self.schema)
        evidence = None if where is None else Evidence.of(parse(where), encoding)
        generator = self.generator if evidence is None else _given(self.generator, evidence)
        groups = None if balance is None else Groups.of(balance, encoding, evidence)
        if rows_each is not None:
            if n is not None or groups is None:
                raise UsageError(
                    "U236", "rows for each group, but no groups, or also n", "give balance, not n"
                )
            groups, n = groups.equally(), _row_number(rows_each) * len(groups)
        source = np.random.default_rng() if rng is None else rng
        placed = frozenset(() if groups is None else groups.columns)
        finishing = self.finishing(evidence, generator, placed=placed)
        if self.sizes is not None and groups is None:
            people = Units.of(self.schema, self.sizes, self.generator, generator, evidence)
            counts = people.counts(*(None if k is None else _row_number(k) for k in (n, units)))
            encoding.require_ids(counts.rows, counts.units)
            if people.rules:
                finishing = replace(finishing, sequenced=people.sequenced)
            return (finishing.of_units(drawn, source) for drawn in people.batches(counts, source))
        if units is not None:
            raise _no_units(self.schema, balanced=groups is not None)
        if evidence is None and groups is None and (totals := Totals.of(self.schema)):
            return self._with_totals(totals, totals.size if n is None else _row_number(n), source)
        rows = _row_number(max(1, round(generator.total)) if n is None else n)
        encoding.require_ids(rows)
        if groups is None:
            return decoded(finishing, thinned_batches(generator, rows, source), source)
        groups.require_mass(generator, encoding)
        return decoded(finishing, groups.records(generator, rows, source), source)

    def finishing(self, evidence: Evidence | None, model: Generator, **more: Any) -> Finishing:
        """What turns records of `model`, this one's under the evidence, into rows. UsageError (U266) for functions that no
        program has passed."""
        require_functions(self.schema, self.functions)
        likely = partial(_alone, model)
        return Finishing(Encoding(self.schema), evidence, likely, functions=self.functions, **more)

    def _with_totals(self, totals: Totals, rows: int, rng: np.random.Generator) -> Iterator[Table]:
        """Rows of a whole table: totals hold exactly when it has as many rows as they are about, else in proportion."""
        encoding = Encoding(self.schema)
        encoding.require_ids(rows)
        kinds = kinds_of(totals, self.generator, rng)
        sums = Totalling.of(totals, rows, kinds)
        placed = frozenset(totals.grouping)
        finishing = self.finishing(None, self.generator, placed=placed, sums=sums)
        batches = (
            thinned_batches(self.generator, rows, rng)
            if kinds is None
            else kinds.records(self.generator, rows, rng)
        )
        return sums.watched(decoded(finishing, batches, rng))

    def sample_table(
        self,
        n: int | None = None,
        rng: np.random.Generator | None = None,
        where: str | None = None,
        balance: Balance | None = None,
        rows_each: int | None = None,
        units: int | None = None,
    ) -> Table:
        """As `sample`, with the schema."""
        for number in (n, rows_each, units):
            if number is not None:
                require_rows(_row_number(number), len(self.domain))
        return joined(list(self.sample_batches(n, rng, where, balance, rows_each, units)))

    def sample(
        self,
        n: int | None = None,
        rng: np.random.Generator | None = None,
        where: str | None = None,
        balance: Balance | None = None,
        rows_each: int | None = None,
        units: int | None = None,
    ) -> pd.DataFrame:
        """`n` synthetic rows in the form of the input table; the same `rng` state gives the same rows.

        The other arguments and their errors are those of `sample_batches`.
        """
        return self.sample_table(n, rng, where, balance, rows_each, units).to_frame()

    def complete_batches(
        self, rows: Source, rng: np.random.Generator | None = None, *, fill_missing: bool = False
    ) -> Iterator[Table]:
        """The rows of `complete`, in batches, made as they are asked for."""
        encoding = Encoding(self.schema)
        partial = Partial.read(rows, self.schema, fill_missing=fill_missing)
        encoding.require_ids(len(partial))
        source = np.random.default_rng() if rng is None else rng
        given = frozenset(partial.given.values) - partial.filled
        finishing = self.finishing(None, self.generator, fixed=given)
        return partial.completed(self.generator, finishing, source)

    def complete(
        self, rows: Source, rng: np.random.Generator | None = None, *, fill_missing: bool = False
    ) -> pd.DataFrame:
        """Each of these rows, in their order: the columns that they have as they are, the others drawn from the model
        given them, exactly.

        `rows`: a file or frame with some of the schema's columns. `fill_missing`: missing values are drawn too, instead
        of being kept as missing. The result is as private as the rows that were given. Raises DataError (as a table
        that is read; D160 for rows that the model excludes), UsageError (U235) without a modelled column.
        """
        return joined(list(self.complete_batches(rows, rng, fill_missing=fill_missing))).to_frame()


def _alone(model: Generator, attribute: str) -> NDArray[np.float64]:
    return model.marginal((attribute,))


def _no_units(schema: Schema, balanced: bool) -> UsageError:
    if balanced and schema.several_rows:
        return UsageError(
            "U259",
            "balanced rows stand for themselves: there are no units to count",
            "give -n, or no balance",
        )
    return UsageError(
        "U259",
        "a number of units, but every row is a unit by itself in this schema",
        "ask for so many rows (-n); data: {unit: {entity: person, column: id, rows_per_unit: 5}} declares units of "
        "several rows, before a fit",
    )


def _row_number(n: Any) -> int:
    if isinstance(n, bool) or not isinstance(n, int | np.integer) or n < 0:
        raise UsageError("U150", "the number of rows to sample is no whole number of at least 0")
    return int(n)


def _given(generator: Generator, evidence: Evidence) -> Generator:
    try:
        given = generator.conditioned(evidence.weights)
    except ValueError:
        expected = 0.0
    else:
        expected = given.total
    if expected < LEAST_EXPECTED:
        raise UsageError(
            "U153",
            f"the model expects {expected:.1g} rows of this kind among {generator.total:,.0f}",
            "widen the condition: what the model knows of so few is nothing but noise",
        )
    return given


def decoded(
    finishing: Finishing, batches: Iterator[Records], rng: np.random.Generator, first_id: int = 1
) -> Iterator[Table]:
    """Rows for records, in batches of up to `DECODED`; ids count from `first_id`."""
    for batch in batches:
        for start in range(0, max(len(batch), 1), DECODED):
            records = batch.take(slice(start, start + DECODED))
            yield finishing.rows(records, rng, first_id)
            first_id += len(records)


def require_rows(rows: int, columns: int) -> None:
    """CapacityError for a table of so many values that no memory holds it."""
    if rows * columns > MAX_VALUES:
        raise CapacityError(
            "C151",
            f"{rows:.3g} rows of {columns} columns are more than the {MAX_VALUES:.3g} values of one sample",
            "draw fewer rows (a run: generator: {rows: ...}), or several samples",
        )
