"""Rows made from a schema alone: no data, no charge, nothing learnt. For testing software before any data may be seen.

Every cell that a value can have is as likely as any other; rules between columns are kept.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from dpsynth.columns import CategoryColumn, Column, IntegerColumn, NumberColumn
from dpsynth.constraints import Rules, structural_zeros
from dpsynth.domain import Clique
from dpsynth.encoding import Encoding
from dpsynth.errors import UsageError
from dpsynth.formulas import Functions
from dpsynth.model.drawing import Drawable
from dpsynth.persons import UnitSizes, size_starts
from dpsynth.pgm import GraphicalModel
from dpsynth.pgm.graphical import plan_for
from dpsynth.schema import Schema

Floats = NDArray[np.float64]

NOTE = "made from the schema, no data"
"""What every file of such rows says of itself."""

ROWS = 1_000_000
"""How many rows there are without a number."""

MISSING = 0.1
"""The share of missing values where values may be missing."""

STAND_INS = 5
"""Values made up for a column whose values are still to be discovered."""

SPAN = 1_000
"""How far numbers reach whose bounds are still to be discovered: from zero, or from where they may come nearest to it."""

MAX_CELLS = 10_000_000
"""Limit for the cells of the model of which combinations may be."""


@dataclass(frozen=True, eq=False)
class SchemaRows(Drawable):
    """What rows are drawn from when there is a schema and nothing else."""

    schema: Schema
    generator: GraphicalModel
    sizes: UnitSizes | None = None
    functions: Functions = field(default_factory=dict)


def from_schema(schema: Schema, missing: float = MISSING) -> SchemaRows:
    """Rows that fit `schema`, its bounds, values, formats and constraints. Reads no data, charges nothing.

    `missing`: the share of missing values in each column that may have them. Values still to be discovered are stood in
    for by made-up ones. Raises UsageError: U237 for a share outside [0, 1), U238 for constraints that no row can meet.
    """
    if not 0 <= missing < 1:
        raise UsageError(
            "U237", f"{missing:g} is no share of missing values", "give a number from 0 to below 1"
        )
    concrete = schema.model_copy(update={"columns": {n: _concrete(c) for n, c in schema.columns.items()}})
    concrete = Schema.from_yaml(concrete.to_yaml())
    tables = _even(Encoding(concrete), missing)
    for clique, forbidden in structural_zeros(Rules.of(concrete), concrete.domain).items():
        rules = np.where(forbidden, -np.inf, 0.0)
        more = {**tables, clique: tables[clique] + rules if clique in tables else rules}
        # rules that would take a larger model are kept by mending rows
        if plan_for(concrete.domain, list(more)).room <= MAX_CELLS:
            tables = more
    try:
        generator = GraphicalModel(concrete.domain, ROWS, tables)
        generator.marginal(concrete.domain.attributes[:1])
    except ValueError:
        raise UsageError(
            "U238", "no row can meet all constraints", "dpsynth check names those that contradict each other"
        ) from None
    return SchemaRows(concrete, generator, _sizes(concrete))


def stand_ins(schema: Schema) -> list[str]:
    """In words, column by column, what stands in for values and bounds that are still to be discovered."""
    found = []
    for name, column in schema.columns.items():
        if isinstance(column, CategoryColumn) and column.discover is not None:
            found.append(f"column '{name}': its values are still to be discovered; made-up ones stand in")
        elif isinstance(column, IntegerColumn | NumberColumn) and column.discover is not None:
            low, high = _span(column)
            bounds = f"numbers from {low:g} to {high:g}"
            found.append(f"column '{name}': its bounds are still to be discovered; {bounds} stand in")
    return found


def _span(column: IntegerColumn | NumberColumn) -> tuple[float, float]:
    """Bounds for numbers without any: what is declared is only how far the search may go."""
    low = min(max(column.min, 0), column.max)
    return (low, min(column.max, low + SPAN)) if low < column.max else (max(column.min, low - SPAN), low)


def _even(encoding: Encoding, missing: float) -> dict[Clique, Floats]:
    """Logarithms of weights, the same for each value's cell."""
    tables: dict[Clique, Floats] = {}
    for attribute in encoding.domain.attributes:
        weights = np.ones(encoding.domain[attribute])
        gone = encoding.missing_cell(attribute)
        if gone is not None:
            weights[gone] = missing / (1 - missing) * (len(weights) - 1)
        with np.errstate(divide="ignore"):
            tables[(attribute,)] = np.log(weights)
    return tables


def _sizes(schema: Schema) -> UnitSizes | None:
    if not schema.several_rows:
        return None
    most = schema.unit.rows_per_unit
    return UnitSizes(most, np.full(len(size_starts(most)), ROWS), 1.0)


def _concrete(column: Column) -> Column:
    """The column with values of its own, where they were to be discovered."""
    match column:
        case CategoryColumn(discover=asked) if asked is not None:
            values = [f"value {i + 1}" for i in range(min(STAND_INS, asked.max_values))]
            if column.written == "integer":
                values = [str(i + 1) for i in range(len(values))]
            listed = (*values, column.other) if column.other is not None else tuple(values)
            return column.model_copy(update={"discover": None, "values": listed, "origin": "public"})
        case IntegerColumn() | NumberColumn() if column.discover is not None:
            low, high = _span(column)
            return column.model_copy(update={"discover": None, "origin": "public", "min": low, "max": high})
        case _:
            return column
