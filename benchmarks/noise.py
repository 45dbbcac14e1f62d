"""Draws per CPU-second of the exact noise, beside OpenDP's exact sampler in the same session.

    OMP_NUM_THREADS=1 python benchmarks/noise.py

`M/CPU-s` is for one vector of 2 million; `first` is the time of the first ten draws at a scale, when its
ladder is built, `small` that of ten more. OpenDP is called through its Python interface, on a vector of
20 000. Choice: one of `candidates`, of which the best is as likely as all others together.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable

import numpy as np

from dpsynth.entropy import system
from dpsynth.privacy import noise

SCALES = (0.3, 1.0, 5.0, 31.0, 100.0, 1e4, 1e6, 2.0**40)
DRAWS = 2_000_000


def cpu_seconds(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def peer_rate(law: str, scale: float, draws: int = 20_000) -> float:
    """OpenDP's draws per CPU-second; NaN where it is not installed or refuses the scale."""
    try:
        import opendp.prelude as dp
    except ImportError:
        return math.nan
    dp.enable_features("contrib")
    metric = dp.l2_distance(T="f64") if law == "gaussian" else dp.l1_distance(T="i64")
    measure = getattr(dp.m, f"make_{law}")(dp.vector_domain(dp.atom_domain(T="i64")), metric, scale)
    zeros = [0] * draws
    return draws / cpu_seconds(lambda: measure(zeros))


def noise_table() -> None:
    stream = system()
    print(f"{'law':9}{'scale':>9}{'M/CPU-s':>9}{'OpenDP':>9}{'ratio':>8}{'first ms':>10}{'small us':>10}")
    for law, draw in (("gaussian", noise.discrete_gaussian), ("laplace", noise.discrete_laplace)):
        for scale in SCALES:
            first = cpu_seconds(lambda: draw(scale, 10, stream))  # noqa: B023
            small = cpu_seconds(lambda: [draw(scale, 10, stream) for _ in range(200)]) / 200  # noqa: B023
            rate = DRAWS / cpu_seconds(lambda: draw(scale, DRAWS, stream))  # noqa: B023
            peer = peer_rate(law, scale)
            print(
                f"{law:9}{scale:9.3g}{rate / 1e6:9.2f}{peer / 1e6:9.3f}{rate / peer:8.0f}"
                f"{first * 1e3:10.2f}{small * 1e6:10.0f}"
            )


def choice_table() -> None:
    stream = system()
    print(f"\n{'candidates':>11}{'ms each':>9}")
    for n in (2, 30, 1000, 100_000):
        scores = np.zeros(n, np.int64)
        scores[0] = round(2 * math.log(n) * 1000)
        spent = cpu_seconds(lambda: [noise.choose(scores, 0.001, 1, stream) for _ in range(100)])  # noqa: B023
        print(f"{n:11}{spent * 10:9.3f}")


def main() -> None:
    noise_table()
    choice_table()
    words = cpu_seconds(lambda: sum(system().words(1 << 15).size for _ in range(512)))
    print(f"\nstream: {(1 << 27) / words / 1e9:.1f} GB per CPU-s")


if __name__ == "__main__":
    main()
