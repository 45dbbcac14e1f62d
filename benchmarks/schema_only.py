"""How long rows from a schema alone take: to parquet, in one process, with the constraints of the project kept.

python -m benchmarks.schema_only examples/adult.yaml --rows 10000000
python -m benchmarks.schema_only --data DIR --tables adult rand_hie       # the schemas and rules of benchmarks.constraints
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.constraints import CASES
from dpsynth import Schema
from dpsynth.model.from_schema import NOTE, from_schema
from dpsynth.table import write_tables


def timed(name: str, schema: Schema, number: int) -> str:
    """One line: rows, columns, rules, wall and CPU seconds, size of the file."""
    begin, used = time.perf_counter(), time.process_time()
    made = from_schema(schema)
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "rows.parquet"
        batches = made.sample_batches(number, np.random.default_rng(0))
        rows = write_tables(batches, out, made.schema, notes={"dpsynth": NOTE})
        size = out.stat().st_size
    wall, cpu = time.perf_counter() - begin, time.process_time() - used
    rules = len(schema.constraints)
    return f"| {name} | {rows:,} | {len(made.schema.written)} | {rules} | {wall:.1f} | {cpu:.1f} | {size / 2**20:.0f} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("project", type=Path, nargs="?")
    parser.add_argument("--data", type=Path, help="folder of the real tables")
    parser.add_argument("--tables", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--rows", type=int, default=10_000_000)
    given = parser.parse_args()
    schemas = {} if given.project is None else {given.project.stem: Schema.load(given.project)}
    if given.data is not None:
        schemas |= {name: CASES[name](given.data).schema for name in given.tables}
    print("| schema | rows | columns | rules | wall s | CPU s | MB |\n|---|---|---|---|---|---|---|")
    for name, schema in schemas.items():
        print(timed(name, schema, given.rows), flush=True)


if __name__ == "__main__":
    main()
