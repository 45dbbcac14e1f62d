"""What is asked of chunks whose columns are still to be discovered, on Spark's executors: how many units have a text, or a
number in an interval; and the chunks encoded again when the answers are released.

A unit stands in one chunk with all its records, so that no answer counts it twice.
"""

from __future__ import annotations

import json
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from dpsynth.engines.raw import RawColumn
from dpsynth.engines.spark_chunks import chunk
from dpsynth.engines.spark_tasks import NAMES, Cells, answered, named, piece
from dpsynth.engines.spark_words import Layout, Stored, words_of
from dpsynth.engines.unknown import Unknown, places
from dpsynth.records import Records
from dpsynth.schema import Schema

FACTS = ("sizes", "words")


@dataclass(frozen=True)
class Open:
    """A column that is still to be discovered, and how chunks hold it."""

    schema: Schema
    column: str

    @property
    def cells(self) -> Cells:
        unknown = Unknown(self.schema)
        return Cells(Layout.of(self.schema).domain, tuple(places(unknown, self.column)))

    def parts(self, batch: Any) -> Iterator[tuple[RawColumn, NDArray[np.int64]]]:
        """The column in each chunk as it was read, and the number of each row's unit there."""
        cells = self.cells
        for row in range(batch.num_rows):
            records = cells.records(batch, row)
            unknown = _unknown(self.schema, words_of(batch.column("words")[row].as_py()))
            yield unknown.raw(self.column, records), _units(batch, row, len(records))


@dataclass(frozen=True)
class CountTexts:
    """Chunks of a partition -> how many units have each text, in `pieces` parts by a hash of the text."""

    asked: Open
    pieces: int

    def __call__(self, batches: Iterator[Any]) -> Iterator[Any]:
        names, found = list[bytes](), Counter[str]()
        for batch in batches:
            names.append(named(batch))
            for raw, units in self.asked.parts(batch):
                found.update(raw.units_with(units))
        if names:
            yield piece(NAMES, b"".join(names))
            parts: dict[int, dict[str, int]] = {}
            for text, count in found.items():
                parts.setdefault(zlib.crc32(text.encode()) % self.pieces, {})[text] = count
            yield from _texts(parts)


class AddTexts:
    """Pieces of several answers -> each piece once, added up."""

    def __call__(self, batches: Iterator[Any]) -> Iterator[Any]:
        names, found = added_texts(batches)
        if names:
            yield piece(NAMES, names)
        yield from _texts(found)


def added_texts(batches: Iterator[Any]) -> tuple[bytes, dict[int, Counter[str]]]:
    """The names of all chunks that are answered about, and the sum of each piece."""
    names, found = list[bytes](), dict[int, Counter[str]]()
    for batch in batches:
        for number, content in zip(
            batch.column("piece").to_pylist(), batch.column("content").to_pylist(), strict=True
        ):
            if number == NAMES:
                names.append(content)
            else:
                found.setdefault(number, Counter()).update(json.loads(content))
    return b"".join(names), found


@dataclass(frozen=True)
class CountBetween:
    """Chunks of a partition -> how many units have a number in each interval between these edges."""

    asked: Open
    edges: tuple[float, ...]

    def __call__(self, batches: Iterator[Any]) -> Iterator[Any]:
        names: list[bytes] = []
        whole: NDArray[np.int64] = np.zeros(max(0, len(self.edges) - 2) + 1, np.int64)
        for batch in batches:
            names.append(named(batch))
            for raw, units in self.asked.parts(batch):
                whole += raw.units_between(units, self.edges)
        if names:
            yield from answered(whole, b"".join(names))


@dataclass(frozen=True)
class EncodeAgain:
    """Chunks as they were read -> the same under a schema that knows what was to be discovered. Each carries the name of the
    one that it was made of, which its digest covers."""

    schema: Schema
    known: Schema

    def __call__(self, batches: Iterator[Any]) -> Iterator[Any]:
        before, after = Layout.of(self.schema).domain, Layout.of(self.known).domain
        cells = Cells(before, before.attributes)
        for batch in batches:
            for row in range(batch.num_rows):
                records = cells.records(batch, row)
                unknown = _unknown(self.schema, words_of(batch.column("words")[row].as_py()))
                made = {n: unknown.encoder(self.known, n)(records) for n in self.schema.unknown}
                columns = tuple(made[a] if a in made else records[a] for a in after.attributes)
                sizes = np.frombuffer(batch.column("sizes")[row].as_buffer(), np.uint16)
                part, seq = (batch.column(name)[row].as_py() for name in ("part", "seq"))
                name = named(batch.slice(row, 1))
                stored = Stored(Records(after, columns))
                yield chunk(part, seq, stored, sizes if len(sizes) else None, name, name)


def _unknown(schema: Schema, words: Mapping[str, Sequence[str]]) -> Unknown:
    found = Unknown(schema)
    for name in schema.unknown:
        texts = words.get(places(found, name)[0])
        if texts is not None:
            found.words[name] = {text: i for i, text in enumerate(texts)}
    return found


def _units(batch: Any, row: int, records: int) -> NDArray[np.int64]:
    sizes = np.frombuffer(batch.column("sizes")[row].as_buffer(), np.uint16)
    if not len(sizes):
        return np.arange(records, dtype=np.int64)
    return np.repeat(np.arange(len(sizes), dtype=np.int64), sizes)


def _texts(parts: Mapping[int, Mapping[str, int]]) -> Iterator[pa.RecordBatch]:
    for number in sorted(parts):
        yield piece(number, json.dumps(dict(parts[number]), ensure_ascii=False).encode())
