"""Cost of a fit against rows and columns: CPU time of taking in and counting, of all else, and peak memory.

    python benchmarks/scaling.py                                  # a made-up table shaped like Adult, half an hour
    python benchmarks/scaling.py --table adult_coded.csv.gz --domain adult_coded-domain.json
    python benchmarks/scaling.py --methods mst --rows 48842 500000 --columns 14 28
    python benchmarks/scaling.py --results scaling.jsonl          # goes on where it was interrupted

`--table` holds whole numbers from 0, `--domain` the cells of each column as JSON. More rows are the table's own, drawn with
replacement; more columns are copies of all columns whose rows are shuffled among those that agree in one of them, so that
copies hang together. Each fit has a process of its own, at epsilon 1 and delta 1e-9; compiled code was loaded before.
Writes scaling.svg beside this file.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from dpsynth import Ledger, Schema, discovering
from dpsynth import counting as counting_module
from dpsynth.budget import Budget
from dpsynth.encoding import Encoding
from dpsynth.engines.memory import MemoryEngine
from dpsynth.pgm import GraphicalModel
from dpsynth.synthesis import fit_reserved, plan
from dpsynth.table import Table

EPSILON, DELTA = 1.0, 1e-9
ROWS, COLUMNS, METHODS = (48_842, 500_000, 5_000_000), (14, 28, 56, 100), ("mst", "tree")
SAMPLED = 2 << 20
"""Rows drawn to measure sampling."""
COLOURS = {"mst": "#1f5fa8", "tree": "#b5491c"}


def original(options: argparse.Namespace) -> tuple[pd.DataFrame, dict[str, int]]:
    """Codes of the table, and the cells of each column."""
    if options.table is not None:
        sizes = json.loads(options.domain.read_text())
        return pd.read_csv(options.table)[list(sizes)], sizes
    from benchmarks.engine import DOMAIN, tree_pairs

    rng = np.random.default_rng(1)
    tables = {c: rng.normal(0, 1.0, DOMAIN.shape(c)) for c in tree_pairs()}
    skew = {(a,): -np.sort(rng.exponential(2.0, DOMAIN[a])) for a in DOMAIN.attributes}
    records = GraphicalModel(DOMAIN, 1.0, {**tables, **skew}).sample(ROWS[0], rng)
    return pd.DataFrame(dict(zip(DOMAIN.attributes, records.columns, strict=True))), dict(
        zip(DOMAIN.attributes, DOMAIN.sizes, strict=True)
    )


def enlarged(frame: pd.DataFrame, sizes: Mapping[str, int], rows: int, columns: int) -> Table:
    rng = np.random.default_rng(2)
    values: dict[str, np.ndarray] = {}
    cells: dict[str, int] = {}
    for number in range(columns):
        copy, name = divmod(number, len(sizes))
        if name == 0:
            shared = list(sizes)[copy % len(sizes)]
            order = rng.permutation(len(frame))
            place = order[np.argsort(frame[shared].to_numpy()[order], kind="stable")]
            matched = np.empty(len(frame), dtype=np.int64)
            matched[np.argsort(frame[shared].to_numpy(), kind="stable")] = place
            mixed = frame if copy == 0 else frame.iloc[matched]
        column = list(sizes)[name]
        values[f"{column}_{copy}"] = mixed[column].to_numpy(dtype=np.int32)
        cells[f"{column}_{copy}"] = sizes[column]
    if rows != len(frame):
        chosen = rng.integers(0, len(frame), rows)
        values = {name: codes[chosen] for name, codes in values.items()}
    schema = Schema(columns={n: {"type": "category", "values": list(range(c))} for n, c in cells.items()})
    return Table(schema, values, {name: np.zeros(rows, dtype=bool) for name in values})


def one(options: argparse.Namespace) -> dict[str, Any]:
    """One fit in this process."""
    rows, columns = options.rows[0], options.columns[0]
    table = enlarged(*original(options), rows, columns)
    before = peak_mb()
    counting, inside = 0.0, False

    def timed(call: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*given: Any, **named: Any) -> Any:
            nonlocal counting, inside
            if inside:
                return call(*given, **named)
            start, inside = time.process_time(), True
            found = call(*given, **named)
            counting, inside = counting + time.process_time() - start, False
            return found

        return counted

    for home, name in (
        (MemoryEngine, "marginals"),
        (MemoryEngine, "merged"),
        (Encoding, "encode"),
        (discovering, "bounded"),
    ):
        setattr(home, name, timed(getattr(home, name)))
    counting_module.UNCOMPILED = -1
    frame, sizes = original(options)
    for data in (enlarged(frame, sizes, 5_000, len(sizes)), table):  # the first loads compiled code
        counting, start = 0.0, time.process_time()
        preview = plan(data.schema, method=options.methods[0], epsilon=EPSILON, delta=DELTA)
        ledger = Ledger.in_memory(Budget(EPSILON, DELTA), preview.unit)
        with ledger.reserve("scaling", preview.charges, preview.budget, unit=preview.unit) as run:
            model, _ = fit_reserved(data, preview, run, holdout=0.0)
        whole = time.process_time() - start
    start = time.process_time()
    for _ in model.generator.sample_batches(SAMPLED, np.random.default_rng(3)):
        pass
    return {
        "method": options.methods[0],
        "rows": rows,
        "columns": columns,
        "counting_cpu_s": counting,
        "after_counting_cpu_s": whole - counting,
        "peak_mb": peak_mb(),
        "table_mb": before,
        "sampling_rows_per_cpu_s": SAMPLED / (time.process_time() - start),
    }


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measured(options: argparse.Namespace, method: str, rows: int, columns: int) -> dict[str, Any]:
    """The stored figures of this fit, or new ones, which are stored."""
    for found in stored(options):
        if (found["method"], found["rows"], found["columns"]) == (method, rows, columns):
            return found
    command = [sys.executable, __file__, "--one", "--methods", method, "--rows", rows, "--columns", columns]
    if options.table is not None:
        command += ["--table", options.table, "--domain", options.domain]
    done = subprocess.run([str(part) for part in command], check=True, stdout=subprocess.PIPE, text=True)
    text = done.stdout.splitlines()[-1]
    if options.results is not None:
        with options.results.open("a") as file:
            file.write(text + "\n")
    found = json.loads(text)
    return found


def stored(options: argparse.Namespace) -> list[dict[str, Any]]:
    if options.results is None or not options.results.exists():
        return []
    return [json.loads(text) for text in options.results.read_text().splitlines()]


HEAD = """| method | rows | columns | taking in and counting | all else, CPU-s | peak MB (table) | sampling, M rows/CPU-s |
|---|---|---|---|---|---|---|"""


def line(found: Mapping[str, Any]) -> str:
    return (
        f"| {found['method']} | {found['rows']:,} | {found['columns']} | {found['counting_cpu_s']:.2f} "
        f"| {found['after_counting_cpu_s']:.2f} | {found['peak_mb']:,.0f} ({found['table_mb']:,.0f}) "
        f"| {found['sampling_rows_per_cpu_s'] / 1e6:.1f} |"
    )


def picture(results: list[dict[str, Any]]) -> str:
    """Seconds against rows and against columns, for the fewest and most of the other; logarithmic on both axes."""
    parts = [
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 760 330" font-family="sans-serif" font-size="12">',
        '<rect width="760" height="330" fill="white"/>',
    ]
    for axis, other, left in (("rows", "columns", 60), ("columns", "rows", 420)):
        ends = {min(r[other] for r in results), max(r[other] for r in results)}
        parts += panel(axis, other, [r for r in results if r[other] in ends], left)
    for i, (method, colour) in enumerate(COLOURS.items()):
        words = f"{method}: all else (solid), counting (dotted)"
        parts.append(f'<text x="{60 + 300 * i}" y="318" fill="{colour}">{words}</text>')
    return "\n".join([*parts, "</svg>", ""])


def panel(axis: str, other: str, found: list[dict[str, Any]], left: int) -> list[str]:
    kinds = ("after_counting_cpu_s", "counting_cpu_s")
    across = sorted({r[axis] for r in found})
    times = [max(r[kind], 1e-2) for r in found for kind in kinds]
    low, high = np.floor(np.log10(min(times))), np.ceil(np.log10(max(times)))
    begin, wide = np.log10(across[0]), max(np.log10(across[-1] / across[0]), 1e-9)

    def place(x: float, y: float) -> tuple[float, float]:
        up = 270 - 230 * (np.log10(max(y, 1e-2)) - low) / (high - low)
        return left + 240 * (np.log10(x) - begin) / wide, up

    parts = [f'<text x="{left}" y="22">CPU seconds against {axis}</text>']
    for power in range(int(low), int(high) + 1):
        _, y = place(across[0], 10.0**power)
        parts.append(f'<path d="M{left},{y:.1f} h240" stroke="#ddd"/>')
        parts.append(f'<text x="{left - 8}" y="{y + 4:.1f}" text-anchor="end">{10.0**power:g}</text>')
    for x in across:
        parts.append(f'<text x="{place(x, 1.0)[0]:.1f}" y="288" text-anchor="middle">{x:,}</text>')
    for method, colour in COLOURS.items():
        for value in sorted({r[other] for r in found}):
            line = sorted(
                (r for r in found if r["method"] == method and r[other] == value), key=lambda r: r[axis]
            )
            for kind, dash in zip(kinds, ("", ' stroke-dasharray="2 4"'), strict=True):
                points = [place(r[axis], r[kind]) for r in line]
                path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
                parts.append(
                    f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"{dash}/>'
                )
                if points and kind == kinds[0]:
                    x, y = points[-1]
                    parts.append(
                        f'<text x="{x + 4:.1f}" y="{y + 4:.1f}" font-size="10" fill="{colour}">{value:,} {other}</text>'
                    )
    return parts


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--table", type=Path)
    parser.add_argument("--domain", type=Path)
    parser.add_argument("--methods", nargs="+", default=METHODS)
    parser.add_argument("--rows", nargs="+", type=int, default=ROWS)
    parser.add_argument("--columns", nargs="+", type=int, default=COLUMNS)
    parser.add_argument("--results", type=Path, help="keep each figure here, and take those that are")
    parser.add_argument("--one", action="store_true", help="one fit in this process, as JSON")
    options = parser.parse_args()
    if options.one:
        print(json.dumps(one(options)))
        return
    print(HEAD)
    results = []
    for columns in options.columns:
        for rows in options.rows:
            for method in options.methods:
                results.append(measured(options, method, rows, columns))
                print(line(results[-1]), flush=True)
    Path(__file__).with_name("scaling.svg").write_text(picture(results))


if __name__ == "__main__":
    main()
