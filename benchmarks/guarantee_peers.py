"""Published generators under the same black-box audit, each in its own environment (benchmarks/peers).

    python -m benchmarks.guarantee_peers run [--fits 400] [--only smartnoise/mst ...] [--cpu 150] [--store DIR]
    python -m benchmarks.guarantee_peers report [--store DIR]       # from what is stored; runs nothing

Two public worst-case pairs: a row of a rare combination (`alone`), and a row like most others (`one more`). The domain is
given to the generators, so that nothing depends on how they would find it. A bound above the claim is about neighbours that
differ by adding or removing one row, at the stated confidence, for the version that ran; a package that takes the number of
rows for public protects another relation, and a bound from "default rows" or "rows" alone says no more than that.
A bound below the claim proves nothing: black-box scores are weak.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from attacks.guarantee.gaussian import epsilon_of
from attacks.guarantee.many_fits import bound
from benchmarks.peers.setup import DEFAULT, PEERS, interpreter
from benchmarks.peers.task import Task

STORE = DEFAULT / "guarantee"
EPSILON, DELTA = 1.0, 1e-6
CONFIDENCE = 0.99
DOMAIN = {"kind": 2, "group": 2, "amount": 4}
BASE = [[0, 0, 0]] * 60 + [[1, 0, 0]] + [[0, 1, i % 4] for i in range(10)]
PAIRS = {"one more": [0, 0, 0], "alone": [1, 1, 3]}
SUBJECTS = ("smartnoise_mwem/mwem", "smartnoise/mst", "dpmm/mst")
HERE = Path(__file__).parent / "peers"


def run(options: argparse.Namespace) -> None:
    """As many fits as the CPU limit allows, each pair in turn; interrupted ones go on."""
    for subject in options.only or SUBJECTS:
        library, method = subject.split("/")
        for pair, unit in PAIRS.items():
            folder = options.store / f"{library}-{method}-{pair}".replace(" ", "-")
            folder.mkdir(parents=True, exist_ok=True)
            _prepare(folder, library, method, unit, options)
            home = library.partition("_mwem")[0]
            command = [str(interpreter(home, DEFAULT)), str(HERE / "audit_child.py"), str(folder)]
            done = subprocess.run(
                command,
                cwd=HERE,
                capture_output=True,
                text=True,
                env={**os.environ, "OMP_NUM_THREADS": "1", **PEERS[home].environment},
            )
            (folder / "stderr.txt").write_text(done.stderr[-4000:])
            print(folder.name, done.returncode, len(_lines(folder)), flush=True)


def _prepare(folder: Path, library: str, method: str, unit: list[int], options: argparse.Namespace) -> None:
    task = Task(library, method, EPSILON, DELTA, 0, DOMAIN, ["amount"], None, 200, options.cpu, 4000, 1)
    task.write(folder / "task.json")
    if not (folder / "coins.npy").exists():
        np.save(folder / "without.npy", np.array(BASE))
        np.save(folder / "with.npy", np.array([*BASE, unit]))
        np.save(folder / "coins.npy", np.random.default_rng().integers(0, 2, options.fits))


def _lines(folder: Path) -> list[dict[str, Any]]:
    path = folder / "scores.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def results(store: Path) -> Iterator[dict[str, Any]]:
    """One line for each generator and pair that was run."""
    for folder in sorted(path for path in store.glob("*") if path.is_dir()):
        lines = _lines(folder)
        if len(lines) < 20:
            continue
        task = Task.read(folder / "task.json")
        names = sorted({name for line in lines for name in line} - {"with", "cpu_s"})
        values = np.array([[line.get(name, np.nan) for name in names] for line in lines], dtype=float)
        sides = np.array([bool(line["with"]) for line in lines])
        found = bound(values, sides, names, task.delta, CONFIDENCE)
        yield {
            "generator": json.loads((folder / "version.json").read_text()),
            "method": task.method,
            "pair": folder.name.removeprefix(f"{task.library}-{task.method}-"),
            "claim": {"epsilon": task.epsilon, "delta": task.delta},
            **found.as_json(),
            "epsilon_lower_if_gaussian": round(epsilon_of(found.mu, task.delta), 3),
            "above_the_claim": found.epsilon > task.epsilon,
        }


def report(options: argparse.Namespace) -> None:
    for line in results(options.store):
        print(json.dumps(line))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("what", choices=["run", "report", "forget"])
    parser.add_argument("--fits", type=int, default=400)
    parser.add_argument("--only", nargs="*")
    parser.add_argument("--cpu", type=float, default=150.0)
    parser.add_argument("--store", type=Path, default=STORE)
    options = parser.parse_args()
    if options.what == "forget":
        shutil.rmtree(options.store, ignore_errors=True)
    else:
        {"run": run, "report": report}[options.what](options)


if __name__ == "__main__":
    main()
