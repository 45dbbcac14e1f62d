"""Columns that follow rules, made for sampled rows: constants, draws from declared lists and distributions, made-up names,
formulas over the other columns. None of it knows anything of the data; all randomness is the sample's own.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dpsynth.columns import BooleanColumn, CategoryColumn
from dpsynth.errors import SchemaError, UsageError
from dpsynth.formulas import Functions, Values, evaluated
from dpsynth.ruled import ComputedColumn, ConstantColumn, DrawnColumn, FakerColumn, Ruled, RuledColumn
from dpsynth.schema import Schema
from dpsynth.table import Table

Mask = NDArray[np.bool_]
Filled = tuple[NDArray[Any], Mask]

POOL = 10_000
"""Different made-up values at most in one batch of rows."""

LEAST_MASS = 1e-9
"""What a distribution must have between its bounds."""

_ZERO: dict[str, Any] = {"text": object, "number": np.float64, "integer": np.int64, "boolean": np.uint8}


def require_makeable(schema: Schema) -> None:
    """Everything that can be wrong with a rule and does not depend on rows, before anything is spent. UsageError (U260)
    when Faker is not installed; SchemaError: S180 for what it does not make, S181 for bounds that leave nothing of a
    distribution."""
    rng = np.random.default_rng(0)
    for name, column in schema.columns.items():
        match column:
            case FakerColumn():
                _made_up(name, column, 1, rng)
            case DrawnColumn(values=None):
                _distributed(name, column, 1, rng)


def require_functions(schema: Schema, functions: Functions) -> None:
    """UsageError (U266) for a formula whose function no program has passed."""
    for name, column in schema.columns.items():
        lacking = set(column.passed) - set(functions) if isinstance(column, ComputedColumn) else set()
        if lacking:
            raise UsageError(
                "U266",
                f"column '{name}' needs the function {min(lacking)}, which no program has passed",
                "draw the rows from Python: model.with_functions({name: function}); a project file holds no code",
            )


def with_ruled(
    table: Table,
    rng: np.random.Generator,
    unit: NDArray[np.int64] | None = None,
    functions: Functions = MappingProxyType({}),
) -> Table:
    """`table` with its ruled columns, in the schema's order. `unit`: each row's unit, ascending; what is static has one
    value in a unit. `functions`: those that formulas call by name."""
    schema = table.schema
    if not any(isinstance(column, RuledColumn) for column in schema.columns.values()):
        return table
    values, missing = dict(table.values), dict(table.missing)
    for name, column in schema.columns.items():
        if isinstance(column, ComputedColumn):
            values[name], missing[name] = _computed(
                column, replace(table, values=values, missing=missing), functions
            )
        elif isinstance(column, Ruled):
            if unit is not None and name in schema.unit.static and len(unit):
                first = unit - unit[0]
                array = _drawn(name, column, int(first[-1]) + 1, rng)[first]
            else:
                array = _drawn(name, column, len(table), rng)
            values[name], missing[name] = array, np.zeros(len(table), dtype=bool)
    return replace(table, values=values, missing=missing)


def _drawn(name: str, column: Ruled, rows: int, rng: np.random.Generator) -> NDArray[Any]:
    """Values that depend on no other column, shape (rows,)."""
    match column:
        case ConstantColumn(value=value):
            return np.full(rows, value, dtype=_ZERO[column.kind])
        case FakerColumn():
            return _made_up(name, column, rows, rng)
        case DrawnColumn(values=tuple() as values):
            weights = np.ones(len(values)) if column.weights is None else np.array(column.weights)
            chosen = rng.choice(len(values), rows, p=weights / weights.sum())
            return np.asarray(np.array(values, dtype=object)[chosen])
        case DrawnColumn():
            return _distributed(name, column, rows, rng)
    raise ValueError(f"{column.type} is made in another way")


def _distributed(name: str, column: DrawnColumn, rows: int, rng: np.random.Generator) -> NDArray[Any]:
    """By the inverse of the distribution function between the bounds: no value is drawn in vain."""
    low, high = column.bounds
    if column.distribution == "uniform":
        found = low + (high - low) * rng.random(rows)
    else:
        law, (first, last) = _law(column)
        least, upto = float(law.cdf(first)), float(law.cdf(last))
        if not upto - least > LEAST_MASS:
            raise SchemaError(
                "S181", f"column '{name}': the bounds leave nothing of the distribution", "move min or max"
            )
        found = law.ppf(least + (upto - least) * (1 - rng.random(rows)))
        if column.distribution == "lognormal":
            found = np.exp(np.minimum(found, 700.0))
    found = np.clip(np.round(found, column.decimals), low, high)
    return found.astype(np.int64) if column.kind == "integer" else np.asarray(found, dtype=np.float64)


def _law(column: DrawnColumn) -> tuple[Any, tuple[float, float]]:
    """A law of scipy's, and the ends between which it is drawn: above the first, up to the last."""
    from scipy import stats

    low, high = column.bounds
    mean, deviation = float(column.mean or 0.0), float(column.deviation or 0.0)
    match column.distribution:
        case "poisson":
            return stats.poisson(mean), (math.ceil(low) - 1.0 if low > -np.inf else -1.0, high)
        case "lognormal":
            first, last = (math.log(bound) if bound > 0 else -np.inf for bound in (low, high))
            return stats.norm(mean, deviation), (first, last)
        case _:
            return stats.norm(mean, deviation), (low, high)


def _made_up(name: str, column: FakerColumn, rows: int, rng: np.random.Generator) -> NDArray[Any]:
    """At most `POOL` different texts, on one line each."""
    make = _generator(name, column, int(rng.integers(2**62)))
    try:
        pool = [make() for _ in range(min(rows, POOL))]
    except Exception as problem:  # whatever a provider raises when it lacks an argument or a package
        raise SchemaError(
            "S180", f"column '{name}': Faker cannot make {column.provider}", "name another provider"
        ) from problem
    if not all(isinstance(value, str | int | float) for value in pool):
        raise SchemaError(
            "S180", f"column '{name}': Faker's {column.provider} gives no text", "name another provider"
        )
    texts = np.array([" ".join(str(value).split()) for value in pool], dtype=object)
    return texts if rows <= POOL else np.asarray(texts[rng.integers(0, POOL, rows)])


def _generator(name: str, column: FakerColumn, seed: int) -> Callable[[], Any]:
    try:
        from faker import Faker
    except ImportError:
        raise UsageError(
            "U260", f"column '{name}' needs the Faker package", "pip install 'dpsynth-audit[faker]'"
        ) from None
    try:
        source = Faker(column.locale, use_weighting=False)
    except (AttributeError, ValueError):
        raise SchemaError(
            "S180", f"column '{name}': Faker does not know the locale", "such as en_GB"
        ) from None
    known = [one for one in source.get_providers() if hasattr(type(one), column.provider)]
    if not known:
        raise SchemaError(
            "S180", f"column '{name}': Faker makes no {column.provider}", "such as name or company"
        )
    source.seed_instance(seed)
    make: Callable[[], Any] = getattr(source, column.provider)
    return make


def _computed(column: ComputedColumn, table: Table, functions: Functions) -> Filled:
    known = _Columns(table)
    try:
        found = evaluated(column.parsed, known, len(table), functions)
    except ValueError:
        raise UsageError(
            "U267", "a passed function does not give one number for each row", "let it return an array"
        ) from None
    if column.gives == "text":
        return found.array.astype(object), found.missing
    if column.gives == "number":
        array = found.array if column.decimals is None else np.round(found.array, column.decimals)
        return array.astype(np.float64) + 0.0, found.missing
    gone = found.missing | (np.abs(found.array) > 2**53)
    return np.where(gone, 0, np.rint(found.array)).astype(np.int64), gone


class _Columns(dict[str, Values]):
    """A table's columns as a formula reads them, made when they are asked for."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def __missing__(self, name: str) -> Values:
        column, array = self._table.schema.columns[name], self._table.values[name]
        found = as_values(column, array, self._table.missing[name])
        self[name] = found
        return found


def as_values(column: Any, array: NDArray[Any], missing: Mask) -> Values:
    """Numbers and moments (in their steps: days of a date) as float64, everything else as texts."""
    if isinstance(column, CategoryColumn | BooleanColumn):
        texts = column.values if isinstance(column, CategoryColumn) else column.texts
        if isinstance(column, CategoryColumn) and column.written == "integer":
            numbers = np.array([float(text) for text in texts])
            return Values("number", numbers[array], missing)
        return Values("text", np.array(texts, dtype=object)[array], missing)
    if array.dtype == object:
        return Values("text", array, missing)
    if isinstance(column, RuledColumn) and column.kind == "boolean":
        return Values("text", np.where(array.astype(bool), "True", "False").astype(object), missing)
    return Values("number", array.astype(np.float64), missing)
