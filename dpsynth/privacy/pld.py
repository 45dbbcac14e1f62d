"""Events -> the privacy-loss distribution of a whole run.

Its stages are fixed before data is read; then the pairs that dominate them compose to one that dominates
the run, even though a stage may look at earlier answers (Zhu, Dong and Wang 2022, theorem 10). Here the
pair is kept in two independent parts: a Gaussian of parameter `mu`, which composes in closed form, and
everything else on a lattice.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial

import numpy as np
from scipy import special

from dpsynth.privacy import bounded_range
from dpsynth.privacy.events import (
    BoundedRange,
    DiscreteGaussian,
    DiscreteLaplace,
    DpSgd,
    Event,
    External,
    GdpGrant,
    PartitionSelection,
    PureDp,
    flatten,
)
from dpsynth.privacy.gaussian import Floats, discrete_gaussian_mu, solve_epsilon
from dpsynth.privacy.lattice import Atoms, Profile, connect_dots, convolve, nothing, power, regrid
from dpsynth.privacy.sampled_gaussian import sampled_gaussian
from dpsynth.privacy.small_noise import has_own_curve, small_noise_atoms
from dpsynth.privacy.zcdp import Unpriceable, failure

MAX_GROUP = 16
"""Choices priced by one recursion; more of them compose as several such groups."""
ROUNDING = 1e-7
"""Covers the rounding of sums over a lattice, relative to delta (measured: 5e-9)."""
FINE, FINEST = 0.01, 0.001
"""The common lattice step: a hundredth of the Gaussian's spread, or a thousandth of the whole where that is more."""
MAX_RATIO = 3.0
"""Largest epsilon over smallest in one group."""


@dataclass(frozen=True, eq=False)
class Loss:
    """The privacy loss of a run: with probability `failure` everything is given away, otherwise a Gaussian
    of parameter `mu` and, independently, the `remove` or the `add` lattice losses (the unit is in P only,
    or in Q only)."""

    mu: float
    remove: Atoms
    add: Atoms
    failure: float

    @property
    def spread(self) -> float:
        """The standard deviation of the finite loss."""
        return math.hypot(self.mu, max(self.remove.spread, self.add.spread))

    def profiles(self) -> tuple[Profile, Profile]:
        """The profiles of both directions, of what happens when nothing fails."""
        one = self._profile(self.remove)
        return one, one if self.add is self.remove else self._profile(self.add)

    def _profile(self, atoms: Atoms) -> Profile:
        return lambda epsilons: atoms.deltas_with(self.mu, epsilons)

    def deltas(self, epsilons: Floats) -> Floats:
        """delta at each epsilon, the larger of the two directions, when nothing fails."""
        one, two = self.profiles()
        return one(epsilons) if one is two else np.maximum(one(epsilons), two(epsilons))

    def epsilon(self, delta: float) -> float:
        """The smallest epsilon with delta(epsilon) <= delta, when nothing fails."""
        start = self.mu**2 / 2 + self.spread
        return solve_epsilon(lambda e: float(self.deltas(np.array([e]))[0]), delta * (1 - ROUNDING), start)


def loss_of(events: Sequence[Event]) -> Loss:
    """The privacy-loss distribution of all events together; Unpriceable for what only zCDP can price."""
    return _loss_of(tuple(events))


@lru_cache(maxsize=8)
def _loss_of(events: tuple[Event, ...]) -> Loss:
    """Remembered: a plan's certificate, its weight in the ledger and its receipt all ask for the same one."""
    parts = list(flatten(events))
    mu = math.sqrt(math.fsum(_gaussian_part(part) ** 2 for part in parts))
    groups = [*_choices(parts), *_pure(parts), *_small_noise(parts), *_dp_sgd(parts)]
    if not groups:
        return Loss(mu, nothing(), nothing(), failure(events))
    spread = math.hypot(mu, *(one.spread for one, _ in groups))
    step = max(FINE * mu, FINEST * spread)
    remove = _joint([one for one, _ in groups], step)
    add = remove if all(one is two for one, two in groups) else _joint([two for _, two in groups], step)
    return Loss(mu, remove, add, failure(events))


def _joint(groups: Sequence[Atoms], step: float) -> Atoms:
    total = regrid(groups[0], step)
    for group in groups[1:]:
        total = convolve(total, regrid(group, step))
    return total


def _gaussian_part(event: Event) -> float:
    """mu of what is exactly or nearly Gaussian; 0 for what goes onto the lattice."""
    match event:
        case DiscreteGaussian(sigma, k, count) if not has_own_curve(event):
            return discrete_gaussian_mu(sigma, k) * math.sqrt(count)
        case PartitionSelection(noise, _):
            return _gaussian_part(noise)
        case GdpGrant(mu):
            return mu
        case DpSgd(rate, sigma, steps) if rate == 1:
            return math.sqrt(steps) / sigma
        case DiscreteGaussian() | BoundedRange() | DiscreteLaplace() | DpSgd() | PureDp() | External():
            return 0.0
        case _:
            raise Unpriceable(f"privacy-loss distributions have no price for '{event.kind}'")


_Pair = tuple[Atoms, Atoms]


def _choices(parts: Sequence[Event]) -> list[_Pair]:
    """Bounded-range choices, in groups of similar epsilon."""
    choices = [part for part in parts if isinstance(part, BoundedRange)]
    epsilons = sorted(epsilon for part in choices for epsilon in [part.epsilon] * part.count)
    pairs = []
    for group, count in Counter(_groups(epsilons)).items():
        atoms = _chosen(group, count)
        pairs.append((atoms, atoms))
    return pairs


@lru_cache(maxsize=8)
def _chosen(group: tuple[float, ...], count: int) -> Atoms:
    step, deltas = bounded_range.choices_profile(group)
    profile = partial(_tabulated, step, deltas)
    return power(connect_dots(profile, profile, step, len(deltas) - 1), count)


def _groups(epsilons: Sequence[float]) -> Iterator[tuple[float, ...]]:
    """At most MAX_GROUP at a time, within a factor of MAX_RATIO (they share one lattice)."""
    start = 0
    for i in range(1, len(epsilons) + 1):
        if i == len(epsilons) or i - start == MAX_GROUP or epsilons[i] > MAX_RATIO * epsilons[start]:
            yield tuple(epsilons[start:i])
            start = i


def _tabulated(step: float, deltas: Floats, epsilons: Floats) -> Floats:
    return deltas[np.rint(epsilons / step).astype(np.int64)]


def _pure(parts: Sequence[Event]) -> list[_Pair]:
    """Pure DP, each as randomised response, which is its worst case (Kairouz, Oh and Viswanath 2015)."""
    counts: Counter[float] = Counter()
    for part in parts:
        part = part.noise if isinstance(part, PartitionSelection) else part
        match part:
            case PureDp(epsilon, count):
                counts[epsilon] += count
            case External(epsilon, _):
                counts[epsilon] += 1
            case DiscreteLaplace(scale, k, count):
                counts[k / scale] += count
    responses = [_responses(epsilon, count) for epsilon, count in counts.items()]
    return [(atoms, atoms) for atoms in responses]


def _responses(epsilon: float, count: int) -> Atoms:
    """`count` randomised responses: losses (2 heads - count) epsilon, every second point of a lattice."""
    heads = np.arange(count + 1)
    log_choose = special.gammaln(count + 1) - special.gammaln(heads + 1) - special.gammaln(count - heads + 1)
    masses = np.exp(log_choose + heads * epsilon - count * np.logaddexp(0, epsilon))
    spaced = np.zeros(2 * count + 1)
    spaced[::2] = masses / masses.sum()
    return Atoms(epsilon, -count, spaced, 0.0)


def _small_noise(parts: Sequence[Event]) -> list[_Pair]:
    """Discrete Gaussians of small scale, by their own curves."""
    pairs = []
    for part in parts:
        part = part.noise if isinstance(part, PartitionSelection) else part
        if isinstance(part, DiscreteGaussian) and has_own_curve(part):
            atoms = power(small_noise_atoms(part.sigma, part.sensitivity), part.count)
            pairs.append((atoms, atoms))
    return pairs


def _dp_sgd(parts: Sequence[Event]) -> list[_Pair]:
    pairs = []
    for part in parts:
        if isinstance(part, DpSgd) and part.rate < 1:
            remove, add = sampled_gaussian(part.rate, part.sigma)
            pairs.append((power(remove, part.steps), power(add, part.steps)))
    return pairs
