"""Sources that a Spark session reads, and how the executors check them: by the code that reads tables everywhere."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from dpsynth.constraining import BrokenBySource, refusal
from dpsynth.constraints import Rules
from dpsynth.discovering import ranked
from dpsynth.errors import DataError, UsageError
from dpsynth.project import TABLE, is_elsewhere
from dpsynth.records import Records
from dpsynth.schema import CsvFormat, Schema
from dpsynth.spark_jobs import translated
from dpsynth.synthesis import unit_keys
from dpsynth.table import Table
from dpsynth.table.alike import WAY_OUT, differing, kinds_in
from dpsynth.table.parts import Part, Wanted
from dpsynth.table.reading import table_of
from dpsynth.table.sources import files_of, header, is_parquet
from dpsynth.unit_names import UnitNames
from dpsynth.versions import VERSION

_CSV = re.compile(r"\.(csv|tsv|txt)(\.gz)?$")


@dataclass(frozen=True)
class Rows:
    """How executors read: names of the columns in the order in which they come, and how texts write numbers if from csv.

    It goes to them with each job. `version`: of the program that made it.
    """

    schema: Schema
    names: tuple[str, ...]
    form: CsvFormat | None
    despite: bool
    version: str = VERSION

    def table(self, rows: Any, place: Callable[[int], str]) -> Table:
        """A checked table. DataError as `read_table` has it (D212 for a broken constraint, D186 for damaged text), with the
        row's place in its partition; UsageError U287 on a worker with another version."""
        if self.version != VERSION:
            raise UsageError(
                "U287", "a worker has another version of dpsynth than the driver", "install the same on all"
            )
        columns = {name: pa.chunked_array(rows.column(i).chunks) for i, name in enumerate(self.names)}
        if self.form is not None:
            columns = {name: _as_text(name, column, place) for name, column in columns.items()}
        table = table_of(Part(columns, rows.num_rows, place, self.form), self.schema)
        broken = {} if self.despite else Rules.of(self.schema).broken(table)
        if broken:
            words = self.schema.constraints
            raise refusal(
                [
                    BrokenBySource(n, words[n - 1].words, len(at), place(int(at[0])))
                    for n, at in broken.items()
                ]
            )
        return table

    def units(self, table: Table, nameless: Iterator[int]) -> UnitNames | None:
        return unit_keys(table, nameless)

    def ranked(self, table: Table) -> Records | None:
        return ranked(table) if self.schema.unknown else None


def _as_text(name: str, column: Any, place: Callable[[int], str]) -> Any:
    """Spark reads an empty cell as nothing, and bytes that are no text as a mark: an empty text, and an error."""
    damaged = pc.match_substring(column, "\ufffd").fill_null(False)
    if pc.any(damaged).as_py():
        row = pc.index(damaged, True).as_py()
        raise DataError(
            "D186",
            f"column '{name}', {place(row)}: not text in the declared encoding",
            "declare it in data: csv: {encoding: latin-1} (or cp1252, utf-16)",
        )
    return column.fill_null("")


@dataclass(frozen=True, eq=False)
class Found:
    """Lazy DataFrames of the columns that are needed, one for each set of types that files have; and how to read them."""

    frames: tuple[Any, ...]
    reader: Rows


def find(source: Any, schema: Schema, session: Any, *, despite: bool = False) -> Found:
    """`source`: a DataFrame, ``table:NAME`` of the session's catalog, or paths of csv or parquet files: here, where all
    workers must see them too, or at an address that Spark can read (``s3a://...``).

    Reads headers only. Raises DataError as `read_table` does, D187 where parquet files differ, UsageError U288 for another
    kind of source.
    """
    wanted = Wanted.of(schema, require_unit=True)
    with translated():
        frames, form = _frames(source, schema, wanted, session)
        chosen = []
        for frame in frames:
            names = [str(name).strip() for name in frame.columns]
            kept = wanted.check(names)
            chosen.append(frame.select(*[_quoted(frame.columns[names.index(name)]) for name in kept]))
    return Found(tuple(chosen), Rows(schema, tuple(kept), form, despite))


def _quoted(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"


def _frames(source: Any, schema: Schema, wanted: Wanted, session: Any) -> tuple[list[Any], CsvFormat | None]:
    if hasattr(source, "mapInArrow"):
        return [source], None
    if isinstance(source, str) and source.startswith(TABLE):
        return [session.table(source.removeprefix(TABLE))], None
    paths, local = _paths(source)
    if all(_CSV.search(path.lower()) for path in paths):
        if local:
            wanted.check(header(paths[0], schema.csv))
        return [_csv(session, paths if not local else _escaped(paths), schema.csv)], schema.csv
    if local and not all(is_parquet(Path(path)) for path in paths):
        raise _unknown("files that are neither csv nor parquet by their names")
    if local:
        alike = _alike(paths, wanted, schema)
        return [
            _typed(session.read.parquet(*_escaped(some)), kinds_in(Path(some[0]))) for some in alike
        ], None
    frame = session.read.parquet(*paths)
    _require_alike_there(frame, session)
    return [frame], None


def _typed(frame: Any, kinds: Mapping[str, Any]) -> Any:
    """A column without any value has no type; Spark would make a number of it."""
    empty = {name for name in frame.columns if pa.types.is_null(kinds.get(name.strip(), pa.int64()))}
    if not empty:
        return frame
    return frame.selectExpr(
        *(f"cast(null as string) {_quoted(n)}" if n in empty else _quoted(n) for n in frame.columns)
    )


def _csv(session: Any, paths: Sequence[str], form: CsvFormat) -> Any:
    # a row may go over several lines; a file is then one partition
    return session.read.csv(
        list(paths),
        header=True,
        inferSchema=False,
        enforceSchema=False,
        multiLine=True,
        mode="FAILFAST",
        sep=form.delimiter,
        quote=form.quote,
        escape=form.quote,
        encoding=form.encoding,
        emptyValue="",
        ignoreLeadingWhiteSpace=False,
        ignoreTrailingWhiteSpace=False,
        maxColumns=1_000_000,
    )


def _paths(source: Any) -> tuple[list[str], bool]:
    """All files, and whether they are on this machine."""
    listed = [source] if isinstance(source, str | os.PathLike) else source
    if (
        not isinstance(listed, Sequence)
        or not listed
        or not all(isinstance(p, str | os.PathLike) for p in listed)
    ):
        raise _unknown(f"a {type(source).__name__}")
    paths = [os.fspath(path) for path in listed]
    remote = [is_elsewhere(path) for path in paths]
    if all(remote):
        return paths, False
    if any(remote):
        raise _unknown("some files that are here, and some that are elsewhere,")
    return [str(file.absolute()) for path in paths for file in files_of(path)], True


def _unknown(what: str) -> UsageError:
    return UsageError(
        "U288",
        f"{what} cannot be read by Spark",
        "give a DataFrame, table:NAME, csv files, parquet files, or an address such as s3a://...",
    )


def _escaped(paths: Sequence[str]) -> list[str]:
    """Paths in which nothing is a pattern."""
    return ["file://" + re.sub(r"([\\{}\[\]*?])", r"\\\1", path) for path in paths]


def _alike(paths: Sequence[str], wanted: Wanted, schema: Schema) -> list[list[str]]:
    """Parquet files by the types of the columns that are needed: each set of types is read by itself, since Spark takes the
    types from one file, and fills in nothing where another lacks a column. All footers are looked at."""
    files = []
    for path in paths:
        try:
            files.append(kinds_in(Path(path)))
        except (pa.ArrowException, ValueError, OSError):
            raise _differs(f"{Path(path).name} is not readable") from None
    kept = wanted.check(list(files[0]))
    why = differing(files, paths, kept, schema.modelled)
    if why is not None:
        raise _differs(why)
    found: dict[tuple[Any, ...], list[str]] = {}
    for path, kinds in zip(paths, files, strict=True):
        wanted.check(list(kinds))
        found.setdefault(tuple(kinds[name] for name in kept), []).append(path)
    return list(found.values())


def _require_alike_there(frame: Any, session: Any) -> None:
    """Each file by its own footer. Columns whose value is in the name of a folder (``year=2026``) may be missing there."""
    files = frame.inputFiles()
    expected = {field.name: field.dataType for field in frame.schema}
    for file in files if len(files) > 1 else ():
        found = {field.name: field.dataType for field in session.read.parquet(file).schema}
        inside = {name: kind for name, kind in expected.items() if name in found or f"/{name}=" not in file}
        if any(found.get(name) != kind for name, kind in inside.items()):
            raise _differs(f"{file.rsplit('/', 1)[-1]} has other columns or types than the others")


def _differs(why: str) -> DataError:
    return DataError("D187", f"the parquet files cannot be read as one table: {why}", WAY_OUT)
