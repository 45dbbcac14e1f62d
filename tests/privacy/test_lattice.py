"""Lattice losses against brute force: pessimistic, and accurate far into the tail."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from loss_oracle import Law, delta, noise_law, repeated, response_law, together

from dpsynth.privacy import lattice
from dpsynth.privacy.gaussian import Floats, gaussian_deltas
from dpsynth.privacy.lattice import Atoms, connect_dots, convolve, power, regrid
from dpsynth.privacy.zcdp import Unpriceable

EPSILONS = np.linspace(0, 8, 57)


def atoms_of(law: Law, step: float) -> Atoms:
    """A law whose losses lie on a lattice."""
    places = np.rint(law[0] / step).astype(int)
    masses = np.bincount(places - places.min(), law[1])
    return Atoms(step, int(places.min()), masses, 0.0)


def exact(law: Law, epsilons: Floats = EPSILONS) -> Floats:
    return np.array([delta(law, float(e)) for e in epsilons])


@settings(deadline=None, max_examples=40)
@given(st.floats(0.05, 3), st.floats(0.01, 0.5))
def test_connected_dots_lie_above_and_touch(mu: float, step: float) -> None:
    def profile(epsilons: Floats) -> Floats:
        return gaussian_deltas(mu, epsilons)

    highest = math.ceil((mu * mu / 2 + 9.5 * mu) / step)
    atoms = connect_dots(profile, profile, step, highest)
    assert atoms.masses.sum() + atoms.infinity == pytest.approx(1, abs=1e-9)
    between = np.linspace(0, step * highest, 301)
    assert (atoms.deltas(between) >= profile(between) * (1 - 1e-9) - 1e-16).all()
    dots = step * np.arange(min(highest, 50))
    assert atoms.deltas(dots) == pytest.approx(profile(dots), rel=1e-6, abs=1e-18)


@settings(deadline=None, max_examples=40)
@given(st.floats(0.6, 3), st.integers(1, 3), st.floats(0.02, 0.7))
def test_another_lattice_lies_above(sigma: float, move: int, step: float) -> None:
    law = noise_law(sigma, move)
    found = regrid(atoms_of(law, 1 / (2 * sigma**2)), step).deltas(EPSILONS)
    assert (found >= exact(law) * (1 - 1e-9) - 1e-18).all()
    fine = regrid(atoms_of(law, 1 / (2 * sigma**2)), step / 100).deltas(EPSILONS)
    assert (fine <= exact(law, EPSILONS - step / 100) * (1 + 1e-9) + 1e-18).all()  # no loss moved by more


def test_sums_are_brute_force_far_into_the_tail() -> None:
    """Deltas down to 1e-18, where the rounding noise of a plain FFT would be all there is."""
    law = noise_law(4.0, 1)
    atoms = atoms_of(law, 1 / 32)
    both = together([law, repeated(law, 2)])
    epsilons = np.linspace(0, 4.2, 40)
    wanted = exact(both, epsilons)
    assert wanted.min() < 1e-18
    assert power(atoms, 3).deltas(epsilons) == pytest.approx(wanted, rel=1e-6, abs=1e-19)
    assert convolve(atoms, power(atoms, 2)).deltas(epsilons) == pytest.approx(wanted, rel=1e-6, abs=1e-19)


@pytest.mark.parametrize("count", [1, 2, 3, 7, 64, 1000])
def test_powers_count_every_copy(count: int) -> None:
    """Randomised response: the binomial sum (Kairouz, Oh and Viswanath 2015)."""
    epsilon = 0.1
    found = power(atoms_of(response_law(epsilon), epsilon), count)
    heads = np.arange(count + 1)
    log_binomial = [math.lgamma(count + 1) - math.lgamma(h + 1) - math.lgamma(count - h + 1) for h in heads]
    p = np.exp(np.array(log_binomial) + heads * epsilon - count * math.log1p(math.exp(epsilon)))
    wanted = exact(((2 * heads - count) * epsilon, p))
    assert found.deltas(EPSILONS) == pytest.approx(wanted, rel=1e-6, abs=1e-17)
    if count > 1:
        once = atoms_of(response_law(epsilon), epsilon).deltas(EPSILONS)
        assert once != pytest.approx(wanted, rel=1e-6, abs=1e-17)  # the lie: repetitions ignored


@settings(deadline=None, max_examples=40)
@given(st.floats(0.1, 2), st.integers(1, 4))
def test_an_independent_gaussian_is_exact(mu: float, count: int) -> None:
    law = repeated(response_law(0.5), count)
    wanted = sum(p * gaussian_deltas(mu, EPSILONS - loss) for loss, p in zip(*law, strict=True))
    found = power(atoms_of(response_law(0.5), 0.5), count).deltas_with(mu, EPSILONS)
    assert found == pytest.approx(wanted, rel=1e-9, abs=1e-18)


def test_infinite_losses_add_up() -> None:
    atoms = Atoms(1.0, 0, np.array([0.9]), 0.1)
    assert power(atoms, 3).infinity == pytest.approx(1 - 0.9**3)
    assert power(atoms, 3).deltas(np.array([50.0]))[0] == pytest.approx(1 - 0.9**3)
    tiny = Atoms(1.0, 0, np.array([1.0]), 1e-19)  # below the resolution of 1 - x
    assert power(tiny, 1000).infinity == pytest.approx(1e-16)


def test_trimming_is_pessimistic() -> None:
    masses = np.exp(-0.5 * np.linspace(-14, 14, 2001) ** 2)
    atoms = Atoms(0.01, -1000, masses / masses.sum(), 0.0)
    cut = lattice.trimmed(atoms)
    assert len(cut.masses) < len(masses)
    epsilons = np.linspace(0, 9.9, 50)
    assert (cut.deltas(epsilons) >= atoms.deltas(epsilons) * (1 - 1e-9)).all()


def test_a_lattice_that_would_not_fit_is_refused() -> None:
    with pytest.raises(Unpriceable):
        lattice.check_points(lattice.MAX_POINTS + 1)
    with pytest.raises(ValueError, match="lattice"):
        convolve(lattice.nothing(1.0), lattice.nothing(2.0))
