"""A schema for an audit of somebody's files, when nobody wrote one: read off the files themselves.

That is no schema for a release: its bounds and categories are what occurs in private rows. For attacks it will do,
since it is read off members, held-out and synthetic rows alike and says nothing about who is who.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from dpsynth import strict_yaml
from dpsynth.declared import TODO
from dpsynth.draft import draft_by_inspection
from dpsynth.errors import DataError, UsageError
from dpsynth.schema import CsvFormat, Schema
from dpsynth.table import Table, read_table
from dpsynth.table.coerce import to_text, unpacked
from dpsynth.table.csv_source import guess_format
from dpsynth.table.parts import Wanted
from dpsynth.table.sources import header, is_csv, parts


@dataclass(frozen=True)
class Files:
    """Somebody's synthetic table, the rows it was made from, rows held out (or None), and what they are read by."""

    synthetic: Path
    members: Path
    controls: Path | None
    schema: Schema
    notes: tuple[str, ...] = ()
    guessed: bool = False

    @classmethod
    def of(cls, synthetic: Path, members: Path, controls: Path | None, schema: Path | None) -> Files:
        """With the schema of that file; without one, with one that is read off the rows."""
        if schema is not None:
            return cls(synthetic, members, controls, Schema.load(schema))
        found, notes = schema_of_files([f for f in (members, controls, synthetic) if f is not None])
        return cls(synthetic, members, controls, found, notes, guessed=True)

    def tables(self) -> tuple[Table, Table, Table | None]:
        """Synthetic rows, members and controls. Raises DataError where rows do not fit."""
        controls = None if self.controls is None else self._read(self.controls)
        return self._read(self.synthetic, require_unit=False), self._read(self.members), controls

    def _read(self, file: Path, *, require_unit: bool = True) -> Table:
        schema = self.schema.model_copy(update={"csv": format_of(file)}) if self.guessed else self.schema
        with _naming(file):
            return read_table(file, schema, require_unit=require_unit)


@contextmanager
def _naming(file: Path) -> Iterator[None]:
    """An error about one of several files says which one."""
    try:
        yield
    except DataError as found:
        if file.name in found.problem:
            raise
        code = found.code.removeprefix("DPS-")
        raise DataError(code, f"{file.name}: {found.problem}", found.fix) from None


def schema_of_files(files: Sequence[Path]) -> tuple[Schema, tuple[str, ...]]:
    """A schema that all rows of all files fit, each row a unit; and what it leaves out, in words.

    Raises DataError when a file cannot be read, UsageError when they do not have the same columns.
    """
    forms = [format_of(file) for file in files]
    names = [header(file, form) for file, form in zip(files, forms, strict=True)]
    for file, found in zip(files[1:], names[1:], strict=True):
        strange = sorted(set(names[0]) ^ set(found))
        if strange:
            where = files[0].name if strange[0] in names[0] else file.name
            raise UsageError(
                "U111",
                f"the files have different columns: '{strange[0]}' is in {where} only",
                "give files with the same columns, or a --schema with the columns that count",
            )
    rows = [_texts(file, form, names[0]) for file, form in zip(files, forms, strict=True)]
    return _settled(draft_by_inspection(pa.concat_tables(rows)))


def format_of(file: Path) -> CsvFormat:
    """How this csv file is written, by its first line."""
    return guess_format(file) if is_csv(file) else CsvFormat()


def _texts(file: Path, form: CsvFormat, names: Sequence[str]) -> Any:
    with _naming(file):
        found = list(parts(file, form, Wanted(tuple(names), frozenset(), frozenset())))
    columns = {
        name: pa.chunked_array(
            [c for part in found for c in to_text(unpacked(part.columns[name])).chunks], pa.string()
        )
        for name in names
    }
    return pa.table(columns)


def _settled(draft: str) -> tuple[Schema, tuple[str, ...]]:
    """The draft with what it leaves open decided: rows are units, columns of no known type are left out."""
    data, _ = strict_yaml.loads(draft)
    columns: dict[str, Any] = dict(data["columns"])
    out = [name for name, column in columns.items() if column["type"] in (TODO, "drop", "id")]
    for name in out:
        columns[name] = {"type": "drop"}
    kept = {**data["data"], "unit": {"entity": "row"}}
    schema = Schema.from_yaml(strict_yaml.dumps({"data": kept, "columns": columns}))
    said = ["no schema was given: one was read off the files, with each row a unit of its own"]
    if out:
        said.append(f"columns left out (ids, or texts of too many kinds): {', '.join(out)}")
    return schema, tuple(said)
