"""csv files: every cell read as text, nothing guessed."""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pacsv

from dpsynth.errors import CapacityError, DataError
from dpsynth.schema import CsvFormat
from dpsynth.table.parts import Part, Wanted

MAX_BYTES = 8 << 30
"""Largest uncompressed csv that is read into memory."""

_HEADER_BYTES = 1 << 20


def read_csv(path: Path, form: CsvFormat, wanted: Wanted) -> Part:
    """Raises DataError: D102 empty, D103-D105 columns, D106 encoding, D107 not text, D108 rows, D109 gzip."""
    data = _as_utf8(_bytes(path), form)
    names, lines = _header(data, form)
    read = wanted.check(names)
    table = _parse(data, form, names, lines, read)
    if table.num_rows == 0:
        raise DataError("D102", "the file has a header and no rows", "is it the right file?")
    return Part(
        {name: table[name] for name in read}, table.num_rows, lambda row: _place(data, form, row), form
    )


def read_header(path: Path, form: CsvFormat) -> list[str]:
    """Column names of a csv file; nothing below the header line is read. Raises DataError as `read_csv`."""
    names, _ = _header(_as_utf8(_first_line(path), form), form)
    return names


def guess_format(path: Path) -> CsvFormat:
    """Delimiter and encoding by the header line alone: a proposal for a person to check."""
    line = _first_line(path)
    encoding = next(name for name in ("utf-8", "utf-16", "cp1252", "latin-1") if _decodes(line, name))
    text = line.decode(encoding)
    delimiter = max(",;\t|", key=text.count)
    return CsvFormat(delimiter=delimiter, encoding=encoding)


def _decodes(line: bytes, encoding: str) -> bool:
    if (encoding == "utf-16") != line.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return False
    try:
        line.decode(encoding)
    except UnicodeError:
        return False
    return True


def _first_line(path: Path) -> bytes:
    opened = gzip.open if path.suffix.lower() == ".gz" else open
    try:
        with opened(path, "rb") as file:
            start = file.read(_HEADER_BYTES)
    except (EOFError, gzip.BadGzipFile, zlib.error):
        raise DataError("D109", "the gzip file is damaged", "copy or compress it again") from None
    _check_kind(path, start)
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return start[: len(start) // 2 * 2]
    lines = start.lstrip(b"\r\n").splitlines(keepends=True)
    return lines[0]


def _bytes(path: Path) -> bytes:
    raw = path.read_bytes()
    if path.suffix.lower() == ".gz":
        raw = _gunzip(raw)
    _check_kind(path, raw)
    return raw


def _check_kind(path: Path, raw: bytes) -> None:
    if raw[:4] == b"PAR1":
        raise DataError("D107", f"{path.name} is a parquet file", "name it .parquet")
    if raw[:2] == b"\x1f\x8b":
        raise DataError("D107", f"{path.name} is compressed", "name it .csv.gz")
    if raw[:4] == b"PK\x03\x04":
        raise DataError("D107", f"{path.name} is a zip archive or a spreadsheet", "export it as csv")
    if not raw.strip():
        raise DataError("D102", f"{path.name} is empty", "is it the right file?")


def _gunzip(raw: bytes) -> bytes:
    """All members; bounded, so that a small file cannot fill the memory."""
    out: list[bytes] = []
    size = 0
    while raw:
        inflate = zlib.decompressobj(wbits=31)
        try:
            out.append(inflate.decompress(raw, MAX_BYTES - size + 1))
        except zlib.error:
            raise DataError("D109", "the gzip file is damaged", "copy or compress it again") from None
        size += len(out[-1])
        if size > MAX_BYTES:
            raise CapacityError(
                "C901", f"the file unpacks to more than {MAX_BYTES >> 30} GB", "split it, or use parquet"
            )
        if not inflate.eof:
            raise DataError("D109", "the gzip file breaks off", "copy or compress it again")
        raw = inflate.unused_data.lstrip(b"\0")
    return b"".join(out)


def _as_utf8(raw: bytes, form: CsvFormat) -> bytes:
    if codecs.lookup(form.encoding).name in ("utf-8", "utf-8-sig"):
        raw = raw.removeprefix(codecs.BOM_UTF8)
        _check_no_nulls(raw)
        _decode(raw, "utf-8")
        return raw
    text = _decode(raw, form.encoding).removeprefix("\ufeff")
    data = text.encode("utf-8", "replace")
    _check_no_nulls(data)
    return data


def _decode(raw: bytes, encoding: str) -> str:
    try:
        return raw.decode(encoding)
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        fix = "declare it in data: csv: {encoding: latin-1} (or cp1252, utf-16)"
        raise DataError("D106", f"line {line}: not {encoding} text", fix) from None
    except (UnicodeError, ValueError):
        raise DataError(
            "D106", f"the file is not {encoding} text", "declare its encoding in data: csv: {encoding: ...}"
        ) from None


def _check_no_nulls(data: bytes) -> None:
    where = data.find(b"\0")
    if where >= 0:
        line = data.count(b"\n", 0, where) + 1
        raise DataError(
            "D107",
            f"line {line}: a null byte",
            "it is not plain text; if it is utf-16, declare that encoding",
        )


def _header(data: bytes, form: CsvFormat) -> tuple[list[str], int]:
    """Column names, and how many lines of the file they and what stands above them take."""
    reader = _rows(data, form)
    try:
        for row in reader:
            if row:
                return [name.strip() for name in row], reader.line_num
    except csv.Error:
        raise DataError("D108", "the header cannot be read", "check quotes and the delimiter") from None
    raise DataError("D102", "the file has no header", "is it the right file?")


def _rows(data: bytes, form: CsvFormat, strict: bool = False) -> Any:
    text = io.TextIOWrapper(io.BytesIO(data), encoding="utf-8", newline="")
    return csv.reader(text, delimiter=form.delimiter, quotechar=form.quote, doublequote=True, strict=strict)


def _parse(data: bytes, form: CsvFormat, names: list[str], skip: int, read: list[str]) -> Any:
    ragged: list[tuple[int, int]] = []

    def note(row: Any) -> str:
        ragged.append((row.expected_columns, row.actual_columns))
        return "skip"

    try:
        table = pacsv.read_csv(
            pa.BufferReader(data),
            read_options=pacsv.ReadOptions(
                use_threads=False, skip_rows=skip, column_names=names, block_size=_block(data)
            ),
            parse_options=pacsv.ParseOptions(
                delimiter=form.delimiter,
                quote_char=form.quote,
                newlines_in_values=True,
                invalid_row_handler=note,
            ),
            convert_options=pacsv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.string()),
                include_columns=read,
                strings_can_be_null=False,
                null_values=[],
            ),
        )
    except pa.ArrowException as error:
        if "Empty CSV" in str(error) or skip >= data.count(b"\n") + data.count(b"\r") + 1:
            raise DataError("D102", "the file has a header and no rows", "is it the right file?") from None
        raise DataError(
            "D108", "the rows cannot be told apart", "check quotes, delimiter and line endings"
        ) from None
    _check_quotes_closed(data, form)
    if ragged:
        raise _ragged(data, form, len(names), len(ragged))
    return table


def _block(data: bytes) -> int:
    # a row must fit into one block; a text cell of many megabytes is legal
    longest = max(data.find(b"\n") + 1, 1)
    return max(
        1 << 22, min(len(data) + 1, (1 << 31) - 1) if len(data) < 1 << 28 or longest > 1 << 20 else 1 << 26
    )


def _check_quotes_closed(data: bytes, form: CsvFormat) -> None:
    if data.count(form.quote.encode()) % 2 == 0:
        return
    start = 1
    reader = _rows(data, form, strict=True)
    try:
        for _ in reader:
            start = reader.line_num + 1
    except csv.Error as error:
        if "unexpected end of data" in str(error):
            raise DataError(
                "D108", f"line {start}: a quote is opened and never closed", "close it, or double it"
            ) from None


def _ragged(data: bytes, form: CsvFormat, width: int, count: int) -> DataError:
    more = f" (and {count - 1} more lines)" if count > 1 else ""
    for start, row in _numbered(data, form):
        if len(row) != width:
            return DataError(
                "D108",
                f"line {start}: {len(row)} fields where the header has {width}{more}",
                "check the delimiter, and quotes around values that contain it",
            )
    return DataError(
        "D108", f"a line has not the {width} fields of the header{more}", "check quotes and the delimiter"
    )


def _numbered(data: bytes, form: CsvFormat) -> Iterator[tuple[int, list[str]]]:
    """Rows that are not blank, header included, with the line they begin on."""
    reader = _rows(data, form)
    start = 1
    try:
        for row in reader:
            if row:
                yield start, row
            start = reader.line_num + 1
    except csv.Error:
        return


def _place(data: bytes, form: CsvFormat, row: int) -> str:
    for position, (start, _) in enumerate(_numbered(data, form)):
        if position == row + 1:
            return f"line {start}"
    return f"row {row + 1}"
