"""Synthetic rows by Spark's executors, from a fitted model: it holds released facts only, so it may go to them."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from dpsynth.errors import CapacityError, UsageError
from dpsynth.model import FittedModel
from dpsynth.model.shares import Shares
from dpsynth.progress import Progress, silent
from dpsynth.spark_jobs import Jobs, translated
from dpsynth.spark_session import declared
from dpsynth.table import Table
from dpsynth.table.folders import PART, UNFINISHED, require_new_folder
from dpsynth.table.streaming import arrow_of, write_tables

BATCH = 1 << 16
"""Rows that go back to Spark at once."""


def sample(
    model: FittedModel, rows: int | None, session: Any, *, seed: int | None = None, part_rows: int = PART
) -> Any:
    """A lazy DataFrame of `rows` synthetic rows (as many as the model counted without a number), drawn by the executors.

    A partition has about `part_rows` rows, each from a stream of its own that comes from `seed` (new without one): the
    same seed gives the same rows on any cluster. Times of day are texts, for which Spark 4.0 has no type; where units have
    several rows there may be a few more or less, so that units are whole. Raises UsageError U319 for a number of rows that
    is none, DataError D201 for a format of ids with too few digits.
    """
    drawing = _drawing(model, rows, seed, part_rows)
    with translated():
        return _numbers(session, drawing.parts).mapInArrow(drawing, declared(drawing.kinds))


def write_sample(
    model: FittedModel,
    rows: int | None,
    out: str | os.PathLike[str],
    session: Any,
    *,
    seed: int | None = None,
    part_rows: int = PART,
    progress: Progress = silent,
) -> int:
    """As `sample`, written by the executors to ``out/part-00000.parquet``, ...; how many rows.

    `out`: a new folder that all executors share. It gets its name when all files are complete; a task that is tried again
    writes the same file again. Files are those of `write_rows`. Raises also UsageError U290 for a folder that exists,
    U318 where it cannot be made or an executor cannot see it, CapacityError C185 when the disk is full; then nothing of it
    is left.
    """
    folder = Path(out).absolute()
    require_new_folder(folder)
    drawing = _drawing(model, rows, seed, part_rows)
    unfinished = folder.with_name(folder.name + UNFINISHED)
    try:
        unfinished.mkdir()
        writing = Write(drawing, str(unfinished))
        frame = _numbers(session, drawing.parts).mapInArrow(writing, "rows long, problem string")
        told = Jobs(session, progress).collected(frame, "sampling on the cluster").to_pylist()
        problems = [row["problem"] for row in told if row["problem"]]
        if problems:
            raise _refused(folder, problems[0])
        if len(list(unfinished.iterdir())) != drawing.parts:
            raise _refused(folder, "executors write to folders of their own")
        unfinished.rename(folder)
    except OSError as error:
        raise _refused(folder, error.strerror or "no such place") from None
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return sum(row["rows"] for row in told)


@dataclass(frozen=True)
class DrawShares:
    """Numbers of parts -> their rows. `files`: of the saved model."""

    files: Mapping[str, bytes]
    rows: int
    seed: int
    part_rows: int

    def __call__(self, batches: Iterator[Any]) -> Iterator[Any]:
        for part in _parts(batches):
            for table in self.shares.tables(part):
                yield from _plain(table).to_batches(max_chunksize=BATCH)

    @property
    def shares(self) -> Shares:
        return Shares(_loaded(_Files(self.files)), self.rows, self.seed, self.part_rows)

    @cached_property
    def parts(self) -> int:
        return self.shares.parts

    @cached_property
    def kinds(self) -> Any:
        """The Arrow schema of the rows, from the model alone."""
        nothing = Shares(_loaded(_Files(self.files)), 0, 0, 1)
        return _plain(next(nothing.tables(0))).schema


@dataclass(frozen=True)
class Write:
    """Numbers of parts -> files of their rows in a folder, and how many rows each has."""

    drawing: DrawShares
    folder: str

    def __call__(self, batches: Iterator[Any]) -> Iterator[Any]:
        for part in _parts(batches):
            rows, problem = 0, None
            try:
                rows = self._written(part)
            except OSError as error:
                problem = error.strerror or "no such place"
            except (CapacityError, UsageError) as error:
                problem = "No space left on device" if isinstance(error, CapacityError) else error.problem
            columns = [pa.array([rows], pa.int64()), pa.array([problem], pa.string())]
            yield pa.RecordBatch.from_arrays(columns, names=["rows", "problem"])

    def _written(self, part: int) -> int:
        shares, file = self.drawing.shares, Path(self.folder) / f"part-{part:05d}.parquet"
        return write_tables(shares.tables(part), file, shares.model.schema)


def _drawing(model: FittedModel, rows: int | None, seed: int | None, part_rows: int) -> DrawShares:
    if isinstance(rows, bool) or not isinstance(rows, int | None) or (rows or 0) < 0:
        raise UsageError("U319", "the number of rows to sample is no whole number of at least 0")
    wanted = model.default_rows() if rows is None else rows
    chosen = int(np.random.SeedSequence().generate_state(2, np.uint64)[0]) if seed is None else seed
    with tempfile.TemporaryDirectory() as folder:
        model.save(Path(folder) / "model")
        whole = Path(folder) / "model"
        files = {str(f.relative_to(whole)): f.read_bytes() for f in whole.rglob("*") if f.is_file()}
    drawing = DrawShares(files, wanted, chosen, part_rows)
    drawing.shares.require_ids()
    return drawing


class _Files(dict[str, bytes]):
    """Files by name, told apart by their content."""

    def __hash__(self) -> int:  # type: ignore[override]
        total = hashlib.sha256()
        for name in sorted(self):
            total.update(name.encode() + b"\0" + hashlib.sha256(self[name]).digest())
        return int.from_bytes(total.digest()[:8], "big")


@lru_cache(maxsize=1)
def _loaded(files: _Files) -> FittedModel:
    """The model, once in each process."""
    with tempfile.TemporaryDirectory() as folder:
        for name, content in files.items():
            file = Path(folder) / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
        return FittedModel.load(folder)


def _parts(batches: Iterator[Any]) -> Iterator[int]:
    for batch in batches:
        yield from batch.column(0).to_pylist()


def _numbers(session: Any, parts: int) -> Any:
    """A row for each part, in a partition of its own."""
    return session.range(0, parts, 1, parts)


def _plain(table: Table) -> Any:
    """As Spark's types have it."""
    found = arrow_of(table)
    return found.cast(pa.schema([(field.name, _kind(field.type)) for field in found.schema]))


def _kind(kind: Any) -> Any:
    if pa.types.is_large_string(kind) or pa.types.is_time(kind):
        return pa.string()
    if pa.types.is_timestamp(kind):
        return pa.timestamp("us", kind.tz)
    return pa.duration("us") if pa.types.is_duration(kind) else kind


def _refused(folder: Path, why: str) -> UsageError | CapacityError:
    if "No space left" in why:
        return CapacityError(
            "C185", f"{folder} cannot be written (no space left)", "make room; nothing was left"
        )
    return UsageError(
        "U318", f"{folder} cannot be written ({why})", "name a new folder that driver and executors share"
    )
