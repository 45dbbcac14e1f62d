"""What is declared of a unit's rows, against the rows: counts for the operator's eyes. Private."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dpsynth.table.core import Table
from dpsynth.unit_columns import several

Index = NDArray[np.int64]


@dataclass(frozen=True)
class UnitsFound:
    """Private counts of units. `above`: with more rows than are kept; `changing[column]`: whose static column has more
    than one value, or is missing in some rows only; `repeating`: with two rows of one value of the ordering column."""

    units: int
    above: int
    changing: dict[str, int]
    repeating: int

    def words(self, table: Table) -> list[str]:
        """Lines for the operator: what does not hold, and what the model then does."""
        unit, units = table.schema.unit, several(str(table.schema.unit.entity))
        found = []
        if self.above:
            found.append(
                f"data: {self.above} of {self.units} {units} have more than {unit.rows_per_unit} rows; of each so many are "
                "kept, chosen at random (raise rows_per_unit to keep more, at more noise)"
            )
        found += [
            f"data: column '{name}' is declared static, but changes within {count} of {self.units} {units}; each row counts "
            f"with its own value, synthetic {units} have one"
            for name, count in self.changing.items()
            if count
        ]
        if self.repeating:
            found.append(
                f"data: {self.repeating} of {self.units} {units} have two rows of one '{unit.order}', which is declared "
                f"to tell rows apart; both count, synthetic {units} have it once"
            )
        return found


def units_found(table: Table) -> UnitsFound | None:
    """None for a table whose rows are units."""
    if table.units is None:
        return None
    unit, codes = table.schema.unit, table.units
    sizes = np.bincount(codes)
    changing = {name: len(changing_units(table, name)) for name in read_static(table)}
    repeating = 0
    if unit.order is not None:
        pairs = np.stack([codes, table.values[unit.order].astype(np.int64)])
        _, times = np.unique(pairs, axis=1, return_counts=True)
        which = np.unique(pairs, axis=1)[0]
        repeating = len(np.unique(which[times > 1]))
    return UnitsFound(int((sizes > 0).sum()), int((sizes > unit.rows_per_unit).sum()), changing, repeating)


def read_static(table: Table) -> list[str]:
    """The static columns that are read: those that follow a rule are not."""
    return [name for name in table.schema.unit.static if name in table.schema.modelled]


def changing_units(table: Table, name: str) -> Index:
    """The units, by code, whose rows have different values of a column, or of which only some are missing."""
    if table.units is None:
        raise ValueError("the table's rows are units")
    values, gone = table.values[name], table.missing[name]
    known = np.where(gone, np.zeros(1, dtype=values.dtype), values)
    order = np.lexsort((known, gone, table.units))
    same_unit = table.units[order][1:] == table.units[order][:-1]
    differs = (known[order][1:] != known[order][:-1]) | (gone[order][1:] != gone[order][:-1])
    return np.unique(table.units[order][1:][same_unit & differs])
