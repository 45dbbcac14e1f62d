"""Cost of a fit against rows and columns: CPU time of taking in and counting, of all else, and peak memory.

    python benchmarks/scaling.py                                  # a made-up table shaped like Adult, about 10 minutes
    python benchmarks/scaling.py --table adult_coded.csv.gz --domain adult_coded-domain.json
    python benchmarks/scaling.py --methods mst --rows 48842 500000 --columns 14 28

`--table` holds whole numbers from 0, `--domain` the cells of each column as JSON. More rows are the table's own, drawn with
replacement; more columns are copies of all columns whose rows are shuffled among those that agree in one of them, so that
copies hang together. Each fit has a process of its own, at epsilon 1 and delta 1e-9. Writes scaling.svg beside this file.
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

from dpsynth import Ledger, Schema, synthesis
from dpsynth.budget import Budget
from dpsynth.encoding import Encoding
from dpsynth.engines.memory import MemoryEngine
from dpsynth.pgm import GraphicalModel
from dpsynth.synthesis import fit_reserved, plan
from dpsynth.table import Table

EPSILON, DELTA = 1.0, 1e-9
ROWS, COLUMNS, METHODS = (48_842, 500_000, 5_000_000), (14, 28, 56, 100), ("mst", "tree")
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
    counting = 0.0

    def timed(call: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*given: Any, **named: Any) -> Any:
            nonlocal counting
            start = time.process_time()
            found = call(*given, **named)
            counting += time.process_time() - start
            return found

        return counted

    for home, name in ((MemoryEngine, "marginals"), (MemoryEngine, "merged"), (Encoding, "encode")):
        setattr(home, name, timed(getattr(home, name)))
    synthesis.take_in = timed(synthesis.take_in)
    preview = plan(table.schema, method=options.methods[0], epsilon=EPSILON, delta=DELTA)
    small = table.take(slice(0, 100))
    for data in (small, table):  # the first loads compiled code
        counting = 0.0
        ledger = Ledger.in_memory(Budget(EPSILON, DELTA), preview.unit)
        with ledger.reserve("scaling", preview.charges, preview.budget, unit=preview.unit) as run:
            start = time.process_time()
            model, _ = fit_reserved(data, preview, run, holdout=0.0)
            whole = time.process_time() - start
        if data is small and columns > 30:
            continue
    start = time.process_time()
    model.sample_records(1_000_000, np.random.default_rng(3))
    return {
        "method": options.methods[0],
        "rows": rows,
        "columns": columns,
        "counting_cpu_s": counting,
        "after_counting_cpu_s": whole - counting,
        "peak_mb": peak_mb(),
        "table_mb": before,
        "sampling_rows_per_cpu_s": 1e6 / (time.process_time() - start),
    }


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measured(options: argparse.Namespace, method: str, rows: int, columns: int) -> dict[str, Any]:
    command = [sys.executable, __file__, "--one", "--methods", method, "--rows", rows, "--columns", columns]
    if options.table is not None:
        command += ["--table", options.table, "--domain", options.domain]
    done = subprocess.run([str(part) for part in command], check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


HEAD = """| method | rows | columns | taking in and counting | all else, CPU-s | peak MB (table) | sampling, M rows/CPU-s |
|---|---|---|---|---|---|---|"""


def line(found: Mapping[str, Any]) -> str:
    return (
        f"| {found['method']} | {found['rows']:,} | {found['columns']} | {found['counting_cpu_s']:.2f} "
        f"| {found['after_counting_cpu_s']:.2f} | {found['peak_mb']:,.0f} ({found['table_mb']:,.0f}) "
        f"| {found['sampling_rows_per_cpu_s'] / 1e6:.1f} |"
    )


def picture(results: list[dict[str, Any]]) -> str:
    """Two panels, logarithmic on both axes: seconds against rows, and against columns."""
    panels = [
        ("rows", [r for r in results if r["columns"] == results[0]["columns"]], 60),
        ("columns", [r for r in results if r["rows"] == results[0]["rows"]], 420),
    ]
    parts = [
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 760 330" font-family="sans-serif" font-size="12">',
        '<rect width="760" height="330" fill="white"/>',
    ]
    for axis, found, left in panels:
        parts += panel(axis, found, left)
    for i, (method, colour) in enumerate(COLOURS.items()):
        parts.append(
            f'<text x="{60 + 300 * i}" y="318" fill="{colour}">{method}: all else (solid), counting (dotted)</text>'
        )
    return "\n".join([*parts, "</svg>", ""])


def panel(axis: str, found: list[dict[str, Any]], left: int) -> list[str]:
    kinds = ("after_counting_cpu_s", "counting_cpu_s")
    across = sorted({r[axis] for r in found})
    times = [max(r[kind], 1e-3) for r in found for kind in kinds]
    low, high = np.floor(np.log10(min(times))), np.ceil(np.log10(max(times)))
    begin, wide = np.log10(across[0]), max(np.log10(across[-1] / across[0]), 1e-9)

    def height(y: float) -> float:
        return 270 - 230 * (np.log10(max(y, 1e-3)) - low) / (high - low)

    def place(x: float, y: float) -> str:
        return f"{left + 280 * (np.log10(x) - begin) / wide:.1f},{height(y):.1f}"

    parts = [f'<text x="{left}" y="22">CPU seconds against {axis}</text>']
    for power in range(int(low), int(high) + 1):
        y = height(10.0**power)
        parts.append(f'<path d="M{left},{y:.1f} h280" stroke="#ddd"/>')
        parts.append(f'<text x="{left - 8}" y="{y + 4:.1f}" text-anchor="end">{10.0**power:g}</text>')
    for x in across:
        at = place(x, 10**low).split(",")[0]
        parts.append(f'<text x="{at}" y="288" text-anchor="middle">{x:,}</text>')
    for method, colour in COLOURS.items():
        for kind, dash in zip(kinds, ("", ' stroke-dasharray="3 4"'), strict=True):
            points = " ".join(
                place(r[axis], r[kind]) for r in sorted(found, key=lambda r: r[axis]) if r["method"] == method
            )
            parts.append(
                f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"{dash}/>'
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
    parser.add_argument("--one", action="store_true", help="one fit in this process, as JSON")
    options = parser.parse_args()
    if options.one:
        print(json.dumps(one(options)))
        return
    print(HEAD)
    results = []
    first = [(rows, options.columns[0]) for rows in options.rows]
    for rows, columns in [*first, *((options.rows[0], c) for c in options.columns[1:])]:
        for method in options.methods:
            results.append(measured(options, method, rows, columns))
            print(line(results[-1]), flush=True)
    Path(__file__).with_name("scaling.svg").write_text(picture(results))


if __name__ == "__main__":
    main()
