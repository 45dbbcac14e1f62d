"""Rows a CPU second from a saved model to a file, and the memory that takes.

python benchmarks/sampling.py                        # a made-up table shaped like Adult, MST
python benchmarks/sampling.py --model MODEL -n 20000000 --where "income == '>50K'"
"""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.scaling import ROWS, enlarged, original
from dpsynth import fit
from dpsynth.model import FittedModel
from dpsynth.table import write_tables


def made_up(method: str) -> FittedModel:
    frame, sizes = original(argparse.Namespace(table=None, domain=None))
    table = enlarged(frame, sizes, ROWS[0], len(sizes))
    return fit(table.to_frame(), table.schema, method=method, epsilon=1.0, delta=1e-9)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=Path, help="a fitted model's folder")
    parser.add_argument("--method", default="mst", help="of the made-up model")
    parser.add_argument("-n", type=int, default=8 << 20)
    parser.add_argument("--where")
    options = parser.parse_args()
    model = made_up(options.method) if options.model is None else FittedModel.load(options.model)
    next(model.sample_batches(1000, np.random.default_rng(0)))  # compiled code is loaded
    print(f"{len(model.schema.written)} columns, {options.n:,} rows")
    start = time.process_time()
    for _ in model.generator.sample_batches(options.n, np.random.default_rng(1)):
        pass
    print(f"codes alone {options.n / (time.process_time() - start) / 1e6:8.2f} M rows/CPU-s")
    for suffix in ("parquet", "csv"):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"rows.{suffix}"
            rows = options.n if suffix == "parquet" else options.n // 8
            start = time.process_time()
            write_tables(
                model.sample_batches(rows, np.random.default_rng(1), options.where), path, model.schema
            )
            speed = rows / (time.process_time() - start)
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            size = path.stat().st_size / rows
            print(
                f"{suffix:11} {speed / 1e6:8.2f} M rows/CPU-s, {size:.1f} bytes a row, peak {peak:,.0f} MB so far"
            )


if __name__ == "__main__":
    main()
