"""write_table: a frame to csv or parquet, whole or not at all."""

from __future__ import annotations

import gzip
import io
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from dpsynth.columns import MomentColumn
from dpsynth.errors import CapacityError, DataError, UsageError, is_full
from dpsynth.schema import CsvFormat, Schema
from dpsynth.table.moments import steps_of, written_texts


def write_table(frame: pd.DataFrame, path: str | os.PathLike[str], schema: Schema | None = None) -> Path:
    """Write by suffix (.csv, .csv.gz, .parquet), in the schema's own form where one is given, and replace
    `path` at once.

    Raises CapacityError (C120) when the disk is full, UsageError (U180) when the folder is missing or cannot be
    written, DataError (D122) for another suffix. An
    existing file stays as it was until the new one is complete.
    """
    target = Path(path)
    name = target.name.lower()
    if name.endswith((".parquet", ".pq")):
        payload = _parquet(frame)
    elif name.endswith((".csv", ".csv.gz")):
        payload = _csv(frame, schema, compress=name.endswith(".gz"))
    else:
        raise unknown_format(target)
    replace_file(target, payload)
    return target


def unknown_format(target: Path) -> DataError:
    return DataError(
        "D122", f"{target.name} names no format that can be written", "end it in .csv, .csv.gz or .parquet"
    )


def replace_file(target: Path, payload: bytes) -> None:
    """Atomically. Raises CapacityError (C120), UsageError (U180)."""
    with staged(target) as file:
        file.write(payload)


@contextmanager
def staged(target: Path) -> Iterator[IO[bytes]]:
    """A temporary file beside `target`, synced and renamed to it when the block is left well; else removed.

    Raises CapacityError (C120) when the disk is full, UsageError (U180) when the folder cannot be written.
    """
    temporary: str | None = None
    try:
        handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name[:40]}.")
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(temporary, 0o666 & ~umask)
        os.replace(temporary, target)
        temporary = None
    except OSError as error:
        reason = f"{target} cannot be written ({error.strerror or 'unwritable'})"
        if is_full(error):
            raise CapacityError("C120", reason, "make room; nothing was left") from None
        raise UsageError("U180", reason, "check the folder and its rights") from None
    finally:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)


def _parquet(frame: pd.DataFrame) -> bytes:
    out = io.BytesIO()
    # the frame's index and pandas notes are no part of the table
    pq.write_table(pa.Table.from_pandas(frame, preserve_index=False).replace_schema_metadata(None), out)
    return out.getvalue()


def _csv(frame: pd.DataFrame, schema: Schema | None, compress: bool) -> bytes:
    form = schema.csv if schema else CsvFormat()
    marker = schema.missing_values[0] if schema and schema.missing_values else ""
    text = _as_written(frame, schema).to_csv(
        index=False,
        sep=form.delimiter,
        decimal=form.decimal,
        quotechar=form.quote,
        na_rep=marker,
        lineterminator="\n",
    )
    try:
        data = text.encode(form.encoding)
    except UnicodeEncodeError:
        raise DataError(
            "D122", f"a name or category cannot be written in {form.encoding}", "declare encoding: utf-8"
        ) from None
    return gzip.compress(data, compresslevel=6, mtime=0) if compress else data


def _as_written(frame: pd.DataFrame, schema: Schema | None) -> pd.DataFrame:
    """Moments and missing values as texts where a column writes them in its own way."""
    changed: dict[str, Any] = {}
    for name, column in (schema.modelled if schema else {}).items():
        if name not in frame:
            continue
        series = frame[name]
        if isinstance(column, MomentColumn):
            texts = pd.Series(written_texts(column, steps_of(column, series)), index=series.index)
            series = texts.where(frame[name].notna(), None)
        if column.missing_values:
            series = series.astype(object).where(frame[name].notna(), column.missing_values[0])
        if series is not frame[name]:
            changed[name] = series
    return frame.assign(**changed) if changed else frame
