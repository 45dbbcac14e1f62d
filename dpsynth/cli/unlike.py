"""What the synthetic rows of an audit have that no real row has: said, since a schema read off all files refuses nothing."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from attacks.stats import percent
from dpsynth.columns import CategoryColumn
from dpsynth.table import Table

_MOST = 8  # columns named
_SELDOM = 0.01  # numbers a little beyond are what any sample has


def unlike(synthetic: Table, *real: Table) -> tuple[str, ...]:
    """One sentence a column: values that no row of the other tables has. Names columns and shares, quotes no value."""
    found = list(_found(synthetic, real))
    rest = len(found) - _MOST
    return (*found[:_MOST], *([f"and {rest} more columns like these"] if rest > 0 else []))


def _found(synthetic: Table, real: tuple[Table, ...]) -> Iterator[str]:
    for name, column in synthetic.schema.modelled.items():
        there, present = ~synthetic.missing[name], [~table.missing[name] for table in real]
        known = np.concatenate([table.values[name][mask] for table, mask in zip(real, present, strict=True)])
        absent = 1.0 - float(there.mean())
        if absent > 0 and all(mask.all() for mask in present):
            yield (
                f"column '{name}': {percent(absent)} of the synthetic rows have no value there, or words instead of one; "
                "every real row has a value"
            )
        values = synthetic.values[name][there]
        if not len(values) or not len(known):
            continue
        if isinstance(column, CategoryColumn):
            strange, what, seldom = ~np.isin(values, known), "a category that no real row has", 0.0
        else:
            beyond = (values < known.min()) | (values > known.max())
            strange, what, seldom = beyond, "a value beyond those of the real rows", _SELDOM
        share = float(strange.sum()) / len(synthetic)
        if share > seldom:
            yield f"column '{name}': {percent(share)} of the synthetic rows have {what}"
