"""The noise has the law it is charged for: every test passes the truth and fails a planted lie."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from noise_reference import (
    PASS,
    Integers,
    correlation_p,
    count_p,
    fit_p,
    gaussian_cdf,
    laplace_cdf,
    same_law_p,
    uniform_p,
)

from dpsynth.entropy import Stream, system
from dpsynth.privacy import noise

SIGMAS = (0.3, 0.5, 1.0, 5.0, 31.9, 32.0, 100.0, 1e6)
SCALES = (0.3, 1.0, 7.3, 100.0, 1e6)
DRAWS = 500_000
BLIND = noise._Look(bits=3, margin=2.0)
"""A first look that decides next to nothing: the integer path draws everything."""


def gaussian(sigma: float, n: int = DRAWS) -> Integers:
    return noise.discrete_gaussian(sigma, n, system())


def laplace(scale: float, n: int = DRAWS) -> Integers:
    return noise.discrete_laplace(scale, n, system())


def blind_gaussian(sigma: float, n: int) -> Integers:
    return noise._sample(noise._gaussian(noise._scale("sigma", sigma)), n, system(), BLIND)


def blind_laplace(scale: float, n: int) -> Integers:
    return noise._sample(noise._laplace(noise._scale("scale", scale)), n, system(), BLIND)


@pytest.mark.parametrize("sigma", SIGMAS)
def test_gaussian_has_its_pmf_and_not_that_of_a_scale_ten_percent_off(sigma: float) -> None:
    sample = gaussian(sigma)
    assert fit_p(sample, gaussian_cdf(sigma)) > PASS
    assert fit_p(sample, gaussian_cdf(1.1 * sigma)) < PASS
    assert fit_p(sample, gaussian_cdf(0.9 * sigma)) < PASS
    assert fit_p(gaussian(1.1 * sigma), gaussian_cdf(sigma)) < PASS
    assert fit_p(gaussian(0.9 * sigma), gaussian_cdf(sigma)) < PASS


@pytest.mark.parametrize("scale", SCALES)
def test_laplace_has_its_pmf_and_not_that_of_a_scale_ten_percent_off(scale: float) -> None:
    sample = laplace(scale)
    assert fit_p(sample, laplace_cdf(scale)) > PASS
    assert fit_p(sample, laplace_cdf(1.1 * scale)) < PASS
    assert fit_p(sample, laplace_cdf(0.9 * scale)) < PASS
    assert fit_p(laplace(1.1 * scale), laplace_cdf(scale)) < PASS
    assert fit_p(laplace(0.9 * scale), laplace_cdf(scale)) < PASS


@pytest.mark.parametrize("sigma", [0.3, 0.5, 1.0])
def test_small_sigma_is_not_a_rounded_normal(sigma: float) -> None:
    rounded = np.rint(np.random.default_rng(1).normal(0, sigma, DRAWS)).astype(np.int64)
    assert fit_p(rounded, gaussian_cdf(sigma)) < PASS


@pytest.mark.parametrize("sigma", [1.0, 5.0, 100.0, 1e6])
def test_tails_are_neither_light_nor_heavy_nor_cut(sigma: float) -> None:
    n = 2_000_000
    edge = int(4 * sigma) - 1
    beyond = float(2 * gaussian_cdf(sigma)(np.array([-edge - 1]))[0])

    def p(sample: Integers) -> float:
        return count_p(int((np.abs(sample) > edge).sum()), n, beyond)

    sample = gaussian(sigma, n)
    assert p(sample) > PASS
    assert p(np.clip(sample, -edge, edge)) < PASS
    assert p(gaussian(1.12 * sigma, n)) < PASS
    assert p(gaussian(0.8 * sigma, n)) < PASS


def test_far_tail_reaches_where_it_should() -> None:
    """Of 10 million draws of sigma 1, 30 are expected beyond 4 and 2e-4 beyond 6."""
    largest = max(int(np.abs(gaussian(1.0, 1_000_000)).max()) for _ in range(10))
    assert 5 <= largest <= 8
    assert np.abs(np.clip(gaussian(1.0), -4, 4)).max() < 5


@pytest.mark.parametrize("sigma", [0.5, 1.0, 5.0, 100.0, 1e6])
def test_parity_and_low_bits(sigma: float) -> None:
    k = np.arange(-200, 201) if sigma < 20 else np.array([0, 1])
    weight = np.exp(-(k**2) / (2 * sigma**2)) if sigma < 20 else np.ones(2)
    odd = float(weight[k % 2 == 1].sum() / weight.sum())
    sample = gaussian(sigma)
    assert count_p(int((sample & 1).sum()), DRAWS, odd) > PASS
    assert count_p(int((2 * gaussian(max(sigma / 2, 0.1)) & 1).sum()), DRAWS, odd) < PASS
    if sigma >= 100:
        assert uniform_p(sample & 31, 32) > PASS
        assert uniform_p((sample & ~2) & 31, 32) < PASS


@pytest.mark.parametrize("sigma", [0.5, 5.0, 1e6])
def test_sign_is_fair_and_independent_of_size(sigma: float) -> None:
    sample = gaussian(sigma)
    moved = sample[sample != 0]
    assert count_p(int((moved > 0).sum()), len(moved), 0.5) > PASS
    floored = np.floor(np.random.default_rng(2).normal(0, 5.0, DRAWS)).astype(np.int64)
    floored = floored[floored != 0]
    assert count_p(int((floored > 0).sum()), len(floored), 0.5) < PASS
    if sigma > 1:
        assert correlation_p(np.sign(moved), np.abs(moved)) > PASS
        skewed = np.where(moved > 0, moved, moved // 2)
        assert correlation_p(np.sign(skewed), np.abs(skewed)) < PASS


@pytest.mark.parametrize("sigma", [1.0, 100.0])
@pytest.mark.parametrize("lag", [1, 8, 1 << 15])
def test_draws_are_independent_of_each_other(sigma: float, lag: int) -> None:
    sample = gaussian(sigma)
    assert correlation_p(sample[lag:], sample[:-lag]) > PASS
    assert correlation_p(np.abs(sample[lag:]), np.abs(sample[:-lag])) > PASS
    smeared = sample[lag:] + sample[:-lag]
    assert correlation_p(smeared[lag:], smeared[:-lag]) < PASS


def test_a_huge_vector_crosses_keys_without_a_seam() -> None:
    """12 million draws take 200 MB of the stream, hence three keys; no part comes twice."""
    sample = gaussian(100.0, 12_000_000)
    parts = sample.reshape(4, -1)
    assert all(fit_p(part, gaussian_cdf(100.0)) > PASS for part in parts)
    assert fit_p(parts[0], gaussian_cdf(101.0)) < PASS
    assert all(correlation_p(parts[0], part) > PASS for part in parts[1:])
    assert correlation_p(parts[0], parts[1] + parts[0] // 50) < PASS


@pytest.mark.parametrize("sigma", [0.5, 5.0, 1000.0])
def test_gaussian_agrees_with_an_independent_exact_sampler(sigma: float) -> None:
    theirs = opendp_draws("gaussian", sigma)
    assert same_law_p(gaussian(sigma), theirs) > PASS
    assert same_law_p(gaussian(1.1 * sigma), theirs) < PASS


@pytest.mark.parametrize("scale", [0.5, 20.0])
def test_laplace_agrees_with_an_independent_exact_sampler(scale: float) -> None:
    theirs = opendp_draws("laplace", scale)
    assert same_law_p(laplace(scale), theirs) > PASS
    assert same_law_p(laplace(1.1 * scale), theirs) < PASS


def opendp_draws(law: str, scale: float, n: int = 25_000) -> Integers:
    import opendp.prelude as dp

    dp.enable_features("contrib")
    space = (
        dp.vector_domain(dp.atom_domain(T="i64")),
        (dp.l2_distance(T="f64") if law == "gaussian" else dp.l1_distance(T="i64")),
    )
    return np.array(getattr(dp.m, f"make_{law}")(*space, scale)([0] * n), np.int64)


@pytest.mark.parametrize("sigma", [0.5, 5.0, 100.0, 1e6])
def test_the_integer_path_alone_has_the_gaussian_law(sigma: float) -> None:
    sample = blind_gaussian(sigma, 20_000)
    assert fit_p(sample, gaussian_cdf(sigma)) > PASS
    assert fit_p(sample, gaussian_cdf(1.1 * sigma)) < PASS
    assert fit_p(blind_gaussian(0.9 * sigma, 20_000), gaussian_cdf(sigma)) < PASS


@pytest.mark.parametrize("scale", [0.5, 100.0])
def test_the_integer_path_alone_has_the_laplace_law(scale: float) -> None:
    sample = blind_laplace(scale, 20_000)
    assert fit_p(sample, laplace_cdf(scale)) > PASS
    assert fit_p(sample, laplace_cdf(1.1 * scale)) < PASS


def test_a_second_look_at_a_fresh_uniform_would_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """The planted lie: an undecided coin is tossed again, not looked at more closely."""
    look = noise._Look(margin=0.08)

    def heads() -> int:
        gamma = np.full(200_000, 0.1)
        return int(noise._heads(gamma, lambda _: Fraction(1, 10), system(), look).sum())

    assert count_p(heads(), 200_000, float(np.exp(-0.1))) > PASS
    honest = noise._head

    def afresh(_: int, gamma: Fraction, stream: Stream) -> bool:
        return honest(int(stream.words(1)[0]), gamma, stream)

    monkeypatch.setattr(noise, "_head", afresh)
    assert count_p(heads(), 200_000, float(np.exp(-0.1))) < PASS


def test_a_rung_drawn_again_would_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """The planted lie: an undecided uniform is replaced by a fresh one."""
    look = noise._Look(bits=4)
    law = noise._gaussian(Fraction(2))
    assert fit_p(noise._sample(law, 50_000, system(), look), gaussian_cdf(2.0)) > PASS
    honest = noise._climb

    def afresh(law: noise._Law, _: int, bits: int, stream: Stream) -> int:
        return honest(law, int(stream.below(16, 1)[0]), bits, stream)

    monkeypatch.setattr(noise, "_climb", afresh)
    assert fit_p(noise._sample(law, 50_000, system(), look), gaussian_cdf(2.0)) < PASS
