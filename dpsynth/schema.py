"""Schema: what is publicly known about a table before anybody looks at it. No data, ever."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from dpsynth import strict_yaml
from dpsynth.columns import (
    BooleanColumn,
    CategoryColumn,
    Column,
    DateColumn,
    DropColumn,
    IdColumn,
    IntegerColumn,
    Modelled,
    NumberColumn,
    as_number,
    cells_of,
    clean_text,
    texts_of,
)
from dpsynth.constraints_declared import MAPS, Constraint
from dpsynth.declared import Declared, Fault, Text, Whole, validate
from dpsynth.discovery import BOUNDS
from dpsynth.domain import Domain
from dpsynth.errors import SchemaError
from dpsynth.ruled import RuledColumn
from dpsynth.unit_columns import check_formulas, check_unit

__all__ = [
    "BooleanColumn", "CategoryColumn", "Column", "CsvFormat", "DataSpec", "DateColumn", "DropColumn",
    "IdColumn", "IntegerColumn", "Modelled", "NumberColumn", "Schema", "UnitSpec", ]  # fmt: skip

MAX_COLUMNS = 5_000
MAX_NAME = 128
MAX_ROWS_PER_UNIT = 10_000
OTHER_SECTIONS = frozenset({"version", "budget", "generator", "audit", "release"})


class UnitSpec(Declared):
    """Whose privacy is protected: a row, or all rows that share the value of `column`.

    Of one unit at most `rows_per_unit` rows are kept. Ids are compared as texts without surrounding space:
    ``1`` and ``01``, ``a`` and ``A`` are two units. `missing`: what a row without an id is, an error or a unit
    of its own.

    `static`: columns that have one value for all rows of a unit (sex, year of birth); so they do in synthetic units.
    `order`: a column that tells a unit's rows apart (year, visit): synthetic units have each of its values at most once, and
    their rows come in its order.
    """

    entity: Text = "row"
    column: Text | None = None
    rows_per_unit: Annotated[Whole, Field(ge=1, le=MAX_ROWS_PER_UNIT)] = 1
    missing: Literal["error", "own"] = "error"
    static: tuple[Text, ...] = ()
    order: Text | None = None

    @model_validator(mode="after")
    def _check(self) -> UnitSpec:
        clean_text(self.entity, "entity")
        if not self.entity:
            raise Fault("S133", "the entity is empty", "write row, person, patient, ...")
        if self.entity == "row" and self.column is not None:
            raise Fault(
                "S133",
                "a unit that is a row has no column",
                "name the entity (person, patient, ...) or drop the column",
            )
        if self.entity != "row" and self.column is None:
            raise Fault(
                "S133",
                f"rows of one {self.entity[:40]} cannot be recognised without a column",
                "name the id column, or write {entity: row} if every row is to be protected by itself",
            )
        if self.column is None and self.rows_per_unit != 1:
            raise Fault("S133", "a row has one row per unit", "drop rows_per_unit, or name the id column")
        return self


class CsvFormat(Declared):
    """How the csv file is written. Declared, never guessed."""

    delimiter: Text = ","
    encoding: Text = "utf-8"
    decimal: Literal[".", ","] = "."
    thousands: Text | None = None
    quote: Text = '"'

    @model_validator(mode="after")
    def _check(self) -> CsvFormat:
        if len(self.delimiter) != 1 or not self.delimiter.isascii() or self.delimiter in '\r\n\0"':
            raise Fault("S134", "delimiter is not one plain character", "such as ',' ';' '|' or \"\\t\"")
        if (
            len(self.quote) != 1
            or not self.quote.isascii()
            or self.quote in "\r\n\0 "
            or self.quote == self.delimiter
        ):
            raise Fault("S134", "quote is not one plain character, apart from the delimiter", "such as '\"'")
        if self.thousands is not None and (
            len(self.thousands) != 1 or self.thousands.isalnum() or self.thousands in "+-\r\n\0"
        ):
            raise Fault("S134", "thousands is not one character of punctuation", "such as ',' '.' or \"'\"")
        if self.thousands == self.decimal:
            raise Fault("S134", "thousands and decimal are the same character", "they must differ")
        _check_encoding(self.encoding)
        return self


def _check_encoding(name: str) -> None:
    try:
        "a".encode(name).decode(name)
    except (LookupError, UnicodeError, ValueError):
        raise Fault("S134", "encoding is not known", "such as utf-8, latin-1, cp1252 or utf-16") from None


class DataSpec(Declared):
    """The `data` section: where the rows are, who is protected, how a file writes things.

    `engine`: where the rows are while they are counted; duckdb streams files that do not fit into memory, and comes with
    the extra duckdb; spark leaves them on a cluster, where `path` may also be ``table:NAME`` or an address. `violations`:
    whether rows may break the constraints, decided by the operator; it says nothing of any
    row, and is not published.
    """

    path: Text | None = None
    unit: UnitSpec
    missing_values: tuple[Text, ...] = ("",)
    csv: CsvFormat = CsvFormat()
    violations: Literal["refuse", "allow"] = "refuse"
    engine: Literal["memory", "duckdb", "spark"] = "memory"


class Schema(Declared):
    """Columns with their public bounds and values, the unit of privacy, and how values are written.

    >>> Schema(columns={"age": {"type": "integer", "min": 0, "max": 110, "cells": 11}}).domain
    Domain(attributes=('age',), sizes=(11,))
    """

    columns: dict[str, Column]
    unit: UnitSpec = UnitSpec()
    missing_values: tuple[Text, ...] = ("",)
    csv: CsvFormat = CsvFormat()
    constraints: tuple[Constraint, ...] = ()

    @model_validator(mode="after")
    def _check(self) -> Schema:
        _check_names(self.columns)
        check_constraints(self.columns, self.constraints)
        _check_markers(self)
        named = self.columns.get(self.unit.column or "")
        if named is not None and not isinstance(named, IdColumn):
            raise Fault("S133", "the unit's column is modelled or dropped", "give it type: id")
        check_unit(self.unit, self.columns)
        check_formulas(self.columns)
        return self

    @property
    def several_rows(self) -> bool:
        """Whether synthetic units have several rows: they can when an id tells whose they are."""
        return self.unit.rows_per_unit > 1 and self.unit.column in self.columns

    @cached_property
    def modelled(self) -> dict[str, Modelled]:
        """The columns that are counted and synthesised, in the file's order."""
        return {
            name: column
            for name, column in self.columns.items()
            if not isinstance(column, IdColumn | DropColumn | RuledColumn)
        }

    @property
    def written(self) -> list[str]:
        """Names of the columns of a synthetic table."""
        return [name for name, column in self.columns.items() if not isinstance(column, DropColumn)]

    @cached_property
    def domain(self) -> Domain:
        """Sizes of the modelled columns; a missing value is a cell."""
        return Domain.from_sizes({name: cells_of(column) for name, column in self.modelled.items()})

    @property
    def inspected(self) -> list[str]:
        """Columns whose bounds or values were learnt by looking, which a release refuses."""
        return [name for name, column in self.columns.items() if column.origin == "inspected"]

    @property
    def once_inspected(self) -> list[str]:
        """Columns that are, or ever were, learnt by looking: `unprotected_quantities`."""
        return [n for n, c in self.columns.items() if c.origin == "inspected" or c.was == "inspected"]

    @cached_property
    def unknown(self) -> dict[str, Modelled]:
        """The columns whose values or bounds are still to be discovered, in the file's order."""
        return {name: column for name, column in self.modelled.items() if column.unknown}

    @property
    def learnt(self) -> dict[str, str]:
        """The columns whose values or bounds were learnt for a charge, each with its purpose."""
        return {name: c.learnt for name, c in self.columns.items() if c.learnt is not None}

    @property
    def learnt_rules(self) -> list[int]:
        """The constraints, counted from 1, that say that they were learnt for a charge."""
        return [n for n, rule in enumerate(self.constraints, 1) if rule.origin == "dp" and not rule.is_open]

    @property
    def searched(self) -> list[str]:
        """Columns whose bounds a run has learnt for a charge and does not use: those that were declared are."""
        return [name for name, column in self.columns.items() if column.was == "searched"]

    @property
    def paid_for(self) -> list[str]:
        """Purposes of the charges for everything here that was learnt, used or not; all maps together are one."""
        searched = [BOUNDS] * len(self.searched)
        return [*self.learnt.values(), *searched, *([MAPS] if self.learnt_rules else [])]

    def with_columns(self, columns: Mapping[str, Column]) -> Schema:
        """The same in all else."""
        return self._with(columns=dict(columns))

    def with_constraints(self, constraints: Sequence[Constraint]) -> Schema:
        """The same in all else."""
        return self._with(constraints=tuple(constraints))

    def _with(self, **changed: Any) -> Schema:
        """Built anew, so that it is checked and remembers nothing: a `model_copy` would keep the old cached domain."""
        return Schema(**{**{name: getattr(self, name) for name in type(self).model_fields}, **changed})

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Schema:
        """From a project file or a schema file; its other sections are left unread."""
        return cls.from_yaml(read_text(path))

    @classmethod
    def from_yaml(cls, text: str | bytes) -> Schema:
        """Raises SchemaError with key path and line."""
        data, lines = strict_yaml.loads(text)
        sections = dict(as_mapping(data))
        for name in OTHER_SECTIONS & sections.keys():
            del sections[name]
        return validate(_SchemaFile, sections, lines).schema_()

    def to_yaml(self) -> str:
        """Read back by `from_yaml` as an equal schema."""
        return strict_yaml.dumps({"version": 1, **self.sections()})

    def sections(self) -> dict[str, Any]:
        """The `data` and `columns` sections as plain data, without what is at its default."""
        data: dict[str, Any] = {"unit": plain(self.unit), "missing_values": list(self.missing_values)}
        if self.csv != CsvFormat():
            data["csv"] = plain(self.csv)
        rules = {"constraints": [c.as_plain() for c in self.constraints]} if self.constraints else {}
        return {
            "data": data,
            "columns": {name: plain(column) for name, column in self.columns.items()},
            **rules,
        }

    @classmethod
    def json_schema(cls) -> dict[str, Any]:
        """For editors: JSON Schema of a schema file."""
        return _SchemaFile.model_json_schema()


class _SchemaFile(Declared):
    data: DataSpec
    columns: dict[str, Column]
    constraints: tuple[Constraint, ...] = ()

    @model_validator(mode="after")
    def _check(self) -> _SchemaFile:
        check_constraints(self.columns, self.constraints)
        return self

    def schema_(self) -> Schema:
        return build(self.data, self.columns, self.constraints)


def build(data: DataSpec, columns: Mapping[str, Column], constraints: Sequence[Constraint] = ()) -> Schema:
    """The schema of a file's sections."""
    return Schema(
        columns=dict(columns),
        unit=data.unit,
        missing_values=data.missing_values,
        csv=data.csv,
        constraints=tuple(constraints),
    )


def check_constraints(columns: Mapping[str, Column], constraints: Sequence[Constraint]) -> None:
    """Raises Fault (S163) for a rule about a column that is not modelled."""
    for number, rule in enumerate(constraints, 1):
        for name in rule.columns:
            if name not in columns or not columns[name].modelled:
                raise Fault(
                    "S163",
                    f"constraint {number} names '{name}', which is no modelled column",
                    "correct the name",
                )


def plain(declared: Declared) -> dict[str, Any]:
    """What was declared, as plain data: the type first, defaults left out."""
    found = declared.model_dump(mode="json", exclude_defaults=True)
    if found.get("values") == []:
        del found["values"]  # to be discovered
    elif "values" in found and found.pop("written", None) == "integer":
        found["values"] = [int(value) for value in found["values"]]
    kind = getattr(declared, "type", None)
    if kind is not None:
        return {"type": kind, **found, "origin": getattr(declared, "origin", "public")}
    return found if found or not isinstance(declared, UnitSpec) else {"entity": "row"}


def read_text(path: str | os.PathLike[str]) -> bytes:
    """The bytes of a project file. Raises SchemaError (S101, S109)."""
    file = Path(path)
    try:
        if file.is_dir():
            raise SchemaError("S101", f"{file} is a folder", "name the project file in it")
        if file.stat().st_size > strict_yaml.MAX_BYTES:
            raise SchemaError(
                "S109", f"{file} is larger than {strict_yaml.MAX_BYTES >> 20} MB", "is it a data file?"
            )
        return file.read_bytes()
    except FileNotFoundError:
        raise SchemaError(
            "S101", f"{file} does not exist", "check the path; dpsynth init drafts a project file"
        ) from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "no such path"
        raise SchemaError(
            "S101", f"{file} cannot be read ({reason})", "check the path and its rights"
        ) from None


def as_mapping(data: Any) -> dict[str, Any]:
    """The top level of a file. Raises SchemaError (S107) for anything but ``key: value`` lines."""
    if not isinstance(data, dict):
        what = "empty" if data is None else "not a list of 'key: value' lines"
        raise SchemaError("S107", f"the file is {what}", "it needs at least the sections data and columns")
    return data


def _check_names(columns: Mapping[str, Column]) -> None:
    if not any(column.modelled for column in columns.values()):
        raise Fault("S130", "no column is modelled", "declare at least one column that is not id or drop")
    if len(columns) > MAX_COLUMNS:
        raise Fault("S130", f"{len(columns)} columns", f"at most {MAX_COLUMNS}")
    for position, name in enumerate(columns, 1):
        if not name or len(name) > MAX_NAME:
            raise Fault(
                "S130", f"the name of column {position} has {len(name)} characters", f"use 1 to {MAX_NAME}"
            )
        clean_text(name, f"the name of column {position}")


def _check_markers(schema: Schema) -> None:
    for name, column in schema.modelled.items():
        markers = [clean_text(m, "a marker in missing_values") for m in column.markers(schema.missing_values)]
        if column.missing and not markers:
            raise Fault(
                "S132",
                f"column '{name}' may be missing, but missing_values is empty",
                "list how the file writes it",
            )
        if set(markers) & set(texts_of(column)) or (column.missing and _holds_number(column, markers)):
            raise Fault(
                "S132",
                f"column '{name}' has a value that also marks missing",
                "remove it from one of the two lists",
            )


def _holds_number(column: Modelled, markers: Sequence[str]) -> bool:
    """Whether a marker is a number that the column could write: it would come back as missing."""
    numbers = [number for number in map(as_number, markers) if number is not None]
    match column:
        case IntegerColumn() | NumberColumn():
            return any(column.min <= n <= column.max or n in column.special for n in numbers)
        case CategoryColumn(written="integer"):
            return bool({float(value) for value in column.values} & set(numbers))
        case _:
            return False
