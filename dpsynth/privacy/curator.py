"""The door between private rows and everything else.

Every method does three things in this order: it charges the account (durably), it counts, it releases. What
a method returns is released: the caller may keep it, print it and publish it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from dpsynth.budget import Cost
from dpsynth.domain import Clique, Domain
from dpsynth.engines.base import Counts, Engine
from dpsynth.entropy import Stream
from dpsynth.measurement import Measurement
from dpsynth.privacy import noise, sensitivity
from dpsynth.privacy.ledger import Account, Run
from dpsynth.privacy.merging import Merges, merge_counts, merged_domain

Floats = NDArray[np.float64]


class Curator:
    """Answers questions about private records, each for a charge.

    Neighbouring tables differ in one unit, which holds at most `rows_per_unit` records (the engine has
    enforced that bound). `account` takes the charges and refuses what was not reserved; `stream` supplies
    the noise. The curator never hands out an exact count, refuses to be pickled, and holds no result.
    """

    def __init__(
        self, engine: Engine, account: Account, stream: Stream, merges: Merges | None = None
    ) -> None:
        self._engine = engine
        self._account = account
        self._stream = stream
        self._merges: Merges = dict(merges or {})

    @property
    def domain(self) -> Domain:
        """Attributes and cells as this curator answers for them (after merges)."""
        return merged_domain(self._engine.domain, self._merges)

    @property
    def rows_per_unit(self) -> int:
        return self._engine.rows_per_unit

    def coarsened(self, merges: Merges) -> Curator:
        """The same door on merged cells: ``merges[attribute][cell]`` is the cell's new number.

        The maps must be public or computed from what this curator released. A merged marginal is a sum of
        cells, so one unit moves it by no more than before.
        """
        if self._merges:
            raise ValueError("already coarsened: merge the original cells")
        return Curator(self._engine, self._account, self._stream, merges)

    def within(self, purpose: str) -> Curator:
        """The same door for an adaptive loop: its charges are chosen one by one, from answers so far, and must
        fit the planned grant of this purpose. The next charge of the run closes it."""
        if not isinstance(self._account, Run):
            raise ValueError("a grant is opened in a run, not inside another grant")
        return Curator(self._engine, self._account.grant(purpose), self._stream, self._merges)

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
        cliques, rounded = _rounded(estimates)
        less = np.array([0 if penalties is None else penalties[c] for c in cliques], dtype=np.int64)
        self._account.charge(purpose, event)
        scores = self._scores(cliques, rounded) - less
        bound = sensitivity.l1_score_sensitivity(self.rows_per_unit)
        return cliques[noise.choose(scores, event.epsilon, bound, self._stream)]

    def errors(self, estimates: Mapping[Clique, Floats], cost: Cost, purpose: str) -> dict[Clique, float]:
        """Noisy L1 distances between exact counts and estimates, all cliques at one sigma.

        Each is an integer that one unit moves by at most `rows_per_unit`; discrete Gaussian noise as in
        `measure`. Small ones may come out negative.
        """
        cliques, rounded = _rounded(estimates)
        equally = [1.0] * len(cliques)
        sigma = sensitivity.sigmas(cost, self.rows_per_unit, equally)[0]
        self._account.charge(purpose, sensitivity.measure_event(cost, self.rows_per_unit, equally))
        scores = self._scores(cliques, rounded)
        noisy = scores + noise.discrete_gaussian(sigma, scores.shape, self._stream)
        return {clique: float(error) for clique, error in zip(cliques, noisy, strict=True)}

    def _noised(self, clique: Clique, exact: Counts, sigma: float) -> Measurement:
        return Measurement(clique, exact + noise.discrete_gaussian(sigma, exact.shape, self._stream), sigma)

    def _exact(self, cliques: Sequence[Clique]) -> dict[Clique, Counts]:
        counts = self._engine.marginals(cliques)
        return {clique: merge_counts(counts[clique], clique, self._merges) for clique in cliques}

    def _scores(self, cliques: Sequence[Clique], rounded: Mapping[Clique, Counts]) -> Counts:
        exact = self._exact(cliques)
        return np.array([np.abs(exact[c] - rounded[c]).sum() for c in cliques], dtype=np.int64)

    def __reduce__(self) -> str:
        raise TypeError("a curator holds private rows: it cannot be pickled or copied")


_FARTHEST = 2**61
"""No score is larger: beyond 2**63 integers wrap around, and one unit would move a score by 2**64."""


def _rounded(estimates: Mapping[Clique, Floats]) -> tuple[list[Clique], dict[Clique, Counts]]:
    """Estimates as integers, so that scores and their noise are exact; absurdly large ones are cut."""
    if not estimates:
        raise ValueError("at least one estimate")
    if not all(np.isfinite(estimate).all() for estimate in estimates.values()):
        raise ValueError("estimates are finite")
    return list(estimates), {clique: _integers(estimate) for clique, estimate in estimates.items()}


def _integers(estimate: Floats) -> Counts:
    most = float(_FARTHEST // max(1, estimate.size))
    return np.rint(np.clip(estimate, -most, most)).astype(np.int64)
