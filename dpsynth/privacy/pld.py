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
from functools import partial

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
from dpsynth.privacy.gaussian import Floats, discrete_gaussian_mu, gaussian_deltas, solve_epsilon
from dpsynth.privacy.lattice import TAIL, Atoms, Profile, connect_dots, convolve, nothing, power, regrid
from dpsynth.privacy.small_noise import has_own_curve, small_noise_atoms
from dpsynth.privacy.zcdp import Unpriceable, failure

MAX_GROUP = 16
"""Choices priced by one recursion; more of them compose as several such groups."""
STEPS_PER_SPREAD = 10
"""Lattice steps in one standard deviation of a DP-SGD step's loss; doubling it changes epsilon by about 0.1 %."""
ROUNDING = 1e-7
"""Covers the rounding of sums over a lattice, relative to delta (measured: 5e-9)."""
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
    parts = list(flatten(events))
    mu = math.sqrt(math.fsum(_gaussian_part(part) ** 2 for part in parts))
    groups = [*_choices(parts), *_pure(parts), *_small_noise(parts), *_dp_sgd(parts)]
    if not groups:
        return Loss(mu, nothing(), nothing(), failure(events))
    spread = math.hypot(mu, *(one.spread for one, _ in groups))
    step = max(0.02 * mu, 0.001 * spread)
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
        step, deltas = bounded_range.choices_profile(group)
        profile = partial(_tabulated, step, deltas)
        atoms = power(connect_dots(profile, profile, step, len(deltas) - 1), count)
        pairs.append((atoms, atoms))
    return pairs


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
    pairs = []
    for epsilon, count in counts.items():
        heads = np.arange(count + 1)
        log_choose = (
            special.gammaln(count + 1) - special.gammaln(heads + 1) - special.gammaln(count - heads + 1)
        )
        masses = np.exp(log_choose + heads * epsilon - count * np.logaddexp(0, epsilon))
        # losses (2 heads - count) * epsilon: every second point of a lattice of step epsilon
        spaced = np.zeros(2 * count + 1)
        spaced[::2] = masses / masses.sum()
        atoms = Atoms(epsilon, -count, spaced, 0.0)
        pairs.append((atoms, atoms))
    return pairs


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


def sampled_gaussian(rate: float, sigma: float) -> _Pair:
    """One noisy sum over a Poisson sample: (unit in P only, unit in Q only).

    P = (1 - q) N(0, sigma**2) + q N(1, sigma**2) against Q = N(0, sigma**2). With e = exp(epsilon) >= 1 its
    profile is q times the Gaussian's at log(1 + (e - 1) / q); the profile of Q, P is (1 - (1 - q) e) times
    the Gaussian's at log(q e / (1 - (1 - q) e)) while (1 - q) e < 1, and 0 beyond.
    """
    mu = 1 / sigma

    def with_unit(epsilons: Floats) -> Floats:
        lifted = np.where(
            epsilons > 30, epsilons - math.log(rate), np.log1p(np.expm1(np.minimum(epsilons, 30)) / rate)
        )
        return rate * gaussian_deltas(mu, np.asarray(lifted))

    def without_unit(epsilons: Floats) -> Floats:
        left = (
            -np.expm1(np.minimum(epsilons + math.log1p(-rate), 0.0)) if rate < 1 else np.ones(len(epsilons))
        )
        with np.errstate(divide="ignore"):
            lifted = epsilons + math.log(rate) - np.log(left)
        inside = left > 0
        return np.where(inside, left * gaussian_deltas(mu, np.where(inside, lifted, 1e9)), 0.0)

    step = _step_spread(rate, sigma) / STEPS_PER_SPREAD
    top = max(_vanishes(with_unit, step), _vanishes(without_unit, step))
    return connect_dots(with_unit, without_unit, step, top), connect_dots(without_unit, with_unit, step, top)


def _step_spread(rate: float, sigma: float) -> float:
    """The standard deviation of one step's privacy loss, by summation over a grid of outputs."""
    x = np.linspace(-12, 12 + 1 / sigma, 20_001)
    density = (1 - rate) * np.exp(-x * x / 2) + rate * np.exp(-((x - 1 / sigma) ** 2) / 2)
    density /= density.sum()
    loss = np.logaddexp(
        math.log1p(-rate) if rate < 1 else -np.inf, math.log(rate) + x / sigma - 0.5 / sigma**2
    )
    mean = float((density * loss).sum())
    return math.sqrt(float((density * (loss - mean) ** 2).sum()))


def _vanishes(profile: Profile, step: float) -> int:
    """A number of steps at which a profile is below TAIL, at most 8 too many."""
    low, high = 0, 16
    while profile(np.array([high * step]))[0] > TAIL:
        low, high = high, high * 2
    while high - low > 8:
        middle = (low + high) // 2
        if profile(np.array([middle * step]))[0] > TAIL:
            low = middle
        else:
            high = middle
    return high
