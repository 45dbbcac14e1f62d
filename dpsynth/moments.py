"""Kinds of columns that are a point or a length of time, each on a grid of whole steps.

A step is a day, a minute, a second or a millisecond: the finest that the declared format writes. Read values that
are finer fall into their step.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable
from typing import Annotated, Any, ClassVar, Literal
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray
from pydantic import BeforeValidator, PlainSerializer, model_validator

from dpsynth.column_base import ModelledColumn, clean_text
from dpsynth.declared import Fault, Text, Whole
from dpsynth.grid import integer_starts

__all__ = [
    "DateColumn",
    "DateTimeColumn",
    "DurationColumn",
    "MomentColumn",
    "TimeColumn",
    "days",
    "directives",
    "from_days",
]

_EPOCH = dt.date(1970, 1, 1)
DAY = 86_400_000
"""Milliseconds."""


def days(day: dt.date) -> int:
    """Days since 1970-01-01."""
    return (day - _EPOCH).days


def from_days(number: int) -> dt.date:
    return _EPOCH + dt.timedelta(days=int(number))


def directives(form: str) -> list[str]:
    """The directives of a format, such as ``['%Y', '%m']``, in order."""
    return re.findall(r"%.", form)


class MomentColumn(ModelledColumn):
    """What all of them have."""

    cells: Whole | None = None
    clip: bool = False
    noun: ClassVar[str]
    needed: ClassVar[frozenset[str]]
    allowed: ClassVar[frozenset[str]]

    @property
    def written(self) -> str:
        """The format of a csv file."""
        raise NotImplementedError

    @property
    def step(self) -> int:
        """Length of a step in milliseconds."""
        raise NotImplementedError

    @property
    def first(self) -> int:
        """The smallest step."""
        raise NotImplementedError

    @property
    def last(self) -> int:
        """The largest step, included."""
        raise NotImplementedError

    @property
    def inner(self) -> tuple[int, ...] | None:
        """Declared edges, in steps."""
        raise NotImplementedError

    @property
    def starts(self) -> NDArray[np.int64]:
        """First step of each cell, shape (cells,)."""
        return integer_starts(self.first, self.last, self.cells, self.inner)

    def label(self, step: int) -> str:
        """A readable text for one step."""
        raise NotImplementedError


def _check_format(column: MomentColumn, form: str, example: str) -> None:
    clean_text(form, "format")
    found = directives(form)
    # a part left out between two others could not be told from zero when it is read again
    gap = "%f" in found and "%S" not in found
    strange = not column.needed <= set(found) <= column.allowed
    if strange or gap or len(set(found)) < len(found):
        wanted = ", ".join(sorted(column.needed))
        more = ", ".join(sorted(column.allowed - column.needed))
        raise Fault(
            "S135",
            "format lacks a part, repeats one or has one too many",
            f"it needs {wanted}" + (f" and may have {more}" if more else "") + f", such as {example}",
        )


def _check_order(low: int, high: int, first: object, last: object) -> None:
    if low > high:
        raise Fault("S120", f"min {first} is after max {last}", "exchange them")


def _finest(form: str) -> int:
    """Milliseconds of the finest part that a format writes, a minute at most."""
    found = directives(form)
    return 1 if "%f" in found else 1000 if "%S" in found else 60_000


def _day(value: Any) -> Any:
    if isinstance(value, dt.date) and not isinstance(value, dt.datetime):
        return value
    if isinstance(value, str) and re.fullmatch(r"\d{4}-\d\d-\d\d", value):
        try:
            return dt.date.fromisoformat(value)
        except ValueError:
            pass
    raise Fault("S112", "is not a date", "write it as 2015-01-31")


Day = Annotated[dt.date, BeforeValidator(_day), PlainSerializer(lambda day: day.isoformat(), return_type=str)]


class DateColumn(MomentColumn):
    """Days from `min` to `max`, both included."""

    type: Literal["date"] = "date"
    min: Day
    max: Day
    edges: tuple[Day, ...] | None = None
    format: Text = "%Y-%m-%d"
    noun = "date"
    needed = frozenset({"%Y", "%m", "%d"})
    allowed = needed

    @model_validator(mode="after")
    def _check(self) -> DateColumn:
        _check_order(self.first, self.last, self.min, self.max)
        _check_format(self, self.format, "%d.%m.%Y")
        _ = self.starts
        return self

    @property
    def written(self) -> str:
        return self.format

    @property
    def step(self) -> int:
        return DAY

    @property
    def first(self) -> int:
        return days(self.min)

    @property
    def last(self) -> int:
        return days(self.max)

    @property
    def inner(self) -> tuple[int, ...] | None:
        return None if self.edges is None else tuple(days(edge) for edge in self.edges)

    def label(self, step: int) -> str:
        return from_days(step).isoformat()


def _instant(value: Any) -> Any:
    if isinstance(value, dt.datetime):
        return value
    if isinstance(value, dt.date):
        return dt.datetime.combine(value, dt.time())
    if isinstance(value, str):
        try:
            return dt.datetime.fromisoformat(value)
        except ValueError:
            pass
    raise Fault("S112", "is not a date with a time", "write it as 2015-01-31 08:30, in quotes")


Instant = Annotated[
    dt.datetime, BeforeValidator(_instant), PlainSerializer(lambda t: t.isoformat(" "), return_type=str)
]


class DateTimeColumn(MomentColumn):
    """Dates with a time from `min` to `max`, both included.

    Without `timezone` they are what a wall clock shows. With one (``Europe/Berlin``, ``UTC``) they are instants, which a
    csv file writes with their offset (``%z``) and come back in that zone.
    """

    type: Literal["datetime"] = "datetime"
    min: Instant
    max: Instant
    edges: tuple[Instant, ...] | None = None
    format: Text | None = None
    timezone: Text | None = None
    noun = "date and time"
    needed = frozenset({"%Y", "%m", "%d", "%H", "%M"})
    allowed = needed | {"%S", "%f", "%z"}

    @model_validator(mode="after")
    def _check(self) -> DateTimeColumn:
        if self.timezone is not None:
            _zone(self.timezone)
        _check_format(self, self.written, "%Y-%m-%d %H:%M:%S")
        if ("%z" in directives(self.written)) != (self.timezone is not None):
            raise Fault(
                "S136",
                "an offset (%z) and a timezone belong together",
                "declare both, or neither for a wall clock",
            )
        _check_order(self.first, self.last, self.min, self.max)
        _ = self.starts
        return self

    @property
    def written(self) -> str:
        zoned = "%Y-%m-%dT%H:%M:%S%z" if self.timezone else "%Y-%m-%d %H:%M:%S"
        return zoned if self.format is None else self.format

    @property
    def step(self) -> int:
        return _finest(self.written)

    @property
    def first(self) -> int:
        return self._steps(self.min)

    @property
    def last(self) -> int:
        return self._steps(self.max)

    @property
    def inner(self) -> tuple[int, ...] | None:
        return None if self.edges is None else tuple(self._steps(edge) for edge in self.edges)

    def _steps(self, moment: dt.datetime) -> int:
        zone = _zone(self.timezone) if self.timezone else None
        if zone is None and moment.tzinfo is not None:
            raise Fault(
                "S136", "a bound has an offset, the column has no timezone", "declare timezone, or drop it"
            )
        placed = moment if moment.tzinfo or zone is None else moment.replace(tzinfo=zone)
        epoch = dt.datetime(1970, 1, 1, tzinfo=dt.UTC if placed.tzinfo else None)
        return (placed - epoch) // dt.timedelta(milliseconds=self.step)

    def label(self, step: int) -> str:
        moment = dt.datetime(1970, 1, 1) + dt.timedelta(milliseconds=step * self.step)
        if self.timezone:
            moment = moment.replace(tzinfo=dt.UTC).astimezone(_zone(self.timezone))
        return moment.isoformat(" ", _PRECISION[self.step])


_PRECISION = {60_000: "minutes", 1000: "seconds", 1: "milliseconds"}


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise Fault("S136", "timezone is not known", "such as UTC or Europe/Berlin") from None


def _clock(most: int) -> Callable[[Any], int]:
    """A reader of ``H:MM``, ``H:MM:SS`` or ``H:MM:SS.mmm`` below `most` hours -> milliseconds."""

    def read(value: Any) -> int:
        if isinstance(value, dt.time):
            value = value.isoformat()
        found = re.fullmatch(r"(\d{1,7}):([0-5]\d)(?::([0-5]\d)(?:\.(\d{1,3}))?)?", str(value))
        if found is None or int(found[1]) >= most:
            raise Fault("S112", "is no length or time of day", "write it as '08:30' or '08:30:00', in quotes")
        hours, minutes, seconds = (int(found[i] or 0) for i in (1, 2, 3))
        return ((hours * 60 + minutes) * 60 + seconds) * 1000 + int((found[4] or "0").ljust(3, "0"))

    return read


def _clock_text(milliseconds: int) -> str:
    seconds, rest = divmod(milliseconds, 1000)
    text = f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"
    return f"{text}.{rest:03d}" if rest else text


MAX_HOURS = 1_000_000
_Clock = PlainSerializer(_clock_text, return_type=str)
TimeOfDay = Annotated[int, BeforeValidator(_clock(24)), _Clock]
Length = Annotated[int, BeforeValidator(_clock(MAX_HOURS)), _Clock]


class _Clocked(MomentColumn):
    """Steps are counted from midnight, or from no time at all."""

    min: int
    max: int
    edges: tuple[int, ...] | None = None
    format: Text = "%H:%M:%S"
    needed = frozenset({"%H", "%M"})
    allowed = needed | {"%S", "%f"}

    @model_validator(mode="after")
    def _check(self) -> _Clocked:
        _check_format(self, self.format, "%H:%M")
        _check_order(self.first, self.last, _clock_text(self.min), _clock_text(self.max))
        _ = self.starts
        return self

    @property
    def written(self) -> str:
        return self.format

    @property
    def step(self) -> int:
        return _finest(self.format)

    @property
    def first(self) -> int:
        return self.min // self.step

    @property
    def last(self) -> int:
        return self.max // self.step

    @property
    def inner(self) -> tuple[int, ...] | None:
        return None if self.edges is None else tuple(edge // self.step for edge in self.edges)

    def label(self, step: int) -> str:
        return _clock_text(step * self.step)


class TimeColumn(_Clocked):
    """Times of day from `min` to `max`, both included."""

    type: Literal["time"] = "time"
    noun = "time of day"
    min: TimeOfDay = "00:00"  # type: ignore[assignment]
    max: TimeOfDay = "23:59:59.999"  # type: ignore[assignment]
    edges: tuple[TimeOfDay, ...] | None = None


class DurationColumn(_Clocked):
    """Lengths of time from `min` to `max`, both included; hours may go beyond 24."""

    type: Literal["duration"] = "duration"
    noun = "length of time"
    min: Length = "0:00"  # type: ignore[assignment]
    max: Length
    edges: tuple[Length, ...] | None = None
