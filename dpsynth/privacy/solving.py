"""One equation, one unknown; one function, its least value. scipy has both, after a third of a second of imports."""

from __future__ import annotations

import math
from collections.abc import Callable

Function = Callable[[float], float]

GOLDEN = (math.sqrt(5) - 1) / 2


def root(function: Function, low: float, high: float, absolute: float, relative: float) -> float:
    """Where a continuous function changes its sign between `low` and `high`, to within ``absolute + relative |root|``: on
    the side where it is at most 0.

    Chandrupatla 1997: inverse quadratic interpolation where it is safe, otherwise bisection. ValueError without a change
    of sign.
    """
    b, a = low, high
    fb, fa = function(b), function(a)
    if fb * fa > 0:
        raise ValueError("no change of sign")
    c, fc, share = a, fa, 0.5
    while True:
        at = a + share * (b - a)
        value = function(at)
        if (value > 0) == (fa > 0):
            c, fc = a, fa
        else:
            c, b, fc, fb = b, a, fb, fa
        a, fa = at, value
        best, least = (a, fa) if abs(fa) < abs(fb) else (b, fb)
        width = abs(b - a)
        short = absolute + relative * abs(best)
        if width <= short or least == 0:
            return a if fa <= 0 else b
        share = min(max(_interpolated(a, b, c, fa, fb, fc), 0.5 * short / width), 1 - 0.5 * short / width)


def _interpolated(a: float, b: float, c: float, fa: float, fb: float, fc: float) -> float:
    """The next point, as a share of the way from a to b."""
    if fb in (fa, fc) or fa == fc:
        return 0.5
    across, up = (a - b) / (c - b), (fa - fb) / (fc - fb)
    if not 1 - math.sqrt(1 - across) < up < math.sqrt(across):
        return 0.5
    return fa / (fb - fa) * fc / (fb - fc) + (c - a) / (b - a) * fa / (fc - fa) * fb / (fc - fb)


def least(function: Function, low: float, high: float, absolute: float) -> float:
    """The least value of a function that falls and then rises, by golden sections until the place is known to within
    `absolute`; always a value that the function takes."""
    one, two = high - GOLDEN * (high - low), low + GOLDEN * (high - low)
    at_one, at_two = function(one), function(two)
    best = min(at_one, at_two)
    while high - low > absolute:
        if at_one < at_two:
            high, two, at_two = two, one, at_one
            one = high - GOLDEN * (high - low)
            at_one = function(one)
            best = min(best, at_one)
        else:
            low, one, at_one = one, two, at_two
            two = low + GOLDEN * (high - low)
            at_two = function(two)
            best = min(best, at_two)
    return best
