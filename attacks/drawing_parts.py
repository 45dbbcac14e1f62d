"""Pieces of the drawings: texts, lines, axes. Plain SVG without script or style sheet; every text is escaped."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

INK, MUTED, GRID = "#1b2733", "#5a6875", "#d8dee4"
FORBIDDEN, FORBIDDEN_EDGE = "#f6d9d5", "#a4361f"

COLOURS = ("#0b6e99", "#5b3c88", "#0b5d3b", "#8a6500", "#b03a6b", "#1b2733")
DASHES = ("", "7 3", "2 3", "10 3 2 3", "5 5", "1 4")
"""One per attack, beside the colour: nobody has to tell colours apart. Both readable on white and on FORBIDDEN."""

Point = tuple[float, float]


def text(
    x: float,
    y: float,
    words: str,
    anchor: str = "start",
    size: int = 12,
    fill: str = INK,
    turned: bool = False,
) -> str:
    """Words at a place; `turned`: read upwards."""
    rotated = f' transform="rotate(-90 {x:.1f} {y:.1f})"' if turned else ""
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}" fill="{fill}"{rotated}>'
        f"{escape(words)}</text>"
    )


def line(start: Point, end: Point, stroke: str = GRID, width: float = 1.0, dash: str = "") -> str:
    return stroke_of([start, end], stroke, width, dash)


def stroke_of(points: Sequence[Point], stroke: str, width: float = 2.0, dash: str = "") -> str:
    """A line through points."""
    dashed = f' stroke-dasharray="{dash}"' if dash else ""
    return f'<polyline points="{_places(points)}" fill="none" stroke="{stroke}" stroke-width="{width:g}"{dashed}/>'


def area(points: Sequence[Point], fill: str = FORBIDDEN) -> str:
    return f'<polygon points="{_places(points)}" fill="{fill}"/>'


def dot(at: Point, fill: str, radius: float = 3.5) -> str:
    return f'<circle cx="{at[0]:.1f}" cy="{at[1]:.1f}" r="{radius:g}" fill="{fill}"/>'


def bar(x: float, y: float, width: float, height: float, fill: str) -> str:
    return (
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(0.0, width):.1f}" height="{height:.1f}" fill="{fill}"/>'
    )


def figure(width: float, height: float, name: str, title: str, description: str, body: Sequence[str]) -> str:
    """A drawing that scales with its column and tells a screen reader what it shows.

    `name`: letters and hyphens; its title's and description's ids begin with it, so one name a page.
    """
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" width="{width:g}" '
        f'height="{height:g}" role="img" aria-labelledby="{name}-title {name}-desc" '
        'font-family="system-ui, sans-serif">'
        f'<title id="{name}-title">{escape(title)}</title><desc id="{name}-desc">{escape(description)}</desc>'
        f"{''.join(body)}</svg>"
    )


def _places(points: Sequence[Point]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in points)


@dataclass(frozen=True)
class Axis:
    """Values from `low` to `high` on a line from `start` to `end`; `decades`: on a logarithmic scale."""

    low: float
    high: float
    start: float
    end: float
    decades: bool = False

    def at(self, value: float) -> float:
        """The place of a value; one beyond the axis is put at its end."""
        inside = min(max(value, self.low), self.high)
        if self.decades:
            share = math.log(inside / self.low) / math.log(self.high / self.low)
        else:
            share = (inside - self.low) / (self.high - self.low)
        return self.start + share * (self.end - self.start)

    def ticks(self) -> list[float]:
        """Powers of ten, or about five round numbers."""
        if self.decades:
            first, last = math.ceil(math.log10(self.low) - 1e-9), math.floor(math.log10(self.high) + 1e-9)
            return [10.0**power for power in range(first, last + 1)]
        step = 10.0 ** math.floor(math.log10((self.high - self.low) / 2.0))
        step = next(step * m for m in (1, 2, 5, 10) if (self.high - self.low) / (step * m) <= 6)
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        return [number * step for number in range(first, last + 1)]


@dataclass(frozen=True)
class Box:
    """Two axes; `percent`: its values are shares."""

    x: Axis
    y: Axis
    percent: bool = True

    def at(self, point: Point) -> Point:
        return self.x.at(point[0]), self.y.at(point[1])

    def path(self, points: Sequence[Point]) -> list[Point]:
        return [self.at(point) for point in points]

    def frame(self, below: str, beside: str) -> list[str]:
        """Grid, numbers and what the axes mean."""
        body = []
        for value in self.x.ticks():
            x = self.x.at(value)
            body.append(line((x, self.y.start), (x, self.y.end)))
            body.append(text(x, self.y.start + 16, self._number(value), "middle", 11, MUTED))
        for value in self.y.ticks():
            y = self.y.at(value)
            body.append(line((self.x.start, y), (self.x.end, y)))
            body.append(text(self.x.start - 6, y + 4, self._number(value), "end", 11, MUTED))
        body.append(text((self.x.start + self.x.end) / 2, self.y.start + 34, below, "middle"))
        body.append(text(13, (self.y.start + self.y.end) / 2, beside, "middle", turned=True))
        return body

    def _number(self, value: float) -> str:
        return f"{100 * value:g} %" if self.percent else f"{value:g}"


def legend(x: float, y: float, entries: Sequence[tuple[str, str, str]]) -> list[str]:
    """Samples of lines with what they stand for: (words, colour, dashes), 18 apart."""
    body = []
    for position, (words, colour, dash) in enumerate(entries):
        height = y + 18 * position
        body.append(line((x, height - 4), (x + 26, height - 4), colour, 2.0, dash))
        body.append(text(x + 34, height, shortened(words, 52)))
    return body


def shortened(words: str, most: int) -> str:
    """At most `most` characters, the cut shown."""
    return words if len(words) <= most else f"{words[: most - 1]}…"
