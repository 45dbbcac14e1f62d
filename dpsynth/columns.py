"""The kinds of columns: what is publicly known about each, and the public grid it is counted on."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Sequence
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BeforeValidator, Field, PlainSerializer, field_validator, model_validator

from dpsynth.declared import Declared, Fault, Finite, Text, Whole
from dpsynth.grid import MAX_CELLS, default_decimals, integer_starts, number_edges, number_starts

Origin = Literal["public", "inspected", "dp"]
Spread = Literal["uniform", "log"]
"""How decoded values lie within a cell: evenly, or evenly on a logarithmic scale, which suits amounts with a
long tail (in cells above zero; the others stay even)."""
MAX_TEXT = 1000
MAX_DIGITS = 15
_EPOCH = dt.date(1970, 1, 1)


class _Column(Declared):
    """What every column has. `origin` says how its bounds or values became known."""

    origin: Origin = "public"
    was: Literal["inspected"] | None = None
    reason: Text | None = None

    @property
    def modelled(self) -> bool:
        return True

    @model_validator(mode="after")
    def _check_origin(self) -> _Column:
        if self.origin == "dp":
            raise Fault(
                "S131",
                "origin dp: nothing was learnt for a charge",
                "declare it public, with a reason if it was inspected",
            )
        if self.was and self.origin == "public" and not (self.reason or "").strip():
            raise Fault("S131", "was inspected and is now called public", "say why in 'reason'")
        return self


class _Modelled(_Column):
    missing: bool = False
    """Whether a value may be missing; then "missing" is one more cell, the last."""
    missing_values: tuple[Text, ...] | None = None
    """How this column writes "missing" (``N`` for not applicable); None: as the file does."""

    @model_validator(mode="before")
    @classmethod
    def _imply_missing(cls, data: Any) -> Any:
        return {"missing": True, **data} if isinstance(data, dict) and data.get("missing_values") else data

    def markers(self, of_file: Sequence[str]) -> tuple[str, ...]:
        return tuple(of_file) if self.missing_values is None else self.missing_values


class IntegerColumn(_Modelled):
    """Whole numbers from `min` to `max`, both included."""

    type: Literal["integer"] = "integer"
    min: Whole
    max: Whole
    cells: Whole | None = None
    edges: tuple[Whole, ...] | None = None
    clip: bool = False
    spread: Spread = "uniform"

    @model_validator(mode="after")
    def _check(self) -> IntegerColumn:
        _ = self.starts  # a grid that cannot be is an error of the declaration, not of its first use
        return self

    @property
    def starts(self) -> NDArray[np.int64]:
        """First value of each cell, shape (cells,)."""
        return integer_starts(self.min, self.max, self.cells, self.edges)

    @property
    def last(self) -> int:
        return self.max


class NumberColumn(_Modelled):
    """Numbers from `min` to `max`, both included.

    `decimals` is what decoded values have; read values may have more.
    """

    type: Literal["number"] = "number"
    min: Finite
    max: Finite
    cells: Whole | None = None
    edges: tuple[Finite, ...] | None = None
    decimals: Annotated[Whole, Field(ge=0, le=12)] | None = None
    clip: bool = False
    spread: Spread = "uniform"

    @model_validator(mode="after")
    def _check(self) -> NumberColumn:
        _ = self.steps
        return self

    @property
    def lower(self) -> NDArray[np.float64]:
        """Lower edge of each cell, shape (cells,)."""
        return number_edges(self.min, self.max, self.cells, self.edges)

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


def _day(value: Any) -> Any:
    if isinstance(value, dt.date) and not isinstance(value, dt.datetime):
        return value
    if isinstance(value, str) and re.fullmatch(r"\d{4}-\d\d-\d\d", value):
        try:
            return dt.date.fromisoformat(value)
        except ValueError:
            pass
    raise Fault("S112", "is not a date", "write it as 2015-01-31")


Day = Annotated[dt.date, BeforeValidator(_day), PlainSerializer(lambda day: day.isoformat(), return_type=str)]


class DateColumn(_Modelled):
    """Days from `min` to `max`, both included; `format` is how the file writes them."""

    type: Literal["date"] = "date"
    min: Day
    max: Day
    cells: Whole | None = None
    edges: tuple[Day, ...] | None = None
    format: Text = "%Y-%m-%d"
    clip: bool = False

    @model_validator(mode="after")
    def _check(self) -> DateColumn:
        if self.min > self.max:
            raise Fault("S120", f"min {self.min} is after max {self.max}", "exchange them")
        if not {"%Y", "%m", "%d"} <= set(re.findall(r"%.", self.format)) or re.search(
            r"%[^Ymd]", self.format
        ):
            raise Fault(
                "S135",
                "format lacks year, month or day, or has more",
                "combine %Y, %m and %d, such as %d.%m.%Y",
            )
        _ = self.starts
        return self

    @property
    def starts(self) -> NDArray[np.int64]:
        """First day of each cell, in days since 1970-01-01, shape (cells,)."""
        edges = None if self.edges is None else tuple(days(edge) for edge in self.edges)
        return integer_starts(days(self.min), self.last, self.cells, edges)

    @property
    def last(self) -> int:
        return days(self.max)


def days(day: dt.date) -> int:
    """Days since 1970-01-01."""
    return (day - _EPOCH).days


def from_days(number: int) -> dt.date:
    return _EPOCH + dt.timedelta(days=int(number))


def clean_text(value: str, what: str) -> str:
    """`value`, or Fault (S125) for a text that could not be read back."""
    if len(value) > MAX_TEXT:
        raise Fault("S125", f"{what} is longer than {MAX_TEXT} characters", "shorten it")
    if value != value.strip():
        raise Fault(
            "S125",
            f"{what} begins or ends with a space",
            "remove it: surrounding spaces are ignored when reading",
        )
    if any(ord(c) < 32 or 0xD800 <= ord(c) < 0xE000 for c in value):
        raise Fault("S125", f"{what} holds a control character", "remove it")
    return value


class CategoryColumn(_Modelled):
    """One of the listed texts.

    `written: integer` (all values whole numbers in the file) gives numbers back.
    """

    type: Literal["category"] = "category"
    values: tuple[str, ...]
    ordered: bool = False
    written: Literal["text", "integer"] = "text"

    @model_validator(mode="before")
    @classmethod
    def _note_form(cls, data: Any) -> Any:
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
        if not self.values:
            raise Fault("S124", "lists no values", "list every value that can occur")
        first: dict[str, int] = {}
        for i, value in enumerate(self.values, 1):
            if first.setdefault(value, i) != i:
                raise Fault("S124", f"value {i} of the list repeats value {first[value]}", "list each once")
        if self.written == "integer" and not all(re.fullmatch(r"0|-?[1-9]\d{0,14}", v) for v in self.values):
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


class BooleanColumn(_Modelled):
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


class IdColumn(_Column):
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


class DropColumn(_Column):
    """A column of the file that is not used: read past, never modelled, never written."""

    type: Literal["drop"] = "drop"

    @property
    def modelled(self) -> bool:
        return False


Modelled = IntegerColumn | NumberColumn | DateColumn | CategoryColumn | BooleanColumn
Column = Annotated[
    IntegerColumn | NumberColumn | DateColumn | CategoryColumn | BooleanColumn | IdColumn | DropColumn,
    Field(discriminator="type"),
]


def cells_of(column: Modelled) -> int:
    """Cells of the encoded column, the one for missing values included."""
    return value_cells(column) + column.missing


def value_cells(column: Modelled) -> int:
    """Cells of the encoded column without the one for missing values."""
    match column:
        case IntegerColumn() | DateColumn():
            return len(column.starts)
        case NumberColumn():
            return len(column.lower)
        case CategoryColumn():
            return len(column.values)
        case BooleanColumn():
            return 2


def texts_of(column: Modelled) -> Sequence[str]:
    """The texts a column is written with, where it is text."""
    match column:
        case CategoryColumn():
            return column.values
        case BooleanColumn():
            return [text for text in (column.false_value, column.true_value) if text is not None]
        case _:
            return ()
