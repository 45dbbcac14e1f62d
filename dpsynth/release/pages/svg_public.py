"""Plots of the public page: a column beside its released counts, and the account as a gauge."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from dpsynth.release.pages.svg import GRID, INK, MUTED, SYNTHETIC, line, short, svg, words

BAND = "#f3d9a6"
BAND_EDGE = "#8a6500"
MOST_LABEL = 17
SPENT_BEFORE, SPENT_NOW = "#5a6875", "#0b6e99"

Json = Mapping[str, Any]


def bands(band: Json) -> Markup:
    """One bar for each label: the synthetic share, and over it the interval that holds the true share."""
    left, width, row = 118.0, 150.0, 22.0
    most = max([*band["synthetic"], *band["high"], 1e-9])
    body, told = [], []
    values = zip(band["labels"], band["synthetic"], band["low"], band["high"], strict=True)
    for position, (label, share, low, high) in enumerate(values):
        y = 4 + row * position
        body.append(words(left - 8, y + 13, short(label, MOST_LABEL), "end"))
        body.append(_rectangle(left, y + 4, width * share / most, 11, SYNTHETIC))
        body += _whisker(left + width * low / most, left + width * high / most, y)
        shown = f"{100 * share:.1f} % ({100 * low:.1f} to {100 * high:.1f})"
        body.append(words(left + width * max(share, high) / most + 6, y + 13, shown, size=11, fill=MUTED))
        told.append(f"{short(label)}: {shown}")
    described = "Synthetic share and, in brackets, where the true share lies: " + ", ".join(told)
    size = left + width + 132, 10 + row * len(band["labels"])
    return svg(*size, f"Column {band['column']}", described, body)


def _rectangle(x: float, y: float, width: float, height: float, fill: str, more: str = "") -> str:
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(0.0, width):.1f}" height="{height:g}" fill="{fill}"{more}/>'


def _whisker(low: float, high: float, y: float) -> list[str]:
    """The interval as a pale box with an edge, so that it is seen on the bar and beside it."""
    edge = f' fill-opacity="0.75" stroke="{BAND_EDGE}" stroke-width="1"'
    return [_rectangle(low, y + 7, max(1.0, high - low), 5, BAND, edge)]


def gauge(before: float, after: float, promise: float) -> Markup:
    """The epsilon spent before this release, with it, and promised for ever, on one line."""
    left, width, top = 8.0, 480.0, 26.0
    scale = width / max(promise, after, 1e-9)
    body = [
        _rectangle(left, top, width, 20, "#f5f7f9", f' stroke="{GRID}"'),
        _rectangle(left, top, scale * before, 20, SPENT_BEFORE),
        _rectangle(left + scale * before, top, scale * (after - before), 20, SPENT_NOW),
        line(left + scale * promise, top - 6, left + scale * promise, top + 26, INK, 2),
        words(left + scale * promise, top - 10, f"promise {promise:.4g}", "end"),
    ]
    marks: Sequence[tuple[str, str]] = (
        (SPENT_BEFORE, f"spent before: {before:.4g}"),
        (SPENT_NOW, f"spent after this release: {after:.4g}"),
    )
    for position, (colour, label) in enumerate(marks):
        x = left + 200 * position
        body.append(_rectangle(x, top + 34, 12, 12, colour))
        body.append(words(x + 18, top + 44, label))
    described = f"Epsilon {before:.4g} before, {after:.4g} after this release, of {promise:.4g} promised."
    return svg(left + width + 8, top + 56, "What the account has spent", described, body)
