"""Privacy-loss distributions on a lattice, always rounded to the pessimistic side.

For neighbours with output distributions P and Q the privacy loss is log(dP/dQ) under P, and the profile is
delta(epsilon) = sup over events S of P(S) - exp(epsilon) Q(S) = E max(0, 1 - exp(epsilon - loss)). As a
function of exp(epsilon) a profile is convex, so the straight line between two of its points lies above it:
*connecting the dots* (Doroshenko, Ghazi, Kamath, Kumar and Manurangsi 2022) gives a distribution on the
lattice that dominates the true one, and dominating distributions compose, adaptively too (Zhu, Dong and
Wang 2022, theorem 10).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from dpsynth.privacy.gaussian import Floats, gaussian_deltas
from dpsynth.privacy.zcdp import Unpriceable

MAX_POINTS = 4_000_000
"""A lattice beyond this would take gigabytes: refused, never coarsened silently."""
TAIL = 1e-20
"""Mass cut off above becomes an infinite loss."""
LOW_TAIL = 1e-14
"""Mass cut off below moves up to the lowest kept loss, still a low one."""
TILT = 7.0
"""Tilting lifts the rounding noise in the centre of a convolution by at most exp(TILT)."""

Profile: TypeAlias = Callable[[Floats], Floats]


@dataclass(frozen=True, eq=False)
class Atoms:
    """Losses ``step * (lowest + i)`` of probability ``masses[i]`` under P; `infinity`: of infinite loss."""

    step: float
    lowest: int
    masses: Floats
    infinity: float

    @cached_property
    def losses(self) -> Floats:
        return self.step * (self.lowest + np.arange(len(self.masses), dtype=np.float64))

    @cached_property
    def spread(self) -> float:
        """The standard deviation of the finite losses."""
        total = float(self.masses.sum())
        mean = float((self.masses * self.losses).sum()) / total
        return math.sqrt(max(float((self.masses * (self.losses - mean) ** 2).sum()) / total, 0.0))

    @cached_property
    def _tails(self) -> tuple[Floats, Floats]:
        """For each place (and one past the end): the mass from there up under P, and its logarithm under Q."""
        with np.errstate(divide="ignore"):
            under_q = np.log(self.masses) - self.losses
        masses = np.cumsum(np.append(0.0, self.masses[::-1]))[::-1]
        return masses, np.logaddexp.accumulate(np.append(-np.inf, under_q[::-1]))[::-1]

    def deltas(self, epsilons: Floats) -> Floats:
        """The profile at many epsilons: P minus exp(epsilon) Q of the losses above each."""
        above, under_q = self._tails
        first = np.floor(epsilons / self.step - self.lowest + 1e-9) + 1
        place = np.clip(first, 0, len(self.masses)).astype(np.int64)
        finite = np.maximum(above[place] - np.exp(np.minimum(epsilons + under_q[place], 0.0)), 0.0)
        return np.asarray(np.clip(self.infinity + finite, 0.0, 1.0))

    def deltas_with(self, mu: float, epsilons: Floats) -> Floats:
        """The profile of these losses plus those of an independent Gaussian of parameter mu, in closed form."""
        if mu == 0:
            return self.deltas(epsilons)
        if len(self.masses) == 1:
            return np.asarray(self.infinity + self.masses[0] * gaussian_deltas(mu, epsilons - self.losses[0]))
        places = np.rint(epsilons / self.step).astype(np.int64)
        apart = int(places.max(initial=0) - places.min(initial=0)) + len(self.masses)
        if apart < len(epsilons) * len(self.masses) / 4 and np.array_equal(self.step * places, epsilons):
            return self._deltas_at(mu, places, apart)
        out = np.empty(len(epsilons))
        block = max(1, 500_000 // len(self.masses))
        for start in range(0, len(epsilons), block):
            shifted = epsilons[start : start + block, None] - self.losses[None, :]
            out[start : start + block] = (gaussian_deltas(mu, shifted) * self.masses).sum(axis=1)
        return np.clip(self.infinity + out, 0.0, 1.0)

    def _deltas_at(self, mu: float, places: NDArray[np.int64], apart: int) -> Floats:
        """`deltas_with` at ``step * places``, from as many points of one curve as these and the losses lie `apart`."""
        size = len(self.masses)
        first = int(places.min()) - self.lowest - size + 1
        curve = gaussian_deltas(mu, self.step * np.arange(first, first + apart, dtype=np.float64))
        starts, masses = places - int(places.min()), self.masses[::-1].copy()
        finite = np.array([curve[start : start + size] @ masses for start in starts.tolist()])
        return np.clip(self.infinity + finite, 0.0, 1.0)


def nothing(step: float = 1.0) -> Atoms:
    """The loss of releasing nothing."""
    return Atoms(step, 0, np.ones(1), 0.0)


def connect_dots(profile: Profile, reverse: Profile, step: float, highest: int) -> Atoms:
    """The pessimistic lattice version of the pair P, Q with `profile`; `reverse` is the profile of Q, P.

    Only epsilons in [0, step * highest] are evaluated: P has at loss -x just exp(-x) times what Q has at
    its own loss x, which keeps small masses accurate on both sides. What is left over sits at 0.
    """
    check_points(2 * highest + 1)
    if highest < 1:
        raise ValueError("at least one step")
    epsilons: Floats = step * np.arange(highest + 1, dtype=np.float64)
    above, infinity = _dots(profile(epsilons), step)
    below, _ = _dots(reverse(epsilons), step)
    below = below * np.exp(-epsilons[1:])
    centre = max(1.0 - infinity - float(above.sum()) - float(below.sum()), 0.0)
    return trimmed(Atoms(step, -highest, np.concatenate([below[::-1], [centre], above]), infinity))


def _dots(deltas: Floats, step: float) -> tuple[Floats, float]:
    """Masses at losses step, 2 step, ..., and at infinity, of the polygon through equally spaced points.

    The mass at loss x is exp(x) times the change of slope against exp(epsilon) there.
    """
    slopes = np.append(np.diff(deltas) / math.expm1(step), 0.0)
    return np.maximum(slopes[1:] - slopes[:-1] * math.exp(step), 0.0), float(deltas[-1])


def regrid(atoms: Atoms, step: float) -> Atoms:
    """The same losses on another lattice.

    An atom between two lattice points is split so that its mass under P and under Q both stay what they
    were; merging the two halves gives the atom back, so that the split pair dominates.
    """
    check_points((atoms.losses[-1] - atoms.losses[0]) / step + 2 if step else math.inf)
    scaled = atoms.losses / step
    lower = np.floor(scaled + 1e-9).astype(np.int64)
    gap = np.maximum(scaled - lower, 0.0) * step
    up = np.clip(np.expm1(-gap) / math.expm1(-step), 0.0, 1.0)
    low, size = int(lower[0]), int(lower[-1] - lower[0]) + 2
    masses: Floats = np.bincount(lower - low, atoms.masses * (1 - up), size).astype(np.float64)
    masses += np.bincount(lower - low + 1, atoms.masses * up, size)
    return trimmed(Atoms(step, low, masses, atoms.infinity))


def convolve(left: Atoms, right: Atoms) -> Atoms:
    """The loss of both, on a common lattice.

    By FFT, twice: plainly for the lower losses, and with exponentially tilted masses for the upper ones.
    The rounding noise of an FFT is even in all places; that of the tilted one falls off with the loss once
    it is tilted back, so that a delta of 1e-12 is as accurate as one of 1e-5.
    """
    if left.step != right.step:
        raise ValueError("losses add up on one lattice only")
    size = len(left.masses) + len(right.masses) - 1
    check_points(size)
    tilt = np.exp(np.arange(size) * _slope(left, right))
    one, two = left.masses * tilt[: len(left.masses)], right.masses * tilt[: len(right.masses)]
    masses = np.where(
        tilt > one.sum() * two.sum(),
        _convolved(one, two) / tilt,
        _convolved(left.masses, right.masses),
    )
    infinity = left.infinity + right.infinity - left.infinity * right.infinity
    return trimmed(Atoms(left.step, left.lowest + right.lowest, np.maximum(masses, 0.0), infinity))


def _convolved(one: Floats, two: Floats) -> Floats:
    size = len(one) + len(two) - 1
    length = fft.next_fast_len(size, real=True)
    spectrum = fft.rfft(one, length) * fft.rfft(two, length)
    return np.asarray(fft.irfft(spectrum, length)[:size])


def _slope(left: Atoms, right: Atoms) -> float:
    """How steeply to tilt, per lattice step: as TILT allows; 3.7 per standard deviation of a Gaussian loss."""
    spread = math.hypot(left.spread, right.spread) / left.step
    slope = min(math.sqrt(2 * TILT) / spread, 300 / (len(left.masses) + len(right.masses))) if spread else 0.0
    while sum(_lift(atoms, slope) for atoms in (left, right)) > TILT + 0.01:
        slope /= 2
    return slope


def _lift(atoms: Atoms, slope: float) -> float:
    """The logarithm of the tilted total, relative to the mean loss."""
    index = np.arange(len(atoms.masses))
    mean = float((atoms.masses * index).sum()) / float(atoms.masses.sum())
    return math.log(float((atoms.masses * np.exp(slope * (index - mean))).sum()))


def power(atoms: Atoms, count: int) -> Atoms:
    """The loss of `count` independent copies, by repeated squaring with both tails trimmed."""
    if count < 1:
        raise ValueError("at least one copy")
    if count == 1:
        return atoms
    half = power(atoms, count // 2)
    twice = convolve(half, half)
    return convolve(twice, atoms) if count % 2 else twice


def trimmed(atoms: Atoms) -> Atoms:
    """Without the negligible ends; pessimistic on both sides."""
    masses = atoms.masses
    from_top = np.cumsum(masses[::-1])
    top = int(np.searchsorted(from_top, TAIL, side="right"))
    bottom = int(np.searchsorted(np.cumsum(masses), LOW_TAIL, side="right"))
    if top + bottom >= len(masses):
        return atoms
    kept = masses[bottom : len(masses) - top].copy()
    kept[0] += masses[:bottom].sum()
    infinity = atoms.infinity + (float(from_top[top - 1]) if top else 0.0)
    return Atoms(atoms.step, atoms.lowest + bottom, kept, infinity)


def check_points(points: float) -> None:
    if points > MAX_POINTS:
        raise Unpriceable(f"this privacy-loss distribution takes a lattice of {points:.2g} points")
