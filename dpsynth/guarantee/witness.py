"""A witness between a mechanism and its curator: every question of a real run is asked again of the neighbours.

The mechanism runs once, with real noise, on one table. Each question that it asks is repeated, word for word, to curators
without noise over the same table and over its neighbours. So the released answer less the exact one is the noise, and the
exact answers' difference is what one unit moves, given the same history: what the theorem bounds, measured.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from dpsynth.budget import Cost
from dpsynth.domain import Clique, Domain
from dpsynth.measurement import Measurement, Merges
from dpsynth.privacy.curator import Curator
from dpsynth.privacy.events import BoundedRange, DiscreteGaussian, Event, flatten
from dpsynth.privacy.rehearsal import Diary

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]
Released = TypeVar("Released")


@dataclass(frozen=True, eq=False)
class Answer:
    """One answer of the curator, as it was charged and as it was measured.

    `residuals` and `sigmas` (cells,): noise that came, scale that was stated. `moved` (neighbours,): sum of the squared
    movements over the squared stated scales. `rows_moved` (neighbours,): the largest movement of one marginal or score,
    in rows (L1). `choice` (neighbours,): how far the log-odds of a choice spread, by the charged epsilon. `known`: False for
    a question that the witness cannot repeat.
    """

    question: str
    purpose: str
    events: tuple[Event, ...]
    charged_first: bool
    residuals: Integers
    sigmas: Floats
    moved: Floats
    rows_moved: Floats
    choice: Floats
    known: bool = True


@dataclass(frozen=True, eq=False)
class _Moved:
    """What a question's exact answers did over the neighbours."""

    residuals: Integers
    sigmas: Floats
    moved: Floats
    rows: Floats
    choice: Floats


class Witness:
    """Stands where a curator is expected; `answers` is what it saw. `exact` and `neighbours` answer without noise."""

    def __init__(
        self,
        curator: Curator,
        exact: Curator,
        neighbours: Sequence[Curator],
        diary: Diary,
        answers: list[Answer] | None = None,
    ) -> None:
        self._curator, self._exact, self._neighbours = curator, exact, list(neighbours)
        self._diary = diary
        self.answers: list[Answer] = [] if answers is None else answers

    @property
    def domain(self) -> Domain:
        return self._curator.domain

    @property
    def rows_per_unit(self) -> int:
        return self._curator.rows_per_unit

    @property
    def remaining(self) -> float:
        return self._curator.remaining

    def coarsened(self, merges: Merges) -> Witness:
        exact, *others = (door.coarsened(merges) for door in (self._exact, *self._neighbours))
        return Witness(self._curator.coarsened(merges), exact, others, self._diary, self.answers)

    def within(self, purpose: str) -> Witness:
        return Witness(
            self._curator.within(purpose), self._exact, self._neighbours, self._diary, self.answers
        )

    def measure(self, cliques: Any, cost: Any, purpose: str, weights: Any = None) -> list[Measurement]:
        def see(found: list[Measurement], events: Sequence[Event]) -> _Moved:
            exact, *others = (
                door.measure(cliques, cost, purpose, weights) for door in (self._exact, *self._neighbours)
            )
            return _counts_moved(found, exact, others)

        return self._asked(
            "measure", purpose, lambda: self._curator.measure(cliques, cost, purpose, weights), see
        )

    def select(self, estimates: Any, cost: Any, purpose: str, penalties: Any = None) -> Clique:
        def see(found: Clique, events: Sequence[Event]) -> _Moved:
            return self._choice_moved(estimates, None, events)

        return self._asked(
            "select", purpose, lambda: self._curator.select(estimates, cost, purpose, penalties), see
        )

    def choose_and_measure(
        self, estimates: Any, spent: Any, purpose: str, penalties: Any = None, weights: Any = None
    ) -> Measurement:
        def see(found: Measurement, events: Sequence[Event]) -> _Moved:
            choice = self._choice_moved(estimates, weights, events)
            exact, *others = (_exact_counts(door, found.clique) for door in (self._exact, *self._neighbours))
            counts = _counts_moved([found], [exact], [[other] for other in others])
            rows = np.maximum(counts.rows, choice.rows)
            return _Moved(counts.residuals, counts.sigmas, counts.moved, rows, choice.choice)

        return self._asked(
            "choose_and_measure",
            purpose,
            lambda: self._curator.choose_and_measure(estimates, spent, purpose, penalties, weights),
            see,
        )

    def errors(self, estimates: Any, cost: Any, purpose: str) -> dict[Clique, float]:
        def see(found: Mapping[Clique, float], events: Sequence[Event]) -> _Moved:
            exact, *others = (
                door.errors(estimates, cost, purpose) for door in (self._exact, *self._neighbours)
            )
            sigma = max(
                (e.sigma for e in flatten(events) if isinstance(e, DiscreteGaussian)), default=math.nan
            )
            stated = np.full(len(found), sigma)
            moves = [_vector(other) - _vector(exact) for other in others]
            return _Moved(
                (_vector(found) - _vector(exact)).astype(np.int64),
                stated,
                np.array([float(((move / sigma) ** 2).sum()) for move in moves]),
                np.array([float(np.abs(move).max()) for move in moves]),
                np.zeros(len(moves)),
            )

        return self._asked("errors", purpose, lambda: self._curator.errors(estimates, cost, purpose), see)

    def unit_sizes(self, cost: Any, purpose: str) -> Any:
        def see(found: Any, events: Sequence[Event]) -> _Moved:
            exact, *others = (door.unit_sizes(cost, purpose) for door in (self._exact, *self._neighbours))
            moves = [other.counts - exact.counts for other in others]
            return _Moved(
                np.asarray(found.counts - exact.counts).ravel(),
                np.full(exact.counts.size, found.sigma),
                np.array([float((move.astype(float) ** 2).sum()) / found.sigma**2 for move in moves]),
                np.array([float(np.abs(move).sum()) for move in moves]),
                np.zeros(len(moves)),
            )

        return self._asked("unit_sizes", purpose, lambda: self._curator.unit_sizes(cost, purpose), see)

    def __getattr__(self, name: str) -> Any:
        """Anything else that a curator has: passed on, and written down as a question that nobody repeated."""
        found = getattr(self._curator, name)
        if not callable(found):
            return found

        def passed(*arguments: Any, **named: Any) -> Any:
            none = np.zeros(0)
            nothing = _Moved(np.zeros(0, np.int64), none, none, none, none)
            return self._asked(
                name, name, lambda: found(*arguments, **named), lambda *_: nothing, known=False
            )

        return passed

    def _asked(
        self,
        question: str,
        purpose: str,
        ask: Callable[[], Released],
        see: Callable[[Released, Sequence[Event]], _Moved],
        *,
        known: bool = True,
    ) -> Released:
        line = len(self._diary.lines)
        found = ask()
        events = self._diary.charges_since(line)
        kinds = [entry[0] for entry in self._diary.lines[line:]]
        saw = see(found, events)
        self.answers.append(
            Answer(
                question,
                purpose,
                tuple(events),
                kinds[:1] == ["charge"] and kinds.count("charge") == 1,
                saw.residuals,
                saw.sigmas,
                saw.moved,
                saw.rows,
                saw.choice,
                known,
            )
        )
        return found

    def _choice_moved(
        self,
        estimates: Mapping[Clique, Floats],
        weights: Mapping[Clique, int] | None,
        events: Sequence[Event],
    ) -> _Moved:
        """Scores computed here from exact counts, as the curator documents them, on all tables."""
        epsilon = sum(e.epsilon for e in flatten(events) if isinstance(e, BoundedRange))
        weight = np.array([1 if weights is None else weights[c] for c in estimates], dtype=np.int64)
        exact, *others = (
            weight * np.array([_distance(_exact_counts(door, c).values, e) for c, e in estimates.items()])
            for door in (self._exact, *self._neighbours)
        )
        most = self.rows_per_unit * int(weight.max())
        moves = [other - exact for other in others]
        spread = [float(move.max() - move.min()) * epsilon / (2 * most) for move in moves]
        return _Moved(
            np.zeros(0, np.int64),
            np.zeros(0),
            np.zeros(len(moves)),
            np.array([float((np.abs(move) / weight).max()) for move in moves]),
            np.array(spread),
        )


def _exact_counts(door: Curator, clique: Clique) -> Measurement:
    return door.measure([clique], Cost(0.1), "exact")[0]


def _distance(counts: Integers, estimate: Floats) -> int:
    return int(np.abs(counts - np.rint(estimate).astype(np.int64)).sum())


def _vector(errors: Mapping[Clique, float]) -> Floats:
    return np.array(list(errors.values()), dtype=np.float64)


def _counts_moved(
    found: Sequence[Measurement], exact: Sequence[Measurement], others: Sequence[Sequence[Measurement]]
) -> _Moved:
    residuals = [(m.values - e.values).ravel() for m, e in zip(found, exact, strict=True)]
    moves = [[(o.values - e.values).ravel() for o, e in zip(other, exact, strict=True)] for other in others]
    sigmas = [m.sigma for m in found]
    return _Moved(
        np.concatenate(residuals),
        np.repeat(sigmas, [len(r) for r in residuals]),
        np.array(
            [
                sum(float((d.astype(float) ** 2).sum()) / s**2 for d, s in zip(move, sigmas, strict=True))
                for move in moves
            ]
        ),
        np.array([float(max(np.abs(d).sum() for d in move)) for move in moves]),
        np.zeros(len(moves)),
    )
