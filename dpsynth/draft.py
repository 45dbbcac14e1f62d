"""First drafts of a project file: from the header alone, from a public sample, or by looking at the rows.

What a draft cannot know is written as TODO and refused when the file is loaded. What it learnt from private
rows is stamped ``origin: inspected``, which a release refuses until a person turns it into public knowledge.
"""

from __future__ import annotations

import datetime as dt
import math
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dpsynth import draft_kinds
from dpsynth.columns import MAX_TEXT
from dpsynth.declared import TODO
from dpsynth.schema import CsvFormat
from dpsynth.strict_yaml import dumps
from dpsynth.table.coerce import to_text, unpacked
from dpsynth.table.csv_source import guess_format
from dpsynth.table.misfit import DoesNotFit, is_text
from dpsynth.table.parts import Part, Wanted
from dpsynth.table.sources import Source, header, is_csv, parts

MAX_LISTED = 100
"""A text column with more distinct values is left to the person: category, id or drop."""

_MARKERS = ("?", "NA", "N/A", "NaN", "nan", "NULL", "null", "None", "none", "-", ".")
_TRUTHS = (("true", "false"), ("yes", "no"), ("y", "n"), ("t", "f"), ("1", "0"))
_WHOLE = r"^[+-]?[0-9]{1,15}$"
_NUMBER = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$"
_ISO_DAY = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$"
_ID_NAME = re.compile(r"(^|_|\b)(id|uuid|guid|key|ssn|identifier)$|[a-z](ID|Id)$")

_HEAD = """\
# A first draft. Replace every TODO and check the rest; 'dpsynth check' says what is still open.
# A column is one of
#   {type: integer, min: 0, max: 110}            optional: cells: 16 or edges: [18, 30, 65], clip: true
#                                                special: [-1] for codes among numbers, scale: log for amounts
#   {type: number, min: 0, max: 250000, decimals: 2}
#   {type: category, values: [A, B, C]}          optional: ordered: true
#   {type: boolean, true_value: 'yes', false_value: 'no'}
#   {type: date, min: 2015-01-01, max: 2026-12-31}
#   {type: id, format: "P-######"}               never modelled; synthetic rows get fresh ids
#   {type: drop}                                 left out; free text is either dropped or
#   {type: category, discover: {max_values: 500}}      learnt for a charge: values that enough people have, (other)
#   {type: number, min: 0, discover: bounds}           learnt for a charge: how far the numbers reach
# What was learnt by looking says origin: inspected and was: inspected. A release waits until a person has changed the
# origin to public, with reason: why everybody may know it, or asks for it with discover.
# Add missing: true where a value may be missing. Bounds and values must be public knowledge: what everybody
# could know without seeing these rows.
"""


_OPEN = {
    "purpose": f"{TODO}: what the synthetic table is for",
    "recipient": f"{TODO}: who gets it",
    "lawful_basis": f"{TODO}: on which legal ground",
    "prohibited_uses": [f"{TODO}: what it must not be used for"],
    "contact": f"{TODO}: whom to ask",
    "approver": f"{TODO}: who signs for it",
    "review_date": f"{TODO}: the day on which it is looked at again, such as 2027-06-30",
    "bounds_decided_by": f"{TODO}: who decided that bounds and categories are public knowledge",
}
"""The human fields of a release, left open."""


def draft_from_header(source: Source, *, folder: Path | None = None) -> str:
    """A project file with every type left open; of the data only the header line is read.

    `folder` is where the project file will lie: the path of the data is written relative to it. Raises
    DataError when the header cannot be read.
    """
    form = _format_of(source)
    names = header(source, form)
    return _project(source, folder, form, {name: {"type": TODO} for name in names}, [""])


def draft_from_public(sample: Source, *, data: Source | None = None, folder: Path | None = None) -> str:
    """A project file inferred from rows that are public anyway; entries say so in `reason`."""
    name = Path(os.fspath(sample)).name if isinstance(sample, str | os.PathLike) else "sample"
    entry = {"origin": "public", "reason": f"from the public sample {name}"}
    return _inferred(sample, sample if data is None else data, folder, entry)


def draft_by_inspection(source: Source, *, folder: Path | None = None) -> str:
    """A project file inferred from the private rows; every entry learnt is stamped ``origin: inspected``.

    It also says ``was: inspected``, so that whoever calls an entry public must give a reason, and both stay visible.
    """
    return _inferred(source, source, folder, {"origin": "inspected", "was": "inspected"})


def _inferred(source: Source, data: Source, folder: Path | None, entry: dict[str, str]) -> str:
    form = _format_of(source)
    names = tuple(header(source, form))
    found = list(parts(source, form, Wanted(names, frozenset(), frozenset())))
    markers = ["", *sorted(_markers_in(found, names))]
    columns = {name: _column(name, _gathered(found, name), markers, entry) for name in names}
    return _project(data, folder, form, columns, markers)


def _format_of(source: Source) -> CsvFormat:
    """Delimiter and encoding of a csv file, guessed from its first line: a person reads the draft."""
    return guess_format(Path(source)) if is_csv(source) else CsvFormat()


def _gathered(found: Sequence[Part], name: str) -> Any:
    arrays = [unpacked(part.columns[name]) for part in found]
    try:
        if len({str(array.type) for array in arrays}) > 1:
            arrays = [to_text(array) for array in arrays]
        return pa.chunked_array([chunk for array in arrays for chunk in array.chunks])
    except (DoesNotFit, pa.ArrowException):
        return None


def _markers_in(found: Sequence[Part], names: Sequence[str]) -> set[str]:
    """Common words for "missing" that occur in the rows."""
    seen: set[str] = set()
    for part in found:
        for name in names:
            array = unpacked(part.columns[name])
            if is_text(array.type):
                known = pc.is_in(array, value_set=pa.array(_MARKERS, type=array.type))
                seen.update(pc.unique(array.filter(known)).to_pylist())
    return seen


def _column(name: str, array: Any, markers: Sequence[str], entry: dict[str, str]) -> dict[str, Any]:
    """What one column looks like; a type left open where it looks like nothing that can be modelled."""
    if array is None:
        return {"type": "drop"}
    missing, values = _present(array, markers)
    odd = _odd_ones(values)
    if odd:
        missing, values = _present(array, [*markers, *odd])
    if len(values) == 0:
        return {"type": TODO}
    learnt = _learnt(name, values)
    if learnt["type"] in (TODO, "id", "drop"):
        return learnt
    if learnt["type"] == "constant":
        learnt = {"type": "category", "values": [str(learnt["value"])]} if missing else learnt
    if "discover" in learnt:
        entry = {**entry, "origin": "dp"}
    own = {"missing_values": [*odd, *markers]} if odd else {}
    return {**learnt, **({"missing": True} if missing else {}), **own, **entry}


def _present(array: Any, markers: Sequence[str]) -> tuple[bool, Any]:
    gone = pc.is_null(array, nan_is_null=True)
    if is_text(array.type):
        gone = pc.or_(gone, pc.is_in(array, value_set=pa.array(list(markers), type=array.type)))
    return bool(pc.any(gone).as_py()), array.filter(pc.invert(gone))


def _odd_ones(values: Any) -> list[str]:
    """One or two texts among many different numbers, such as N for not applicable."""
    if not is_text(values.type):
        return []
    distinct = pc.unique(values)
    numeric = pc.match_substring_regex(distinct, _NUMBER)
    odd = distinct.filter(pc.invert(numeric)).to_pylist()
    return sorted(odd) if 1 <= len(odd) <= 2 and len(distinct) >= 20 + len(odd) else []


def _learnt(name: str, values: Any) -> dict[str, Any]:
    if pa.types.is_boolean(values.type):
        return {"type": "boolean"}
    try:
        texts = to_text(values)
    except DoesNotFit:
        return {"type": "drop"}
    distinct = pc.unique(texts)
    if len(distinct) == 1 and len(texts) > 1:
        plain = not is_text(values.type) or _all(distinct, _WHOLE)
        return draft_kinds.constant(distinct[0].as_py(), plain)
    if _looks_like_id(name, len(distinct), len(texts)):
        return {"type": "id", "format": "ID-########"}
    days = _days(distinct)
    moment = _dates(pc.min_max(days)) if days is not None else draft_kinds.moment(distinct.to_pylist())
    return moment or _plain(distinct, len(texts))


def _plain(distinct: Any, rows: int) -> dict[str, Any]:
    return _numbers(distinct) if _all(distinct, _NUMBER) else _texts(distinct.to_pylist(), rows)


def _looks_like_id(name: str, distinct: int, rows: int) -> bool:
    return bool(_ID_NAME.search(name)) and distinct > 50 and distinct * 20 > rows


def _all(texts: Any, pattern: str) -> bool:
    return bool(pc.all(pc.match_substring_regex(texts, pattern)).as_py())


def _days(texts: Any) -> Any:
    """Dates, when every text is one."""
    if not _all(texts, _ISO_DAY):
        return None
    try:
        return pc.cast(texts, pa.date32())
    except pa.ArrowException:
        return None


def _dates(extent: Any) -> dict[str, Any]:
    low, high = extent["min"].as_py(), extent["max"].as_py()
    return {
        "type": "date",
        "min": dt.date(low.year, 1, 1).isoformat(),
        "max": dt.date(high.year, 12, 31).isoformat(),
    }


def _numbers(distinct: Any) -> dict[str, Any]:
    texts = distinct.to_pylist()
    if set(texts) <= {"0", "1"} and len(texts) == 2:
        return {"type": "boolean", "true_value": "1", "false_value": "0"}
    if len(texts) <= MAX_LISTED and any(re.fullmatch(r"[+-]?0[0-9]+", text) for text in texts):
        return _texts(texts, len(texts))  # codes with leading zeros, such as 007
    numbers = np.array([float(text) for text in texts])
    if not np.isfinite(numbers).all() or np.abs(numbers).max() > 1e14:
        return {"type": TODO}
    special = draft_kinds.codes(texts)
    numbers = numbers[~np.isin(numbers, special)]
    coded = {"special": special} if special else {}
    low, high = _outward(float(numbers.min()), float(numbers.max()))
    if _all(distinct, _WHOLE):
        return {"type": "integer", "min": round(low), "max": round(high), **coded}
    digits = max(len(text.lower().partition("e")[0].partition(".")[2]) for text in texts)
    return {"type": "number", "min": low, "max": high, "decimals": min(digits, 6), **coded}


def _outward(low: float, high: float) -> tuple[float, float]:
    """Both bounds rounded away from the data to two digits of their spread; zero stays zero."""
    spread = max(high - low, abs(high), abs(low), 1.0)
    step = 10.0 ** (math.floor(math.log10(spread)) - 1)
    step = max(step, 1.0) if float(low).is_integer() and float(high).is_integer() else step
    return float(f"{math.floor(low / step) * step:.12g}"), float(f"{math.ceil(high / step) * step:.12g}")


def _texts(values: Sequence[str], rows: int) -> dict[str, Any]:
    lowered = {value.lower(): value for value in values}
    for true, false in _TRUTHS:
        if len(values) == 2 and set(lowered) == {true, false}:
            return {"type": "boolean", "true_value": lowered[true], "false_value": lowered[false]}
    usable = all(len(value) <= MAX_TEXT and value.isprintable() for value in values)
    if len(values) > MAX_LISTED or not usable:
        return draft_kinds.many_texts(values, rows, MAX_TEXT) or {"type": TODO}
    return {"type": "category", "values": sorted(values)}


def _project(
    source: Source, folder: Path | None, form: CsvFormat, columns: dict[str, Any], markers: Sequence[str]
) -> str:
    path, stem = _path_of(source, folder)
    unit = {"entity": TODO, "column": TODO, "rows_per_unit": TODO}
    named = {"path": path} if path else {}
    data: dict[str, Any] = {**named, "unit": unit, "missing_values": list(markers)}
    declared = form.model_dump(exclude_defaults=True)
    if declared:
        data["csv"] = declared
    budget = {
        "epsilon": TODO, "delta": TODO, "ledger": f"{stem}.ledger", "dataset": stem,
        "promise": {"epsilon": TODO, "delta": TODO},
    }  # fmt: skip
    return "\n".join(
        [
            f"{_HEAD}version: 1",
            "# Who is protected: {entity: row}, or all rows of one person:",
            "# {entity: person, column: person_id, rows_per_unit: 3}; more rows of one person are left out.",
            *_hints(columns),
            dumps({"data": data}).rstrip(),
            "# What this run may cost; no default. Epsilon is often 0.1 to 10, delta well below 1 / units. Under promise:",
            "# what all runs about these people may ever cost together, with the same delta. It is written once, when the",
            "# ledger is opened, and cannot be raised; with the run's own numbers no second run fits.",
            dumps({"budget": budget}).rstrip(),
            "columns:",
            *(_entry(name, column) for name, column in columns.items()),
            dumps({"generator": {"method": "tree"}, "audit": {"holdout": 0.1}}).rstrip(),
            "# Only a person can say these; a release refuses a TODO, fit and check do not.",
            dumps({"release": _OPEN}),
        ]
    )


def _hints(columns: dict[str, Any]) -> list[str]:
    """Columns whose names sound as if they told people apart. A name is a guess: a person decides."""
    names = [name for name in columns if _ID_NAME.search(name) and name.isprintable()]
    listed = ", ".join(name if len(name) <= 40 else f"{name[:39]}…" for name in names[:3])
    return [f"# By their names these columns may tell who a row belongs to: {listed}."] if names else []


def _entry(name: str, column: dict[str, Any]) -> str:
    """One column as an indented YAML entry."""
    return "\n".join(f"  {line}" for line in dumps({name: column}).rstrip().split("\n"))


def _path_of(source: Source, folder: Path | None) -> tuple[str | None, str]:
    if not isinstance(source, str | os.PathLike):
        return None, "table"
    path = Path(source)
    stem = re.sub(r"[^A-Za-z0-9_-]+", "-", path.name.split(".")[0]) or "table"
    return (os.path.relpath(os.path.abspath(path), folder.resolve()) if folder else str(path)), stem
