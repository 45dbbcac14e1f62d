"""Tables or frames in, a view and its truth out; and what is odd about the files, said plainly."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from attacks.coding import Coder
from attacks.threat import Candidates, Index, Mask, Rows, View, concatenate
from dpsynth.domain import Clique
from dpsynth.encoding import Encoding
from dpsynth.errors import AuditError
from dpsynth.schema import Schema
from dpsynth.table import Table, read_table


@dataclass(frozen=True, eq=False)
class Files:
    """The three tables of an audit; no controls: None."""

    synthetic: Table
    members: Table
    controls: Table | None


@dataclass(frozen=True, eq=False)
class Prepared:
    """`view` is None when nothing can be concluded, and `problem` says why. `member`: one truth per unit."""

    view: View | None
    member: Mask
    problem: str
    warnings: tuple[str, ...]


def as_table(source: Table | pd.DataFrame, schema: Schema, role: str) -> Table:
    """A table of this schema with rows in it.

    Raises DataError when rows do not fit, AuditError (A101, A102) when it is of another schema or empty.
    """
    if not isinstance(source, Table):
        source = read_table(
            source, schema, require_unit=role != "synthetic" and schema.unit.column is not None
        )
    if source.schema.columns != schema.columns:
        raise AuditError(
            "A101", f"the {role} table was read with another schema", "read all with the same one"
        )
    if len(source) == 0:
        raise AuditError("A102", f"the {role} table has no rows", "give at least one row")
    return source


def prepare(
    files: Files, schema: Schema, cliques: tuple[Clique, ...] | None, rng: np.random.Generator
) -> Prepared:
    """The view of these tables. Candidates are put into random order, so that ties help nobody."""
    known = _known(cliques, schema)
    if files.controls is None:
        return _hopeless(
            "no held-out rows were given, and without them a leak cannot be told from luck, nor its absence shown. "
            "Keep rows of some people, chosen by chance, out of the training and give them as held-out rows"
        )
    people, warnings = _of_one_kind(files.members, files.controls, schema, rng)
    if len(people.controls) == 0:
        return _hopeless(f"every held-out {schema.unit.entity} is among the members too")
    coder = Coder(schema, people.members, people.controls)
    members, controls = coder.rows(people.members), coder.rows(people.controls)
    if _same_rows(members, controls):
        return _hopeless("the held-out rows are the members' rows")
    candidates, member = _shuffled(concatenate([members, controls]), people, coder.ordered, rng)
    synthetic, prior = coder.rows(files.synthetic), float(member.mean())
    view = View(synthetic, candidates, prior, known, has_finer_values=finer_than_cells(schema))
    return Prepared(view, member, "", warnings)


def finer_than_cells(schema: Schema) -> bool:
    """Whether, by the schema, some column's values say more than its cells. The rows have no say in it."""
    encoding = Encoding(schema)

    def is_finer(name: str) -> bool:
        low, high = encoding.cell_bounds(name)
        return schema.modelled[name].type == "number" or bool((high > low).any())

    return any(is_finer(name) for name in schema.modelled)


def groups_of(candidates: Candidates, schema: Schema, columns: Sequence[str]) -> dict[str, Mask]:
    """For each cell of these columns the units with a row in it, named ``column = label``."""
    found = {}
    encoding = Encoding(schema)
    for name in columns:
        cells = candidates.rows.cells[name]
        for cell, label in enumerate(encoding.labels(name)):
            found[f"{name} = {label}"] = candidates.best(cells == cell) > 0
    return found


def _hopeless(problem: str) -> Prepared:
    return Prepared(None, np.zeros(0, bool), problem, ())


def _known(cliques: tuple[Clique, ...] | None, schema: Schema) -> tuple[Clique, ...] | None:
    strange = sorted({name for clique in cliques or () for name in clique if name not in schema.domain})
    if strange:
        raise AuditError("A103", f"a clique names the unknown column '{strange[0]}'", "name modelled columns")
    return tuple(tuple(clique) for clique in cliques or ()) or None


@dataclass(frozen=True, eq=False)
class _People:
    """Members and controls with the number of each row's unit."""

    members: Table
    controls: Table
    member_unit: Index
    control_unit: Index

    def keep(self, rows: Mask) -> _People:
        """Only these rows of the controls."""
        return replace(
            self, controls=self.controls.take(np.flatnonzero(rows)), control_unit=self.control_unit[rows]
        )


def _of_one_kind(
    members: Table, controls: Table, schema: Schema, rng: np.random.Generator
) -> tuple[_People, tuple[str, ...]]:
    """Controls who are no members, with no more rows each than the members were allowed."""
    people = _People(members, controls, units_of(members), units_of(controls))
    entity, bound = schema.unit.entity, schema.unit.rows_per_unit
    warnings = []
    both = _shared(members, controls)
    if both.any():
        count = len(np.unique(people.control_unit[both]))
        warnings.append(
            f"{count:,} held-out {entity}s are among the members too and do not count as held out"
        )
        people = people.keep(~both)
    longest = int(np.unique(people.member_unit, return_counts=True)[1].max())
    place = _place_in_unit(people.control_unit, rng)
    if longest <= bound <= place.max(initial=0):
        warnings.append(
            f"the members have at most {bound} rows per {entity}; the held-out ones were cut likewise"
        )
        people = people.keep(place < bound)
    return people, tuple(warnings)


def units_of(table: Table) -> Index:
    """Each row's unit, shape (rows,); a row is its own where units are rows."""
    return np.arange(len(table), dtype=np.int64) if table.units is None else table.units.astype(np.int64)


def _shared(members: Table, controls: Table) -> Mask:
    """Rows of the controls whose unit is named among the members."""
    nobody = np.zeros(len(controls), bool)
    if members.units is None or controls.units is None:
        return nobody
    if members.unit_labels is None or controls.unit_labels is None:
        return nobody
    known = {label for label in members.unit_labels[np.unique(members.units)] if label is not None}
    both = np.array([label in known for label in controls.unit_labels], bool)
    return np.asarray(both[controls.units])


def _place_in_unit(unit: Index, rng: np.random.Generator) -> Index:
    """0, 1, ... in random order within each unit."""
    order = np.lexsort((rng.random(len(unit)), unit))
    start = np.flatnonzero(np.diff(unit[order], prepend=-1) != 0)
    lengths = np.diff(np.append(start, len(unit)))
    place = np.empty(len(unit), np.int64)
    place[order] = np.arange(len(unit)) - np.repeat(start, lengths)
    return place


def _same_rows(members: Rows, controls: Rows) -> bool:
    return len(members) == len(controls) and np.array_equal(np.sort(members.keys), np.sort(controls.keys))


def _shuffled(
    rows: Rows, people: _People, ordered: Mask, rng: np.random.Generator
) -> tuple[Candidates, Mask]:
    unit = np.concatenate([people.member_unit, people.control_unit + int(people.member_unit.max()) + 1])
    is_member = np.arange(len(unit)) < len(people.member_unit)
    _, dense = np.unique(unit, return_inverse=True)
    shuffled = rng.permutation(int(dense.max()) + 1)[dense].astype(np.int64)
    order = np.lexsort((rng.random(len(shuffled)), shuffled))
    candidates = Candidates(rows.take(order), shuffled[order], ordered)
    return candidates, is_member[order][candidates.first]
