"""A recipient's question about columns, as cells: which ones surely belong to it, and which ones may."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dpsynth.columns import BooleanColumn, CategoryColumn, DateColumn, days
from dpsynth.encoding import Encoding
from dpsynth.errors import UsageError
from dpsynth.ruled import not_modelled
from dpsynth.schema import Schema

Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Conditions:
    """For each column of the question, shape (cells,): cells all of whose values are wanted (`inner`), and
    cells some of whose values are (`outer`). They differ where the question cuts a cell in two."""

    inner: Mapping[str, Mask]
    outer: Mapping[str, Mask]

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(self.inner)

    @classmethod
    def of(cls, schema: Schema, wanted: Mapping[str, Any]) -> Conditions:
        """`wanted`: column -> what is counted, all columns together ("and").

        A category or boolean: one value or a list of them. A number or date: a value, or a pair (low, high),
        both included, None for an open end. Missing values: None, alone or in a list. A date is a
        datetime.date or "2020-12-31"; other times are in steps of their column. UsageError U172 for a column
        that is not modelled, U173 for a value that the column cannot have.
        """
        encoding = Encoding(schema)
        inner, outer = {}, {}
        for name, asked in wanted.items():
            if name not in schema.modelled:
                why, instead = not_modelled(schema.columns.get(name))
                raise UsageError("U172", f"there is no modelled column {name!r}{why}", f"ask about {instead}")
            inner[name], outer[name] = _masks(encoding, name, asked)
        return cls(inner, outer)

    def project(self, columns: Sequence[str]) -> Conditions:
        """The same question about some of its columns only."""
        return Conditions({c: self.inner[c] for c in columns}, {c: self.outer[c] for c in columns})


def _masks(encoding: Encoding, name: str, asked: Any) -> tuple[Mask, Mask]:
    column = encoding.schema.modelled[name]
    missing = encoding.missing_cell(name)
    if isinstance(column, CategoryColumn | BooleanColumn):
        labels = encoding.labels(name)[: len(encoding.labels(name)) - (missing is not None)]
        mask = np.zeros(encoding.domain[name], dtype=bool)
        for value in asked if isinstance(asked, list | set | frozenset) else [asked]:
            mask[_cell(name, labels, value, missing, isinstance(column, BooleanColumn))] = True
        return mask, mask.copy()
    if asked is None or asked == [None]:
        mask = np.zeros(encoding.domain[name], dtype=bool)
        mask[_missing(name, missing)] = True
        return mask, mask.copy()
    low, high = asked if isinstance(asked, tuple | list) and len(asked) == 2 else (asked, asked)
    starts, ends = encoding.cell_bounds(name)
    first, last = (_number(name, isinstance(column, DateColumn), value) for value in (low, high))
    with np.errstate(invalid="ignore"):  # the missing cell has no bounds and is never wanted
        inner = (starts >= first) & (ends <= (np.inf if high is None else last))
        outer = (ends >= first) & (starts <= (np.inf if high is None else last))
    return inner, outer


def _cell(name: str, labels: Sequence[str], value: Any, missing: int | None, truth: bool) -> int:
    if value is None:
        return _missing(name, missing)
    if truth and isinstance(value, bool | np.bool_):
        return int(value)
    if str(value) not in labels:
        raise UsageError("U173", f"column {name!r} has no such value", "the schema lists its values")
    return labels.index(str(value))


def _missing(name: str, missing: int | None) -> int:
    if missing is None:
        raise UsageError("U173", f"column {name!r} is never missing", "leave this condition out")
    return missing


def _number(name: str, is_date: bool, value: Any) -> float:
    """A bound as a number; minus infinity for an open one."""
    if value is None:
        return -np.inf
    try:
        if is_date and isinstance(value, str):
            value = dt.date.fromisoformat(value)
        return float(days(value)) if isinstance(value, dt.date) else float(value)
    except (TypeError, ValueError):
        raise UsageError("U173", f"column {name!r} has no such value", "give a number or a date") from None
