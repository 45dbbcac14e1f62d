"""The game: what the attacker holds, who is a member, who is a control, what was claimed.

An attack gets a `View`: the synthetic rows and the candidates' rows, never who is who. That is what makes a
permutation of members and controls an exact test of it, whatever the attack computes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from attacks.kernels import Bytes, nearest
from attacks.knowledge import ThreatModel
from dpsynth.domain import Clique
from dpsynth.records import Records

Floats = NDArray[np.float64]
Index = NDArray[np.int64]
Mask = NDArray[np.bool_]
T = TypeVar("T")
_NEIGHBOURS = 5
Hashes = NDArray[np.uint64]


@dataclass(frozen=True)
class Claim:
    """What the producer promised: (epsilon, delta) differential privacy for one unit."""

    epsilon: float
    delta: float = 0.0

    def __post_init__(self) -> None:
        if not (self.epsilon >= 0 and 0 <= self.delta < 1):
            raise ValueError("a claim has epsilon >= 0 and 0 <= delta < 1")

    def tpr(self, fpr: float) -> float:
        """Largest true-positive rate at this false-positive rate (Kairouz, Oh and Viswanath 2015)."""
        if self.epsilon > 500:
            return 1.0
        grow = math.exp(self.epsilon)
        return min(1.0, grow * fpr + self.delta, 1.0 - (1.0 - self.delta - fpr) / grow if fpr < 1 else 1.0)

    def auc(self) -> float:
        """Largest area under the ROC curve: the area under `tpr`, two straight pieces and a corner."""
        if self.epsilon > 500:
            return 1.0
        grow = math.exp(self.epsilon)
        corner = (1.0 - self.delta) / (1.0 + grow)
        top = self.tpr(corner)
        rise = corner * (self.delta + top) / 2.0
        flat = (1.0 - self.delta - corner) * (top + 1.0) / 2.0
        return min(1.0, rise + flat + self.delta)

    def __str__(self) -> str:
        return f"epsilon {self.epsilon:g}, delta {self.delta:g}"


@dataclass(frozen=True, eq=False)
class Rows:
    """One table as the attacks see it, three ways.

    `cells`: the schema's public cells; `fine`: up to 256 levels a column, in the order of its values, shape
    (n, columns); `hashes`: one 64-bit hash per value as it was given, shape (n, columns).
    """

    cells: Records
    fine: Bytes
    hashes: Hashes

    def __len__(self) -> int:
        return len(self.fine)

    def take(self, index: NDArray[Any]) -> Rows:
        return Rows(self.cells.take(index), self.fine[index], self.hashes[index])

    @cached_property
    def keys(self) -> Hashes:
        """One hash per row of the values as given."""
        return np.asarray(np.bitwise_xor.reduce(self.hashes, axis=1), np.uint64)

    @cached_property
    def cell_hashes(self) -> Hashes:
        """One hash per cell, shape (n, columns)."""
        return hash_columns([column.astype(np.uint64) for column in self.cells.columns])

    @classmethod
    def of_records(cls, records: Records, ordered: Mask) -> Rows:
        """Rows whose values are their cells; ordered attributes are spread over 0 .. 255."""
        fine = np.empty((len(records), len(ordered)), np.uint8)
        hashes = hash_columns([column.astype(np.uint64) for column in records.columns])
        for i, (column, size) in enumerate(zip(records.columns, records.domain.sizes, strict=True)):
            if ordered[i]:
                fine[:, i] = (column.astype(np.int64) * 255) // max(1, size - 1)
            else:
                fine[:, i] = column if size <= 256 else (hashes[:, i] >> np.uint64(56)).astype(np.uint8)
        return cls(records, fine, hashes)


def concatenate(parts: list[Rows]) -> Rows:
    domain = parts[0].cells.domain
    columns = tuple(np.concatenate([p.cells.columns[i] for p in parts]) for i in range(len(domain)))
    cells = Records(domain, columns)
    return Rows(cells, np.concatenate([p.fine for p in parts]), np.concatenate([p.hashes for p in parts]))


def hash_columns(columns: list[Hashes]) -> Hashes:
    """64-bit hashes that differ between columns (splitmix64's finalizer, one constant per column)."""
    out = np.empty((len(columns[0]) if columns else 0, len(columns)), np.uint64)
    for i, column in enumerate(columns):
        word = column.astype(np.uint64) + np.uint64(((i + 1) * 0x9E3779B97F4A7C15) & (2**64 - 1))
        for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
            word = (word ^ (word >> np.uint64(shift))) * np.uint64(factor)
        out[:, i] = word ^ (word >> np.uint64(31))
    return out


def remembered(owner: object, what: str, compute: Callable[[], T]) -> T:
    """A value kept with an immutable object, so that attacks share what several of them need."""
    kept: dict[str, Any] = owner.__dict__.setdefault("_remembered", {})
    if what not in kept:
        kept[what] = compute()
    value: T = kept[what]
    return value


@dataclass(frozen=True, eq=False)
class Candidates:
    """All rows of all candidate units, in the order of their units.

    `unit` (rows,): 0 .. units - 1, not descending, no unit without a row. `ordered` (columns,): whether
    neighbouring codes of the column are close.
    """

    rows: Rows
    unit: Index
    ordered: Mask

    def __post_init__(self) -> None:
        steps = np.diff(self.unit)
        if len(self.unit) != len(self.rows) or len(self.unit) == 0 or self.unit[0] != 0:
            raise ValueError("one unit per row, numbered from 0")
        if len(steps) and (steps.min() < 0 or steps.max() > 1):
            raise ValueError("units must be in order and without gaps")

    @property
    def units(self) -> int:
        return int(self.unit[-1]) + 1

    @cached_property
    def first(self) -> Index:
        """First row of each unit."""
        return np.searchsorted(self.unit, np.arange(self.units)).astype(np.int64)

    @cached_property
    def last(self) -> Index:
        """One past the last row of each unit."""
        return np.append(self.first[1:], len(self.unit)).astype(np.int64)

    def best(self, row_scores: NDArray[Any]) -> Floats:
        """A unit's score: the largest over its rows."""
        return np.asarray(np.maximum.reduceat(np.asarray(row_scores, np.float64), self.first))

    def total(self, row_scores: NDArray[Any]) -> Floats:
        """A unit's score: the sum over its rows."""
        return np.asarray(np.add.reduceat(np.asarray(row_scores, np.float64), self.first))

    def rows_of(self, units: Mask) -> Mask:
        """Which rows belong to the chosen units."""
        return np.asarray(units[self.unit])

    def take(self, units: Mask) -> Candidates:
        """Only the chosen units, renumbered in the same order."""
        keep = self.rows_of(units)
        number = np.cumsum(units) - 1
        return Candidates(self.rows.take(keep), number[self.unit[keep]].astype(np.int64), self.ordered)

    def once(self, what: str, compute: Callable[[], T]) -> T:
        """`compute`'s value, computed the first time that `what` is asked for."""
        return remembered(self, what, compute)

    @cached_property
    def neighbour_distance(self) -> NDArray[np.uint32]:
        """Per row: distance to the closest row of any other candidate unit."""
        return self._neighbours[:, 0]

    @cached_property
    def _neighbours(self) -> NDArray[np.uint32]:
        """Per row: distances to the five closest rows of other candidate units, ascending."""
        own = (self.first[self.unit], self.last[self.unit])
        return nearest(self.rows.fine, self.rows.fine, self.ordered, k=_NEIGHBOURS, skip=own)

    @cached_property
    def isolation(self) -> Floats:
        """Per unit: how far its loneliest row is from everybody else's rows.

        The mean distance to the five closest (Meeus et al. 2023): those whom synthetic rows endanger most.
        """
        return self.best(self._neighbours.mean(axis=1))


@dataclass(frozen=True, eq=False)
class View:
    """What the attacker holds.

    `prior`: the share of candidate units that were in the training data. `sampled`: the share of the training units
    that are candidates, all or a random sample. `grown`: when the synthetic table is
    another view's with rows added at its end, that view and the rows; distances are then not computed twice.
    `has_finer_values`: whether, by the schema, a value may say more than its cell.
    """

    synthetic: Rows
    candidates: Candidates
    prior: float
    cliques: tuple[Clique, ...] | None = None  # the marginals that the generator measured, when known
    grown: tuple[View, Rows] | None = None
    has_finer_values: bool = False
    sampled: float = 1.0

    def once(self, what: str, compute: Callable[[], T]) -> T:
        """`compute`'s value, computed the first time that `what` is asked for."""
        return remembered(self, what, compute)

    @cached_property
    def closest(self) -> NDArray[np.uint32]:
        """Per row of the candidates: distance to the closest synthetic row."""
        candidates = self.candidates
        new = self.synthetic if self.grown is None else self.grown[1]
        found = nearest(candidates.rows.fine, new.fine, candidates.ordered)[:, 0]
        return found if self.grown is None else np.minimum(found, self.grown[0].closest)

    def few(self, most: int) -> View:
        """The same view of the first `most` candidate units: they are in random order."""
        if self.candidates.units <= most:
            return self
        return self.once(f"first {most}", lambda: self._few(most))

    def _few(self, most: int) -> View:
        chosen = np.arange(self.candidates.units) < most
        fewer = self.candidates.once(f"first {most}", lambda: self.candidates.take(chosen))
        grown = None if self.grown is None else (self.grown[0].few(most), self.grown[1])
        return replace(self, candidates=fewer, grown=grown)


@dataclass(frozen=True, eq=False)
class Game:
    """A view and its truth: `member[u]` says whether unit u was in the training data.

    `coin`: the probability with which each unit, by a coin of its own, was held out; None when not declared.
    `split_is_random`: whether anything but chance decided who was held out.
    """

    view: View
    member: Mask
    claim: Claim | None
    split_is_random: bool = True
    coin: float | None = None
    entity: str = "row"
    groups: dict[str, Mask] = field(default_factory=dict)
    looks_at_isolated: bool = True

    def __post_init__(self) -> None:
        if len(self.member) != self.view.candidates.units:
            raise ValueError("one truth per unit")

    @property
    def members(self) -> int:
        return int(self.member.sum())

    @property
    def controls(self) -> int:
        return int((~self.member).sum())

    def only(self, units: Mask) -> Game:
        """The same game about the chosen units."""
        member = self.member[units]
        view = replace(self.view, candidates=self.view.candidates.take(units), prior=float(member.mean()))
        groups = {name: group[units] for name, group in self.groups.items()}
        return replace(self, view=view, member=member, groups=groups)

    def on(self, synthetic: Rows) -> Game:
        """The same game about another synthetic table."""
        return replace(self, view=replace(self.view, synthetic=synthetic, grown=None))

    def with_rows(self, added: Rows) -> Game:
        """The same game about the synthetic table with these rows added."""
        whole = concatenate([self.view.synthetic, added])
        return replace(self, view=replace(self.view, synthetic=whole, grown=(self.view, added)))


class Attack(Protocol):
    """One score per candidate unit, larger for "was in the training data". It never sees who is who.

    Any object with these three members can be handed to the suite. Two more are optional: `most_targets`, an
    int: only that many units, chosen at random, are attacked (`view.candidates` then has only these); and
    `right_above`, a float, of an attack that guesses something else about its target (a secret, a link): where
    a score is above it, the guess was right, and the suite reports how often, for members and for controls.
    """

    @property
    def name(self) -> str: ...

    @property
    def threat(self) -> ThreatModel:
        """What the attacker holds, whom he targets, what he wants."""
        ...

    def __call__(self, view: View, rng: np.random.Generator) -> Floats: ...


class Combination(Protocol):
    """An attack that weighs the scores of all the others, taught by the units of which it is told who is a member."""

    @property
    def name(self) -> str: ...

    @property
    def threat(self) -> ThreatModel: ...

    def combine(self, scores: Sequence[Floats], known: Mask, member: Mask) -> Floats:
        """One score per unit that is not `known`, NaN for the others; `member` may be looked at where it is known."""
        ...


def right_above(attack: Attack | Combination) -> float | None:
    """The optional member of that name; None for an attack on membership."""
    value = getattr(attack, "right_above", None)
    return None if value is None else float(value)


def most_targets(attack: Attack) -> int | None:
    """The optional member of that name; None when all units are attacked."""
    value = getattr(attack, "most_targets", None)
    return None if value is None else int(value)
