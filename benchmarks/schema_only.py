"""How long rows from a schema alone take: to parquet, in one process, with the constraints of the project kept.

python -m benchmarks.schema_only examples/adult.yaml --rows 10000000
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np

from dpsynth import Schema
from dpsynth.model.from_schema import NOTE, from_schema
from dpsynth.table import write_tables


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("project", type=Path)
    parser.add_argument("--rows", type=int, default=10_000_000)
    given = parser.parse_args()
    begin = time.perf_counter()
    made = from_schema(Schema.load(given.project))
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "rows.parquet"
        rows = write_tables(
            made.sample_batches(given.rows, np.random.default_rng(0)),
            out,
            made.schema,
            notes={"dpsynth": NOTE},
        )
        size = out.stat().st_size
    took = time.perf_counter() - begin
    print(f"{rows:,} rows of {len(made.schema.written)} columns: {took:.1f} s, {size / 2**20:.0f} MB")


if __name__ == "__main__":
    main()
