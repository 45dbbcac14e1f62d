"""One column of raw values -> an array of the schema's kind, and which cells do not fit.

Whole columns at a time.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from dpsynth.columns import (
    MAX_TEXT,
    BooleanColumn,
    CategoryColumn,
    IntegerColumn,
    Modelled,
    MomentColumn,
    NumberColumn,
    as_number,
    clean_text,
)
from dpsynth.declared import Fault
from dpsynth.discovery import WHOLE
from dpsynth.schema import CsvFormat
from dpsynth.table.misfit import DoesNotFit, Misfit, is_text, refuse, to_numpy, whole_column
from dpsynth.table.moments import read_moments

Arrow = Any
Mask = NDArray[np.bool_]

MANY = 1 << 10
"""Rows from which on it pays to look whether texts repeat."""


@dataclass(frozen=True)
class Style:
    """How the source writes things."""

    markers: tuple[str, ...]
    csv: CsvFormat | None


def coerce(column: Modelled, raw: Arrow, style: Style) -> tuple[NDArray[Any], Mask]:
    """Values and missing mask, both shape (rows,). Raises DoesNotFit."""
    return _each_once(column, raw, style) or _each(column, raw, style)


def _each_once(column: Modelled, raw: Arrow, style: Style) -> tuple[NDArray[Any], Mask] | None:
    """The same, where texts repeat: each different one is read once. None where they do not, or where one does not fit."""
    kind = raw.type.value_type if pa.types.is_dictionary(raw.type) else raw.type
    free = isinstance(column, CategoryColumn) and column.unknown
    if not is_text(kind) or free or len(raw) < MANY or len(raw[:MANY].unique()) > MANY // 4:
        return None
    coded = raw if pa.types.is_dictionary(raw.type) else raw.dictionary_encode()
    whole = coded.unify_dictionaries().combine_chunks() if isinstance(coded, pa.ChunkedArray) else coded
    if isinstance(whole, pa.ChunkedArray) or len(whole.dictionary) > len(raw) // 4:
        return None
    nothing = pa.nulls(1 if whole.indices.null_count else 0, kind)
    try:
        values, gone = _each(column, pa.concat_arrays([whole.dictionary, nothing]), style)
    except DoesNotFit:
        return None
    places = to_numpy(whole.indices.fill_null(len(whole.dictionary)))
    return values[places], gone[places]


def _each(column: Modelled, raw: Arrow, style: Style) -> tuple[NDArray[Any], Mask]:
    array = unpacked(raw)
    gone = missing_mask(array, column.markers(style.markers))
    if gone.any() and not column.missing:
        refuse("D110", gone, "missing value", "add missing: true to the column")
    match column:
        case IntegerColumn() | NumberColumn():
            return _numeric(column, array, gone, style.csv), gone
        case MomentColumn():
            return read_moments(column, array, gone), gone
        case CategoryColumn():
            return _category(column, array, gone), gone
        case BooleanColumn():
            return _boolean(column, array, gone), gone


def unpacked(raw: Arrow) -> Arrow:
    """Without dictionary encoding; texts without surrounding space."""
    array = raw
    if pa.types.is_dictionary(array.type):
        array = array.cast(array.type.value_type)
    if pa.types.is_null(array.type) or pa.types.is_string_view(array.type):
        array = array.cast(pa.large_string())
    return pc.utf8_trim_whitespace(array) if is_text(array.type) else array


def missing_mask(array: Arrow, markers: Sequence[str]) -> Mask:
    """Nulls, NaN, and the declared markers (as text, or as the number they write)."""
    kind = array.type
    gone = to_numpy(pc.is_null(array, nan_is_null=bool(pa.types.is_floating(kind))))
    if is_text(kind):
        values = pa.array(list(markers), type=kind)
        return gone | (to_numpy(pc.is_in(array, value_set=values)) if len(markers) else False)
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        numbers = [number for number in map(as_number, markers) if number is not None]
        if numbers:
            floats = to_numpy(pc.cast(array, pa.float64(), safe=False).fill_null(float("nan")))
            return gone | np.isin(floats, numbers)
    return gone


def to_text(array: Arrow) -> Arrow:
    """Any flat column as the text a csv would hold; whole floats without the point."""
    kind = array.type
    if is_text(kind):
        return array
    if pa.types.is_boolean(kind):
        return pc.if_else(array, pa.scalar("True"), pa.scalar("False"))
    if pa.types.is_floating(kind):
        floats = pc.cast(array, pa.float64())
        floats = pc.if_else(pc.is_nan(floats), None, floats)
        whole = pc.and_(pc.equal(pc.round(floats), floats), pc.less(pc.abs(floats), 1e15))
        integers = pc.cast(pc.if_else(whole, floats, None), pa.int64(), safe=False)
        return pc.coalesce(pc.cast(integers, pa.string()), pc.cast(floats, pa.string()))
    if pa.types.is_timestamp(kind):
        # the day in UTC: Spark and DuckDB do not say in which time zone a file has its moments
        moments = array if kind.tz is None else pc.cast(array, pa.timestamp(kind.unit, "UTC"))
        array = pc.cast(moments, pa.date32(), safe=False)
    try:
        return pc.cast(array, pa.string())
    except pa.ArrowException:
        raise DoesNotFit(whole_column(len(array), "holds lists, records or bytes")) from None


def _numeric(
    column: IntegerColumn | NumberColumn, array: Arrow, gone: Mask, form: CsvFormat | None
) -> NDArray[Any]:
    if (
        isinstance(column, IntegerColumn)
        and pa.types.is_integer(array.type)
        and len(array)
        and not gone.any()
    ):
        whole = to_numpy(array)
        if column.min <= whole.min() and whole.max() <= column.max:
            return whole.astype(np.int64)
    floats = _floats(array, gone, form)
    floats[gone] = column.min
    infinite = ~np.isfinite(floats)
    if infinite.any():
        refuse("D113", infinite, "not a finite number", "correct it, or declare its text in missing_values")
    if isinstance(column, IntegerColumn):
        broken = np.floor(floats) != floats
        if broken.any():
            refuse("D112", broken, "not a whole number", "use type: number")
    coded = np.isin(floats, column.special)
    outside = ((floats < column.min) | (floats > column.max)) & ~coded
    if outside.any():
        if not column.clip:
            bounds = (
                f"[{column.min:g}, {column.max:g}]"
                if isinstance(column, NumberColumn)
                else f"[{column.min}, {column.max}]"
            )
            refuse("D114", outside, f"value outside {bounds}", "widen min or max, or set clip: true")
        floats = np.where(coded, floats, np.clip(floats, column.min, column.max))
    return floats.astype(np.int64) if isinstance(column, IntegerColumn) else floats


def _floats(array: Arrow, gone: Mask, form: CsvFormat | None) -> NDArray[np.float64]:
    """A fresh float64 array, shape (rows,); what is missing is NaN."""
    kind = array.type
    if is_text(kind):
        return _parse_numbers(array, gone, form)
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)):
        raise DoesNotFit(_not_numeric(kind, len(array)))
    floats = pc.cast(array, pa.float64(), safe=False).fill_null(float("nan"))
    return np.array(to_numpy(floats), dtype=np.float64)


def _not_numeric(kind: Any, rows: int) -> Misfit:
    if pa.types.is_temporal(kind):
        return Misfit("D111", np.arange(rows), "dates where numbers are declared", "use type: date")
    if pa.types.is_boolean(kind):
        return Misfit("D111", np.arange(rows), "truth values where numbers are declared", "use type: boolean")
    return whole_column(rows, "not numbers")


def _parse_numbers(texts: Arrow, gone: Mask, form: CsvFormat | None) -> NDArray[np.float64]:
    wanted = pc.if_else(pa.array(~gone), texts, None)
    decimal, thousands = (form.decimal, form.thousands) if form else (".", None)
    if decimal == "." and thousands is None:
        try:
            floats = to_numpy(pc.cast(wanted, pa.float64()).fill_null(float("nan")))
            if not (np.isnan(floats) & ~gone).any():
                return np.array(floats)
        except pa.ArrowException:
            pass
    fits = to_numpy(
        pc.match_substring_regex(wanted, _number_pattern(decimal, thousands)).fill_null(False)
    ).astype(bool)
    if not (fits | gone).all():
        refuse("D111", ~(fits | gone), "not a number", _number_fix(decimal, thousands))
    if thousands is not None:
        wanted = pc.replace_substring(wanted, thousands, "")
    if decimal != ".":
        wanted = pc.replace_substring(wanted, decimal, ".")
    plain = pc.replace_substring_regex(wanted, r"^\+", "")
    return np.array(to_numpy(pc.cast(plain, pa.float64()).fill_null(float("nan"))))


@lru_cache
def _number_pattern(decimal: str, thousands: str | None) -> str:
    point = re.escape(decimal)
    whole = rf"(?:[0-9]{{1,3}}(?:{re.escape(thousands)}[0-9]{{3}})+|[0-9]+)" if thousands else "[0-9]+"
    return rf"^[+-]?(?:{whole}(?:{point}[0-9]*)?|{point}[0-9]+)(?:[eE][+-]?[0-9]+)?$|^[+-]?(?i:inf|infinity)$"


def _number_fix(decimal: str, thousands: str | None) -> str:
    if decimal == "." and thousands is None:
        return "correct it, or declare missing_values, or data: csv: {decimal: ',', thousands: '.'}"
    return f"correct it; declared are decimal '{decimal}' and thousands {thousands!r}"


def _category(column: CategoryColumn, array: Arrow, gone: Mask) -> NDArray[Any]:
    """Positions in the column's values; of values still to be discovered the texts themselves."""
    if column.unknown:
        return _free_texts(column, to_text(array), gone)
    codes = _positions(to_text(array), column.values)
    unknown = (codes < 0) & ~gone
    if column.other is not None:
        return np.where(gone, 0, np.where(unknown, len(column.values) - 1, codes)).astype(np.int32)
    if unknown.any():
        refuse(
            "D115", unknown, "value is not one of the declared categories", "add it to values, or correct it"
        )
    return np.where(gone, 0, codes).astype(np.int32)


def _free_texts(column: CategoryColumn, texts: Arrow, gone: Mask) -> NDArray[np.object_]:
    """Any text that a schema could list, but the one that stands for others: what is discovered must be declarable."""
    there = pc.if_else(pa.array(~gone), texts, None)
    _refuse_texts(
        there, [column.other or ""], "reads like what stands for other values", "declare another other: ..."
    )
    distinct = [text for text in pc.unique(there).to_pylist() if text is not None]
    odd = [text for text in distinct if not _declarable(text)]
    _refuse_texts(
        there, odd, f"longer than {MAX_TEXT} characters, or with a control character", "shorten or drop it"
    )
    if column.written == "integer":
        _refuse_texts(
            there,
            [text for text in distinct if not re.fullmatch(WHOLE, text)],
            "no whole number",
            "drop 'written'",
        )
    return np.asarray(to_numpy(there.fill_null("")), dtype=object)


def _declarable(text: str) -> bool:
    try:
        return clean_text(text, "") == text
    except Fault:
        return False


def _refuse_texts(texts: Arrow, bad: Sequence[str], problem: str, fix: str) -> None:
    found = to_numpy(pc.is_in(texts, value_set=pa.array(list(bad), type=texts.type))).astype(bool)
    if found.any():
        refuse("D126", found, f"value to be discovered: {problem}", fix)


def _positions(texts: Arrow, values: Sequence[str]) -> NDArray[np.int64]:
    """Where each text stands in `values`; -1 where it does not."""
    found = pc.index_in(texts, value_set=pa.array(list(values), type=texts.type))
    return np.array(to_numpy(found.fill_null(-1)), dtype=np.int64)


def _boolean(column: BooleanColumn, array: Arrow, gone: Mask) -> NDArray[np.uint8]:
    if pa.types.is_boolean(array.type):
        return np.where(gone, False, to_numpy(array.fill_null(False)).astype(bool)).astype(np.uint8)
    texts = to_text(array)
    declared = column.true_value is not None
    known = column.texts if declared else ("false", "true", "0", "1")
    codes = _positions(texts if declared else pc.utf8_lower(texts), known)
    unknown = (codes < 0) & ~gone
    if unknown.any():
        fix = "correct it" if declared else "declare true_value and false_value"
        refuse("D116", unknown, "neither of the two truth values", fix)
    return np.where(gone, 0, codes % 2).astype(np.uint8)
