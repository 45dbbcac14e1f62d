"""Audits of the guarantee, measured: how near many fits come to the claim, and whether honest code is ever accused.

    python -m benchmarks.guarantee fits [--fits 10000] [--epsilon 4] [--workers 1]   # Gaussian-DP estimate of a small MST
    python -m benchmarks.guarantee quiet [--times 100]      # all quick audits, again and again: accusations, CPU seconds
    python -m benchmarks.guarantee one-run                  # canaries in one run: noisy counts and noisy gradients
    python -m benchmarks.guarantee record --fits 600        # what the public checklist may quote of this version

Nothing here reads anybody's data: all tables are made up.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np

from attacks.guarantee.campaign import run_campaign
from attacks.guarantee.canaries import count_middle, count_scores, one_run_bounds
from attacks.guarantee.gaussian import epsilon_of
from attacks.guarantee.many_fits import Looks
from dpsynth.budget import Budget
from dpsynth.guarantee.findings import VIOLATION
from dpsynth.guarantee.fits import KNOWN, OwnTrial
from dpsynth.guarantee.gradients import one_run_of_gradients
from dpsynth.guarantee.quick import quick_audits
from dpsynth.guarantee.record import RECORD, record_of
from dpsynth.mechanisms import METHODS


def fits(options: argparse.Namespace) -> None:
    """Largest mu and epsilon that the fits prove, beside the claim."""
    start = time.process_time()
    trial = OwnTrial("mst", Budget(options.epsilon, 1e-5))
    looks = Looks((options.fits,), 0.95)
    found = run_campaign(
        "mst", trial, trial.claim, looks, workers=options.workers, journal=options.journal, known=KNOWN
    )
    own = time.process_time() - start
    ratio = found.gaussian_epsilon / options.epsilon
    print(found)
    print(
        json.dumps({**found.as_json(), "of_the_claim": ratio, "cpu_seconds_without_workers": round(own, 1)})
    )


def quiet(options: argparse.Namespace) -> None:
    """Accusations of honest code, all quick audits of all methods."""
    accused, start = 0, time.process_time()
    for _ in range(options.times):
        for finding in quick_audits(list(METHODS), Budget(1.0, 1e-6), light=True):
            if finding.why():
                accused += 1
                print(finding)
    seconds = (time.process_time() - start) / options.times
    print(json.dumps({"times": options.times, "accusations": accused, "cpu_seconds_each": round(seconds, 1)}))


def one_run(options: argparse.Namespace) -> None:
    """Bounds from one output, beside the truth."""
    rng = np.random.default_rng(options.seed)
    for m in (1000, 10_000):
        for mu in (0.5, 1.0, 2.0):
            sides = rng.random(m) < 0.5
            sigmas = [2**0.5 / mu, 2**0.5 / mu]
            counts = [np.rint(sides * 1000 + rng.normal(0, 1000 * s, m)) for s in sigmas]
            scores = count_scores([c / 1000 for c in counts], sigmas)
            found = one_run_bounds(scores, sides, 1e-5, 0.95, middle=count_middle(sigmas))
            print(
                json.dumps(
                    {"canaries": m, "mu": mu, "epsilon": round(epsilon_of(mu, 1e-5), 3), **found.as_json()}
                )
            )
    found, claim = one_run_of_gradients()
    print(json.dumps({"gradients": True, "epsilon_charged": round(claim, 3), **found.as_json()}))


def record(options: argparse.Namespace) -> None:
    """Write the record of this version: lower bounds of every method on the built-in tables."""
    found: dict[str, Any] = record_of(Budget(options.epsilon, 1e-5), options.fits)
    bad = [name for name, audit in found["methods"].items() if audit["verdict"] == VIOLATION]
    if bad or any(audit.get("many_fits", {}).get("violated") for audit in found["methods"].values()):
        raise SystemExit(f"a violation was found ({', '.join(bad)}): mend it first")
    RECORD.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    print(RECORD)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("what", choices=["fits", "quiet", "one-run", "record"])
    parser.add_argument("--fits", type=int, default=10_000)
    parser.add_argument("--epsilon", type=float, default=4.0)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--journal", type=Path, default=None)
    parser.add_argument("--times", type=int, default=100)
    parser.add_argument("--seed", type=int, default=None)
    options = parser.parse_args()
    {"fits": fits, "quiet": quiet, "one-run": one_run, "record": record}[options.what](options)


if __name__ == "__main__":
    main()
