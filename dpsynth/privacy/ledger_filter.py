"""The arithmetic of a ledger: a Gaussian-DP filter over all that was ever spent.

**Rule.** The owner promises (epsilon, delta) once. Part of delta, the `slack`, is set aside for failures
that add up; mu_promise is the largest mu whose Gaussian curve keeps (epsilon, delta - slack). Each run i
is reduced to a (mu_i, d0_i) with delta_i(e) <= (1 - d0_i) delta_mu_i(e) + d0_i at every e: it tells an
observer no more than N(mu_i, 1) against N(0, 1), but for a failure of probability d0_i. A run is admitted
while

    sum of mu_i**2 <= mu_promise**2    and    sum of d0_i <= slack.

Both bounds are fixed when the ledger is opened, so that people may choose each run after seeing all
results before it (Gaussian part: fully adaptive composition, Smith and Thakurta 2022; failures: union
bound). A bound on one mixture of the two, delta_mu(epsilon) + sum d0 <= delta, would *not* do: who sees
the outcomes could steer what is left to the kinder of the two.

**The lone run.** One more rule, for an empty ledger only: the first spending is also admitted when its
own certificate keeps the whole promise, though its mu is a little above mu_promise (the certificate is
tighter than any dominating Gaussian). Nothing has been seen of the data when that plan is fixed, so which
of the two rules applies is settled before the first row is read: if (mu_1, d0_1) is within both bounds
the filter covers everything from the first run on; if not, a sum is above its bound already, nothing is
ever admitted again, and the certificate of a plan fixed in advance covers the only run. No outcome of the
data chooses between two accountants, which is what a filter forbids.

**Rounding.** mu_i is rounded up and mu_promise down where they are computed; the sums here are exact
(rational arithmetic on the floats).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

from dpsynth.budget import Budget, Cost
from dpsynth.errors import BudgetError
from dpsynth.privacy import accounting
from dpsynth.privacy.accounting import Certificate
from dpsynth.privacy.events import Event, External, PartitionSelection, flatten
from dpsynth.privacy.ledger_book import Spending
from dpsynth.privacy.receipt import Total
from dpsynth.privacy.zcdp import Unpriceable

MARGIN = 1.05
"""How much more epsilon the dominating curve of a run may cost than its own certificate. Measured: 1.00 for
noisy counts and Gaussian grants, 1.01 for mst, 1.04 for DP-SGD mixtures. A zCDP grant (1.5) and a lone
pure-DP answer (8) are the exceptions: their curves are far from Gaussian."""
LOSSES_COUNTED = 16.0
"""Another tool's epsilon above this is no protection that is worth an exact curve: it weighs the heaviest."""
HEAVIEST = 1000.0
"""The mu of a plan that no Gaussian dominates: it hides nothing, and no promise has room for it."""
LEAST_COST = 1e-4
"""The smallest share of a plan's cost that is tried when it does not fit."""
LEAST_D0 = 1e-16
"""The smallest d0 that a run takes, if it takes any: below it lie the tails that privacy-loss lattices cut off."""
WORTH = 1e-4
"""A run takes a d0 only when that makes its mu smaller by more than this part."""


Plan = Callable[[Cost], Sequence[Event]]
"""What a run would do at a given cost."""


@dataclass(frozen=True)
class Weight:
    """What a run weighs in the filter."""

    mu: float
    d0: float


@dataclass(frozen=True)
class Remaining:
    """What is left: `mu` and `slack` of the filter, and in words.

    `epsilon`: a further run calibrated to this epsilon at the promised delta fits, but for the exceptions
    at `MARGIN`; `Ledger.affordable` knows better for a given plan. 0 when nothing fits.
    """

    mu: float
    slack: float
    epsilon: float
    words: str


class Filter:
    """The promise and its two bounds. Immutable; totals are computed from the spendings given."""

    def __init__(self, promise: Budget, slack: float) -> None:
        self.promise = promise
        self.slack = slack
        self.mu = accounting.gaussian_mu(promise.epsilon, promise.delta - slack)

    def weigh(self, events: Sequence[Event]) -> Weight:
        """The (mu, d0) of a new spending; it depends on the plan and the promise only, never on what was
        spent.

        d0 is 0 for a plan whose curve lies below a Gaussian's everywhere (noisy counts, Gaussian grants).
        Else it is the plan's own additive delta plus a part of the slack in proportion to the run's share of
        mu_promise**2, so that both bounds run out together.
        """
        own = math.fsum(_additive(event) for event in flatten(events))
        rough, pure = (_dominating(tuple(events), d0) for d0 in (own + self.slack, 0.0))
        if pure <= rough * (1 + WORTH):
            return Weight(pure, 0.0)
        part = min(1.0, (rough / self.mu) ** 2 * (1 - 1e-9))
        d0 = min(own + max(self.slack * part, LEAST_D0), max(own, self.slack))
        return Weight(_dominating(tuple(events), d0), d0)

    def admits(self, spent: Sequence[Spending], events: Sequence[Event], weight: Weight) -> bool:
        """Whether a spending fits behind those before it (both rules above)."""
        if not spent and certified(tuple(events), self.promise.delta).epsilon <= self.promise.epsilon:
            return True
        mu2 = self._mu2(spent) + Fraction(weight.mu) ** 2
        d0 = self._d0(spent) + Fraction(weight.d0)
        return mu2 <= Fraction(self.mu) ** 2 and d0 <= Fraction(self.slack)

    def affordable(self, spent: Sequence[Spending], plan: Plan, budget: Budget) -> float:
        """The largest epsilon, up to the budget's, to which this plan can be calibrated and still fit; 0 when
        none. By bisection on the plan's cost; rounded down to two digits below the budget's epsilon."""
        whole = accounting.calibrate(plan, budget)
        if self._admits_plan(spent, plan(whole)):
            return budget.epsilon
        low, high = LEAST_COST, 1.0
        if not self._admits_plan(spent, plan(whole.share(low))):
            return 0.0
        while high > 1.01 * low:
            middle = math.sqrt(low * high)
            if self._admits_plan(spent, plan(whole.share(middle))):
                low = middle
            else:
                high = middle
        return round_down(accounting.certify(plan(whole.share(low)), budget.delta).epsilon)

    def _admits_plan(self, spent: Sequence[Spending], events: Sequence[Event]) -> bool:
        return self.admits(spent, events, self.weigh(events))

    def mu_of(self, spending: Spending) -> float:
        return _dominating(spending.events, spending.d0)

    def as_epsilon(self, weight: Weight) -> float:
        """What a weight alone is worth as epsilon at the promised delta."""
        return accounting.gaussian_epsilon(weight.mu, self.promise.delta)

    def overspent(self, spent: Sequence[Spending]) -> bool:
        """Whether the entries break the promise: only a release that was entered as a fact can do that."""
        return bool(spent) and self.total(spent).epsilon > self.promise.epsilon * (1 + 1e-9)

    def total(self, spent: Sequence[Spending]) -> Total:
        """What was spent so far, as one Gaussian and as epsilon at the promised delta.

        For a lone run epsilon is its certificate. The guarantee that holds whatever people decided on the
        way is the promise; this epsilon says how much of it is used up.
        """
        mu = _root_up(self._mu2(spent))
        d0 = float(self._d0(spent))
        if len(spent) == 1 and spent[0].d0 < self.promise.delta:
            epsilon = certified(spent[0].events, self.promise.delta).epsilon
            return Total(mu, epsilon, d0)
        left = self.promise.delta - max(self.slack, d0)
        epsilon = accounting.gaussian_epsilon(mu, left) if left > 0 else math.inf
        return Total(mu, epsilon if spent else 0.0, d0)

    def remaining(self, spent: Sequence[Spending]) -> Remaining:
        mu = _root_down(max(Fraction(0), Fraction(self.mu) ** 2 - self._mu2(spent)))
        slack = float(max(Fraction(0), Fraction(self.slack) - self._d0(spent)))
        # A run may need its share of the slack too (`weigh`).
        room = min(mu, self.mu * math.sqrt(slack / self.slack))
        epsilon = round_down(self._one_more(room)) if spent else self.promise.epsilon
        return Remaining(mu, slack, epsilon, self._words(epsilon, room))

    def _one_more(self, mu: float) -> float:
        if mu <= 0:
            return 0.0
        return accounting.gaussian_epsilon(mu, self.promise.delta) / MARGIN

    def _words(self, epsilon: float, mu: float) -> str:
        if epsilon <= 0:
            return "nothing is left: no further run fits"
        words = f"one more run of epsilon {epsilon:g} fits"
        several = [f"{n} of epsilon {part:g}" for part in (1.0, 0.1) if (n := self._how_many(part, mu)) > 1]
        return f"{words} (or {', or '.join(several)})" if several else words

    def _how_many(self, epsilon: float, mu: float) -> int:
        one = accounting.gaussian_mu(epsilon * MARGIN, self.promise.delta)
        return int((mu / one) ** 2)

    def _mu2(self, spent: Sequence[Spending]) -> Fraction:
        alike = Counter((spending.events, spending.d0) for spending in spent)
        return sum((n * Fraction(_dominating(*one)) ** 2 for one, n in alike.items()), Fraction(0))

    def _d0(self, spent: Sequence[Spending]) -> Fraction:
        return sum((Fraction(spending.d0) for spending in spent), Fraction(0))


def round_down(epsilon: float) -> float:
    """Two significant digits, never more than `epsilon`: what is promised in words is kept."""
    if epsilon <= 0:
        return 0.0
    step = 10.0 ** (math.floor(math.log10(epsilon)) - 1)
    short = float(f"{math.floor(epsilon / step) * step:.2g}")
    return short if short <= epsilon else float(f"{short - step:.2g}")


@lru_cache(maxsize=256)
def certified(events: tuple[Event, ...], delta: float) -> Certificate:
    """The plan's own certificate, remembered: planning, reserving and the receipt all ask for it."""
    return accounting.certify(events, delta)


@lru_cache(maxsize=4096)
def _dominating(events: tuple[Event, ...], d0: float) -> float:
    """A pure function of its arguments, so remembered: equal plans in a long ledger are priced once a
    process."""
    if any(isinstance(event, External) and event.epsilon > LOSSES_COUNTED for event in events):
        return HEAVIEST
    try:
        return min(accounting.dominating_gaussian(events, d0), HEAVIEST)
    except (BudgetError, Unpriceable):
        return HEAVIEST


def _additive(event: Event) -> float:
    return event.delta if isinstance(event, External | PartitionSelection) else 0.0


def _root_up(square: Fraction) -> float:
    root = math.sqrt(square)
    while Fraction(root) ** 2 < square:
        root = math.nextafter(root, math.inf)
    return root


def _root_down(square: Fraction) -> float:
    root = math.sqrt(square)
    while Fraction(root) ** 2 > square:
        root = math.nextafter(root, 0.0)
    return root
