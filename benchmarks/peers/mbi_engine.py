"""Runs inside mbi's own environment: the problems of ../engine.py on mbi, figures as JSON on stdout."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import jax
import mbi
import numpy as np
from mbi import estimation, marginal_oracles

jax.config.update("jax_enable_compilation_cache", False)
SHORT, DEFAULT = 50, 1000


def main(folder: Path) -> None:
    results = {path.stem: run(path) for path in sorted(folder.glob("*.json"))}
    print(json.dumps(results))


def run(path: Path) -> dict[str, object]:
    facts = json.loads(path.read_text())
    arrays = np.load(path.with_suffix(".npz"))
    domain = mbi.Domain(tuple(facts["attributes"]), tuple(facts["sizes"]))
    measurements = [
        mbi.LinearMeasurement(
            arrays[f"measurement_{i}"].ravel().astype(float), tuple(m["clique"]), m["sigma"]
        )
        for i, m in enumerate(facts["measurements"])
    ]
    found = compare_inference(facts, arrays, domain)
    estimator = estimation.MirrorDescent()
    found["cold_cpu_s"], _ = timed(lambda: estimator.estimate(domain, measurements, iters=SHORT))
    warm, _ = timed(lambda: estimator.estimate(domain, measurements, iters=SHORT))
    found["warm_cpu_ms_per_iteration"] = 1e3 * warm / SHORT
    found["default_cpu_s"], model = timed(lambda: estimator.estimate(domain, measurements, iters=DEFAULT))
    for i, m in enumerate(facts["measurements"]):
        marginal = np.asarray(model.project(tuple(m["clique"])).values, dtype=np.float64)
        np.save(path.parent / f"{path.stem}_mbi_{i}.npy", marginal / marginal.sum())
    return found


def compare_inference(facts: dict, arrays, domain) -> dict[str, object]:
    """Largest difference of any marginal at given potentials (float32 arithmetic on their side)."""
    cliques = [tuple(c) for c in facts["cliques"]]
    factors = {
        c: mbi.Factor(domain.project(c), jax.numpy.asarray(arrays[f"potential_{i}"]))
        for i, c in enumerate(cliques)
    }
    potentials = mbi.CliqueVector(domain, cliques, factors)
    oracle = marginal_oracles.default_oracle(cliques=cliques, domain=domain)
    marginals = oracle(potentials, 1.0)
    gaps = [
        float(np.abs(np.asarray(marginals.project(c).values) - arrays[f"marginal_{i}"]).max())
        for i, c in enumerate(cliques)
    ]
    return {"largest_difference_of_a_marginal": max(gaps)}


def timed(call):
    start = time.process_time()
    result = call()
    jax.block_until_ready(jax.tree.leaves(getattr(result, "marginals", None)))
    return time.process_time() - start, result


if __name__ == "__main__":
    main(Path(sys.argv[1]))
