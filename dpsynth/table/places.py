"""Where rows of a source stand, for a person who must find them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from dpsynth.schema import Schema
from dpsynth.table.parts import Wanted
from dpsynth.table.sources import Source, parts

MOST_NAMED = 5


def places(source: Source, schema: Schema, rows: Sequence[int]) -> list[str]:
    """``line 812`` or ``row 811 of b.parquet`` for each of these rows, counted from 0 and ascending. A file is opened
    again."""
    if not isinstance(source, str | Path):
        return [f"row {row + 1}" for row in rows]
    found: list[str] = []
    start = 0
    for part in parts(source, schema.csv, Wanted.of(schema, False)):
        while len(found) < len(rows) and rows[len(found)] < start + part.rows:
            found.append(part.place(rows[len(found)] - start))
        start += part.rows
    return found


def named_places(source: Source, schema: Schema, rows: Sequence[int]) -> str:
    """The first of these rows by their places, and how many more there are."""
    listed = ", ".join(places(source, schema, list(rows[:MOST_NAMED])))
    return f"{listed} and {len(rows) - MOST_NAMED} more" if len(rows) > MOST_NAMED else listed
