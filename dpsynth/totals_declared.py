"""Totals of the whole table as a person declares them: public numbers that the synthetic table has exactly.

    constraints:
      - counts: {region: {north: 1200, south: 800}}            rows of each value
      - counts: {columns: [region, sex], rows: [[north, female, 650], [north, male, 550], [south, female, 800]]}
      - total: {column: cost, amount: 1250000}                 the sum of a column over all rows
        of: 2000
      - total: {column: cost, by: region, amount: {north: 800000, south: 450000}}

They are about a table of so many rows as the counts add up to, or as `of` says. Values that are not listed have no rows;
with an `of` that is larger they share the rest. `null` is a missing value.
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Annotated, Any

from pydantic import Field, field_validator, model_validator

from dpsynth.declared import Declared, Fault, Text, Whole

MOST_LISTED = 10_000
MOST_ROWS = 1 << 40

Number = int | float


class Counted(Declared):
    """How many rows have each listed combination of values: `rows` holds the values, then the number of rows."""

    columns: tuple[Text, ...]
    rows: tuple[tuple[Any, ...], ...]

    @model_validator(mode="before")
    @classmethod
    def _short(cls, given: Any) -> Any:
        """``{region: {north: 3}}`` for one column."""
        if isinstance(given, dict) and len(given) == 1:
            ((name, counts),) = given.items()
            if isinstance(counts, dict):
                return {"columns": (name,), "rows": tuple((value, count) for value, count in counts.items())}
        return given

    @field_validator("rows", mode="before")
    @classmethod
    def _values(cls, rows: Any) -> Any:
        if not isinstance(rows, list | tuple) or not all(isinstance(row, list | tuple) for row in rows):
            raise Fault("S178", "is no list of rows", "write rows: [[north, 1200], [south, 800]]")
        return tuple(tuple(map(_plain, row)) for row in rows)

    @model_validator(mode="after")
    def _check(self) -> Counted:
        if not self.columns or len(set(self.columns)) < len(self.columns):
            raise Fault("S178", "counts names no column, or one twice", "name each once")
        if not 1 <= len(self.rows) <= MOST_LISTED:
            raise Fault("S178", f"counts lists {len(self.rows):,} combinations", f"1 to {MOST_LISTED:,}")
        for row in self.rows:
            if len(row) != len(self.columns) + 1 or not _whole(row[-1]):
                raise Fault(
                    "S178",
                    "a row of counts is not one value for each column, and a number of rows",
                    "such as [north, 1200]",
                )
        if len({tuple(map(_text, row[:-1])) for row in self.rows}) < len(self.rows):
            raise Fault("S178", "counts lists a combination twice", "list each once")
        return self

    @property
    def number(self) -> int:
        """Rows that are listed, in all."""
        return sum(row[-1] for row in self.rows)


class Summed(Declared):
    """What a column adds up to over all rows, or over those of each value of the column `by`."""

    column: Text
    by: Text | None = None
    amount: Number | dict[str, Number]

    @field_validator("amount", mode="before")
    @classmethod
    def _numbers(cls, given: Any) -> Any:
        numbers = list(given.values()) if isinstance(given, dict) else [given]
        if not numbers or not all(_finite(number) for number in numbers):
            raise Fault("S178", "a total is no number", "write digits")
        return {_text(_plain(key)): n for key, n in given.items()} if isinstance(given, dict) else given

    @model_validator(mode="after")
    def _check(self) -> Summed:
        if (self.by is None) == isinstance(self.amount, dict) or self.by == self.column:
            raise Fault(
                "S178", "a total is one number, or by: a column and one number for each value", "correct it"
            )
        return self

    @property
    def totals(self) -> dict[str | None, Fraction]:
        """By the value of the column `by`; None for all rows."""
        given = self.amount if isinstance(self.amount, dict) else {None: self.amount}
        return {key: Fraction(str(number)) for key, number in given.items()}

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.column,) if self.by is None else (self.by, self.column)


Rows = Annotated[Whole, Field(ge=1, le=MOST_ROWS)]
"""How many rows the table has that totals are about."""


def _plain(value: Any) -> Any:
    return value.isoformat() if hasattr(value, "isoformat") else value


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MOST_ROWS


def _finite(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
