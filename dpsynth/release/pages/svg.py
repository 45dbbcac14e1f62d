"""Plots as inline SVG: no script, no style sheet of their own, every text escaped."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

INK, MUTED, GRID = "#1b2733", "#5a6875", "#d8dee4"
REAL, SYNTHETIC, FORBIDDEN = "#5a6875", "#0b6e99", "#f6d9d5"
FORBIDDEN_EDGE = "#a4361f"
MOST_LABEL = 22

COLOURS = ("#0b6e99", "#5b3c88", "#0b5d3b", "#8a6500", "#b03a6b", "#1b2733", "#4a7d00", "#a4361f")
"""Of attacks, in turn; each is readable on white."""

Point = tuple[float, float]


def short(text: str, most: int = MOST_LABEL) -> str:
    """`text` in at most `most` characters, the cut shown."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


def words(
    x: float, y: float, text: str, anchor: str = "start", size: int = 12, fill: str = INK, more: str = ""
) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}" fill="{fill}"{more}>'
        f"{escape(text)}</text>"
    )


def line(
    x1: float, y1: float, x2: float, y2: float, stroke: str = GRID, width: float = 1, more: str = ""
) -> str:
    return (
        f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{stroke}" '
        f'stroke-width="{width:g}"{more}/>'
    )


def svg(width: float, height: float, title: str, description: str, body: Sequence[str]) -> Markup:
    """A figure that scales with its column and says to a screen reader what it shows."""
    size = f'viewBox="0 0 {width:g} {height:g}" width="{width:g}" height="{height:g}"'
    label = escape(f"{title}. {description}")
    head = f'<svg {size} role="img" aria-label="{label}"><title>{escape(title)}</title>'
    return Markup(head + "".join(body) + "</svg>")  # every text in it went through escape


@dataclass(frozen=True)
class Mark:
    """What one attack reached: (false-positive rate, true-positive rate, its interval's low and high end)."""

    name: str
    points: tuple[tuple[float, float, float, float], ...]


@dataclass(frozen=True)
class _LogLog:
    """Both axes logarithmic from `low` to 1, in a box."""

    low: float
    left: float
    top: float
    side: float

    def at(self, point: Point) -> Point:
        x, y = (math.log(max(value, self.low)) / math.log(self.low) for value in point)
        return self.left + self.side * (1 - x), self.top + self.side * y

    def path(self, points: Sequence[Point]) -> str:
        return " ".join(f"{x:.1f},{y:.1f}" for x, y in map(self.at, points))


def trade_off(
    bound: Sequence[Sequence[float]], marks: Sequence[Mark] = (), *, bound_name: str, low: float = 1e-3
) -> Markup:
    """True- against false-positive rate of an attacker, log axes; what the promise forbids is shaded.

    `bound`: (false-positive rate, largest true-positive rate), rising in both, from `low` to 1.
    """
    box = _LogLog(low, 58, 14, 300)
    edge = [(f, t) for f, t in bound if low <= f <= 1]
    body = [
        _box(box),
        f'<polygon points="{box.path([(low, 1.0), *edge])}" fill="{FORBIDDEN}"/>',
        *_decades(box),
    ]
    body.append(words(box.left + 10, box.top + 22, "forbidden by the promise", fill=FORBIDDEN_EDGE))
    body.append(_stroke(box.path([(low, low), (1, 1)]), MUTED, ' stroke-dasharray="4 4"'))
    body.append(_stroke(box.path(edge), FORBIDDEN_EDGE))
    for position, mark in enumerate(marks):
        body += _whiskers(box, mark, position, len(marks))
    body += _legend(box, bound_name, marks)
    height = box.top + box.side + 62 + 18 * (2 + len(marks))
    described = "Logarithmic axes; the shaded region is forbidden by the promise. " + _described(marks)
    return svg(380, height, "What an attacker can achieve", described, body)


def _box(box: _LogLog) -> str:
    place = f'x="{box.left}" y="{box.top}" width="{box.side}" height="{box.side}"'
    return f'<rect {place} fill="#fff" stroke="{GRID}"/>'


def _described(marks: Sequence[Mark]) -> str:
    return " ".join(
        f"{mark.name}: " + ", ".join(f"{100 * t:.2g} % at {100 * f:g} %" for f, t, _, _ in mark.points) + "."
        for mark in marks
    )


def _stroke(points: str, colour: str, more: str = "") -> str:
    return f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"{more}/>'


def _whiskers(box: _LogLog, mark: Mark, position: int, of: int) -> list[str]:
    """A dot and an interval per rate, set side by side with those of other attacks at the same rate."""
    colour, body = COLOURS[position % len(COLOURS)], []
    for f, t, low, high in mark.points:
        x, y = box.at((f, t))
        x += 1.2 * (position - (of - 1) / 2)
        _, bottom = box.at((f, low))
        _, top = box.at((f, high))
        body.append(line(x, bottom, x, top, colour, 1.5))
        body.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>')
    return body


def _decades(box: _LogLog) -> list[str]:
    body = []
    for power in range(round(-math.log10(box.low)) + 1):
        value = 10.0**-power
        x, y = box.at((value, value))
        label = "100 %" if power == 0 else f"{100 * value:g} %"
        body += [line(x, box.top, x, box.top + box.side), line(box.left, y, box.left + box.side, y)]
        body.append(words(x, box.top + box.side + 16, label, "middle", 11, MUTED))
        body.append(words(box.left - 6, y + 4, label, "end", 11, MUTED))
    middle = box.top + box.side / 2
    body.append(
        words(
            box.left + box.side / 2,
            box.top + box.side + 34,
            "wrongly accused (false-positive rate)",
            "middle",
        )
    )
    turned = f' transform="rotate(-90 12 {middle:.1f})"'
    body.append(words(12, middle, "caught (true-positive rate)", "middle", more=turned))
    return body


def _legend(box: _LogLog, bound_name: str, marks: Sequence[Mark]) -> list[str]:
    y = box.top + box.side + 58.0
    body = [
        line(box.left, y - 4, box.left + 24, y - 4, FORBIDDEN_EDGE, 2),
        words(box.left + 32, y, bound_name),
    ]
    y += 18
    body.append(line(box.left, y - 4, box.left + 24, y - 4, MUTED, 2, ' stroke-dasharray="4 4"'))
    body.append(words(box.left + 32, y, "guessing"))
    for position, mark in enumerate(marks):
        y += 18
        colour = COLOURS[position % len(COLOURS)]
        body.append(f'<circle cx="{box.left + 12:.1f}" cy="{y - 4:.1f}" r="4" fill="{colour}"/>')
        body.append(words(box.left + 32, y, short(mark.name, 44)))
    return body


def bars(labels: Sequence[str], real: Sequence[float], synthetic: Sequence[float], title: str) -> Markup:
    """Horizontal pairs of bars, one pair per cell: real above synthetic."""
    most = max([*real, *synthetic, 1e-9])
    left, width, row = 118.0, 170.0, 26.0
    body = []
    for position, (label, p, q) in enumerate(zip(labels, real, synthetic, strict=True)):
        y = 4 + row * position
        body.append(words(left - 8, y + 14, short(label, 17), "end"))
        for offset, value, colour in ((2, p, REAL), (12, q, SYNTHETIC)):
            length = width * value / most
            body.append(
                f'<rect x="{left}" y="{y + offset:.1f}" width="{length:.1f}" height="9" fill="{colour}"/>'
            )
        body.append(
            words(
                left + width * max(p, q) / most + 6,
                y + 15,
                f"{100 * p:.1f} / {100 * q:.1f} %",
                size=11,
                fill=MUTED,
            )
        )
    described = ", ".join(
        f"{short(label)}: {100 * p:.1f} % real, {100 * q:.1f} % synthetic"
        for label, p, q in zip(labels, real, synthetic, strict=True)
    )
    return svg(left + width + 92, 10 + row * len(labels), title, described, body)


def heat_map(names: Sequence[str], values: Sequence[Sequence[float | None]], title: str) -> Markup:
    """A symmetric matrix of errors in [0, 1]: the darker the worse; numbers in per cent inside the cells."""
    cell, left, top = 34.0, 130.0, 96.0
    worst = max([v for row in values for v in row if v is not None] or [0.0]) or 1.0
    body = []
    for i, name in enumerate(names):
        body.append(words(left - 6, top + cell * (i + 0.62), short(name, 18), "end"))
        x = left + cell * (i + 0.62)
        body.append(
            words(x, top - 6, short(name, 14), more=f' transform="rotate(-50 {x:.1f} {top - 6:.1f})"')
        )
        for j, value in enumerate(values[i]):
            if value is not None:
                body += _cell(left + cell * j, top + cell * i, cell, value, value / worst)
    width = left + cell * len(names) + 70
    return svg(
        width,
        top + cell * len(names) + 8,
        title,
        f"largest {100 * worst:.1f} %; the table below has the numbers",
        body,
    )


def _cell(x: float, y: float, side: float, value: float, depth: float) -> list[str]:
    red, green, blue = (round(255 + (end - 255) * depth) for end in (90, 170, 205))
    square = (
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{side - 1:.1f}" height="{side - 1:.1f}" '
        f'fill="#{red:02x}{green:02x}{blue:02x}" stroke="{GRID}" stroke-width="0.5"/>'
    )
    inside = words(x + side / 2, y + side * 0.62, f"{100 * value:.1f}", "middle", 11)
    return [square, inside]
