"""Ids as texts: one name for one person, whatever type a file or a batch has the column in, and never two for one.

If two ids became one text, their units would be bounded together, and without one of them rows of the other would come in.
If one id became two texts, its unit would keep as many rows under each of them.
"""

from __future__ import annotations

import datetime
import decimal
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from dpsynth.errors import DataError
from dpsynth.table.coerce import to_text, unpacked
from dpsynth.table.misfit import DoesNotFit, Misfit, is_text

_EXACT = 2**53
_NUMBER = r"^[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?$"
_EXPONENT = r"^[+-]?[0-9](?:\.[0-9]+)?[eE][+-][0-9]+$"
"""As programs write floats; without a sign in the exponent it may be a text of letters and digits."""
_WHOLE, _POINTED = r"^[+-]?[0-9]+$", r"^[+-]?[0-9]+\.0+$"
_WRITTEN = r"^(?:0|-?[1-9][0-9]*|-?(?:0|[1-9][0-9]*)\.[0-9]*[1-9])$"


def id_texts(array: Any) -> Any:
    """An Arrow array of ids as texts. Numbers are written without zeros at the end of their fraction, moments without a
    time zone at midnight as the day, those with one in UTC.

    Raises DoesNotFit (D125) for floats too large to be exact, and for cells that hold lists.
    """
    kind = array.type
    if pa.types.is_timestamp(kind):
        moments = array if kind.tz is None else pc.cast(array, pa.timestamp(kind.unit, "UTC"))
        return pc.replace_substring_regex(_without_zeros(pc.cast(moments, pa.string())), r" 00:00:00$", "")
    if pa.types.is_decimal(kind):
        return _alike(array, _without_zeros(_without_exponents(to_text(array))))
    if pa.types.is_floating(kind):
        exact = 2 ** {16: 11, 32: 24}.get(kind.bit_width, 53)
        large = pc.greater_equal(pc.abs(pc.cast(array, pa.float64())), exact).fill_null(False)
        rows = np.flatnonzero(np.asarray(large.to_numpy()))
        if len(rows):
            fix = "read them as texts or whole numbers (a frame turns numbers with gaps into floats)"
            raise DoesNotFit(Misfit("D125", rows, "an id that is a float too large to be exact", fix))
        floats = pc.cast(array, pa.float64())
        whole = pc.if_else(pc.equal(pc.round(floats), floats), floats, None)
        texts = _without_exponents(to_text(array))
        return _alike(
            array, pc.coalesce(_whole(pc.cast(pc.cast(whole, pa.int64()), pa.string())), _whole(texts))
        )
    return to_text(array)


def _without_exponents(texts: Any) -> Any:
    """Numbers written with an exponent, written out: 1e-7 as 0.0000001."""
    short = pc.match_substring(texts, "e", ignore_case=True)
    if not pc.any(short).as_py():
        return texts
    written = [format(decimal.Decimal(text), "f") for text in texts.filter(short).to_pylist()]
    return pc.replace_with_mask(
        _whole(texts), _whole(pc.fill_null(short, False)), pa.array(written, texts.type)
    )


def _alike(array: Any, texts: Any) -> Any:
    """In pieces, where the array is."""
    pieces = isinstance(array, pa.ChunkedArray) and not isinstance(texts, pa.ChunkedArray)
    return pa.chunked_array([texts]) if pieces else texts


def _whole(array: Any) -> Any:
    return array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array


def _without_zeros(texts: Any) -> Any:
    """Numbers and moments without zeros at the end of their fraction."""
    whole = pc.replace_substring_regex(texts, r"\.0+(\D.*)?$", r"\1")
    return pc.replace_substring_regex(whole, r"(\.\d*[1-9])0+(\D.*)?$", r"\1\2")


def require_one_name(name: str, columns: Iterable[Any]) -> None:
    """Refuse the parts of an id column whose types write one id in two ways: DataError D192.

    Days and moments without a time zone are written alike, and so are whole numbers of any type, and texts beside them if
    each of them that reads as a number is written like one. Texts that are numbers, some with an exponent, were floats once,
    which another program writes out.
    """
    there = [column for column in columns if not pa.types.is_null(column.type)]
    for column in there:
        _require_written_out(name, column)
    kinds = {_family(column.type) for column in there}
    if len(kinds) < 2:
        return
    if kinds != {"text", "number"}:
        raise _two_names(name, " and ".join(sorted(kinds)))
    for column in map(unpacked, there):
        if is_text(column.type):
            odd = pc.and_(
                pc.match_substring_regex(column, _NUMBER),
                pc.invert(pc.match_substring_regex(column, _WRITTEN)),
            )
            if pc.any(odd).as_py():
                raise _two_names(name, "numbers and texts such as 007 or 7.0")


def _require_written_out(name: str, column: Any) -> None:
    texts = unpacked(column)
    if not is_text(texts.type):
        return
    trimmed = pc.utf8_trim_whitespace(texts)
    if not pc.any(pc.match_substring_regex(trimmed, _EXPONENT)).as_py():
        return
    if pc.all(pc.or_(pc.match_substring_regex(trimmed, _NUMBER), pc.equal(trimmed, ""))).as_py():
        raise _two_names(name, "numbers with an exponent, such as 1e-05 for 0.00001")


@dataclass
class Spellings:
    """How whole numbers are written in a column of ids that is read part by part. `blank`: texts that are no id."""

    name: str
    blank: Sequence[str]
    _met: set[str] = field(default_factory=set)

    def take(self, column: Any) -> None:
        """Refuse texts that are all numbers, some of them whole ones with a fraction of zeros and some without: a program
        that took the ids of one file for floats has written it. DataError D192. Texts may mean 7 and 7.0 as two ids where
        there are others that are no numbers."""
        texts = unpacked(column)
        if "other" in self._met or not is_text(texts.type):
            return
        if _WHOLE in self._met and not pc.any(pc.match_substring(texts, ".0")).as_py():
            return  # most parts: nothing more could be learnt from them
        trimmed = pc.utf8_trim_whitespace(texts)
        blank = pc.is_in(trimmed, pa.array(["", *self.blank], trimmed.type))
        if not pc.all(pc.or_(pc.match_substring_regex(trimmed, _NUMBER), blank)).as_py():
            self._met.add("other")
            return
        for form in (_WHOLE, _POINTED):
            if form not in self._met and pc.any(pc.match_substring_regex(trimmed, form)).as_py():
                self._met.add(form)
        if len(self._met) > 1:
            raise _two_names(self.name, "texts such as 7 and 7.0")


def require_one_name_in(name: str, objects: Any) -> None:
    """The same for a pandas series whose cells are objects of several types, as `read_csv` makes of a long file: 007 is a
    number in one part of it and a text in the next."""
    if hasattr(objects, "cat"):
        objects = objects.cat.categories.to_series()
    if objects.dtype != object:
        return
    cells = objects.dropna().tolist()
    kinds = {kind: _family_of(kind) for kind in set(map(type, cells))}
    if len(kinds) < 2:
        return
    singles = [kind for kind in kinds if issubclass(kind, np.floating) and kind is not np.float64]
    if any(isinstance(c, np.floating) and type(c) in singles and not float(c).is_integer() for c in cells):
        raise _two_names(name, "fractions of several widths: 0.1 of 32 bits is another number than 0.1 of 64")
    if any(isinstance(c, float | np.floating) and abs(float(c)) >= _EXACT for c in cells):
        raise _two_names(name, "floats too large to be exact beside others")
    families = set(kinds.values())
    if len(families) > 1 and families != {"text", "number"}:
        raise _two_names(name, " and ".join(sorted(families)))
    if len(families) > 1:
        require_one_name(name, [pa.array([0]), pa.array([c for c in cells if isinstance(c, str)])])


def _family_of(kind: type) -> str:
    """`_family` of a Python type."""
    if issubclass(kind, str):
        return "text"
    if issubclass(kind, int | float | np.integer | np.floating | decimal.Decimal) and kind is not bool:
        return "number"
    return "days" if issubclass(kind, datetime.date) else kind.__name__


def _family(kind: Any) -> str:
    """Types that write the same id alike."""
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    if is_text(kind) or pa.types.is_string_view(kind):
        return "text"
    if pa.types.is_date(kind) or (pa.types.is_timestamp(kind) and kind.tz is None):
        return "days"
    if pa.types.is_timestamp(kind):
        return "moments of a time zone"
    if pa.types.is_integer(kind) or pa.types.is_float64(kind) or pa.types.is_decimal(kind):
        return "number"
    return str(kind)


def _two_names(name: str, kinds: str) -> DataError:
    return DataError(
        "D192",
        f"the ids of column '{name}' come in types that write one id in two ways ({kinds}): one person "
        "would count as two",
        "write the table again with one type for the column (pandas: read_csv(..., dtype={column: str}))",
    )


def kind_of_ids(kind: Any) -> str:
    """Types between which ids pass unchanged where the types of the first file are those of all."""
    plain = kind.value_type if pa.types.is_dictionary(kind) else kind
    if pa.types.is_integer(plain):
        return "integer"
    text = pa.types.is_string(plain) or pa.types.is_large_string(plain) or pa.types.is_string_view(plain)
    return "text" if text else str(plain)


def mixed_moments(array: Any, objects: Any) -> bool:
    """Whether Arrow has made one type of days and moments, which cuts the moments to days. `objects`: the pandas series that
    the array was made of.

    Raises DataError D193 for moments some of which have a time zone.
    """
    if objects.dtype != object or not pa.types.is_temporal(array.type):
        return False
    cells = objects.dropna().tolist()
    moments: NDArray[np.bool_] = np.array([isinstance(c, datetime.datetime) for c in cells], dtype=bool)
    zoned = {c.tzinfo is not None for c, is_moment in zip(cells, moments, strict=True) if is_moment}
    if len(zoned) > 1:
        raise DataError(
            "D193", "a column has moments with a time zone and moments without one", "give all of them one"
        )
    return pa.types.is_date(array.type) and bool(moments.any())
