"""Columns whose domain is still to be discovered, beside the encoded ones of a stream: kept as they were read, until it is
known. Private.

A text becomes its number in one list of all different texts, a number its own 64 bits; both are attributes of the spooled
records like any other, so that bound, hold-out and the order of a unit's rows are the same for them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dpsynth.columns import CategoryColumn, IntegerColumn, NumberColumn
from dpsynth.domain import Domain
from dpsynth.encoding import Encoding, special_values
from dpsynth.engines.raw import RawColumn
from dpsynth.errors import CapacityError
from dpsynth.records import Codes, Records
from dpsynth.schema import Schema
from dpsynth.table import Table
from dpsynth.table.core import known

MOST_TEXTS = 1_000_000
"""Different texts of one column that are kept in memory: far more than could be discovered."""
_NUMBERS = IntegerColumn | NumberColumn
_WORD, _GONE = 2**32, 2**32 - 1


@dataclass
class Unknown:
    """The open columns of a schema. `words`: the different texts of each category so far, by number."""

    schema: Schema
    words: dict[str, dict[str, int]] = field(default_factory=dict)

    @property
    def closed(self) -> Schema | None:
        """The columns that are known already; None when there are none."""
        return _part(self.schema, set(self.schema.modelled) - set(self.schema.unknown))

    @property
    def domain(self) -> Domain:
        """Of the stored records: the known columns, then what stands for the open ones."""
        closed = self.closed
        sizes = {} if closed is None else _sizes(closed.domain)
        for name, column in self.schema.unknown.items():
            sizes |= dict(
                zip(_places(name, isinstance(column, CategoryColumn)), (_WORD, _WORD, 2), strict=False)
            )
        return Domain.from_sizes(sizes)

    def stored(self, table: Table) -> Records:
        """The records of a table of this schema. CapacityError C172 for more than `MOST_TEXTS` different texts."""
        closed = self.closed
        columns: list[Codes] = [] if closed is None else list(Encoding(closed).encode(table).columns)
        for name, column in self.schema.unknown.items():
            values, gone = table.values[name], table.missing[name]
            if isinstance(column, CategoryColumn):
                numbers = self._numbers(name, table.words[name])
                columns.append(np.where(gone, np.uint32(_GONE), numbers[values]))
            else:
                halves = np.ascontiguousarray(values).view(np.uint32).reshape(-1, 2)
                columns += [halves[:, 0], halves[:, 1], gone.astype(np.uint8)]
        return Records(self.domain, tuple(columns))

    def _numbers(self, name: str, words: NDArray[Any]) -> NDArray[np.uint32]:
        """The number of each of these texts; new ones are added."""
        numbers = self.words.setdefault(name, {})
        found = np.array([numbers.setdefault(word, len(numbers)) for word in words.tolist()], dtype=np.uint32)
        if len(numbers) > MOST_TEXTS:
            raise too_many_texts(name)
        return found if len(found) else np.zeros(1, np.uint32)

    def raw(self, name: str, records: Records) -> RawColumn:
        """An open column of some stored records, as it was read."""
        column = self.schema.unknown[name]
        if isinstance(column, CategoryColumn):
            (place,) = _places(name, True)
            numbers = records[place]
            return RawColumn(numbers.astype(np.int64), numbers != _GONE, list(self.words.get(name, ())))
        values, gone = self._values(name, records)
        coded = np.isin(values, special_values(column)) if isinstance(column, _NUMBERS) else gone
        return RawColumn(values, ~gone & ~coded)

    def _values(self, name: str, records: Records) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        low, high, gone = (records[place] for place in _places(name, False))
        kind = np.int64 if self.schema.unknown[name].type == "integer" else np.float64
        return np.ascontiguousarray(np.stack([low, high], axis=1)).view(kind).ravel(), gone.astype(bool)

    def encoder(self, schema: Schema, name: str) -> Callable[[Records], Codes]:
        """The cells of an open column under a schema that knows it, as `Table.under` and `Encoding` make them."""
        own = _part(schema, {name})
        if own is None:
            raise ValueError("the schema lacks the column")
        texts = isinstance(self.schema.unknown[name], CategoryColumn)
        codes, encoding = self._codes(own, name) if texts else None, Encoding(own)

        def encoded(records: Records) -> Codes:
            if codes is not None:
                numbers = records[places(self, name)[0]]
                gone = numbers == _GONE
                values = codes[np.where(gone, 0, numbers)]
            else:
                values, gone = self._values(name, records)
                values = known(Table(own, {name: values}, {name: gone}), name, own.modelled[name])
            return encoding.encode(Table(own, {name: values}, {name: gone})).columns[0]

        return encoded

    def _codes(self, own: Schema, name: str) -> NDArray[Any]:
        """The position among the column's values of each text that was met."""
        words = np.array([*self.words.get(name, {}), ""], dtype=object)
        every = Table(own, {name: np.arange(len(words), dtype=np.int32)}, {}, words={name: words})
        return known(every, name, own.modelled[name])

    def __reduce__(self) -> str:
        raise TypeError("raw values are private: they cannot be pickled or copied")


def too_many_texts(name: str) -> CapacityError:
    return CapacityError(
        "C172",
        f"column '{name}' has more than {MOST_TEXTS:,} different texts: too many for values to be discovered",
        "is it an id or a remark? type: id or type: drop; nothing was spent",
    )


def places(unknown: Unknown, name: str) -> list[str]:
    """The attributes that stand for an open column."""
    return _places(name, isinstance(unknown.schema.unknown[name], CategoryColumn))


def _places(name: str, texts: bool) -> list[str]:
    """Names that no column can have."""
    return [f"{name}\0text"] if texts else [f"{name}\0low", f"{name}\0high", f"{name}\0gone"]


def _sizes(domain: Domain) -> dict[str, int]:
    return dict(zip(domain.attributes, domain.sizes, strict=True))


def _part(schema: Schema, names: set[str]) -> Schema | None:
    """Some of the modelled columns, by themselves."""
    kept: Mapping[str, Any] = {name: column for name, column in schema.modelled.items() if name in names}
    if not kept:
        return None
    return Schema(columns=dict(kept), missing_values=schema.missing_values, csv=schema.csv)
