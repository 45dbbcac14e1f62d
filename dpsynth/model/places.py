"""Cells of the ordering column that a unit's rows can have beside its static cells, where rules forbid some of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dpsynth.constraints import Rules
from dpsynth.constraints.sequences import Sequences
from dpsynth.constraints.zeros import MOST_CELLS, grouped, judged
from dpsynth.domain import Clique, Domain
from dpsynth.errors import DataError
from dpsynth.pgm.completing import Conditioned, Impossible, complete
from dpsynth.pgm.lookup import Distinct
from dpsynth.records import Records
from dpsynth.schema import Schema

Floats = NDArray[np.float64]
Index = NDArray[np.int64]
Mask = NDArray[np.bool_]

TOGETHER = 1 << 18
"""Combinations of static cells and places that are asked about at once."""


@dataclass(frozen=True, eq=False)
class Placed:
    """`like`: whose static cells each unit has, mostly its own; `sizes`: rows of each unit; `cells`: their different
    places, ascending, all units' one after another."""

    like: Index
    sizes: Index
    cells: Index


@dataclass(frozen=True, eq=False)
class Barred:
    """Combinations of cells that a rule forbids or may forbid, axes as in `clique`."""

    clique: Clique
    cells: Mask


def barred_by(schema: Schema, domain: Domain, following: frozenset[str] = frozenset()) -> tuple[Barred, ...]:
    """What rules about the ordering column, static ones and those `following` each other alone leave to chance or forbid:
    none of these columns can be altered row by row afterwards, so such a combination is not drawn at all. A rule about
    static columns and one that is only exchanged within a unit is none of them."""
    order = schema.unit.order
    rows = {str(order)} | following
    about = Rules.of(schema).only_about((*schema.unit.static, *rows))
    kept = Sequences.of(schema).beside_exchange(about) if following else about
    rules = Rules(tuple(rule for rule in kept.every if rows & set(rule.columns)), about.axes)
    found = []
    for clique, clauses in grouped(rules, domain).items():
        verdict = judged(clauses, clique, rules.axes) if domain.size(clique) <= MOST_CELLS else None
        if verdict is not None:
            found.append(Barred(clique, verdict.impossible | verdict.doubtful))
    return tuple(found)


def meets(barred: Sequence[Barred], known: Mapping[str, NDArray[Any]]) -> Mask:
    """The rows with such a combination."""
    found = np.zeros(len(next(iter(known.values()))), dtype=bool)
    for one in barred:
        found |= one.cells[tuple(known[a] for a in one.clique)]
    return found


@dataclass(frozen=True, eq=False)
class Places:
    """`group` (units,): units that are alike in their static cells; `possible` (groups, cells): places that some record
    with these static cells has and that no rule may forbid; `wanted` (cells,): how likely each place is."""

    group: Index
    possible: Mask
    wanted: Floats

    @classmethod
    def of(
        cls,
        model: Conditioned,
        wanted: Floats,
        order: str,
        static: Records,
        barred: Sequence[Barred],
        rng: np.random.Generator,
    ) -> Places:
        """By asking the model; `static`: a record for each unit. Nothing that is drawn meanwhile is used."""
        domain, cells = static.domain, len(wanted)
        group, first = np.zeros(len(static), dtype=np.int64), np.zeros(1, dtype=np.int64)
        if len(domain):
            found = Distinct.of([(static[a].astype(np.int64), domain[a]) for a in domain.attributes])
            group, first = found.number, found.first
        possible = np.empty((len(first), cells), dtype=bool)
        for start in range(0, len(first), step := max(1, TOGETHER // cells)):
            some = first[start : start + step]
            known: dict[str, NDArray[Any]] = {a: np.repeat(static[a][some], cells) for a in domain.attributes}
            known[order] = np.tile(np.arange(cells), len(some))
            free = _possible(model, known, rng) & ~meets(barred, known)
            possible[start : start + step] = free.reshape(-1, cells)
        return cls(group, possible & (wanted > 0), wanted)

    def placed(self, sizes: Index, cells: Index, rng: np.random.Generator) -> Placed:
        """The same where all of a unit's places are possible; other units get others, as likely as `wanted` says, and
        units with more rows than places exchange their sizes with others, or, where all are too small for that, take over
        the static cells of others. Raises DataError (D213) where no unit can have so many rows."""
        room = self.possible.sum(axis=1)[self.group]
        fitting = exchanged(sizes, room, rng)
        like = likened(fitting, room, rng)
        unit = np.repeat(np.arange(len(sizes)), sizes)
        again = (fitting != sizes) | (like != np.arange(len(sizes)))
        again[unit[~self.possible[self.group[unit], cells]]] = True
        found = np.empty(int(fitting.sum()), dtype=np.int64)
        fresh = np.repeat(again, fitting)
        found[~fresh] = cells[~again[unit]]
        units = np.flatnonzero(again)
        found[fresh] = np.concatenate(
            [np.zeros(0, dtype=np.int64)]
            + [
                self._drawn(like[units[start : start + step]], fitting[units[start : start + step]], rng)
                for step in (max(1, TOGETHER // len(self.wanted)),)
                for start in range(0, len(units), step)
            ]
        )
        return Placed(like, fitting, found)

    def _drawn(self, units: Index, sizes: Index, rng: np.random.Generator) -> Index:
        """Different possible places for each unit, drawn one after another without replacement (Yellott 1977)."""
        with np.errstate(divide="ignore"):
            keys = np.log(np.maximum(self.wanted, 0.0)) + rng.gumbel(size=(len(units), len(self.wanted)))
        keys[~self.possible[self.group[units]]] = -np.inf
        rank = np.argsort(np.argsort(-keys, axis=1, kind="stable"), axis=1)
        return np.asarray(np.nonzero(rank < sizes[:, None])[1], dtype=np.int64)


def exchanged(sizes: Index, room: Index, rng: np.random.Generator) -> Index:
    """The same sizes, of which none exceeds its unit's `room` where that can be: few units are touched where that
    suffices, otherwise the largest sizes go where there is most room."""
    found = sizes.copy()
    for unit in np.flatnonzero(sizes > room):
        others = np.flatnonzero((found <= room[unit]) & (room >= found[unit]))
        if not len(others):
            found[np.argsort(room, kind="stable")] = np.sort(sizes)
            break
        other = others[int(rng.integers(len(others)))]
        found[[unit, other]] = found[[other, unit]]
    return found


def likened(sizes: Index, room: Index, rng: np.random.Generator) -> Index:
    """For each unit itself, or, where it lacks room for its rows, any unit that has it. Raises DataError (D213) where none
    has."""
    like = np.arange(len(sizes))
    for size in np.unique(sizes[sizes > room]).tolist():
        roomy, lacking = np.flatnonzero(room >= size), np.flatnonzero((sizes == size) & (room < size))
        if not len(roomy):
            raise DataError(
                "D213",
                f"{len(lacking)} units have more rows than their constraints leave places for",
                "leave out unit.order, or the constraints that tie it to static columns",
            )
        like[lacking] = rng.choice(roomy, len(lacking))
    return like


def _possible(model: Conditioned, known: Mapping[str, NDArray[Any]], rng: np.random.Generator) -> Mask:
    """Which of the rows some record of the model has."""
    left = np.arange(len(next(iter(known.values()))))
    found = np.ones(len(left), dtype=bool)
    while len(left):
        try:
            complete(model, {a: cells[left] for a, cells in known.items()}, rng)
        except Impossible as error:
            found[left[error.rows]] = False
            left = np.delete(left, error.rows)
        else:
            break
    return found
