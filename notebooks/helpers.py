"""What the notebooks share, so that they stay short: a table, commands, pictures."""

from __future__ import annotations

import html
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
from typer.testing import CliRunner

from attacks.drawing_parts import (
    COLOURS,
    DASHES,
    MUTED,
    Axis,
    Box,
    dot,
    figure,
    legend,
    line,
    stroke_of,
    text,
)
from dpsynth import Schema, demo_data, fit
from dpsynth.cli.app import app
from dpsynth.counting import count
from dpsynth.encoding import Encoding
from dpsynth.records import Records
from dpsynth.table import read_table

LEFT, TOP, WIDTH, HEIGHT = 62.0, 30.0, 420.0, 240.0


def bundled(people: int | None = None) -> tuple[pd.DataFrame, Schema]:
    """The bundled table (or its first `people` people) as texts, and its schema."""
    with demo_data.project() as project:
        rows = pd.read_csv(project.data_path, dtype=str, keep_default_na=False)
        chosen = rows["person"].unique()[:people]
        return rows[rows["person"].isin(chosen)].reset_index(drop=True), project.schema


def write_bundled(people: int, **changes: str) -> None:
    """`claims.csv` and `project.yaml` in this folder: the bundled table, small, and its project file.

    `changes`: what replaces the value of a key of the file, such as `method="mst"`.
    """
    bundled(people)[0].to_csv("claims.csv", index=False)
    with demo_data.project() as project:
        lines = (project.folder / "demo.yaml").read_text(encoding="utf-8")
    lines = lines.replace("health_insurance.csv.gz", "claims.csv").replace(
        "dataset:", "ledger: claims.ledger, dataset:"
    )
    for key, value in changes.items():
        lines = re.sub(rf"\b{key}: [^,}}\n]+", f"{key}: {value}", lines)
    Path("project.yaml").write_text(lines, encoding="utf-8")


def pair_error(real: pd.DataFrame, synthetic: pd.DataFrame, schema: Schema) -> float:
    """Mean total variation between the two tables over all pairs of columns, on the schema's cells."""
    encoding = Encoding(schema)
    one, other = (encoding.encode(read_table(rows, schema)) for rows in (real, synthetic))
    pairs = list(combinations(schema.modelled, 2))
    return float(np.mean([np.abs(_shares(one, pair) - _shares(other, pair)).sum() / 2 for pair in pairs]))


def _shares(records: Records, pair: tuple[str, str]) -> np.ndarray:
    return count(records, pair) / len(records)


def prediction(taught_by: pd.DataFrame, judged_on: pd.DataFrame, schema: Schema, target: str) -> float:
    """R2 of a linear model that learns the logarithm of `target` from the other columns' cells in one table and predicts
    it in another."""
    encoding, known, wanted = Encoding(schema), [], []
    for rows in (taught_by, judged_on):
        table = read_table(rows, schema)
        records = encoding.encode(table)
        cells = [np.eye(encoding.domain[name])[records[name]] for name in schema.modelled if name != target]
        known.append(np.column_stack([np.ones(len(records)), *cells]))
        wanted.append(np.log1p(table.to_frame()[target].to_numpy(float)))
    weights = np.linalg.lstsq(known[0], wanted[0], rcond=1e-6)[0]
    return float(1 - np.mean((wanted[1] - known[1] @ weights) ** 2) / np.var(wanted[1]))


VENDORS = {
    "A: dpsynth, epsilon 1": "a differentially private model",
    "B: one row in ten copied": "each column drawn by itself, and 200 real rows slipped in",
    "C: all copies, recoded": "nothing but real rows, every value moved by a fixed step",
}


def vendors(members: pd.DataFrame, schema: Schema, rng: np.random.Generator) -> dict[str, pd.DataFrame]:
    """Three synthetic tables of about 2,000 rows made from the same people; see `VENDORS`."""
    honest = fit(members, schema, method="tree", epsilon=1.0, delta=1e-8).sample(2000, rng)
    alone = pd.DataFrame({c: rng.permutation(members[c].to_numpy())[:1800] for c in members})
    copied = members.iloc[rng.integers(0, len(members), 2000)].reset_index(drop=True)
    leaky = pd.concat([alone, copied.head(200)], ignore_index=True)
    return dict(zip(VENDORS, (honest, leaky, _recoded(copied, schema)), strict=True))


def _recoded(rows: pd.DataFrame, schema: Schema) -> pd.DataFrame:
    """Each value replaced by another one of its column, always by the same: who has the list reads everything."""
    moved = rows.copy()
    for number, (name, column) in enumerate(schema.modelled.items(), 1):
        if column.type == "category":
            others = [*column.values[1:], column.values[0]]
            moved[name] = rows[name].map(dict(zip(column.values, others, strict=True)))
        elif column.type == "boolean":
            moved[name] = rows[name].map({"yes": "no", "no": "yes"})
        else:
            width = int(column.max - column.min)
            given = pd.to_numeric(rows[name]).clip(column.min, column.max)
            step = ((given - column.min + width * (number % 3 + 1) // 4) % (width + 1) + column.min).clip(
                upper=column.max
            )
            moved[name] = step.map(_written)
    return moved


def _written(value: float) -> str:
    return "" if pd.isna(value) else f"{value:.10g}"


@dataclass(frozen=True)
class Screen:
    """What a command wrote on the screen."""

    command: str
    output: str
    exit_code: int

    def __repr__(self) -> str:
        return f"$ {self.command}\n{self.output}"

    def _repr_html_(self) -> str:
        told = f"\n(exit code {self.exit_code})" if self.exit_code else ""
        return f"<pre><b>$ {html.escape(self.command)}</b>\n{html.escape(self.output.rstrip())}{told}</pre>"


def shell(command: str, exits: int = 0) -> Screen:
    """Runs `dpsynth ...` as in a terminal and shows what it said; any other exit code than `exits` is an error."""
    program, *words = shlex.split(command)
    assert program == "dpsynth"
    done = CliRunner().invoke(app, words)
    if done.exit_code != exits:
        raise RuntimeError(f"{command}: exit code {done.exit_code}\n{done.output}")
    return Screen(command, done.output, done.exit_code)


@dataclass(frozen=True)
class Picture:
    """An SVG drawing that a notebook shows."""

    svg: str

    def _repr_svg_(self) -> str:
        return self.svg


def from_page(page: str | Path, title: str) -> Picture:
    """The drawing of that title out of one of our report pages."""
    drawn = re.findall(r"<svg.*?</svg>", Path(page).read_text(encoding="utf-8"), flags=re.DOTALL)
    return Picture(next(svg for svg in drawn if title in svg))


def lines(
    title: str,
    series: Mapping[str, Sequence[tuple[float, float]]],
    below: str,
    beside: str,
    *,
    top: float,
    marks: Mapping[str, Sequence[tuple[float, float]]] | None = None,
) -> Picture:
    """Curves over a logarithmic axis, and loose `marks`; from 0 to `top`."""
    every = [x for points in [*series.values(), *(marks or {}).values()] for x, _ in points]
    box = Box(
        Axis(min(every), max(every), LEFT, LEFT + WIDTH, True), Axis(0, top, TOP + HEIGHT, TOP), percent=False
    )
    body = [text(LEFT, 16, title, size=14), *_frame(box, below, beside)]
    entries = []
    for place, (name, points) in enumerate(series.items()):
        colour, dash = COLOURS[place % len(COLOURS)], DASHES[place % len(DASHES)]
        body.append(stroke_of(box.path(points), colour, 2.0, dash))
        body += [dot(box.at(point), colour, 3.0) for point in points if len(points) < 20]
        entries.append((name, colour, dash))
    for place, (name, points) in enumerate((marks or {}).items(), len(series)):
        body += [dot(box.at(point), COLOURS[place % len(COLOURS)], 5.0) for point in points]
        entries.append((f"{name} (dots)", COLOURS[place % len(COLOURS)], "1 4"))
    y = TOP + HEIGHT + 58
    body += legend(LEFT, y, entries)
    words = "; ".join(f"{name}: {', '.join(f'{x:g}: {v:.3g}' for x, v in p)}" for name, p in series.items())
    name = re.sub(r"[^a-z]+", "-", title.lower())
    return Picture(figure(LEFT + WIDTH + 20, y + 18 * len(entries), name, title, words[:1500], body))


def _frame(box: Box, below: str, beside: str) -> list[str]:
    """As the box's own, with 1, 2 and 5 of each decade where the axis is short."""
    ticks = [
        m * 10.0**p
        for p in range(-4, 7)
        for m in (1, 3)
        if box.x.low * 0.999 <= m * 10.0**p <= box.x.high * 1.001
    ]
    body = []
    for value in ticks:
        x = box.x.at(value)
        body.append(line((x, box.y.start), (x, box.y.end)))
        body.append(text(x, box.y.start + 16, f"{value:g}", "middle", 11, MUTED))
    for value in box.y.ticks():
        y = box.y.at(value)
        body.append(line((box.x.start, y), (box.x.end, y)))
        body.append(text(box.x.start - 6, y + 4, f"{value:g}", "end", 11, MUTED))
    body.append(text((box.x.start + box.x.end) / 2, box.y.start + 34, below, "middle"))
    body.append(text(13, (box.y.start + box.y.end) / 2, beside, "middle", turned=True))
    return body
