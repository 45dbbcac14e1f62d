"""Moments: from texts or typed values to whole steps, and back into the form that the schema declares."""

from __future__ import annotations

import datetime as dt
import re
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from dpsynth.columns import DateColumn, DateTimeColumn, DurationColumn, MomentColumn, TimeColumn
from dpsynth.table.misfit import Arrow, DoesNotFit, Mask, Misfit, is_text, refuse, to_numpy

Steps = NDArray[np.int64]

_DAY = 86_400_000
_DIGITS = {"%Y": "4", "%m": "1,2", "%d": "1,2", "%H": "1,2", "%M": "1,2", "%S": "1,2", "%f": "1,9"}
_UNITS = {_DAY: "s", 60_000: "s", 1000: "s", 1: "ms"}
"""What a frame holds steps of so many milliseconds in; pandas knows no days or minutes."""


def read_moments(column: MomentColumn, array: Arrow, gone: Mask) -> Steps:
    """Steps, shape (rows,); finer values fall into their step. Raises DoesNotFit (D114, D117)."""
    steps = _from_texts(column, array, gone) if is_text(array.type) else _from_typed(column, array, gone)
    steps[gone] = column.first
    outside = (steps < column.first) | (steps > column.last)
    if outside.any():
        if not column.clip:
            bounds = f"[{column.label(column.first)}, {column.label(column.last)}]"
            refuse("D114", outside, f"{column.noun} outside {bounds}", "widen min or max, or set clip: true")
        steps = np.clip(steps, column.first, column.last)
    return steps


def _from_typed(column: MomentColumn, array: Arrow, gone: Mask) -> Steps:
    kind = array.type
    dated = pa.types.is_date(kind) or pa.types.is_timestamp(kind)
    match column:
        case DateColumn() if dated:
            return _whole_days(array, gone)
        case DateTimeColumn() if dated:
            _check_zone(column, array)
            return _instants(array) // column.step
        case TimeColumn() if pa.types.is_time(kind):
            return _milliseconds(pc.cast(array, pa.time64("us"))) // column.step
        case DurationColumn() if pa.types.is_duration(kind):
            return _milliseconds(pc.cast(array, pa.duration("us"), safe=False)) // column.step
    fix = (
        "use type: integer, number or category"
        if not pa.types.is_temporal(kind)
        else "declare the type it has"
    )
    raise DoesNotFit(Misfit("D117", np.arange(len(array)), f"not a {column.noun}", fix))


def _check_zone(column: DateTimeColumn, array: Arrow) -> None:
    zoned = bool(pa.types.is_timestamp(array.type) and array.type.tz)
    if zoned != (column.timezone is not None):
        problem = "times with a time zone" if zoned else "times without a time zone"
        fix = "declare timezone" if zoned else "drop timezone"
        raise DoesNotFit(Misfit("D117", np.arange(len(array)), problem, fix))


def _instants(array: Arrow) -> Steps:
    """Milliseconds since 1970, in UTC where there is a zone; 0 where missing."""
    stamps = to_numpy(
        pc.cast(array, pa.timestamp("us", getattr(array.type, "tz", None)), safe=False)
        .cast(pa.int64())
        .fill_null(0)
    )
    return np.asarray(stamps // 1000, dtype=np.int64)


def _milliseconds(array: Arrow) -> Steps:
    """From a typed array in microseconds; 0 where missing."""
    return np.asarray(to_numpy(array.cast(pa.int64()).fill_null(0)) // 1000, dtype=np.int64)


def _whole_days(array: Arrow, gone: Mask) -> Steps:
    milliseconds = _instants(pc.cast(array, pa.timestamp("us"), safe=False))
    timed = (milliseconds % _DAY != 0) & ~gone
    if timed.any():
        refuse(
            "D117",
            timed,
            "a time of day where a date is declared",
            "cut times to days, or use type: datetime",
        )
    return milliseconds // _DAY


def _from_texts(column: MomentColumn, texts: Arrow, gone: Mask) -> Steps:
    # Arrow's own parser turns 30 February into 2 March: pick the parts and check them
    form = column.written
    found = pc.extract_regex(texts, _pattern(form, isinstance(column, DurationColumn)))
    fits = to_numpy(pc.is_valid(found)).astype(bool) & ~gone
    part = {name: _part(found, name) for name in set(_DIGITS) & set(re.findall("%.", form))}
    milliseconds = np.zeros(len(gone), dtype=np.int64)
    if "%Y" in part:
        day, right = _day_numbers(part["%Y"], part["%m"], part["%d"])
        milliseconds += day * _DAY
        fits &= right
    for name, length, most in (("%H", 3_600_000, 23), ("%M", 60_000, 59), ("%S", 1000, 59)):
        if name in part:
            milliseconds += part[name] * length
            fits &= (part[name] <= most) | (name == "%H" and isinstance(column, DurationColumn))
    if "%f" in part:
        milliseconds += part["%f"]
    if "%z" in form:
        milliseconds -= _offsets(found)
    if not (fits | gone).all():
        refuse(
            "D117",
            ~(fits | gone),
            f"not a {column.noun} of the form {form}",
            "correct it, or declare format",
        )
    return milliseconds // column.step


def _day_numbers(year: Steps, month: Steps, day: Steps) -> tuple[Steps, Mask]:
    """Days since 1970-01-01, and which of them the calendar has."""
    start = (year - 1970).astype("datetime64[Y]").astype("datetime64[M]") + (np.clip(month, 1, 12) - 1)
    first, after = (m.astype("datetime64[D]").astype(np.int64) for m in (start, start + 1))
    right = (month >= 1) & (month <= 12) & (day >= 1) & (day <= after - first)
    return first + day - 1, right


def _part(found: Arrow, name: str) -> Steps:
    text = pc.struct_field(found, name[1])
    text = pc.if_else(pc.is_valid(text), text, "1")
    if name == "%f":  # tenths to billionths -> milliseconds
        text = pc.utf8_slice_codeunits(pc.utf8_rpad(text, 3, "0"), 0, 3)
    return np.array(to_numpy(pc.cast(text, pa.int64())))


def _offsets(found: Arrow) -> Steps:
    """Milliseconds east of UTC."""
    text = pc.struct_field(found, "z")
    text = pc.if_else(pc.equal(text, "Z").fill_null(True), "+0000", text)
    text = pc.replace_substring(text, ":", "")
    numbers = to_numpy(pc.cast(pc.utf8_slice_codeunits(text, 1, 5), pa.int64()))
    sign = np.where(to_numpy(pc.starts_with(text, "-")), -1, 1)
    return np.asarray(sign * (numbers // 100 * 60 + numbers % 100) * 60_000, dtype=np.int64)


@lru_cache
def _pattern(form: str, long: bool) -> str:
    pattern = re.escape(form)
    for directive, digits in _DIGITS.items():
        wide = "1,7" if long and directive == "%H" else digits
        pattern = pattern.replace(directive, f"(?P<{directive[1]}>[0-9]{{{wide}}})", 1)
    pattern = pattern.replace("%z", "(?P<z>Z|[+-][0-9]{2}:?[0-9]{2})", 1)
    return f"^{pattern}$"


def frame_values(column: MomentColumn, steps: Steps, missing: Mask) -> Any:
    """Steps as a frame holds them: datetime64, timedelta64, or datetime.time."""
    unit = _UNITS[column.step]
    milliseconds = steps * column.step
    counts = milliseconds if unit == "ms" else milliseconds // 1000
    if isinstance(column, TimeColumn):
        return _times(np.where(missing, -1, milliseconds))
    held = counts.astype(f"{'timedelta64' if isinstance(column, DurationColumn) else 'datetime64'}[{unit}]")
    held[missing] = np.array("NaT", dtype=held.dtype)
    if isinstance(column, DateTimeColumn) and column.timezone:
        return pd.DatetimeIndex(held).tz_localize("UTC").tz_convert(column.timezone)
    return held


def _times(milliseconds: Steps) -> NDArray[np.object_]:
    """datetime.time, None below zero."""
    distinct, where = np.unique(milliseconds, return_inverse=True)
    midnight = dt.datetime(1970, 1, 1)
    times = [
        (midnight + dt.timedelta(milliseconds=value)).time() if value >= 0 else None
        for value in distinct.tolist()
    ]
    return np.array(times, dtype=object)[where]


def _since_midnight(time: dt.time) -> int:
    seconds = (time.hour * 60 + time.minute) * 60 + time.second
    return seconds * 1000 + time.microsecond // 1000


def steps_of(column: MomentColumn, series: pd.Series[Any]) -> Steps:
    """The steps that a column of `frame_values` holds; anything where it is missing."""
    if isinstance(column, TimeColumn):
        counted = [_since_midnight(time) if isinstance(time, dt.time) else 0 for time in series]
        return np.array(counted, dtype=np.int64) // column.step
    if isinstance(column, DateTimeColumn) and column.timezone:
        series = series.dt.tz_convert("UTC").dt.tz_localize(None)
    counts = series.to_numpy().astype(
        "timedelta64[ms]" if isinstance(column, DurationColumn) else "datetime64[ms]"
    )
    return np.where(np.isnat(counts), 0, counts.astype(np.int64)) // column.step


def written_texts(column: MomentColumn, steps: Steps) -> NDArray[np.object_]:
    """As a csv file writes them, by the declared format."""
    # few days or seconds recur often: write each once
    distinct, where = np.unique(steps, return_inverse=True)
    form = column.written
    milliseconds = distinct * column.step
    if isinstance(column, TimeColumn | DurationColumn):
        return _clock_texts(form, milliseconds)[where]
    # whole seconds: strftime would write a fraction into %S
    stamps = pa.array((milliseconds // 1000).astype("datetime64[s]"))
    if isinstance(column, DateTimeColumn) and column.timezone:
        stamps = stamps.cast(pa.timestamp("s", "UTC")).cast(pa.timestamp("s", column.timezone))
    fraction = [f"{value % 1000 * 1000:06d}" for value in milliseconds.tolist()]
    pieces = [pc.strftime(stamps, format=piece) if piece else None for piece in form.split("%f")]
    return _joined(pieces, fraction)[where]


def _joined(pieces: list[Any], fraction: list[str]) -> NDArray[np.object_]:
    texts = [piece.to_pylist() if piece is not None else [""] * len(fraction) for piece in pieces]
    if len(texts) == 1:
        return np.array(texts[0], dtype=object)
    return np.array([a + f + b for a, f, b in zip(texts[0], fraction, texts[1], strict=True)], dtype=object)


def _clock_texts(form: str, milliseconds: Steps) -> NDArray[np.object_]:
    def text(value: int) -> str:
        seconds, rest = divmod(value, 1000)
        parts = {"%H": seconds // 3600, "%M": seconds // 60 % 60, "%S": seconds % 60}
        written = form
        for directive, number in parts.items():
            written = written.replace(directive, f"{number:02d}")
        return written.replace("%f", f"{rest * 1000:06d}")

    return np.array([text(value) for value in milliseconds.tolist()], dtype=object)
