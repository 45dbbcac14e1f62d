"""Encoded rows on Spark's executors, with columns that are still to be discovered: beside the codes of a chunk go the
different texts that they stand for. Private.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dpsynth.columns import CategoryColumn
from dpsynth.domain import Domain
from dpsynth.encoding import Encoding
from dpsynth.engines.unknown import Unknown, places
from dpsynth.records import Codes, Records, code_dtype, joined
from dpsynth.schema import Schema
from dpsynth.table import Table

KEYS = 4
"""Words of a row's unit and of its rank, two of each."""


@dataclass(frozen=True)
class Layout:
    """How rows are stored. `texts`: attributes whose codes are positions among texts that go with them; a code beyond these
    stands for none."""

    domain: Domain
    texts: tuple[str, ...] = ()

    @classmethod
    def of(cls, schema: Schema) -> Layout:
        """Of a schema, where columns may be still to be discovered."""
        if not schema.unknown:
            return cls(Encoding(schema).domain)
        unknown = Unknown(schema)
        open_texts = (name for name, column in schema.unknown.items() if isinstance(column, CategoryColumn))
        return cls(unknown.domain, tuple(places(unknown, name)[0] for name in open_texts))


@dataclass(frozen=True, eq=False)
class Stored:
    """Encoded rows. `words[attribute]`: the texts of one of `Layout.texts`, sorted, each of them in some row."""

    records: Records
    words: Mapping[str, Sequence[str]] = field(default_factory=dict)

    @classmethod
    def of(cls, table: Table) -> Stored:
        schema = table.schema
        if not schema.unknown:
            return cls(Encoding(schema).encode(table))
        unknown = Unknown(schema)
        records = unknown.stored(table)
        words = {places(unknown, name)[0]: list(texts) for name, texts in unknown.words.items()}
        return cls(records, words).take(slice(None))

    def take(self, rows: Any) -> Stored:
        """The chosen rows (an index array, a mask or a slice), with the texts that they have."""
        records = self.records.take(rows)
        if not self.words:
            return Stored(records)
        found = {a: _used(records[a], words) for a, words in self.words.items()}
        return Stored(_with(records, {a: codes for a, (codes, _) in found.items()}), _texts(found))

    def packed_words(self) -> bytes:
        """The texts as bytes, nothing where there are none to keep."""
        if not self.words:
            return b""
        return json.dumps(dict(self.words), ensure_ascii=False, sort_keys=True).encode()

    def __reduce__(self) -> str:
        raise TypeError("stored rows are private: they cannot be pickled or copied")


def words_of(packed: bytes) -> dict[str, list[str]]:
    """The inverse of `Stored.packed_words`."""
    return dict(json.loads(packed)) if packed else {}


def together(parts: Sequence[Stored]) -> Stored:
    """The rows of all parts, one at least, in their order."""
    records, found = joined([part.records for part in parts]), dict[str, tuple[Codes, list[str]]]()
    for attribute in parts[0].words:
        texts = sorted({text for part in parts for text in part.words[attribute]})
        place = {text: i for i, text in enumerate(texts)}
        codes = [_moved(part.records[attribute], [place[t] for t in part.words[attribute]]) for part in parts]
        found[attribute] = (np.concatenate(codes), texts)
    return Stored(_with(records, {a: codes for a, (codes, _) in found.items()}), _texts(found))


def packed(keys: NDArray[np.uint64], records: Records) -> bytes:
    """Rows with the keys of unit and rank, shape (rows, `KEYS`), as bytes."""
    columns = (np.ascontiguousarray(codes).tobytes() for codes in records.columns)
    return b"".join([np.ascontiguousarray(keys, "<u8").tobytes(), *columns])


def unpacked(content: bytes, domain: Domain) -> tuple[NDArray[np.uint64], Records]:
    """The inverse of `packed`."""
    kinds = [np.dtype(code_dtype(size)) for size in domain.sizes]
    rows = len(content) // (8 * KEYS + sum(kind.itemsize for kind in kinds))
    keys = np.frombuffer(content, "<u8", KEYS * rows).reshape(rows, KEYS)
    start, columns = keys.nbytes, list[Codes]()
    for kind in kinds:
        columns.append(np.frombuffer(content, kind, rows, start))
        start += columns[-1].nbytes
    return keys, Records(domain, tuple(columns))


def _used(codes: Codes, words: Sequence[str]) -> tuple[Codes, list[str]]:
    """The codes among those texts that occur, sorted."""
    used = np.unique(codes[codes < len(words)]).tolist()
    texts = sorted(words[code] for code in used)
    place = {text: i for i, text in enumerate(texts)}
    moved = np.zeros(len(words), dtype=np.int64)
    moved[used] = [place[words[code]] for code in used]
    return _moved(codes, moved), texts


def _moved(codes: Codes, into: Any) -> Codes:
    """Codes under other numbers; one that stands for no text stays."""
    if not len(into):
        return codes
    there = codes < len(into)
    numbers = np.asarray(into, dtype=codes.dtype)
    return np.where(there, numbers[np.where(there, codes, 0)], codes)


def _with(records: Records, columns: Mapping[str, Codes]) -> Records:
    attributes = records.domain.attributes
    return Records(records.domain, tuple(columns.get(a, records[a]) for a in attributes))


def _texts(found: Mapping[str, tuple[Codes, Sequence[str]]]) -> dict[str, Sequence[str]]:
    return {attribute: texts for attribute, (_, texts) in found.items()}
