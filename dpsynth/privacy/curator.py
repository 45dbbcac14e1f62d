"""The door between private rows and everything else.

Every method does three things in this order: it charges the account (durably), it counts, it releases. What
a method returns is released: the caller may keep it, print it and publish it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dpsynth.budget import Cost
from dpsynth.domain import Clique, Domain
from dpsynth.engines.base import Counts, Engine
from dpsynth.entropy import Stream
from dpsynth.measurement import Measurement
from dpsynth.persons import UnitSizes, binned
from dpsynth.privacy import discovery, noise, persons, sensitivity, sgd
from dpsynth.privacy.discovery import BoundSearch, Search, ValueSearch
from dpsynth.privacy.events import Event
from dpsynth.privacy.ledger import Account, Grant, Run
from dpsynth.privacy.merging import Merges, merged_domain
from dpsynth.privacy.rounds import Round

Floats = NDArray[np.float64]


class Curator:
    """Answers questions about private records, each for a charge.

    Neighbouring tables differ in one unit, which holds at most `rows_per_unit` records (the engine has
    enforced that bound). `account` takes the charges and refuses what was not reserved; `stream` supplies
    the noise. The curator never hands out an exact count, refuses to be pickled, and holds no result.
    """

    def __init__(
        self,
        engine: Engine,
        account: Account,
        stream: Stream,
        merges: Merges | None = None,
        planned: Domain | None = None,
    ) -> None:
        """`merges`: what was done to the original cells before `engine` counts them; measurements carry it. `planned`: the
        sizes that the run's plan was made with, where the domain was discovered since."""
        self._engine = engine
        self._account = account
        self._stream = stream
        self._merges: Merges = dict(merges or {})
        self._planned = planned

    @property
    def planned(self) -> Domain:
        """The sizes that charges are computed from: known before the first row was read."""
        return self._engine.domain if self._planned is None else self._planned

    @property
    def domain(self) -> Domain:
        """Attributes and cells as this curator answers for them (after merges)."""
        return self._engine.domain

    @property
    def rows_per_unit(self) -> int:
        return self._engine.rows_per_unit

    def coarsened(self, merges: Merges) -> Curator:
        """The same door on merged cells: ``merges[attribute][cell]`` is the cell's new number.

        The maps must be public or computed from what this curator released. A merged marginal is a sum of
        cells, so one unit moves it by no more than before. ValueError for maps that are not onto their own range.
        """
        if self._merges:
            raise ValueError("already coarsened: merge the original cells")
        merged_domain(self._engine.domain, merges)
        return Curator(self._engine.merged(merges), self._account, self._stream, merges, self._planned)

    def within(self, purpose: str) -> Curator:
        """The same door for an adaptive loop: its charges are chosen one by one, from answers so far, and must
        fit the planned grant of this purpose. The next charge of the run closes it."""
        if not isinstance(self._account, Run):
            raise ValueError("a grant is opened in a run, not inside another grant")
        return Curator(self._engine, self._account.grant(purpose), self._stream, self._merges, self._planned)

    @property
    def remaining(self) -> float:
        """What is left of the grant behind this door: mu**2 of a Gaussian one, rho of a zCDP one. ValueError for a
        door that is no grant's."""
        if not isinstance(self._account, Grant):
            raise ValueError("only a grant has something left")
        return self._account.remaining

    def measure(
        self, cliques: Sequence[Clique], cost: Cost, purpose: str, weights: Sequence[float] | None = None
    ) -> list[Measurement]:
        """Noisy counts of each clique; `weights` share the cost's rho (equally without them).

        One unit moves one marginal by at most `rows_per_unit` in L1 and so in L2. Discrete Gaussian noise of
        scale sigma costs ``rho = rows_per_unit**2 / (2 sigma**2)`` each (Canonne, Kamath, Steinke 2020).
        """
        shares = [1.0] * len(cliques) if weights is None else list(weights)
        if not cliques or len(shares) != len(cliques):
            raise ValueError("at least one clique, and one weight for each")
        self.domain.require(cliques)
        scales = sensitivity.sigmas(cost, self.rows_per_unit, shares)
        self._account.charge(purpose, sensitivity.measure_event(cost, self.rows_per_unit, shares))
        exact = self._exact(cliques)
        return [self._noised(c, exact[c], sigma) for c, sigma in zip(cliques, scales, strict=True)]

    def select(
        self,
        estimates: Mapping[Clique, Floats],
        cost: Cost,
        purpose: str,
        penalties: Mapping[Clique, int] | None = None,
    ) -> Clique:
        """The clique whose estimate is furthest from the truth, chosen privately.

        The score is the L1 distance between the exact counts and the estimate rounded to integers, less the
        clique's penalty (a whole number that depends on no private row), so it is an integer; one unit moves
        it by at most `rows_per_unit`. Exponential mechanism with both directions counted (the score is not
        monotone), epsilon-bounded range, ``rho = epsilon**2 / 8`` (Cesar, Rogers 2021).
        """
        event = sensitivity.select_event(cost)
        asked = _asked(self.domain, estimates, penalties)
        self._account.charge(purpose, event)
        return self._chosen(asked, event.epsilon)

    def choose_and_measure(
        self,
        estimates: Mapping[Clique, Floats],
        spent: Round,
        purpose: str,
        penalties: Mapping[Clique, int] | None = None,
        weights: Mapping[Clique, int] | None = None,
    ) -> Measurement:
        """One round of an adaptive loop: a private choice as in `select`, then noisy counts of what was chosen.

        The score is ``weight * |exact - estimate|_1 - penalty``, a whole number that one unit moves by at most
        ``rows_per_unit`` times the largest weight of all candidates. Weights and penalties are whole numbers that depend
        on no private row. Both steps are one charge, whose joint Gaussian price is less than that of its parts.
        """
        event = spent.event(self.rows_per_unit)
        asked = _asked(self.domain, estimates, penalties, weights)
        self._account.charge(purpose, event)
        clique = self._chosen(asked, sensitivity.select_event(spent.choice).epsilon)
        return self._noised(clique, self._exact([clique])[clique], spent.sigma(self.rows_per_unit))

    def errors(self, estimates: Mapping[Clique, Floats], cost: Cost, purpose: str) -> dict[Clique, float]:
        """Noisy L1 distances between exact counts and estimates, all cliques at one sigma.

        Each is an integer that one unit moves by at most `rows_per_unit`; discrete Gaussian noise as in
        `measure`. Small ones may come out negative.
        """
        asked = _asked(self.domain, estimates)
        equally = [1.0] * len(asked.cliques)
        sigma = sensitivity.sigmas(cost, self.rows_per_unit, equally)[0]
        self._account.charge(purpose, sensitivity.measure_event(cost, self.rows_per_unit, equally))
        scores = self._scores(asked)
        noisy = scores + noise.discrete_gaussian(sigma, scores.shape, self._stream)
        return {clique: float(error) for clique, error in zip(asked.cliques, noisy, strict=True)}

    def unit_sizes(self, cost: Cost, purpose: str) -> UnitSizes:
        """A noisy histogram of units by how many rows of each were kept.

        A unit is in one of its cells: one unit moves one cell by `sensitivity.UNIT_COUNT`, not by `rows_per_unit`.
        """
        event = persons.sizes_event(cost)
        self._account.charge(purpose, event)
        exact = binned(self._engine.unit_sizes())
        noisy = exact + noise.discrete_gaussian(event.sigma, exact.shape, self._stream)
        return UnitSizes(self.rows_per_unit, noisy, event.sigma)

    def noisy_gradients(
        self, plan: sgd.SgdPlan, gradient: sgd.Gradient, purpose: str
    ) -> Iterator[NDArray[np.float64]]:
        """One noisy sum of clipped gradients after the other, each of shape (coordinates,) in the gradient's unit.

        All steps are charged at once. Each takes each unit with probability ``plan.rate`` by a secret coin; a unit adds
        a vector of L2 norm at most ``plan.clip``; discrete Gaussian noise (`sgd.py` has the bounds). `gradient` is called
        on the records of a batch and may use what it learned from earlier sums; what it computes is private, so it
        keeps nothing and tells nothing. Divide by a constant or a charged number, never by the size of the batch.
        """
        self._account.charge(purpose, plan.event)
        batches = self._engine.poisson_batches(plan.rate, plan.steps, self._stream)
        return (sgd.noised(sgd.exact_sum(b, gradient, plan.clip), plan, self._stream) for b in batches)

    def values(self, search: ValueSearch) -> list[str]:
        """The values of a column that enough units have, sorted; at most ``search.most``.

        The number of units that have a value moves by 1, and of at most `rows_per_unit` values, by one unit. Discrete
        Gaussian noise on each, and a threshold that the values of a lone unit all fail to reach but for ``search.delta``
        (`privacy/discovery.py` has the argument).
        """
        self._account.charge(*self._searched(search))
        words, exact = discovery.in_order(self._engine.units_with(search.column))
        noisy = exact + noise.discrete_gaussian(search.sigma, exact.shape, self._stream)
        return discovery.released_values(search, words, noisy)

    def bounds(self, search: BoundSearch) -> tuple[float, float]:
        """The edges of a public scale around the intervals in which enough units have a number.

        Numbers of units, one in each interval of the public scale, empty ones too: one unit moves at most `rows_per_unit`
        of them, each by 1. Discrete Gaussian noise; no delta.
        """
        self._account.charge(*self._searched(search))
        exact = self._engine.units_between(search.column, search.edges)
        noisy = exact + noise.discrete_gaussian(search.sigma, exact.shape, self._stream)
        return discovery.released_bounds(search, noisy)

    def _searched(self, search: Search) -> tuple[str, Event]:
        if search.rows_per_unit != self.rows_per_unit:
            raise ValueError("the search is for units of another size")
        return search.charge.purpose, search.charge.event

    def _noised(self, clique: Clique, exact: Counts, sigma: float) -> Measurement:
        merges = {a: self._merges[a] for a in clique if a in self._merges}
        noisy = exact + noise.discrete_gaussian(sigma, exact.shape, self._stream)
        return Measurement(clique, noisy, sigma, merges)

    def _exact(self, cliques: Sequence[Clique]) -> dict[Clique, Counts]:
        return dict(self._engine.marginals(cliques))

    def _chosen(self, asked: _Asked, epsilon: float) -> Clique:
        """A clique by the exponential mechanism; `epsilon` was charged."""
        bound = sensitivity.l1_score_sensitivity(self.rows_per_unit, int(asked.weights.max()))
        return asked.cliques[noise.choose(self._scores(asked), epsilon, bound, self._stream)]

    def _scores(self, asked: _Asked) -> Counts:
        exact = self._exact(asked.cliques)
        errors = [np.abs(exact[c] - rounded).sum() for c, rounded in asked.estimates.items()]
        return asked.weights * np.array(errors, dtype=np.int64) - asked.penalties

    def __reduce__(self) -> str:
        raise TypeError("a curator holds private rows: it cannot be pickled or copied")


_FARTHEST = 2**61
"""No score is larger: beyond 2**63 integers wrap around, and one unit would move a score by 2**64."""
_MOST_WEIGHT = 2**20


@dataclass(frozen=True, eq=False)
class _Asked:
    """Questions in whole numbers, so that scores and their noise are exact; nothing here is private."""

    estimates: Mapping[Clique, Counts]
    weights: Counts
    penalties: Counts

    @property
    def cliques(self) -> list[Clique]:
        return list(self.estimates)


def _asked(
    domain: Domain,
    estimates: Mapping[Clique, Floats],
    penalties: Mapping[Clique, int] | None = None,
    weights: Mapping[Clique, int] | None = None,
) -> _Asked:
    """Estimates are rounded; absurdly large ones are cut. One of another shape than its counts would be repeated along
    the axes it lacks or has too many, and one unit would move the score once for each."""
    if not estimates:
        raise ValueError("at least one estimate")
    domain.require(estimates)
    if any(np.shape(estimate) != domain.shape(clique) for clique, estimate in estimates.items()):
        raise ValueError("an estimate has a number for each cell of its clique")
    if not all(np.isfinite(estimate).all() for estimate in estimates.values()):
        raise ValueError("estimates are finite")
    weight = _whole({} if weights is None else weights, estimates, 1)
    if not 1 <= weight.min() <= weight.max() <= _MOST_WEIGHT:
        raise ValueError("weights are whole numbers of at least 1")
    rounded = {c: _integers(table, int(w)) for (c, table), w in zip(estimates.items(), weight, strict=True)}
    return _Asked(rounded, weight, _whole({} if penalties is None else penalties, estimates, 0))


def _whole(given: Mapping[Clique, int], cliques: Iterable[Clique], otherwise: int) -> Counts:
    """One whole number for each clique. A score moves by what a unit moves only if nothing in it is rounded later."""
    found = [given[clique] if given else otherwise for clique in cliques]
    if not all(isinstance(number, int) and abs(number) <= _FARTHEST for number in found):
        raise ValueError("weights and penalties are whole numbers")
    return np.array(found, dtype=np.int64)


def _integers(estimate: Floats, weight: int) -> Counts:
    most = float(_FARTHEST // (weight * max(1, estimate.size)))
    return np.rint(np.clip(estimate, -most, most)).astype(np.int64)
