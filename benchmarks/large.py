"""Tables larger than memory: CPU seconds and memory of streaming, counting and fitting, for several numbers of rows.

python -m benchmarks.large --table adult_coded.csv.gz --domain adult_coded-domain.json --rows 1e6 1e7 1e8 --scratch /big/disk

The tables are made by DuckDB from the given one: each row is a row of it, each of whose values is with probability 5 % that
of another row. They lie in --scratch while they are needed (6 bytes a row). Each size runs in a process of its own. The
first columns of figures are of the streaming itself: reading parquet, checking, encoding, splitting, writing to disk.
"""

from __future__ import annotations

import argparse
import itertools
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import large_plan
from dpsynth.large import fit_large_reserved, take_in_large
from dpsynth.privacy.ledger import Ledger
from dpsynth.schema import Schema
from dpsynth.synthesis import plan

HEAD = "| rows | streaming | all pairs | fit | largest memory, MB |\n|---|---|---|---|---|"


def make(table: Path, rows: int, out: Path, each: float | None = None) -> None:
    """`rows` rows like those of `table`, as parquet; with a person's id, of whom each has `each` of them on average."""
    import duckdb

    with duckdb.connect(config={"memory_limit": "2GB", "threads": 2}) as connection:
        connection.execute(
            "create table source as select *, row_number() over () - 1 as number__ from read_csv($file)",
            {"file": str(table)},
        )
        (many,) = connection.execute("select count(*) from source").fetchone() or (0,)
        names = [name for name, *_ in connection.execute("describe source").fetchall() if name != "number__"]
        mixed = ", ".join(
            f'case when hash(i, \'{name}\') % 20 = 0 then b."{name}" else a."{name}" end as "{name}"'
            for name in names
        )
        if each:
            mixed += f", 'P' || (hash(i, 'person') % {max(1, int(rows / each))}) as person"
        connection.execute(
            f"copy (select {mixed} from (select range as i, hash(range) % {many} as x, hash(range, 7) % {many} as y "
            f"from range({rows})) join source a on a.number__ = x join source b on b.number__ = y) "
            f"to '{out}' (format parquet, row_group_size 200000)"
        )


def spent() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def schema_of(domain: Path, bound: int | None) -> Schema:
    """`bound`: rows of a person that count; None: every row is somebody else's."""
    sizes = json.loads(domain.read_text())
    columns: dict[str, Any] = {name: {"type": "integer", "min": 0, "max": n - 1} for name, n in sizes.items()}
    if bound is None:
        return Schema(columns=columns)
    unit = {"entity": "person", "column": "person", "rows_per_unit": bound}
    return Schema(columns={**columns, "person": {"type": "id"}}, unit=unit)


def one(
    file: Path, domain: Path, method: str, epsilon: float, scratch: Path, bound: int | None
) -> dict[str, Any]:
    """CPU seconds of the three steps on one file."""
    import numba  # noqa: F401  (its loading is not counted)

    schema = schema_of(domain, bound)
    began, wall = spent(), time.monotonic()
    intake = take_in_large(file, schema, holdout=0.1, folder=scratch)
    streamed = spent()
    intake.engine.marginals(list(itertools.combinations(schema.domain.attributes, 2)))
    counted = spent()
    preview = plan(schema, method=method, epsilon=epsilon, delta=1e-9)
    account = Ledger.in_memory(preview.budget, preview.unit)
    with account.reserve("fit", preview.charges, preview.budget, unit=preview.unit) as run:
        fit_large_reserved(intake, schema, preview, run)
    return {
        "streaming": streamed - began,
        "pairs": counted - streamed,
        "fit": spent() - counted,
        "wall": time.monotonic() - wall,
        "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--table", type=Path)
    parser.add_argument("--domain", type=Path, help="JSON: number of cells of each column")
    parser.add_argument("--rows", type=float, nargs="+", default=[1e6])
    parser.add_argument("--method", default="mst")
    parser.add_argument("--epsilon", type=float, default=1.0)
    parser.add_argument("--scratch", type=Path, default=Path(tempfile.gettempdir()))
    parser.add_argument("--each", type=float, help="rows of a person, on average; without: a row is a unit")
    parser.add_argument("--bound", type=int, default=8, help="with --each: rows of a person that count")
    parser.add_argument("--file", type=Path, help="a table made before, instead of making those of --rows")
    parser.add_argument("--plan", type=float, metavar="ROWS", help="what so many rows would cost, on paper")
    parser.add_argument("--machines", type=int, default=20, help="with --plan")
    parser.add_argument("--one", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.plan:
        print(large_plan.table(given.plan, given.machines))
        return
    if given.one:
        bound = given.bound if given.each else None
        print(json.dumps(one(given.one, given.domain, given.method, given.epsilon, given.scratch, bound)))
        return
    print(
        f"CPU seconds, method {given.method} (its counts of pairs are remembered from the column before)\n\n{HEAD}"
    )
    if given.file:
        show(given.file.name, given.file)
        return
    for rows in map(int, given.rows):
        with tempfile.TemporaryDirectory(dir=given.scratch) as folder:
            file = Path(folder) / "rows.parquet"
            make(given.table, rows, file, given.each)
            show(f"{rows:,}", file)


def show(name: str, file: Path) -> None:
    """One line of the table, measured in a process of its own."""
    child = [sys.executable, "-m", "benchmarks.large", *sys.argv[1:], "--one", str(file)]
    found = json.loads(subprocess.run(child, check=True, capture_output=True, text=True).stdout)
    print(
        f"| {name} | {found['streaming']:.1f} | {found['pairs']:.1f} | {found['fit']:.1f} | {found['memory']:.0f} |",
        flush=True,
    )


if __name__ == "__main__":
    main()
