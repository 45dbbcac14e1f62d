"""Tables or frames in, a game out; and what is odd about the files, said plainly.

Nothing here looks at who is a member except to count, to drop people who are in both files, and to compare the
two files with each other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from attacks.threat import Candidates, Claim, Game, Hashes, Index, Mask, Rows, View, hash_columns
from dpsynth.domain import Clique
from dpsynth.encoding import Encoding
from dpsynth.errors import AuditError
from dpsynth.schema import Schema
from dpsynth.table import Table, read_table

_TOP = 255
_TOP_BESIDE_MISSING = (
    191  # ordered codes end here when 255 stands for a missing value: missing is near nothing
)
_MISSING = np.uint64(0xFFF8_DEAD_0000_0001)


@dataclass(frozen=True)
class Prepared:
    """`game` is None when nothing can be concluded, and `problem` says why."""

    game: Game | None
    problem: str
    warnings: tuple[str, ...]


def as_table(source: Table | pd.DataFrame, schema: Schema, role: str) -> Table:
    """A table of this schema. Raises DataError when rows do not fit, AuditError (A101, A102) when unusable."""
    if not isinstance(source, Table):
        whole = role == "synthetic" or schema.unit.column is None
        source = read_table(source, schema, require_unit=not whole)
    if source.schema.columns != schema.columns:
        raise AuditError(
            "A101", f"the {role} table was read with another schema", "read all three with the same schema"
        )
    if len(source) == 0:
        raise AuditError("A102", f"the {role} table has no rows", "give at least one row")
    return source


def prepare(
    synthetic: Table, members: Table, controls: Table | None, schema: Schema, claim: Claim | None, *,
    cliques: tuple[Clique, ...] | None, split_is_random: bool, coin: float | None, rng: np.random.Generator,
) -> Prepared:  # fmt: skip
    """The game about these tables. Candidates are put into random order, so that ties help nobody."""
    if controls is None or len(controls) == 0:
        return Prepared(
            None, "no held-out rows were given, and without them no attack can tell a leak from luck", ()
        )
    warnings: list[str] = []
    member_unit, control_unit = _units(members), _units(controls)
    kept = ~_shared(members, controls)
    if not kept.any():
        return Prepared(None, f"every held-out {schema.unit.entity} is among the members too", ())
    if not kept.all():
        count = len(np.unique(control_unit[~kept]))
        warnings.append(
            f"{count} held-out {schema.unit.entity}s are among the members too; they do not count as held out"
        )
        controls, control_unit = controls.take(np.flatnonzero(kept)), control_unit[kept]
    controls, control_unit = _same_bound(members, member_unit, controls, control_unit, schema, rng, warnings)
    code = _coder(schema, members, controls)
    rows = _joined(code(members), code(controls))
    unit = np.concatenate([member_unit, control_unit + int(member_unit.max()) + 1])
    is_member = np.concatenate([np.ones(len(members), bool), np.zeros(len(controls), bool)])
    candidates, member = _shuffled(rows, unit, is_member, _ordered(schema), rng)
    view = View(code(synthetic), candidates, float(member.mean()), _known(cliques, schema))
    return Prepared(Game(view, member, claim, split_is_random, coin, schema.unit.entity), "", tuple(warnings))


def _known(cliques: tuple[Clique, ...] | None, schema: Schema) -> tuple[Clique, ...] | None:
    if cliques is None:
        return None
    for clique in cliques:
        strange = [name for name in clique if name not in schema.domain]
        if strange:
            raise AuditError(
                "A103", f"clique names the unknown column '{strange[0]}'", "give cliques of modelled columns"
            )
    return tuple(tuple(clique) for clique in cliques) or None


def _units(table: Table) -> Index:
    return np.arange(len(table), dtype=np.int64) if table.units is None else table.units.astype(np.int64)


def _shared(members: Table, controls: Table) -> Mask:
    """Rows of the controls whose unit is named among the members."""
    if (
        members.units is None
        or controls.units is None
        or members.unit_labels is None
        or controls.unit_labels is None
    ):
        return np.zeros(len(controls), bool)
    known = {label for label in members.unit_labels[np.unique(members.units)] if label is not None}
    both = np.array([label in known for label in controls.unit_labels], bool)
    return np.asarray(both[controls.units])


def _same_bound(
    members: Table, member_unit: Index, controls: Table, control_unit: Index, schema: Schema, rng: np.random.Generator,
    warnings: list[str],
) -> tuple[Table, Index]:  # fmt: skip
    """Controls cut to as many rows per unit as the members visibly were; else more rows would mean better scores."""
    bound = schema.unit.rows_per_unit
    most = int(np.unique(member_unit, return_counts=True)[1].max())
    place = _place_in_unit(control_unit, rng)
    if most > bound or place.max() < bound:
        return controls, control_unit
    warnings.append(
        f"the members have at most {bound} rows per {schema.unit.entity}; the held-out ones were cut likewise"
    )
    keep = np.flatnonzero(place < bound)
    return controls.take(keep), control_unit[keep]


def _place_in_unit(unit: Index, rng: np.random.Generator) -> Index:
    """0, 1, ... in random order within each unit."""
    order = np.lexsort((rng.random(len(unit)), unit))
    ranked = unit[order]
    start = np.flatnonzero(np.append(True, np.diff(ranked) != 0))
    lengths = np.diff(np.append(start, len(unit)))
    place = np.empty(len(unit), np.int64)
    place[order] = np.arange(len(unit)) - np.repeat(start, lengths)
    return place


def _shuffled(
    rows: Rows, unit: Index, is_member: Mask, ordered: Mask, rng: np.random.Generator
) -> tuple[Candidates, Mask]:
    _, dense = np.unique(unit, return_inverse=True)
    shuffled = rng.permutation(int(dense.max()) + 1)[dense].astype(np.int64)
    order = np.lexsort((rng.random(len(shuffled)), shuffled))
    candidates = Candidates(rows.take(order), shuffled[order], ordered)
    return candidates, is_member[order][candidates.first]


def _ordered(schema: Schema) -> Mask:
    encoding = Encoding(schema)
    return np.array([encoding.is_ordered(name) for name in schema.modelled], bool)


def _joined(first: Rows, second: Rows) -> Rows:
    from attacks.threat import concatenate

    return concatenate([first, second])


def _coder(schema: Schema, members: Table, controls: Table) -> Callable[[Table], Rows]:
    """Table -> Rows, with fine codes laid out by all candidates' values together."""
    encoding = Encoding(schema)
    positions: Mapping[str, Callable[[NDArray[Any]], NDArray[np.float64]]] = {
        name: _position(_present(members, name), _present(controls, name))
        for name in schema.modelled if encoding.domain[name] > 0 and _is_numeric(schema, name)
    }  # fmt: skip

    def code(table: Table) -> Rows:
        records = encoding.encode(table)
        fine = np.empty((len(table), len(schema.modelled)), np.uint8)
        hashed: list[Hashes] = []
        for i, name in enumerate(schema.modelled):
            values, missing = table.values[name], table.missing[name]
            hashed.append(np.where(missing, _MISSING, _bits(values)))
            fine[:, i] = _fine(
                records[name], hashed[-1], missing, values, positions.get(name), schema.modelled[name].missing
            )
        return Rows(records, fine, hash_columns(hashed))

    return code


def _is_numeric(schema: Schema, name: str) -> bool:
    return schema.modelled[name].type in ("integer", "number", "date")


def _present(table: Table, name: str) -> NDArray[np.float64]:
    return np.asarray(table.values[name][~table.missing[name]], np.float64)


def _bits(values: NDArray[Any]) -> Hashes:
    if values.dtype.kind == "f":
        return (values.astype(np.float64) + 0.0).view(np.uint64)  # + 0.0: minus zero is zero
    return values.astype(np.int64).view(np.uint64)


def _position(
    first: NDArray[np.float64], second: NDArray[np.float64]
) -> Callable[[NDArray[Any]], NDArray[np.float64]]:
    """Value -> [0, 1]: halfway between its quantile and its rank among the distinct values.

    Quantiles alone would put all the rare values of a column that is mostly zero into one code.
    """
    pool = np.sort(np.concatenate([first, second]))
    distinct = np.unique(pool)

    def position(values: NDArray[Any]) -> NDArray[np.float64]:
        if len(pool) == 0:
            return np.zeros(len(values))
        v = np.asarray(values, np.float64)
        quantile = (np.searchsorted(pool, v, "left") + np.searchsorted(pool, v, "right")) / (2.0 * len(pool))
        rank = (np.searchsorted(distinct, v, "left") + np.searchsorted(distinct, v, "right")) / (
            2.0 * len(distinct)
        )
        return np.asarray((quantile + rank) / 2.0)

    return position


def _fine(
    cells: NDArray[Any], hashed: Hashes, missing: Mask, values: NDArray[Any],
    position: Callable[[NDArray[Any]], NDArray[np.float64]] | None, may_miss: bool,
) -> NDArray[np.uint8]:  # fmt: skip
    if position is not None:
        top = _TOP_BESIDE_MISSING if may_miss else _TOP
        return np.where(missing, _TOP, np.minimum(position(values) * (top + 1), top)).astype(np.uint8)
    if cells.dtype == np.uint8:
        return cells.astype(np.uint8)
    return (hash_columns([hashed])[:, 0] >> np.uint64(56)).astype(np.uint8)
