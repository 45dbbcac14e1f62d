"""Private choices by enumeration: the probability of every candidate, exactly, on neighbouring small tables.

The curator's choice keeps a uniform candidate with some probability. A scripted stream offers one candidate and one coin;
where the coin stops being kept, by bisection, is the probability of keeping it, whatever the code between computes. The
chances of all candidates on two neighbours give the real bounded range, to be compared with the charged epsilon. That the
enumeration describes the code is checked with real coins: the frequencies must be those that were enumerated, and have a
lower bound of their own.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from attacks.guarantee.gaussian import mu_from_rates
from attacks.guarantee.sigma import finite
from attacks.stats import clopper_pearson
from dpsynth.budget import Cost
from dpsynth.domain import Clique, Domain
from dpsynth.guarantee.findings import Beside, Fault, Findings
from dpsynth.privacy import intake
from dpsynth.privacy.curator import Curator
from dpsynth.privacy.events import BoundedRange, Event, flatten
from dpsynth.privacy.gaussian import bounded_range_mu
from dpsynth.privacy.intake import Intake
from dpsynth.privacy.rehearsal import Noted, Rejected, exact_door, real_coins, scripted
from dpsynth.privacy.rounds import Round
from dpsynth.records import Records

Floats = NDArray[np.float64]
BITS = 30
DRAWS = 400
DOMAIN = Domain.of(a=2, b=2, c=3)


@dataclass(frozen=True, eq=False)
class Question:
    """A choice on the small domain; `weights` None: `Curator.select`, else `choose_and_measure`."""

    name: str
    estimates: Mapping[Clique, Floats]
    penalties: Mapping[Clique, int]
    weights: Mapping[Clique, int] | None
    epsilon: float = 1.5

    def ask(self, door: Curator) -> Clique:
        cost = Cost(self.epsilon**2 / 8)
        if self.weights is None:
            return door.select(self.estimates, cost, "choice", self.penalties)
        spent = Round(cost, Cost(0.5))
        return door.choose_and_measure(self.estimates, spent, "choice", self.penalties, self.weights).clique

    @property
    def candidates(self) -> list[Clique]:
        return list(self.estimates)


def questions() -> tuple[Question, ...]:
    """One row more brings one candidate nearer to the truth and takes another further away: the widest range there is."""
    estimates: dict[Clique, Floats] = {
        ("a",): np.array([9.4, 2.0]),
        ("b",): np.array([6.0, 0.0]),
        ("c",): np.array([4.0, 1.0, 0.0]),
    }
    penalties: dict[Clique, int] = {("a",): 0, ("b",): 4, ("c",): 1}
    weights: dict[Clique, int] = {("a",): 2, ("b",): 2, ("c",): 1}
    return (
        Question("select", estimates, penalties, None),
        Question("choose_and_measure", estimates, penalties, weights),
    )


def audit_choices(confidence: float = 1 - 1e-6, draws: int = DRAWS, rows_per_unit: int = 2) -> Findings:
    """Every curator method that chooses, on neighbours in both directions."""
    bounds, faults = [], []
    for question in questions():
        found, wrong = _audit(question, rows_per_unit, confidence, draws)
        bounds.append(found)
        faults += wrong
    return Findings("choices by enumeration", tuple(bounds), tuple(faults))


def _audit(
    question: Question, rows_per_unit: int, confidence: float, draws: int
) -> tuple[Beside, list[Fault]]:
    tables = [_table(0, rows_per_unit), _table(rows_per_unit, rows_per_unit)]
    enumerated = [probabilities(question, table) for table in tables]
    noted = Noted()
    counts = [_drawn(question, Curator(table.engine, noted, real_coins()), draws) for table in tables]
    charged = min(_epsilon(event) for event in noted.events)
    each = 1 - (1 - confidence) / (2 * 2 * len(question.candidates))
    faults = []
    for chances, picks in zip(enumerated, counts, strict=True):
        for chance, hits in zip(chances, picks, strict=True):
            interval = clopper_pearson(int(hits), draws, each)
            if not interval.low <= chance <= interval.high:
                words = f"drawn {interval.value:.3f} of the time, enumerated {chance:.3f}"
                faults.append(Fault("odds of a choice", question.name, words))
    exact, seen = spread(enumerated[0], enumerated[1]), least_spread(counts[0], counts[1], draws, each)
    facts = {
        "epsilon_charged": charged,
        "range_enumerated": finite(exact),
        "range_from_draws_lower": finite(seen),
    }
    claim, high = bounded_range_mu(charged), _range_mu(exact)
    low = max(_range_mu(seen), mu_of_choice(*enumerated))
    if exact > charged * (1 + 1e-6):
        words = f"the log-odds spread by {exact:.4g}, charged {charged:.4g}"
        faults.append(Fault("range of a choice", question.name, words))
    return Beside(f"choice: {question.name}", low, max(low, high), claim, facts), faults


def probabilities(question: Question, table: Intake) -> Floats:
    """The chance of each candidate, shape (candidates,), by bisection on the coin that keeps it."""
    kept = np.array([_kept(question, table, i) for i in range(len(question.candidates))])
    return np.asarray(kept / kept.sum())


def _kept(question: Question, table: Intake, candidate: int) -> float:
    """The probability with which the candidate is kept once it is drawn."""
    wanted = question.candidates[candidate]

    def keeps(coin: int) -> bool:
        word = min(coin << (64 - BITS), 2**64 - 1)
        try:
            return question.ask(exact_door(table.engine, word, candidate, once=True)) == wanted
        except Rejected:
            return False

    if not keeps(0):
        return 0.0
    low, high = 0, 1 << BITS
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if keeps(middle) else (low, middle)
    return high / (1 << BITS)


def _drawn(question: Question, door: Curator, draws: int) -> NDArray[np.int64]:
    index = {clique: i for i, clique in enumerate(question.candidates)}
    picks = [index[question.ask(door)] for _ in range(draws)]
    return np.bincount(picks, minlength=len(index))


def spread(one: Floats, other: Floats) -> float:
    """The bounded range: how far the log-ratios of all candidates lie apart; infinite where a chance is zero on one side."""
    there = (one > 0) | (other > 0)
    if ((one > 0) != (other > 0))[there].any() or not there.all():
        return math.inf
    ratios = np.log(other / one)
    return float(ratios.max() - ratios.min())


def least_spread(one: NDArray[np.int64], other: NDArray[np.int64], draws: int, confidence: float) -> float:
    """A lower bound of the range from frequencies: of every pair of candidates, in both directions."""
    a = [clopper_pearson(int(hits), draws, confidence) for hits in one]
    b = [clopper_pearson(int(hits), draws, confidence) for hits in other]
    best = 0.0
    for i, j in itertools.permutations(range(len(a)), 2):
        up, down = b[i].low * a[j].low, a[i].high * b[j].high
        if up > 0:
            best = max(best, math.log(up / down))
    return best


def mu_of_choice(one: Floats, other: Floats) -> float:
    """The mu that telling these two laws apart needs: the largest, over all sets of candidates, both directions."""
    best = 0.0
    for size in range(1, len(one)):
        for chosen in itertools.combinations(range(len(one)), size):
            rates = float(one[list(chosen)].sum()), float(other[list(chosen)].sum())
            best = max(best, mu_from_rates(*rates), mu_from_rates(*rates[::-1]))
    return best


def _table(extra: int, rows_per_unit: int) -> Intake:
    """Five rows of five units, and `extra` rows of one more."""
    columns = {"a": [0, 1, 0, 1, 1], "b": [0, 0, 1, 1, 0], "c": [0, 1, 2, 0, 1]}
    alike = {"a": 0, "b": 1, "c": 0}
    records = Records.of(
        DOMAIN, {name: np.array(cells + [alike[name]] * extra) for name, cells in columns.items()}
    )
    units = [b"%d" % i for i in range(5)] + [b"new"] * extra
    return intake.take_in(records, units, rows_per_unit=rows_per_unit, holdout=0.0, stream=scripted())


def _epsilon(event: Event) -> float:
    return math.fsum(part.epsilon for part in flatten([event]) if isinstance(part, BoundedRange))


def _range_mu(epsilon: float) -> float:
    if epsilon <= 0:
        return 0.0
    return math.inf if math.isinf(epsilon) else bounded_range_mu(epsilon)
