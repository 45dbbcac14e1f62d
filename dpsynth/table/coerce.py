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
    BooleanColumn,
    CategoryColumn,
    DateColumn,
    IntegerColumn,
    Modelled,
    NumberColumn,
    days,
)
from dpsynth.schema import CsvFormat

Arrow = Any
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Misfit:
    """Cells of one column that do not fit, for one reason."""

    code: str
    rows: NDArray[np.int64]
    problem: str
    fix: str


class DoesNotFit(Exception):
    """Carries the misfit; becomes a DataError with column and line."""

    def __init__(self, misfit: Misfit) -> None:
        super().__init__(misfit.problem)
        self.misfit = misfit


@dataclass(frozen=True)
class Style:
    """How the source writes things."""

    markers: tuple[str, ...]
    csv: CsvFormat | None


def coerce(column: Modelled, raw: Arrow, style: Style) -> tuple[NDArray[Any], Mask]:
    """Values and missing mask, both shape (rows,). Raises DoesNotFit."""
    array = unpacked(raw)
    gone = missing_mask(array, column.markers(style.markers))
    if gone.any() and not column.missing:
        _refuse("D110", gone, "missing value", "add missing: true to the column")
    match column:
        case IntegerColumn() | NumberColumn():
            return _numeric(column, array, gone, style.csv), gone
        case DateColumn():
            return _dates(column, array, gone), gone
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


def is_text(kind: Any) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def missing_mask(array: Arrow, markers: Sequence[str]) -> Mask:
    """Nulls, NaN, and the declared markers (as text, or as the number they write)."""
    kind = array.type
    gone = _to_numpy(pc.is_null(array, nan_is_null=bool(pa.types.is_floating(kind))))
    if is_text(kind):
        values = pa.array(list(markers), type=kind)
        return gone | (_to_numpy(pc.is_in(array, value_set=values)) if len(markers) else False)
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        numbers = [number for number in map(_as_number, markers) if number is not None]
        if numbers:
            floats = _to_numpy(pc.cast(array, pa.float64(), safe=False).fill_null(float("nan")))
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
        array = pc.cast(array, pa.date32(), safe=False)
    try:
        return pc.cast(array, pa.string())
    except pa.ArrowException:
        raise DoesNotFit(_whole_column(len(array), "holds lists, records or bytes")) from None


def _whole_column(rows: int, problem: str) -> Misfit:
    return Misfit("D119", np.arange(rows), problem, "write plain numbers, texts, dates or truth values")


def _refuse(code: str, bad: Mask, problem: str, fix: str) -> None:
    raise DoesNotFit(Misfit(code, np.flatnonzero(bad), problem, fix))


def _to_numpy(array: Arrow) -> NDArray[Any]:
    return np.asarray(
        array.to_numpy(zero_copy_only=False) if isinstance(array, pa.Array) else array.to_numpy()
    )


def _as_number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _numeric(
    column: IntegerColumn | NumberColumn, array: Arrow, gone: Mask, form: CsvFormat | None
) -> NDArray[Any]:
    floats = _floats(array, gone, form)
    floats[gone] = column.min
    infinite = ~np.isfinite(floats)
    if infinite.any():
        _refuse("D113", infinite, "not a finite number", "correct it, or declare its text in missing_values")
    if isinstance(column, IntegerColumn):
        broken = np.floor(floats) != floats
        if broken.any():
            _refuse("D112", broken, "not a whole number", "use type: number")
    outside = (floats < column.min) | (floats > column.max)
    if outside.any():
        if not column.clip:
            bounds = (
                f"[{column.min:g}, {column.max:g}]"
                if isinstance(column, NumberColumn)
                else f"[{column.min}, {column.max}]"
            )
            _refuse("D114", outside, f"value outside {bounds}", "widen min or max, or set clip: true")
        floats = np.clip(floats, column.min, column.max)
    return floats.astype(np.int64) if isinstance(column, IntegerColumn) else floats


def _floats(array: Arrow, gone: Mask, form: CsvFormat | None) -> NDArray[np.float64]:
    """A fresh float64 array, shape (rows,); what is missing is NaN."""
    kind = array.type
    if is_text(kind):
        return _parse_numbers(array, gone, form)
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)):
        raise DoesNotFit(_not_numeric(kind, len(array)))
    floats = pc.cast(array, pa.float64(), safe=False).fill_null(float("nan"))
    return np.array(_to_numpy(floats), dtype=np.float64)


def _not_numeric(kind: Any, rows: int) -> Misfit:
    if pa.types.is_temporal(kind):
        return Misfit("D111", np.arange(rows), "dates where numbers are declared", "use type: date")
    if pa.types.is_boolean(kind):
        return Misfit("D111", np.arange(rows), "truth values where numbers are declared", "use type: boolean")
    return _whole_column(rows, "not numbers")


def _parse_numbers(texts: Arrow, gone: Mask, form: CsvFormat | None) -> NDArray[np.float64]:
    wanted = pc.if_else(pa.array(~gone), texts, None)
    decimal, thousands = (form.decimal, form.thousands) if form else (".", None)
    if decimal == "." and thousands is None:
        try:
            floats = _to_numpy(pc.cast(wanted, pa.float64()).fill_null(float("nan")))
            if not (np.isnan(floats) & ~gone).any():
                return np.array(floats)
        except pa.ArrowException:
            pass
    fits = _to_numpy(
        pc.match_substring_regex(wanted, _number_pattern(decimal, thousands)).fill_null(False)
    ).astype(bool)
    if not (fits | gone).all():
        _refuse("D111", ~(fits | gone), "not a number", _number_fix(decimal, thousands))
    if thousands is not None:
        wanted = pc.replace_substring(wanted, thousands, "")
    if decimal != ".":
        wanted = pc.replace_substring(wanted, decimal, ".")
    plain = pc.replace_substring_regex(wanted, r"^\+", "")
    return np.array(_to_numpy(pc.cast(plain, pa.float64()).fill_null(float("nan"))))


@lru_cache
def _number_pattern(decimal: str, thousands: str | None) -> str:
    point = re.escape(decimal)
    whole = rf"(?:[0-9]{{1,3}}(?:{re.escape(thousands)}[0-9]{{3}})+|[0-9]+)" if thousands else "[0-9]+"
    return rf"^[+-]?(?:{whole}(?:{point}[0-9]*)?|{point}[0-9]+)(?:[eE][+-]?[0-9]+)?$|^[+-]?(?i:inf|infinity)$"


def _number_fix(decimal: str, thousands: str | None) -> str:
    if decimal == "." and thousands is None:
        return "correct it, or declare missing_values, or data: csv: {decimal: ',', thousands: '.'}"
    return f"correct it; declared are decimal '{decimal}' and thousands {thousands!r}"


def _dates(column: DateColumn, array: Arrow, gone: Mask) -> NDArray[np.int64]:
    kind = array.type
    if is_text(kind):
        numbers = _parse_dates(column, array, gone)
    elif pa.types.is_date(kind) or pa.types.is_timestamp(kind):
        numbers = _day_numbers(array, gone)
    else:
        raise DoesNotFit(
            Misfit("D117", np.arange(len(array)), "not dates", "use type: integer, number or category")
        )
    numbers[gone] = days(column.min)
    outside = (numbers < days(column.min)) | (numbers > days(column.max))
    if outside.any():
        if not column.clip:
            _refuse(
                "D114",
                outside,
                f"date outside [{column.min}, {column.max}]",
                "widen min or max, or set clip: true",
            )
        numbers = np.clip(numbers, days(column.min), days(column.max))
    return numbers


def _day_numbers(array: Arrow, gone: Mask) -> NDArray[np.int64]:
    stamps = _to_numpy(pc.cast(array, pa.timestamp("us"), safe=False)).astype("datetime64[us]")
    whole = stamps.astype("datetime64[D]")
    timed = (whole.astype("datetime64[us]") != stamps) & ~gone
    if timed.any():
        _refuse("D117", timed, "a time of day where a date is declared", "cut times to days first")
    return np.where(gone, np.datetime64(0, "D"), whole).astype("datetime64[D]").astype(np.int64)


def _parse_dates(column: DateColumn, texts: Arrow, gone: Mask) -> NDArray[np.int64]:
    # Arrow's own date parser turns 30 February into 2 March: pick the parts and check them
    found = pc.extract_regex(texts, _date_pattern(column.format))
    fits = _to_numpy(pc.is_valid(found)).astype(bool) & ~gone
    year, month, day = (_part(found, name) for name in ("Y", "m", "d"))
    start = (year.astype(np.int64) - 1970).astype("datetime64[Y]").astype("datetime64[M]") + (
        np.clip(month, 1, 12) - 1
    )
    numbers = start.astype("datetime64[D]").astype(np.int64) + day - 1
    length = (start + 1).astype("datetime64[D]").astype(np.int64) - start.astype("datetime64[D]").astype(
        np.int64
    )
    fits &= (month >= 1) & (month <= 12) & (day >= 1) & (day <= length)
    if not (fits | gone).all():
        _refuse(
            "D117", ~(fits | gone), f"not a date of the form {column.format}", "correct it, or declare format"
        )
    return np.asarray(numbers)


def _part(found: Arrow, name: str) -> NDArray[np.int64]:
    text = pc.struct_field(found, name)
    return np.array(_to_numpy(pc.cast(pc.if_else(pc.is_valid(text), text, "1"), pa.int64())))


@lru_cache
def _date_pattern(form: str) -> str:
    pattern = re.escape(form)
    for part, digits in (("Y", "[0-9]{4}"), ("m", "[0-9]{1,2}"), ("d", "[0-9]{1,2}")):
        pattern = pattern.replace(f"%{part}", f"(?P<{part}>{digits})", 1)
    return f"^{pattern}$"


def _category(column: CategoryColumn, array: Arrow, gone: Mask) -> NDArray[np.int32]:
    codes = _positions(to_text(array), column.values)
    unknown = (codes < 0) & ~gone
    if unknown.any():
        _refuse(
            "D115", unknown, "value is not one of the declared categories", "add it to values, or correct it"
        )
    return np.where(gone, 0, codes).astype(np.int32)


def _positions(texts: Arrow, values: Sequence[str]) -> NDArray[np.int64]:
    """Where each text stands in `values`; -1 where it does not."""
    found = pc.index_in(texts, value_set=pa.array(list(values), type=texts.type))
    return np.array(_to_numpy(found.fill_null(-1)), dtype=np.int64)


def _boolean(column: BooleanColumn, array: Arrow, gone: Mask) -> NDArray[np.uint8]:
    if pa.types.is_boolean(array.type):
        return np.where(gone, False, _to_numpy(array.fill_null(False)).astype(bool)).astype(np.uint8)
    texts = to_text(array)
    declared = column.true_value is not None
    known = column.texts if declared else ("false", "true", "0", "1")
    codes = _positions(texts if declared else pc.utf8_lower(texts), known)
    unknown = (codes < 0) & ~gone
    if unknown.any():
        fix = "correct it" if declared else "declare true_value and false_value"
        _refuse("D116", unknown, "neither of the two truth values", fix)
    return np.where(gone, 0, codes % 2).astype(np.uint8)
