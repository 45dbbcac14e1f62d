"""The graphical-model engine: CPU time of belief propagation, of whole fits and of sampling; also beside mbi.

    python benchmarks/engine.py                    # ours alone, about 20 s
    python benchmarks/engine.py --peer             # makes an environment for mbi in a temporary folder first
    python benchmarks/engine.py --only tree 0.7M   # some of the problems

The domain has the sizes of the 14-column Adult table; the truth is made up, so nothing is downloaded.
"""

from __future__ import annotations

import argparse
import itertools
import json
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dpsynth.counting import count_each
from dpsynth.domain import Clique, Domain
from dpsynth.measurement import Measurement
from dpsynth.pgm import GraphicalModel, fit_with_report
from dpsynth.pgm.contraction import Inference
from dpsynth.pgm.elimination import elimination_order
from dpsynth.pgm.graphical import plan_for
from dpsynth.pgm.problem import maximal_cliques

DOMAIN = Domain(tuple("abcdefghijklmn"), (85, 9, 100, 16, 7, 15, 6, 5, 2, 100, 100, 99, 42, 2))
RECORDS, SIGMA = 39_074, 25.0
PEER = "mbi==2.0.0"
ROWS = 4 << 20
"""Rows drawn to measure sampling."""


@dataclass(frozen=True)
class Problem:
    name: str
    cliques: list[Clique]
    measurements: list[Measurement]
    truth: list[np.ndarray]

    @property
    def dense_cells(self) -> int:
        return junction_tree_cells(self.cliques)


PROBLEMS: dict[str, Callable[[], list[Clique]]] = {
    "tree": lambda: tree_pairs(),
    "0.7M": lambda: grown(39, 7e5, 1),
    "7M": lambda: grown(69, 7.2e6, 2),
}


def tree_pairs() -> list[Clique]:
    """A spanning tree of 13 edges, about 20k cells."""
    edges = ["ae", "al", "bf", "df", "eg", "en", "fl", "gi", "hl", "jn", "kn", "cn", "fm"]
    return [tuple(edge) for edge in edges]


def grown(count: int, limit: float, seed: int) -> list[Clique]:
    """Random pairs and triples whose junction tree stays below `limit` cells."""
    rng = np.random.default_rng(seed)
    names = DOMAIN.attributes
    every = [c for k in (2, 3) for c in itertools.combinations(names, k) if DOMAIN.size(c) <= 20_000]
    found: list[Clique] = tree_pairs()
    for index in rng.permutation(len(every)):
        candidate = maximal_cliques(DOMAIN, [*found, every[index]])
        if junction_tree_cells(candidate) <= limit:
            found = candidate
        if len(found) >= count:
            break
    return found


def junction_tree_cells(cliques: list[Clique]) -> int:
    """Cells of the dense junction tree that our elimination order gives."""
    scopes = [tuple(DOMAIN.index(a) for a in c) for c in maximal_cliques(DOMAIN, cliques)]
    live, met = [set(s) for s in scopes], []
    for v in elimination_order(DOMAIN.sizes, scopes, ()):
        joined = set().union({v}, *(s for s in live if v in s))
        live = [s for s in live if v not in s] + [joined - {v}]
        met.append(joined)
    kept = [m for i, m in enumerate(met) if not any(m < o or (m == o and j < i) for j, o in enumerate(met))]
    return sum(DOMAIN.size(tuple(DOMAIN.attributes[v] for v in m)) for m in kept)


def measured(name: str, cliques: list[Clique]) -> Problem:
    """Noisy one-ways and cliques of a made-up truth of the same structure, skewed as real tables are."""
    rng = np.random.default_rng(7)
    tables = {c: rng.normal(0, 0.5, DOMAIN.shape(c)) for c in cliques}
    skew = {(a,): -np.sort(rng.exponential(2.0, DOMAIN[a])) for a in DOMAIN.attributes}
    model = GraphicalModel(DOMAIN, RECORDS, {**tables, **skew})
    asked = [*((a,) for a in DOMAIN.attributes), *cliques]
    truth = [model.marginal(c) for c in asked]
    noisy = [np.rint(t + rng.normal(0, SIGMA, t.shape)).astype(np.int64) for t in truth]
    found = [Measurement(c, v, SIGMA) for c, v in zip(asked, noisy, strict=True)]
    return Problem(name, cliques, found, [t / RECORDS for t in truth])


def cpu(call: Callable[[], Any]) -> float:
    start = time.process_time()
    call()
    return time.process_time() - start


def best_ms(call: Callable[[], Any], repeats: int = 7) -> float:
    call()
    once = min(cpu(call) for _ in range(3))
    number = max(1, int(0.05 / max(once, 1e-5)))
    return 1e3 * min(cpu(lambda: [call() for _ in range(number)]) / number for _ in range(repeats))


def pass_ms(cells: int) -> float:
    """CPU time to read that many cells of 8 bytes and write them elsewhere."""
    one, two = np.ones(cells), np.ones(cells)
    return best_ms(lambda: np.copyto(two, one))


def ours(problem: Problem) -> dict[str, Any]:
    cliques = maximal_cliques(DOMAIN, problem.cliques)
    inference = Inference(plan_for(DOMAIN, cliques))
    potentials = np.random.default_rng(8).normal(0, 1, inference.flat.cells)
    start = time.process_time()
    model, report = fit_with_report(DOMAIN, problem.measurements)
    cold = time.process_time() - start
    error = distances(problem, [model.marginal(m.clique) / model.total for m in problem.measurements])
    rng = np.random.default_rng(9)
    model.approximate([DOMAIN.attributes[:2]])  # compiled code is loaded
    sampling = min(cpu(lambda: [None for _ in model.sample_batches(ROWS, rng)]) for _ in range(3))
    propagation = best_ms(lambda: inference.run(potentials))
    _ = model.log_z
    queries = [c for k in (2, 3) for c in itertools.combinations(DOMAIN.attributes, k)]
    return {
        "dense_cells": problem.dense_cells,
        "contraction_cells": inference.plan.cells,
        "belief_propagation_cpu_ms": propagation,
        "passes_over_the_dense_cells": propagation / pass_ms(problem.dense_cells),
        "fit_cpu_s": cold,
        "evaluations": report.evaluations,
        "fit_cpu_ms_per_evaluation": 1e3 * cold / report.evaluations,
        "error_against_truth": error,
        "sampling_rows_per_cpu_s": ROWS / sampling,
        "all_pairs_and_triples_approximate_cpu_s": cpu(lambda: model.approximate(queries)),
    }


def distances(problem: Problem, shares: list[np.ndarray]) -> float:
    """Mean total variation over all measured cliques."""
    pairs = zip(problem.truth, shares, strict=True)
    return float(np.mean([0.5 * np.abs(one - two.reshape(one.shape)).sum() for one, two in pairs]))


def write(problem: Problem, folder: Path) -> None:
    """The problem as files for the peer, with potentials and our marginals at them for comparison."""
    cliques = maximal_cliques(DOMAIN, problem.cliques)
    rng = np.random.default_rng(10)
    model = GraphicalModel(DOMAIN, 1.0, {c: rng.normal(0, 1, DOMAIN.shape(c)) for c in cliques})
    arrays = {f"potential_{i}": table for i, table in enumerate(model.potentials.values())}
    arrays |= {f"marginal_{i}": model.marginal(c) for i, c in enumerate(cliques)}
    arrays |= {f"measurement_{i}": m.values for i, m in enumerate(problem.measurements)}
    facts = {
        "attributes": DOMAIN.attributes,
        "sizes": DOMAIN.sizes,
        "cliques": cliques,
        "measurements": [{"clique": m.clique, "sigma": m.sigma} for m in problem.measurements],
    }
    (folder / f"{problem.name}.json").write_text(json.dumps(facts))
    np.savez(folder / f"{problem.name}.npz", **arrays)


def peer(found: list[Problem], python: Path | None) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if python is None:
            venv.create(folder / "env", with_pip=True)
            python = folder / "env" / "bin" / "python"
            subprocess.run([python, "-m", "pip", "install", "-q", PEER], check=True)
        (folder / "problems").mkdir()
        for problem in found:
            write(problem, folder / "problems")
        script = Path(__file__).with_name("peers") / "mbi_engine.py"
        done = subprocess.run(
            [python, script, folder / "problems"], check=True, stdout=subprocess.PIPE, text=True
        )
        results: dict[str, Any] = json.loads(done.stdout)
        for problem in found:
            files = [folder / "problems" / f"{problem.name}_mbi_{i}.npy" for i in range(len(problem.truth))]
            results[problem.name]["error_against_truth"] = distances(problem, [np.load(f) for f in files])
    return results


def show(name: str, figures: dict[str, Any]) -> None:
    print(f"\n{name}")
    for key, value in figures.items():
        print(f"  {key:36} {value:,.4g}" if isinstance(value, float) else f"  {key:36} {value:,}")


def counted() -> dict[str, Any]:
    """All pairs of a table of `ROWS` rows in memory; bytes looked at: two codes a row and pair."""
    rng = np.random.default_rng(11)
    tables = {c: rng.normal(0, 1.0, DOMAIN.shape(c)) for c in tree_pairs()}
    records = GraphicalModel(DOMAIN, 1.0, tables).sample(ROWS, rng)
    pairs = list(itertools.combinations(DOMAIN.attributes, 2))
    first = cpu(lambda: count_each(records, pairs))
    source, target = np.ones(1 << 28, np.uint8), np.empty(1 << 28, np.uint8)
    np.copyto(target, source)
    # one after the other, so that both see the machine at the same times
    each = [
        (cpu(lambda: count_each(records, pairs)), cpu(lambda: np.copyto(target, source))) for _ in range(9)
    ]
    spent, copying = (min(times) for times in zip(*each, strict=True))
    copied = len(source) / copying
    looked_at = 2 * ROWS * len(pairs) / spent
    return {
        "rows": ROWS,
        "pairs": len(pairs),
        "first_time_cpu_s": first,
        "all_pairs_cpu_s": spent,
        "ns_a_row_and_pair": 1e9 * spent / ROWS / len(pairs),
        "gigabytes_a_cpu_s": looked_at / 1e9,
        "of_copy_bandwidth": looked_at / copied,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peer", action="store_true", help=f"compare with {PEER}")
    parser.add_argument("--peer-python", type=Path, help="an environment that has it already")
    parser.add_argument("--only", nargs="+", choices=PROBLEMS, default=list(PROBLEMS))
    parser.add_argument("--counting", action="store_true", help="counting alone")
    options = parser.parse_args()
    show("counting in memory", counted())
    if options.counting:
        return
    found = [measured(name, PROBLEMS[name]()) for name in options.only]
    mine = {problem.name: ours(problem) for problem in found}
    for name, figures in mine.items():
        show(f"dpsynth, {name}", figures)
    if options.peer or options.peer_python:
        theirs = peer(found, options.peer_python)
        for name, figures in theirs.items():
            show(f"mbi, {name}", figures)
            own = mine[name]
            print(f"  first fit: {figures['cold_cpu_s'] / own['fit_cpu_s']:.1f}x our whole fit's CPU time")
            step = own["fit_cpu_ms_per_evaluation"]
            print(f"  warm iteration: {figures['warm_cpu_ms_per_iteration'] / step:.1f}x ours")
            print(f"  error: {figures['error_against_truth'] / own['error_against_truth']:.2f}x ours")


if __name__ == "__main__":
    sys.exit(main())
