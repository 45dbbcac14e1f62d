"""Tables -> rows as the attacks see them: public cells, up to 256 ordered levels, and a hash per value.

The levels are laid out by the values of all candidates together, members and controls alike, so that they say
nothing about who is who.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from attacks.threat import Floats, Hashes, Mask, Rows, hash_columns
from dpsynth.encoding import Encoding
from dpsynth.schema import Schema
from dpsynth.table import Table

_TOP = 255
_TOP_BESIDE_MISSING = 191  # values end here when 255 stands for a missing one: missing is near nothing
_MISSING = np.uint64(0xFFF8_DEAD_0000_0001)  # a pattern of bits that no finite value has
_NUMERIC = ("integer", "number", "date", "datetime", "time", "duration")


@dataclass(frozen=True, eq=False)
class Positions:
    """Value -> [0, 1]: halfway between its quantile and its rank among the distinct values.

    Quantiles alone would give one level to all the rare values of a column that is mostly zero.
    """

    pool: Floats
    distinct: Floats

    @classmethod
    def of(cls, values: Floats) -> Positions:
        pool = np.sort(values)
        return cls(pool, np.unique(pool))

    def __call__(self, values: NDArray[Any]) -> Floats:
        if len(self.pool) == 0:
            return np.zeros(len(values))
        wanted = np.asarray(values, np.float64)
        return (_middle(self.pool, wanted) + _middle(self.distinct, wanted)) / 2.0


def _middle(ascending: Floats, values: Floats) -> Floats:
    below = np.searchsorted(ascending, values, "left")
    return np.asarray((below + np.searchsorted(ascending, values, "right")) / (2.0 * len(ascending)))


class Coder:
    """Codes tables of one schema; the levels of numeric columns come from the candidates' values."""

    def __init__(self, schema: Schema, members: Table, controls: Table) -> None:
        self._encoding = Encoding(schema)
        self._schema = schema
        self._positions: Mapping[str, Positions] = {
            name: Positions.of(np.concatenate([_present(members, name), _present(controls, name)]))
            for name, column in schema.modelled.items()
            if column.type in _NUMERIC
        }

    @property
    def ordered(self) -> Mask:
        """Which columns have an order, shape (columns,)."""
        return np.array([self._encoding.is_ordered(name) for name in self._schema.modelled], bool)

    def rows(self, table: Table) -> Rows:
        """The table's rows, in its order."""
        cells = self._encoding.encode(table)
        names = list(self._schema.modelled)
        bits = [np.where(table.missing[name], _MISSING, _bits(table.values[name])) for name in names]
        hashes = hash_columns(bits)
        fine = np.empty((len(table), len(names)), np.uint8)
        for i, name in enumerate(names):
            if name in self._positions:
                fine[:, i] = self._levels(table, name)
            elif cells.domain[name] <= _TOP + 1:
                fine[:, i] = cells[name]
            else:  # only equality counts for a category, and two in 256 may look equal
                fine[:, i] = (hashes[:, i] >> np.uint64(56)).astype(np.uint8)
        return Rows(cells, fine, hashes)

    def _levels(self, table: Table, name: str) -> NDArray[np.uint8]:
        top = _TOP_BESIDE_MISSING if self._schema.modelled[name].missing else _TOP
        level = np.minimum(self._positions[name](table.values[name]) * (top + 1), top)
        return np.where(table.missing[name], _TOP, level).astype(np.uint8)


def _present(table: Table, name: str) -> Floats:
    return np.asarray(table.values[name][~table.missing[name]], np.float64)


def _bits(values: NDArray[Any]) -> Hashes:
    if values.dtype.kind == "f":
        return np.asarray((values.astype(np.float64) + 0.0).view(np.uint64))  # + 0.0: minus zero is zero
    return np.asarray(values.astype(np.int64).view(np.uint64))
