"""The bounds on which exactness rests, the agreement of the quick and the exact path, and what is refused."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable
from decimal import Decimal, localcontext
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dpsynth.entropy import Stream, system
from dpsynth.privacy import noise

LAWS = [
    *(
        pytest.param(noise._gaussian(Fraction(s)), id=f"gaussian {s:g}")
        for s in (0.0625, 0.3, 1.0, 5.3, 100.7, 1e6, 2.0**40)
    ),
    *(
        pytest.param(noise._laplace(Fraction(s)), id=f"laplace {s:g}")
        for s in (0.0625, 0.3, 7.3, 1e6, 2.0**40)
    ),
]


def decimal_exp(gamma: Fraction) -> Decimal:
    """exp(-gamma) to 150 digits."""
    with localcontext() as context:
        context.prec = 150
        return (-Decimal(gamma.numerator) / Decimal(gamma.denominator)).exp()


@settings(max_examples=200, deadline=None)
@given(
    st.fractions(min_value=0, max_value=900, max_denominator=10**12) | st.floats(0, 5).map(Fraction),
    st.sampled_from([1, 8, 64, 128, 192, 256]),
)
def test_exp_bounds_enclose_and_are_tight(gamma: Fraction, bits: int) -> None:
    low, high = noise.exp_bounds(gamma, bits)
    with localcontext() as context:
        context.prec = 150
        exact = decimal_exp(gamma) * (1 << bits)
        slack = Decimal(10) ** -60
        assert low - slack <= exact <= high + slack
    assert high - low <= 2


def test_exp_bounds_at_the_ends() -> None:
    assert noise.exp_bounds(Fraction(0), 64) == (1 << 64, 1 << 64)
    assert noise.exp_bounds(Fraction(10**30), 64) == (0, 1)
    low, high = noise.exp_bounds(Fraction(1, 10**40), 64)
    assert (1 << 64) - 2 <= low < 1 << 64 <= high


def test_exp_in_floats_stays_within_half_the_margin() -> None:
    gamma = np.concatenate([np.linspace(0, 40, 400_001), np.geomspace(1e-300, 1e300, 50_000), [np.inf]])
    error = np.abs(noise._exp_floats(gamma) - np.exp(-gamma)).max()
    assert error < noise._LOOK.margin / 2
    assert error > noise._LOOK.margin / 2**6, "the claimed bound is near the truth"


@pytest.mark.parametrize("law", LAWS)
def test_rises_in_floats_agree_with_the_rational(law: noise._Law) -> None:
    stream, size = system(), 1 << law.block_bits
    start, step = stream.below(200, 300) * size + 1, stream.below(size, 300)
    for s, r, rise in zip(start, step, law.rises(start, step), strict=True):
        exact = law.rise(int(s), int(r))
        assert abs(Fraction(float(rise)) - exact) <= exact * Fraction(1, 2**49)


@pytest.mark.parametrize("law", LAWS)
def test_the_ladder_encloses_the_cumulative_weights(law: noise._Law) -> None:
    """Against sums of 150-digit decimals, of which the tail is under 1e-60."""
    bits, size = 62, 1 << law.block_bits
    low, high = noise._ladder(law, bits)
    with localcontext() as context:
        context.prec = 150
        weights = [Decimal(1)]
        while len(weights) < 2 or weights[-1] > weights[0] / 10**60 * size:
            start = (len(weights) - 1) * size + 1
            weights.append(2 * size * decimal_exp(law.rise(0, start)))
        total, below = sum(weights), Decimal(0)
        for weight, under, over in zip(weights, low, high, strict=False):
            below += weight
            assert under <= below / total * 2**bits <= over
    assert max(over - under for under, over in zip(low, high, strict=True)) <= 2
    assert low[-1] == 2**bits - 1
    assert high[-1] >= 2**bits


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("unit", [24, 40])
def test_weights_are_enclosed_however_coarse_the_unit(law: noise._Law, unit: int) -> None:
    size = 1 << law.block_bits
    with localcontext() as context:
        context.prec = 150
        exact = [decimal_exp(law.rise(0, k * size + 1)) * 2**unit for k in range(1200)]
        rest = sum(exact)
        for weight, (below, above, rest_above) in zip(exact[:600], noise._weights(law, unit), strict=False):
            assert below <= weight <= above
            assert rest <= rest_above
            rest -= weight


@pytest.mark.parametrize("law", LAWS)
def test_a_closer_look_never_contradicts_the_first(law: noise._Law) -> None:
    """Uniforms next to every boundary: whatever the first look decides, 64 more bits decide alike."""
    low, high = (np.array(b, np.int64) for b in noise._ladder(law, 62))
    finer_low, finer_high = noise._ladder(law, 126)
    near = np.unique(np.clip(np.concatenate([low - 1, low, high - 1, high]), 0, 2**62 - 1))
    rung = np.searchsorted(high, near, side="right")
    undecided = low[rung] <= near
    assert undecided.any()
    for prefix, first in zip(near[~undecided].tolist(), rung[~undecided].tolist(), strict=True):
        for rest in (0, 2**64 - 1):
            value = prefix << 64 | rest
            assert bisect_right(finer_high, value) == first
            assert finer_low[first] > value


class Scripted:
    """A stream that draws given words."""

    def __init__(self, *given: int) -> None:
        self.given = list(given)

    def words(self, n: int) -> np.ndarray:
        return np.array([self.given.pop(0) for _ in range(n)], np.uint64)


def test_a_coin_reads_on_exactly_while_it_is_undecided() -> None:
    """One prefix is undecided; its next word is compared with the next 64 bits of exp(-1/3)."""
    gamma = Fraction(1, 3)
    low, _ = noise.exp_bounds(gamma, 128)
    first, second = low >> 64, low & (2**64 - 1)
    assert noise._head(first - 1, gamma, Scripted())  # type: ignore[arg-type]
    assert not noise._head(first + 1, gamma, Scripted())  # type: ignore[arg-type]
    assert noise._head(first, gamma, Scripted(second - 9))  # type: ignore[arg-type]
    assert not noise._head(first, gamma, Scripted(second + 9))  # type: ignore[arg-type]
    with pytest.raises(IndexError):
        noise._head(first, gamma, Scripted())  # type: ignore[arg-type]


def test_a_rung_reads_on_exactly_while_it_is_undecided() -> None:
    """A uniform that shares 126 bits with a boundary takes 64 more, compared with the boundary's."""
    law = noise._gaussian(Fraction(5))
    low, _ = noise._ladder(law, 190)
    first, second, third = low[7] >> 128, low[7] >> 64 & (2**64 - 1), low[7] & (2**64 - 1)
    assert noise._climb(law, first, 62, Scripted(second - 1)) == 7  # type: ignore[arg-type]
    assert noise._climb(law, first, 62, Scripted(second + 1)) == 8  # type: ignore[arg-type]
    assert noise._climb(law, first, 62, Scripted(second, third - 9)) == 7  # type: ignore[arg-type]
    assert noise._climb(law, first, 62, Scripted(second, third + 9)) == 8  # type: ignore[arg-type]


def test_a_uniform_beyond_the_ladder_finds_its_rung_on_a_longer_one() -> None:
    law, last = noise._gaussian(Fraction(5)), 2**62 - 1
    first_ladder = len(noise._ladder(law, 62)[0])
    rung = noise._climb(law, last, 62, Scripted(2**64 - 2, 0))  # type: ignore[arg-type]
    assert rung > first_ladder
    near = noise._climb(law, last, 62, Scripted(0))  # type: ignore[arg-type]
    assert near < rung


def test_the_sign_bit_decides_nothing_else() -> None:
    law = noise._laplace(Fraction(7))
    for word in Stream.for_tests(b"k").words(50).tolist():
        one, other = (
            noise._attempt(law, 1, Scripted(w), noise._LOOK)[0]  # type: ignore[arg-type]
            for w in (word, word ^ 1)
        )
        assert one == -other


@pytest.mark.parametrize("law", LAWS)
def test_the_exact_path_draws_bit_for_bit_what_the_quick_one_draws(law: noise._Law) -> None:
    """64 bits decide a coin in integers (but once in 2**63): with all coins decided so, nothing changes."""
    blind = noise._Look(margin=2.0)
    quick, exact = (noise._sample(law, 3000, Stream.for_tests(b"k"), look) for look in (noise._LOOK, blind))
    assert (quick == exact).all()


def test_a_wrong_float_path_would_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    law = noise._gaussian(Fraction(1000))
    exact = noise._sample(law, 3000, Stream.for_tests(b"k"))
    honest = noise._exp_floats
    monkeypatch.setattr(noise, "_exp_floats", lambda gamma: honest(1.1 * gamma))
    assert (noise._sample(law, 3000, Stream.for_tests(b"k")) != exact).any()


def test_undecided_coins_go_to_the_exact_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many as the margin says: 2 * 2**-10 of them."""
    asked = []
    honest = noise._head
    monkeypatch.setattr(noise, "_head", lambda *given: asked.append(1) or honest(*given))
    noise._heads(np.full(100_000, 0.7), lambda _: Fraction(7, 10), system(), noise._Look(margin=2.0**-10))
    assert 80 < len(asked) < 340


@pytest.mark.parametrize("draw", [noise.discrete_gaussian, noise.discrete_laplace])
def test_shapes(draw: object) -> None:
    for shape, expected in ((5, (5,)), ((2, 3), (2, 3)), ((), ()), (0, (0,)), ((4, 0, 2), (4, 0, 2))):
        out = draw(3.0, shape, system())  # type: ignore[operator]
        assert out.shape == expected
        assert out.dtype == np.int64


@pytest.mark.parametrize("sigma", [noise.MIN_SCALE, 0.3, np.float32(5), np.float64(7.5), 12, noise.MAX_SCALE])
def test_scales_that_are_taken(sigma: float) -> None:
    for draw in (noise.discrete_gaussian, noise.discrete_laplace):
        out = draw(sigma, 2000, system())
        assert abs(float(np.abs(out).mean())) < 2 * sigma
        assert int(np.abs(out).max()) < 2**62


def test_noise_never_overflows_a_count() -> None:
    """30 sigma has a probability below 1e-190; count and noise leave a factor of 2**17 of int64."""
    widest = noise.discrete_gaussian(noise.MAX_SCALE, 100_000, system())
    assert int(np.abs(widest).max()) < 30 * 2**40 < 2**45
    counts = np.full(100_000, 2**62)
    assert ((counts + widest) > 0).all()


@pytest.mark.parametrize("bad", [0.0, -1.0, math.nan, math.inf, -math.inf, 1e-3, 2.0**41, 1e300, 10**400])
def test_scales_outside_their_bounds_are_refused(bad: float) -> None:
    for name, draw in (("sigma", noise.discrete_gaussian), ("scale", noise.discrete_laplace)):
        with pytest.raises(ValueError, match=f"{name} .* lies outside"):
            draw(bad, 3, system())


@pytest.mark.parametrize("bad", [True, "5", None, Fraction(5), 5 + 0j, np.array([5.0])])
def test_scales_that_are_no_numbers_are_refused(bad: object) -> None:
    for draw in (noise.discrete_gaussian, noise.discrete_laplace):
        with pytest.raises(ValueError, match="is not a number"):
            draw(bad, 3, system())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "scores",
    [
        np.array([1.0, 2.0]), np.array([], np.int64), np.array([[1, 2]]), np.int64(3),
        np.array([True, False]), np.array([1, 2], np.uint64), np.array([2**70, 1], object),
        ["a"], np.array([np.nan]), [1, 2.5],
    ],
)  # fmt: skip
def test_scores_that_are_no_vector_of_integers_are_refused(scores: object) -> None:
    with pytest.raises(ValueError, match="scores are a vector"):
        noise.choose(scores, 1.0, 1, system())  # type: ignore[arg-type]


@pytest.mark.parametrize("epsilon", [0.0, -1.0, math.nan, math.inf, True, "1", None])
def test_epsilons_that_are_none_are_refused(epsilon: object) -> None:
    with pytest.raises(ValueError, match="epsilon is a positive finite number"):
        noise.choose(np.array([1, 2]), epsilon, 1, system())  # type: ignore[arg-type]


@pytest.mark.parametrize("sensitivity", [0, -1, 1.0, math.nan, True, "1", None])
def test_sensitivities_that_are_none_are_refused(sensitivity: object) -> None:
    with pytest.raises(ValueError, match="sensitivity is an integer"):
        noise.choose(np.array([1, 2]), 1.0, sensitivity, system())  # type: ignore[arg-type]


def test_choice_at_the_extremes() -> None:
    lowest, highest = np.iinfo(np.int64).min, np.iinfo(np.int64).max
    scores = np.array([lowest, highest, lowest, highest - 1])
    assert noise.choose(np.array([lowest]), 1.0, 1, system()) == 0
    assert {noise.choose(scores, 1e300, 1, system()) for _ in range(50)} == {1}
    assert {noise.choose(scores, 1e-19, 1, system()) for _ in range(300)} == {0, 1, 2, 3}
    assert {noise.choose(scores, 5e-324, 10**30, system()) for _ in range(300)} == {0, 1, 2, 3}
    assert {noise.choose(scores, 1.0, 1, system()) for _ in range(300)} == {1, 3}
    assert {noise.choose(np.array([-128, 127], np.int8), 1.0, 1, system()) for _ in range(50)} == {1}


def test_choice_takes_the_exact_difference_of_any_two_scores(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where it needs 64 bits, and in steps that no float of its size has."""
    scores = np.array([np.iinfo(np.int64).min, np.iinfo(np.int64).max, -1, 2**53 + 1])
    seen = {}
    honest = noise._heads

    def heads(gamma: noise.Floats, exact: Callable[[int], Fraction], *rest: object) -> np.ndarray:
        seen.update({exact(i): g for i, g in enumerate(gamma.tolist())})
        return honest(gamma, exact, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(noise, "_heads", heads)
    assert noise.choose(scores, 0.75, 1, system()) == 1
    assert set(seen) == {Fraction(3, 8) * (2**63 - 1 - int(s)) for s in scores}
    assert all(math.isclose(float(exact), rough) for exact, rough in seen.items())


def test_choice_leaves_the_scores_alone() -> None:
    scores = np.arange(10)
    scores.setflags(write=False)
    chosen = noise.choose(scores[::-2], 1.0, 1, system())
    assert type(chosen) is int
    assert 0 <= chosen < 5


def test_large_scales_keep_most_tries_and_small_ones_all() -> None:
    kept = {
        s: len(noise._attempt(noise._gaussian(Fraction(s)), 20_000, system(), noise._LOOK)) for s in (5, 1e6)
    }
    assert kept[5] == 20_000
    assert 19_000 < kept[1e6] < 20_000


def test_a_test_stream_draws_the_same_noise_again() -> None:
    once, again = (noise.discrete_gaussian(50.0, 1000, Stream.for_tests(b"k")) for _ in range(2))
    assert (once == again).all()
    assert (once != noise.discrete_gaussian(50.0, 1000, Stream.for_tests(b"l"))).any()
