"""The GAN on real tables, and other people's private GANs beside it: errors, prediction, CPU, memory.

    OMP_NUM_THREADS=1 python -m benchmarks.gan --data DIR                        # ours: three tables, three epsilons
    OMP_NUM_THREADS=1 python -m benchmarks.gan --data DIR --tables adult_coded --peers dpctgan patectgan
    OMP_NUM_THREADS=1 python -m benchmarks.gan --data DIR --table-only           # from stored results

DIR holds the tables that `benchmarks/tables.py` reads. Every run is a process of its own, stored as soon as it ends. Our
privacy noise cannot be seeded: a "seed" numbers the runs. As many synthetic rows as training rows are scored. Peers run
in an environment of their own (`benchmarks/peers/setup.py`), once, within a limit of CPU time; their epsilon is the one
that they state.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.network import DELTA, keep, report, same, stored, table_of
from benchmarks.peers.setup import DEFAULT, GANS, interpreter
from benchmarks.peers.task import Task
from benchmarks.runs import HERE, QUIET
from benchmarks.scores import score
from benchmarks.tables import Table, add_options

LIBRARY = "smartnoise_gan"


def main() -> None:
    options = arguments()
    if not options.table_only:
        for seed in range(options.seeds):
            for name in options.tables:
                for epsilon in options.epsilon:
                    once(options, name, "gan", epsilon, seed)
        for name in options.tables:
            for epsilon in options.epsilon:
                for method in options.peers:
                    once(options, name, method, epsilon, 0)
    found = list(stored(options.results))
    print(report([run for run in found if "failed" not in run]))
    for run in found:
        if "failed" in run:
            print(f"{run['table']}, epsilon {run['epsilon']}: {run['method']} did not end: {run['failed']}")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_options(parser, [1.0, 3.0, 10.0])
    parser.add_argument("--seeds", type=int, default=3, help="runs of ours")
    parser.add_argument("--peers", nargs="*", default=[], choices=GANS[LIBRARY].methods)
    parser.add_argument(
        "--cpu-limit", type=float, default=900.0, help="CPU seconds of a peer's fit and sample"
    )
    parser.add_argument("--memory-mb", type=int, default=12_000)
    parser.add_argument("--environments", type=Path, default=DEFAULT)
    parser.add_argument("--results", type=Path, default=Path("build/gan.jsonl"))
    parser.add_argument("--table-only", action="store_true")
    return parser.parse_args()


def once(options: argparse.Namespace, name: str, method: str, epsilon: float, seed: int) -> None:
    """A run, unless its result is stored."""
    if any(same(run, name, method, epsilon, seed) for run in stored(options.results)):
        return
    if method == "gan":
        keep(options, name, method, epsilon, seed)
        return
    found = {"table": name, "method": method, "epsilon": epsilon, "seed": seed}
    found |= peer(options, table_of(name, options.data), method, epsilon, seed)
    options.results.parent.mkdir(parents=True, exist_ok=True)
    with options.results.open("a") as file:
        file.write(json.dumps(found) + "\n")
    print(found, file=sys.stderr, flush=True)


def peer(
    options: argparse.Namespace, table: Table, method: str, epsilon: float, seed: int
) -> dict[str, float | str | None]:
    """One fit and sample of another library's generator, scored; or why there are no rows."""
    task = Task(
        library=LIBRARY,
        method=method,
        epsilon=epsilon,
        delta=DELTA,
        seed=seed,
        domain=dict(table.domain),
        ordered=list(table.ordered),
        target=table.target,
        rows_wanted=len(table.train),
        cpu_limit=options.cpu_limit,
        memory_mb=options.memory_mb,
        repeats=1,
    )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        np.save(folder / "rows.npy", table.train)
        task.write(folder / "task.json")
        python = interpreter(LIBRARY, options.environments)
        done = subprocess.run(
            [str(python), str(HERE / "peers" / "child.py"), str(folder)],
            env={**os.environ, **QUIET, **GANS[LIBRARY].environment},
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            lines = done.stderr.strip().splitlines() or ["no word"]
            return {"failed": "CPU limit" if done.returncode == -24 else lines[-1][:160]}
        figures = json.loads((folder / "figures.json").read_text())
        found = score(table, np.load(folder / "synthetic.npy"))
    return {
        "one": found.one_way,
        "two": found.two_way,
        "three": found.three_way,
        "auc": found.auc,
        "fit_s": figures["fits"][0]["cpu_s"],
        "sample_s": figures["sample_cpu_s"],
        "mb": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024,
    }


if __name__ == "__main__":
    main()
