"""Which columns may be said to belong to a unit: those with one value for all its rows, and the one that orders them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from dpsynth.columns import BooleanColumn, CategoryColumn, Column, IntegerColumn, MomentColumn, cells_of
from dpsynth.declared import Fault
from dpsynth.formulas import Kind, kind_of
from dpsynth.ruled import ComputedColumn, RuledColumn
from dpsynth.strict_yaml import shown

MAX_ORDER_CELLS = 1_000
"""Values of a column that tells a unit's rows apart."""


_ODD = {"person": "people", "child": "children"}


def several(entity: str) -> str:
    """The plural of a unit's name."""
    if entity in _ODD:
        return _ODD[entity]
    if entity.endswith("y") and entity[-2:-1] not in tuple("aeiou"):
        return f"{entity[:-1]}ies"
    return f"{entity}es" if entity.endswith(("s", "x", "ch", "sh")) else f"{entity}s"


class Unit(Protocol):
    """What is declared of the unit."""

    @property
    def column(self) -> str | None: ...

    @property
    def rows_per_unit(self) -> int: ...

    @property
    def static(self) -> tuple[str, ...]: ...

    @property
    def order(self) -> str | None: ...


class Units(Protocol):
    """A schema, as far as units are concerned."""

    @property
    def unit(self) -> Unit: ...

    @property
    def several_rows(self) -> bool: ...


def made_up(schema: Units) -> str:
    """What synthetic units are like, in words that follow from what is declared."""
    if not schema.several_rows:
        return "every synthetic row stands for itself"
    unit = schema.unit
    words = "synthetic rows share an id where they are of one made-up unit; how many rows units have was learnt for a charge"
    if unit.static:
        words += f"; a unit has one value of {', '.join(repr(name) for name in unit.static)} in all its rows"
    if unit.order is not None:
        words += f"; its rows differ in {unit.order!r} and come in its order"
    return words


def check_unit(unit: Unit, columns: Mapping[str, Column]) -> None:
    """Raises Fault (S143) for columns of the unit that are not modelled, twice there, or cannot order rows."""
    named = [*unit.static, *([] if unit.order is None else [unit.order])]
    for name in named:
        column = columns.get(name)
        made = (
            isinstance(column, RuledColumn) and not isinstance(column, ComputedColumn) and name != unit.order
        )
        if column is None or not (column.modelled or made):
            raise Fault(
                "S143", f"unit names '{shown(name)}', which is no modelled column", "correct the name"
            )
    if len(set(named)) < len(named):
        raise Fault("S143", "unit names a column twice in static and order", "name each once")
    if named and (unit.column is None or unit.column not in columns):
        raise Fault(
            "S143",
            "unit has static columns or an order, but no id among the columns tells whose a synthetic row is",
            "declare the unit's column with type: id",
        )
    if unit.order is not None:
        _check_order(unit.order, columns[unit.order], unit.rows_per_unit)


def _check_order(name: str, column: Column, rows_per_unit: int) -> None:
    problem, fix = None, "leave out order, or declare a column such as year or visit"
    if not isinstance(column, IntegerColumn | MomentColumn | CategoryColumn):
        problem = "is no whole number, ordered category or date"
    elif isinstance(column, CategoryColumn) and not column.ordered:
        problem, fix = "has no order", "declare ordered: true, with the values in their order"
    elif column.missing or column.unknown or (isinstance(column, IntegerColumn) and column.special):
        problem = "may be missing, has special values or is still to be discovered"
        fix = "it must say where each row stands"
    elif not isinstance(column, CategoryColumn) and column.last - column.starts[0] + 1 != len(column.starts):
        problem, fix = "has several values in one cell", "give each value a cell of its own"
    elif not rows_per_unit <= (values := cells_of(column)) <= MAX_ORDER_CELLS:
        problem = f"has {values:,} values"
        fix = (
            f"a unit with {rows_per_unit:,} rows needs as many, and at most {MAX_ORDER_CELLS:,} are possible"
        )
    if problem is not None:
        raise Fault("S143", f"unit.order: column '{shown(name)}' {problem}", fix)


def check_formulas(columns: Mapping[str, Column]) -> None:
    """Fault (S170) for a formula that names none of the columns modelled or before it, or mixes numbers and texts."""
    known: dict[str, Kind] = {}
    for name, column in columns.items():
        if isinstance(column, BooleanColumn) or (
            isinstance(column, CategoryColumn) and column.written == "text"
        ):
            known[name] = "text"
        elif column.modelled:
            known[name] = "number"
    for name, column in columns.items():
        if isinstance(column, ComputedColumn):
            found = kind_of(column.parsed, known)
            if (found == "text") != (column.gives == "text"):
                raise Fault(
                    "S170",
                    f"column '{shown(name)}': the formula gives {found}s, not {column.gives}",
                    "set gives",
                )
        if isinstance(column, RuledColumn):
            known[name] = "number" if column.kind in ("number", "integer") else "text"
