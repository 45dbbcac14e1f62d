"""Exact integer noise and private choice: no rounding of a float ever decides an outcome.

Every sampler here compares a uniform real U in [0, 1), of which only the first bits are drawn, with real
numbers p that it knows by enclosures low <= p <= high. Where the drawn prefix puts U on one side of the whole
enclosure, the comparison is decided: no further bit could change it. Otherwise 64 more bits of *the same* U
are drawn, and the enclosure is computed again at 64 bits more, in integers with directed rounding. Almost
surely this ends, and what it returns is the mathematical function of U, so that the law is the mathematical
one whatever the precision of the first look. Precision decides only how often a second look is needed:
for about one draw in 2**21, none for small scales.

*Noise.* The law P(x) ~ exp(-g(|x|)) on all integers, g(m) = l m + q m**2: discrete Gaussian l = 0,
q = 1 / (2 sigma**2) (Canonne, Kamath and Steinke 2020); discrete Laplace l = 1 / scale, q = 0 (Ghosh,
Roughgarden and Sundararajan 2009); both the exact rationals of the given float64. Magnitudes 1, 2, ... fall
into blocks of B = 2**b; block k = 0, 1, ... starts at s = k B + 1. Zero or a block is drawn by inversion
from the weights 1 and 2 B exp(-g(s)), the place r in the block from b bits, the sign from one bit, and the
draw is kept with probability exp(-(g(s + r) - g(s))). So a magnitude m = s + r with either sign has weight
2 B exp(-g(s)) (1 / B) (1 / 2) exp(-(g(m) - g(s))) = exp(-g(m)), and zero has 1. Small scales have B = 1 and
keep every draw.

*Choice.* A uniform candidate is kept with probability exp(-epsilon (best - score) / (2 sensitivity)): the
exponential mechanism (McSherry and Talwar 2007). The best is kept surely: n candidates take at most n tries
on average.

The time taken depends on the noise drawn, and in `choose` on the scores: whoever can time single draws
learns something (Jin, McMurtry, Rubinstein and Ohrimenko 2022). The operator, who can, is trusted.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from dpsynth.entropy import Stream

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

MIN_SCALE: Final = 2.0**-4
MAX_SCALE: Final = 2.0**40
"""Bounds of sigma and scale. Below exp(-2**21) of the noise lies above 2**62: count plus noise fits int64."""

_CHUNK: Final = 1 << 15  # draws at once: the working arrays stay in the cache


@dataclass(frozen=True)
class _Look:
    """How precise the first look at a uniform is: it changes the speed, never the law (tests blind it)."""

    bits: int = 62  # of the uniform that picks the block; at most 62
    margin: float = 2.0**-22  # half width of the float enclosure of exp(-gamma); at least 2**-23


_LOOK: Final = _Look()


def discrete_gaussian(sigma: float, shape: int | tuple[int, ...], stream: Stream) -> Integers:
    """Independent draws of P(x) ~ exp(-x**2 / (2 sigma**2)) on the integers, exactly; an array of `shape`.

    `sigma` in rows, in [2**-4, 2**40], taken as the exact rational that the float64 is; ValueError otherwise.
    """
    return _sample(_gaussian(_scale("sigma", sigma)), shape, stream)


def discrete_laplace(scale: float, shape: int | tuple[int, ...], stream: Stream) -> Integers:
    """Independent draws of P(x) ~ exp(-|x| / scale) on the integers, exactly; an array of `shape`.

    `scale` in rows, in [2**-4, 2**40], taken as the exact rational that the float64 is; ValueError otherwise.
    """
    return _sample(_laplace(_scale("scale", scale)), shape, stream)


def choose(scores: Integers, epsilon: float, sensitivity: int, stream: Stream) -> int:
    """An index i with probability ~ exp(epsilon scores[i] / (2 sensitivity)), exactly.

    `scores`: shape (n,), n >= 1, integers that one unit moves by at most `sensitivity` >= 1, monotone or
    not. The step is epsilon-bounded-range, hence epsilon**2 / 8 zCDP (Cesar and Rogers 2021). ValueError for
    scores that are no vector of integers, an epsilon that is not positive and finite, a sensitivity below 1.
    """
    return _choose(_scores(scores), _rate(epsilon, sensitivity), stream)


def _scale(name: str, value: float) -> Fraction:
    if not _is_number(value):
        raise ValueError(f"{name} is not a number")
    if not MIN_SCALE <= value <= MAX_SCALE:
        raise ValueError(f"{name} {value!r} lies outside [{MIN_SCALE:g}, {MAX_SCALE:g}]")
    return Fraction(float(value))


def _is_number(value: object) -> bool:
    return isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)


def _scores(scores: NDArray[Any]) -> Integers:
    values = np.asarray(scores)
    if values.dtype.kind != "i" or values.ndim != 1 or not values.size:
        raise ValueError("scores are a vector of at least one signed integer")
    return values.astype(np.int64, copy=False)


def _rate(epsilon: float, sensitivity: int) -> Fraction:
    if not _is_number(epsilon) or not (math.isfinite(epsilon) and epsilon > 0):
        raise ValueError("epsilon is a positive finite number")
    if isinstance(sensitivity, bool) or not isinstance(sensitivity, int | np.integer) or sensitivity < 1:
        raise ValueError("a sensitivity is an integer of at least 1")
    return Fraction(float(epsilon)) / (2 * int(sensitivity))


@dataclass(frozen=True)
class _Law:
    """P(x) ~ exp(-g(|x|)), g(m) = linear m + quadratic m**2, in blocks of 2**block_bits magnitudes."""

    linear: Fraction
    quadratic: Fraction
    block_bits: int

    def rise(self, start: int, step: int) -> Fraction:
        """g(start + step) - g(start)."""
        return step * (self.linear + self.quadratic * (2 * start + step))

    def rises(self, start: Integers, step: Integers) -> Floats:
        """The same in floats, to a relative error of 2**-49: inputs and operations, nine, round once each."""
        steps = step.astype(np.float64)
        return ((2.0 * start + steps) * float(self.quadratic) + float(self.linear)) * steps


@lru_cache(maxsize=256)
def _gaussian(sigma: Fraction) -> _Law:
    return _Law(Fraction(0), 1 / (2 * sigma**2), _block_bits(sigma))


@lru_cache(maxsize=256)
def _laplace(scale: Fraction) -> _Law:
    return _Law(1 / scale, Fraction(0), _block_bits(scale))


def _block_bits(scale: Fraction) -> int:
    """Blocks of a 16th to a 32nd of the scale: few rungs, and about 97 % of the draws are kept."""
    return max(0, math.floor(scale).bit_length() - 5)


def _sample(law: _Law, shape: int | tuple[int, ...], stream: Stream, look: _Look = _LOOK) -> Integers:
    out = np.empty(shape, np.int64)
    flat = out.reshape(-1)
    filled = 0
    while filled < flat.size:
        missing = flat.size - filled
        kept = _attempt(law, min(missing + missing // 16 + 8, _CHUNK), stream, look)[:missing]
        flat[filled : filled + len(kept)] = kept
        filled += len(kept)
    return out


def _attempt(law: _Law, n: int, stream: Stream, look: _Look) -> Integers:
    """The draws that were kept of `n` tries."""
    word = stream.words(n)
    rung = _rungs(law, word >> np.uint64(64 - look.bits), stream, look)
    found = rung > 0
    size = 1 << law.block_bits
    value = np.where(found, (rung - 1) * size + 1, 0)
    keep: slice | NDArray[np.bool_] = slice(None)
    if law.block_bits:
        step = (stream.words(n) >> np.uint64(64 - law.block_bits)).astype(np.int64) * found
        start, value = value, value + step
        keep = _heads(law.rises(start, step), lambda i: law.rise(int(start[i]), int(step[i])), stream, look)
    negative = (word & np.uint64(1)).astype(np.int64)  # a bit that no prefix of at most 62 bits contains
    return ((value ^ -negative) + negative)[keep]


def _rungs(law: _Law, prefix: NDArray[np.uint64], stream: Stream, look: _Look) -> Integers:
    """Inversion: for each uniform the number of cumulative weights that are at most the uniform."""
    low, high = _first_ladder(law, look.bits)
    uniform = prefix.astype(np.int64)
    rung = np.searchsorted(high, uniform, side="right").astype(np.int64, copy=False)
    for i in np.flatnonzero(low[rung] <= uniform):
        rung[i] = _climb(law, int(uniform[i]), look.bits, stream)
    return rung


def _climb(law: _Law, prefix: int, bits: int, stream: Stream) -> int:
    """The same for one uniform, of which `bits` bits are known and did not suffice."""
    while True:
        prefix, bits = prefix << 64 | int(stream.words(1)[0]), bits + 64
        low, high = _ladder(law, bits)
        rung = bisect_right(high, prefix)
        if low[rung] > prefix:
            return rung


@lru_cache(maxsize=256)
def _first_ladder(law: _Law, bits: int) -> tuple[Integers, Integers]:
    low, high = _ladder(law, bits)
    return np.array(low, np.int64), np.array(high, np.int64)


@lru_cache(maxsize=8)
def _ladder(law: _Law, bits: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Cumulative probabilities of zero and the blocks in units of 2**-bits: integers below and above each.

    A uniform of prefix v is at or above rung j surely if high[j] <= v, and below it surely if low[j] > v.
    The ladder ends where less than 2**-bits remains: its last `high` is at least 2**bits, and a uniform
    in the tail is undecided, hence looked at again on a longer ladder.
    """
    unit = bits + 96
    size = 1 << law.block_bits
    sums, sums_up = [1 << unit], [1 << unit]
    for weight, weight_up, rest_up in _weights(law, unit):
        if 2 * size * rest_up << (bits + 8) < sums[-1]:
            break
        sums.append(sums[-1] + 2 * size * weight)
        sums_up.append(sums_up[-1] + 2 * size * weight_up)
    total, total_up = sums[-1], sums_up[-1] + 2 * size * rest_up
    return tuple((s << bits) // total_up for s in sums), tuple(-((-s << bits) // total) for s in sums_up)


def _weights(law: _Law, unit: int) -> Iterator[tuple[int, int, int]]:
    """Of each block, in units of 2**-unit: bounds of exp(-g(its start)); one above it and all later ones.

    w[k+1] = w[k] d[k] and d[k+1] = d[k] c, rounded down for one bound and up (`_up`) for the other. The
    ratios d only fall, so that the rest is at most a geometric series.
    """
    one = 1 << unit
    size = 1 << law.block_bits
    exponents = law.rise(0, 1), law.rise(1, size), 2 * law.quadratic * size * size
    (w, d, c), (w_up, d_up, c_up) = zip(*(exp_bounds(e, unit) for e in exponents), strict=True)
    while True:
        yield w, w_up, w_up * one // (one - d_up) + 1
        w, w_up = w * d >> unit, _shift_up(w_up * d_up, unit)
        d, d_up = d * c >> unit, _shift_up(d_up * c_up, unit)


def _heads(gamma: Floats, exact: Callable[[int], Fraction], stream: Stream, look: _Look) -> NDArray[np.bool_]:
    """Coins, shape (n,), that fall heads with probability exp(-exact(i)), exactly; exact(i) >= 0.

    `gamma` is the same in floats, to a relative or an absolute error of 2**-49.
    """
    word = stream.words(len(gamma))
    uniform = (word >> np.uint64(11)).astype(np.float64) * 2.0**-53
    gap = _exp_floats(gamma) - uniform
    heads = gap > 0
    for i in np.flatnonzero(np.abs(gap) <= look.margin):
        heads[i] = _head(int(word[i]), exact(int(i)), stream)
    return heads


def _head(prefix: int, gamma: Fraction, stream: Stream) -> bool:
    """Whether a uniform whose first 64 bits are `prefix` is below exp(-gamma)."""
    bits = 64
    while True:
        low, high = exp_bounds(gamma, bits)
        if prefix < low:
            return True
        if prefix >= high:
            return False
        prefix, bits = prefix << 64 | int(stream.words(1)[0]), bits + 64


def _exp_floats(gamma: Floats) -> Floats:
    """exp(-gamma) for gamma >= 0 to within 2**-23, from sums and products alone (IEEE 754: each rounds once).

    x = min(gamma, 32) / 128 is at most 1/4, so p = 1 - x + x**2 / 2 - x**3 / 6 lies below exp(-x) by at most
    x**4 / 24, and p**128 below exp(-128 x) by at most 128 (x**4 / 24) exp(-127 x), which is largest at
    x = 4 / 127, where it is 9.7e-8 < 2**-23.2. Fewer than 20 roundings of 2**-53, times 128, gamma's own
    error and the cut at 32 (wrong by exp(-32) < 2**-46) add less than 2**-40.
    """
    x = np.minimum(gamma, 32.0)
    x *= 1.0 / 128.0
    p = x * (-1.0 / 6.0)
    p += 0.5
    p *= x
    p -= 1.0
    p *= x
    p += 1.0
    for _ in range(7):
        p *= p
    return p


def exp_bounds(gamma: Fraction, bits: int) -> tuple[int, int]:
    """Integers low <= 2**bits exp(-gamma) <= high for gamma >= 0, a few units apart; equal for gamma = 0.

    exp(x) for x = gamma / 2**halvings <= 1/2 by its series, every term rounded down for one bound and up for
    the other, which adds the last term once more (it exceeds the remainder); then inverted and squared back.
    """
    if gamma == 0:
        return 1 << bits, 1 << bits
    if gamma >= bits:
        return 0, 1
    halvings = (2 * gamma.numerator // gamma.denominator).bit_length()
    unit = bits + 2 * halvings + 16
    one = 1 << unit
    x = (gamma.numerator << unit) // (gamma.denominator << halvings)
    series, term = one, one
    series_up, term_up = one, one
    k = 0
    while term_up > 1:
        k += 1
        term = (term * x >> unit) // k
        term_up = -(-_shift_up(term_up * (x + 1), unit) // k)
        series, series_up = series + term, series_up + term_up
    low, high = one * one // (series_up + term_up), -(-one * one // series)
    for _ in range(halvings):
        low, high = low * low >> unit, _shift_up(high * high, unit)
    return low >> (unit - bits), _shift_up(high, unit - bits)


def _shift_up(value: int, bits: int) -> int:
    return -(-value >> bits)


def _choose(scores: Integers, rate: Fraction, stream: Stream, look: _Look = _LOOK) -> int:
    n = len(scores)
    bits = scores.view(np.uint64)
    behind = bits[scores.argmax()] - bits  # modulo 2**64, where every difference fits
    while True:
        tried = stream.below(n, min(max(n, 64), _CHUNK))
        kept = _heads_of(behind[tried], rate, stream, look)
        if kept.any():
            return int(tried[kept.argmax()])


def _heads_of(behind: NDArray[np.uint64], rate: Fraction, stream: Stream, look: _Look) -> NDArray[np.bool_]:
    with np.errstate(over="ignore"):  # an infinite gamma counts as 32, like every larger one
        gamma = behind.astype(np.float64) * float(rate)
    return _heads(gamma, lambda i: int(behind[i]) * rate, stream, look)
