"""The kinds of columns: what is publicly known about each, and the public grid it is counted on."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator, model_validator

from dpsynth.column_base import MAX_TEXT, AnyColumn, ModelledColumn, Origin, clean_text
from dpsynth.declared import Fault, Finite, Text, Whole
from dpsynth.discovery import OTHER, WHOLE, Discover, DiscoverValues, check_values, farthest, noted
from dpsynth.grid import (
    MAX_CELLS,
    MAX_STEP,
    Scale,
    default_decimals,
    default_integer_starts,
    default_number_edges,
    exact,
    integer_starts,
    number_edges,
    number_starts,
)
from dpsynth.moments import (
    DateColumn,
    DateTimeColumn,
    DurationColumn,
    MomentColumn,
    TimeColumn,
    days,
    from_days,
)
from dpsynth.ruled import Ruled

__all__ = [
    "MAX_TEXT", "BooleanColumn", "CategoryColumn", "Column", "DateColumn", "DateTimeColumn", "DropColumn", "DurationColumn",
    "IdColumn", "IntegerColumn", "Modelled", "MomentColumn", "NumberColumn", "Origin", "TimeColumn",
    "WeightColumn", "as_number", "cells_of", "clean_text", "days", "from_days", "texts_of", "value_cells", ]  # fmt: skip

Spread = Literal["uniform", "log"]
"""How decoded values lie within a cell: evenly, or evenly on a logarithmic scale, which suits amounts with a
long tail (in cells above zero; the others stay even)."""
MAX_SPECIAL = 20


class IntegerColumn(ModelledColumn):
    """Whole numbers from `min` to `max`, both included; with `discover: bounds` a narrower pair of bounds inside these is
    searched for a charge."""

    type: Literal["integer"] = "integer"
    discover: Discover | None = None
    min: Whole
    max: Whole
    cells: Whole | None = None
    edges: tuple[Whole, ...] | None = None
    scale: Scale = "linear"
    special: tuple[Whole, ...] = ()
    """Values that are codes (-1 for "never asked") or stand out (0 among amounts): each has a cell of its own,
    inside the bounds or not."""
    clip: bool = False
    spread: Spread = "uniform"

    @model_validator(mode="before")
    @classmethod
    def _make_room(cls, data: Any) -> Any:
        return noted(data, farthest(data))

    @model_validator(mode="after")
    def _check(self) -> IntegerColumn:
        _check_search(self)
        # a grid that cannot be is an error of the declaration, not of its first use
        if any(abs(value) > MAX_STEP for value in self.special):
            raise Fault("S120", "a special value lies beyond 1e15 in size", "use type: category for codes")
        _check_special(self.special, self.special, self.starts, self.last)
        return self

    @property
    def starts(self) -> NDArray[np.int64]:
        """First value of each cell, shape (cells,)."""
        if self.cells is None and self.edges is None:
            return default_integer_starts(self.min, self.max, self.scale, self.special)
        return integer_starts(self.min, self.max, self.cells, self.edges, self.scale)

    @property
    def last(self) -> int:
        return self.max


class NumberColumn(ModelledColumn):
    """Numbers from `min` to `max`, both included.

    `decimals` is what decoded values have; read values may have more. `discover: bounds` as for whole numbers.
    """

    type: Literal["number"] = "number"
    discover: Discover | None = None
    min: Finite
    max: Finite
    cells: Whole | None = None
    edges: tuple[Finite, ...] | None = None
    scale: Scale = "linear"
    special: tuple[Finite, ...] = ()
    """As for whole numbers."""
    decimals: Annotated[Whole, Field(ge=0, le=12)] | None = None
    clip: bool = False
    spread: Spread = "uniform"

    @model_validator(mode="before")
    @classmethod
    def _make_room(cls, data: Any) -> Any:
        return noted(data, farthest(data))

    @model_validator(mode="after")
    def _check(self) -> NumberColumn:
        _check_search(self)
        _check_special(self.special, self.special_steps, *self.steps)
        return self

    @property
    def special_steps(self) -> tuple[int, ...]:
        """Those special values that decoded values could have, in steps."""
        scaled = [exact(value) * 10**self.digits for value in self.special]
        return tuple(int(step) for step in scaled if step.denominator == 1)

    @property
    def lower(self) -> NDArray[np.float64]:
        """Lower edge of each cell, shape (cells,)."""
        if self.cells is None and self.edges is None:
            return default_number_edges(self.min, self.max, self.scale, self.decimals, self.special)
        return number_edges(self.min, self.max, self.cells, self.edges, self.scale)

    @property
    def digits(self) -> int:
        """Decimals of decoded values."""
        return (
            default_decimals(tuple(self.lower.tolist()), self.max) if self.decimals is None else self.decimals
        )

    @property
    def steps(self) -> tuple[NDArray[np.int64], int]:
        """First value of each cell and last value of all, in units of ``10**-digits``."""
        return number_starts(tuple(self.lower.tolist()), self.max, self.digits)


class WeightColumn(NumberColumn):
    """A survey weight: modelled as a number, and what the internal comparison of one-way distributions weights rows by.

    The model, the noise, the attacks and all other figures count each row once.
    """

    type: Literal["weight"] = "weight"  # type: ignore[assignment]

    @model_validator(mode="after")
    def _check_sign(self) -> WeightColumn:
        if self.min < 0:
            raise Fault("S139", "a weight is below 0", "declare min: 0 or more")
        return self


def _check_search(column: IntegerColumn | NumberColumn) -> None:
    if column.discover is not None and column.edges is not None:
        raise Fault("S138", "gives edges and asks to discover the bounds", "give cells instead of edges")


def _check_special(
    values: Sequence[float], steps: Sequence[int], starts: NDArray[np.int64], last: int
) -> None:
    """Codes are few and different, and leave every cell of the grid a value of its own."""
    if len(set(values)) < len(values) or len(values) > MAX_SPECIAL:
        raise Fault("S137", f"special repeats a value or lists more than {MAX_SPECIAL}", "list each once")
    ends = np.append(starts[1:] - 1, last)
    inside = np.array([step for step in steps if starts[0] <= step <= last], dtype=np.int64)
    held = np.bincount(np.searchsorted(starts, inside, side="right") - 1, minlength=len(starts))
    if (held > ends - starts).any():
        raise Fault(
            "S137", "a special value leaves nothing else in its cell", "it has a cell already: drop it"
        )


class CategoryColumn(ModelledColumn):
    """One of the listed texts.

    `written: integer` (all values whole numbers in the file) gives numbers back. Instead of a list, `discover:
    {max_values: 500}` learns the values for a charge; `other` is what those come back as that too few units have.
    """

    type: Literal["category"] = "category"
    values: tuple[str, ...]
    discover: DiscoverValues | None = None
    other: Text | None = None
    ordered: bool = False
    written: Literal["text", "integer"] = "text"

    @model_validator(mode="before")
    @classmethod
    def _note_form(cls, data: Any) -> Any:
        data = noted(data, {"values": (), "other": OTHER})
        values = data.get("values") if isinstance(data, dict) else None
        if isinstance(values, list | tuple) and values and all(type(v) is int for v in values):
            return {"written": "integer", **data}
        return data

    @field_validator("values", mode="before")
    @classmethod
    def _texts(cls, values: Any) -> Any:
        if not isinstance(values, list | tuple):
            raise Fault("S112", "is not a list", "write values: [A, B, C]")
        if len(values) > MAX_CELLS:
            raise Fault(
                "S126",
                f"lists {len(values):,} values",
                f"at most {MAX_CELLS:,}; an identifier is type: id or type: drop",
            )
        return tuple(_category_text(value, i) for i, value in enumerate(values, 1))

    @model_validator(mode="after")
    def _check(self) -> CategoryColumn:
        check_values(self)
        clean_text(self.other or "", "other")
        if not self.values and not self.unknown:
            raise Fault("S124", "lists no values", "list every value that can occur")
        first: dict[str, int] = {}
        for i, value in enumerate(self.values, 1):
            if first.setdefault(value, i) != i:
                raise Fault("S124", f"value {i} of the list repeats value {first[value]}", "list each once")
        if self.written == "integer" and not all(re.fullmatch(WHOLE, v) for v in self.values):
            raise Fault("S125", "written: integer, but not every value is a whole number", "drop 'written'")
        return self


def _category_text(value: Any, position: int) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str):
        read = "true or false" if isinstance(value, bool) else "nothing" if value is None else "a number"
        raise Fault(
            "S125", f"value {position} of the list is read as {read}, not as text", "put it in quotes"
        )
    return clean_text(value, f"value {position} of the list")


class BooleanColumn(ModelledColumn):
    """Two values. Without declared texts true/false and 1/0 are read, in any letter case."""

    type: Literal["boolean"] = "boolean"
    true_value: Text | None = None
    false_value: Text | None = None

    @model_validator(mode="after")
    def _check(self) -> BooleanColumn:
        if (self.true_value is None) != (self.false_value is None):
            raise Fault("S129", "declares one of true_value and false_value", "declare both or neither")
        if self.true_value is not None and self.true_value == self.false_value:
            raise Fault("S129", "true_value and false_value are the same text", "they must differ")
        for text in (self.true_value, self.false_value):
            clean_text(text or "", "true_value or false_value")
        return self

    @property
    def texts(self) -> tuple[str, str]:
        """How false and true are written."""
        return (self.false_value or "False", self.true_value or "True")


class IdColumn(AnyColumn):
    """An identifier: never modelled. Decoded rows get fresh ids, the digits of `format` counted upwards."""

    type: Literal["id"] = "id"
    format: Text = "ID-########"

    @model_validator(mode="after")
    def _check(self) -> IdColumn:
        clean_text(self.format, "format")
        if not re.fullmatch(r"[^#]*#{1,15}[^#]*", self.format):
            raise Fault("S128", "format needs one run of 1 to 15 '#'", "such as P-######")
        return self

    @property
    def modelled(self) -> bool:
        return False


class DropColumn(AnyColumn):
    """A column of the file that is not used: read past, never modelled, never written."""

    type: Literal["drop"] = "drop"

    @property
    def modelled(self) -> bool:
        return False


Modelled = (
    IntegerColumn
    | NumberColumn
    | WeightColumn
    | DateColumn
    | DateTimeColumn
    | TimeColumn
    | DurationColumn
    | CategoryColumn
    | BooleanColumn
)
Column = Annotated[Modelled | IdColumn | DropColumn | Ruled, Field(discriminator="type")]


def cells_of(column: Modelled) -> int:
    """Cells of the encoded column, the one for missing values included."""
    return value_cells(column) + column.missing


def value_cells(column: Modelled) -> int:
    """Cells of the encoded column without the one for missing values; of values still to be discovered the most there can
    be."""
    match column:
        case IntegerColumn():
            return len(column.starts) + len(column.special)
        case MomentColumn():
            return len(column.starts)
        case NumberColumn():
            return len(column.lower) + len(column.special)
        case CategoryColumn(discover=DiscoverValues(max_values=most)):
            return most + 1
        case CategoryColumn():
            return len(column.values)
        case BooleanColumn():
            return 2


def texts_of(column: Modelled) -> Sequence[str]:
    """The texts a column is written with, where it is text."""
    match column:
        case CategoryColumn():
            return column.values or [text for text in (column.other,) if text is not None]
        case BooleanColumn():
            return [text for text in (column.false_value, column.true_value) if text is not None]
        case _:
            return ()


def as_number(text: str) -> float | None:
    """The number that a text writes, None for any other text."""
    try:
        return float(text)
    except ValueError:
        return None
