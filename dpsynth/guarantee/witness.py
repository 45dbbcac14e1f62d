"""A witness between a mechanism and its curator: every question of a real run is asked again of the neighbours.

The mechanism runs once, with real noise, on one table. Each question that it asks is repeated, word for word, to curators
without noise over the same table and over its neighbours. So the released answer less the exact one is the noise, and the
exact answers' difference is what one unit moves, given the same history: what the theorem bounds, measured.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from dpsynth.budget import Cost
from dpsynth.domain import Clique, Domain
from dpsynth.measurement import Measurement, Merges
from dpsynth.privacy.curator import Curator
from dpsynth.privacy.events import BoundedRange, DiscreteGaussian, Event, flatten
from dpsynth.privacy.rehearsal import Diary
from dpsynth.privacy.sgd import Gradient, SgdPlan

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]
Released = TypeVar("Released")

LOOKS = 4
"""Times that a training's sums are compared with the neighbours'."""


@dataclass(frozen=True, eq=False)
class Part:
    """One noisy vector of an answer: a marginal, or all errors together.

    `residuals` (cells,): the noise that came. `sigma`: the scale that was stated. `moved` (neighbours,): L2 norm of the
    exact answer's movement, in rows; `rows_moved` the same in L1.
    """

    name: str
    residuals: Integers
    sigma: float
    moved: Floats
    rows_moved: Floats


@dataclass(frozen=True, eq=False)
class Answer:
    """One answer of the curator, as it was charged and as it was measured.

    `choice` (neighbours,): how far the log-odds of a choice spread, by the charged epsilon; `score_moved` (neighbours,): the
    largest movement of a score, in rows. `clips` (neighbours,): the largest movement of an exact gradient sum over
    everybody, in clips, filled in while the sums are drawn. `known`: False for a question that the witness cannot repeat.
    """

    question: str
    purpose: str
    events: tuple[Event, ...]
    charged_first: bool
    parts: tuple[Part, ...]
    choice: Floats
    score_moved: Floats
    clips: Floats
    known: bool = True

    @property
    def moved_over_stated(self) -> Floats:
        """Sum of the squared movements over the squared stated scales, shape (neighbours,)."""
        nothing = np.zeros_like(self.choice)
        return np.asarray(sum(((part.moved / part.sigma) ** 2 for part in self.parts), start=nothing))

    @property
    def rows_moved(self) -> Floats:
        """The largest L1 movement of one vector or score, shape (neighbours,)."""
        found: Floats = self.score_moved
        for part in self.parts:
            found = np.maximum(found, part.rows_moved)
        return found


@dataclass(frozen=True, eq=False)
class _Moved:
    """What a question's exact answers did over the neighbours."""

    parts: tuple[Part, ...]
    choice: Floats
    score: Floats


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
            exact, *others = (door.measure(cliques, cost, purpose, weights) for door in self._doors)
            return self._counts(found, exact, others)

        return self._asked(
            "measure", purpose, lambda: self._curator.measure(cliques, cost, purpose, weights), see
        )

    def select(self, estimates: Any, cost: Any, purpose: str, penalties: Any = None) -> Clique:
        def see(found: Clique, events: Sequence[Event]) -> _Moved:
            return self._choice(estimates, None, events)

        return self._asked(
            "select", purpose, lambda: self._curator.select(estimates, cost, purpose, penalties), see
        )

    def choose_and_measure(
        self, estimates: Any, spent: Any, purpose: str, penalties: Any = None, weights: Any = None
    ) -> Measurement:
        def see(found: Measurement, events: Sequence[Event]) -> _Moved:
            choice = self._choice(estimates, weights, events)
            exact, *others = (_exact_counts(door, found.clique) for door in self._doors)
            counts = self._counts([found], [exact], [[other] for other in others])
            return _Moved(counts.parts, choice.choice, choice.score)

        return self._asked(
            "choose_and_measure",
            purpose,
            lambda: self._curator.choose_and_measure(estimates, spent, purpose, penalties, weights),
            see,
        )

    def errors(self, estimates: Any, cost: Any, purpose: str) -> dict[Clique, float]:
        def see(found: Mapping[Clique, float], events: Sequence[Event]) -> _Moved:
            exact, *others = (_vector(door.errors(estimates, cost, purpose)) for door in self._doors)
            sigma = max(
                (e.sigma for e in flatten(events) if isinstance(e, DiscreteGaussian)), default=math.nan
            )
            moves = [other - exact for other in others]
            residuals = (_vector(found) - exact).astype(np.int64)
            part = Part("errors", residuals, sigma, _norms(moves), np.zeros(len(moves)))
            each = np.array([float(np.abs(move).max()) for move in moves])
            return _Moved((part,), np.zeros(len(moves)), each)

        return self._asked("errors", purpose, lambda: self._curator.errors(estimates, cost, purpose), see)

    def unit_sizes(self, cost: Any, purpose: str) -> Any:
        def see(found: Any, events: Sequence[Event]) -> _Moved:
            exact, *others = (door.unit_sizes(cost, purpose).counts for door in self._doors)
            moves = [other - exact for other in others]
            part = Part("sizes", found.counts - exact, found.sigma, _norms(moves), _sums(moves))
            return _Moved((part,), np.zeros(len(moves)), np.zeros(len(moves)))

        return self._asked("unit_sizes", purpose, lambda: self._curator.unit_sizes(cost, purpose), see)

    def noisy_gradients(self, plan: SgdPlan, gradient: Gradient, purpose: str) -> Iterator[Floats]:
        """Now and then, as training goes on, the exact sum over everybody is compared with the neighbours'."""

        def see(found: Iterator[Floats], events: Sequence[Event]) -> _Moved:
            nothing = np.zeros(len(self._neighbours))
            return _Moved((), nothing, nothing)

        sums = self._asked(
            "noisy_gradients", purpose, lambda: self._curator.noisy_gradients(plan, gradient, purpose), see
        )
        return self._looking(sums, replace(plan, steps=1), gradient, plan.steps, self.answers[-1].clips)

    def _looking(
        self, sums: Iterator[Floats], once: SgdPlan, gradient: Gradient, steps: int, clips: Floats
    ) -> Iterator[Floats]:
        for step, found in enumerate(sums):
            if step % max(1, steps // LOOKS) == 0:
                exact, *others = (next(door.noisy_gradients(once, gradient, "exact")) for door in self._doors)
                moved = [float(np.linalg.norm(other - exact)) / once.clip for other in others]
                clips[:] = np.maximum(clips, moved)
            yield found

    def __getattr__(self, name: str) -> Any:
        """Anything else that a curator has: passed on, and written down as a question that nobody repeated."""
        found = getattr(self._curator, name)
        if not callable(found):
            return found

        def passed(*arguments: Any, **named: Any) -> Any:
            none = np.zeros(len(self._neighbours))
            nothing = _Moved((), none, none)
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
                saw.parts,
                saw.choice,
                saw.score,
                np.zeros(len(self._neighbours)),
                known,
            )
        )
        return found

    @property
    def _doors(self) -> tuple[Curator, ...]:
        """Without noise: the table's own, then the neighbours'."""
        return (self._exact, *self._neighbours)

    def _choice(
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
            for door in self._doors
        )
        most = self.rows_per_unit * int(weight.max())
        moves = [other - exact for other in others]
        spread = [float(move.max() - move.min()) * epsilon / (2 * most) for move in moves]
        score = [float((np.abs(move) / weight).max()) for move in moves]
        return _Moved((), np.array(spread), np.array(score))

    def _counts(
        self,
        found: Sequence[Measurement],
        exact: Sequence[Measurement],
        others: Sequence[Sequence[Measurement]],
    ) -> _Moved:
        parts = []
        for i, (noisy, true) in enumerate(zip(found, exact, strict=True)):
            moves = [(other[i].values - true.values).ravel() for other in others]
            residuals = (noisy.values - true.values).ravel()
            name = ", ".join(noisy.clique)
            parts.append(Part(name, residuals, noisy.sigma, _norms(moves), _sums(moves)))
        nothing = np.zeros(len(others))
        return _Moved(tuple(parts), nothing, nothing)


def _exact_counts(door: Curator, clique: Clique) -> Measurement:
    return door.measure([clique], Cost(0.1), "exact")[0]


def _distance(counts: Integers, estimate: Floats) -> int:
    return int(np.abs(counts - np.rint(estimate).astype(np.int64)).sum())


def _vector(errors: Mapping[Clique, float]) -> Floats:
    return np.array(list(errors.values()), dtype=np.float64)


def _norms(moves: Sequence[NDArray[Any]]) -> Floats:
    return np.array([math.sqrt(float((move.astype(float) ** 2).sum())) for move in moves])


def _sums(moves: Sequence[NDArray[Any]]) -> Floats:
    return np.array([float(np.abs(move).sum()) for move in moves])
