"""What the accountants certify, beside closed forms, brute force and dp-accounting; every bound of the goal is checked.

    OMP_NUM_THREADS=1 python benchmarks/accounting.py

Each line: the figure, the bound it must keep, `ok` or `MISSED`. Exit status 1 when one is missed. The peer is
dp-accounting's own PLD (its default grid of 1e-4) in the same session; seconds are CPU-seconds.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from dp_accounting.pld import privacy_loss_distribution as peer
from scipy import special

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "privacy"))

from loss_oracle import delta, noise_law, partitions, repeated

from dpsynth.budget import Budget, Cost
from dpsynth.privacy import events as ev
from dpsynth.privacy import sensitivity
from dpsynth.privacy.accounting import (
    ACCOUNTANTS,
    calibrate,
    certify,
    dominating_gaussian,
    gaussian_epsilon,
    gdp_mu,
)
from dpsynth.privacy.events import Event
from dpsynth.privacy.gaussian import discrete_gaussian_mu
from dpsynth.privacy.small_noise import small_noise_atoms
from dpsynth.privacy.zcdp import Unpriceable, event_rho, largest_rho, zcdp_epsilon

DELTA = 1e-5
D0 = 0.1 * DELTA
"""What a dominating Gaussian may leave out: a tenth of the promised delta."""
RARE = 0.002
"""Below this rate a few steps are too unlike a Gaussian for any Gaussian to dominate them closely: no bound."""
missed: list[str] = []


def say(what: str, figure: float, bound: float, note: str = "") -> None:
    ok = figure <= bound
    print(f"  {what:58s} {figure:10.5f} <= {bound:<8g} {'ok' if ok else 'MISSED'}  {note}")
    if not ok:
        missed.append(what)


def timed(work: Callable[[], float]) -> tuple[float, float]:
    start = time.process_time()
    value = work()
    return value, time.process_time() - start


def gaussians() -> None:
    print("Gaussian composition: certificate / exact Gaussian curve, sigma >= 10")
    worst = 1.0
    for sigma in (10.0, 30.0, 300.0):
        for count in (1, 14, 200):
            for at in (1e-3, 1e-5, 1e-9, 1e-12):
                exact = gaussian_epsilon(math.sqrt(count) / sigma, at)
                worst = max(worst, certify([ev.DiscreteGaussian(sigma, 1, count)], at).epsilon / exact)
    say("largest ratio", worst, 1.001)
    print("Discrete Gaussian by brute force: exact delta at the certified epsilon / stated delta")
    for k, counts in ((1, (1, 4, 12)), (3, (1, 3))):
        worst = 0.0
        for sigma in (0.5, 0.6, 0.8, 0.999, 1.0, 1.2, 1.7, 2.0, 2.5, 4.0, 7.0, 10.0):
            for count in counts:
                law = repeated(noise_law(sigma, k), count)
                for at in (1e-3, 1e-6, 1e-9, 1e-12):
                    for epsilon in each([ev.DiscreteGaussian(sigma, k, count)], at):
                        worst = max(worst, delta(law, epsilon) / at)
        say(f"largest, every accountant alone, k = {k}", worst, 1.0)


def each(events: Sequence[Event], at: float) -> list[float]:
    found = []
    for accountant in ACCOUNTANTS.values():
        try:
            found.append(accountant.epsilon(events, at))
        except Unpriceable:
            continue
    return found


def spacings() -> None:
    print("Discrete Gaussian: largest quantile spacing / mu, 1500 scales from 1 to 1000")
    worst = 0.0
    for sigma in np.geomspace(1, 1000, 1500):
        x = np.arange(0, int(42 * sigma) + 3)
        weights = np.exp(-((x / sigma) ** 2) / 2)
        above = np.cumsum(weights[::-1])[::-1] / (2 * weights.sum() - 1)
        z = -special.ndtri(above[1:][above[1:] > 1e-280])
        worst = max(worst, float(max(2 * z[0], np.diff(z).max())) / discrete_gaussian_mu(float(sigma), 1))
    say("largest ratio", worst, 1.0)
    print(
        "Small noise: is one cell the worst place for all k rows? largest (other spread - one cell) in delta"
    )
    worst = -1.0
    for sigma in (0.4, 0.6, 0.8, 1.0, 1.5, 1.9):
        for k in range(2, 8):
            atoms = small_noise_atoms(sigma, k)
            law = noise_law(sigma, k)
            grid = atoms.losses[(atoms.losses > 0) & (atoms.losses < law[0].max())]
            one = np.array([delta(law, float(e)) for e in grid])
            worst = max(worst, float((atoms.deltas(grid) - one).max()))
    say(
        "envelope over all partitions - one cell",
        worst,
        1e-9,
        f"({sum(1 for _ in partitions(7))} partitions of 7)",
    )


def dp_sgd() -> None:
    print("DP-SGD: certificate / dp-accounting at a fine grid, delta 1e-5; dominating Gaussian / certificate")
    for rate, sigma, steps, fine in (
        (0.05, 2.5, 2000, 1e-4),
        (0.01, 1.0, 1000, 2e-4),
        (0.2, 6.0, 500, 2e-4),
        (0.001, 0.8, 2000, 2e-4),
    ):
        event = ev.DpSgd(rate, sigma, steps)
        ours, seconds = timed(lambda event=event: certify([event], DELTA).epsilon)
        mechanism = peer.from_gaussian_mechanism(
            sigma, sampling_prob=rate, value_discretization_interval=fine
        )
        theirs, peers = timed(
            lambda m=mechanism, steps=steps: m.self_compose(steps).get_epsilon_for_delta(DELTA)
        )
        name = f"rate {rate:g}, sigma {sigma:g}, {steps} steps"
        say(name, abs(ours / theirs - 1), 0.01, f"epsilon {ours:.4f}, {seconds:.2f} s (peer {peers:.2f} s)")
        run = gaussian_epsilon(dominating_gaussian([event], D0), DELTA - D0)
        say(f"{name}: dominating", run / ours, 1.05 if rate > RARE else math.inf)


def joint() -> None:
    print("Marginals + DP-SGD + Laplace (rate .05, 2000 steps, Laplace .1): joint / separate budgets summed")
    for mu, sigma, separate in ((0.2, 6.0, 2.381), (0.6, 2.5, 6.891), (1.5, 1.1, 21.59)):
        events: list[Event] = [ev.GdpGrant(mu), ev.DpSgd(0.05, sigma, 2000), ev.DiscreteLaplace(10.0, 1)]
        epsilon, seconds = timed(lambda events=events: certify(events, DELTA).epsilon)
        say(f"mu {mu}, sigma {sigma}", epsilon / separate, 0.77, f"epsilon {epsilon:.4f}, {seconds:.2f} s")
        run = gaussian_epsilon(dominating_gaussian(events, D0), DELTA - D0)
        say(f"mu {mu}, sigma {sigma}: dominating Gaussian / joint", run / epsilon, 1.05)


def mst(cost: Cost, choices: float = 1 / 3) -> list[Event]:
    rest = cost.share((1 - choices) / 2)
    return [
        sensitivity.measure_event(rest, 1, [1 + i / 10 for i in range(14)]),
        *[sensitivity.select_event(cost.share(choices / 13))] * 13,
        sensitivity.measure_event(rest, 1, [1 + i / 10 for i in range(13)]),
    ]


def aim_mu(rho: float, rounds: int) -> float:
    """14 one-ways for a tenth, then rounds of (choose a tenth, measure the rest), each priced by a Gaussian filter."""
    share = Cost(0.9 * rho / rounds)
    one = ev.Composed(
        (sensitivity.select_event(share.share(0.1)), sensitivity.measure_event(share.share(0.9), 1, [1.0]))
    )
    return gdp_mu([sensitivity.measure_event(Cost(0.1 * rho), 1, [1.0] * 14), *[one] * rounds])


def mechanisms() -> None:
    for at in (1e-5, 1e-9):
        rho = largest_rho(1.0, at)
        print(f"Mechanisms that plain zCDP prices at epsilon 1, delta {at:g}: certificate")
        for choices in (0.1, 1 / 3):
            events = mst(Cost(rho), choices)
            plain = zcdp_epsilon(math.fsum(event_rho(event) for event in events), at)
            say(f"MST, {choices:.2f} of rho for choices", certify(events, at).epsilon / plain, 1.0)
        for rounds in (14, 28, 100):
            say(
                f"AIM, Gaussian grant, {rounds} rounds",
                gaussian_epsilon(aim_mu(rho, rounds), at) / zcdp_epsilon(rho, at),
                0.95 if at == DELTA else 1.0,
            )


def calibration() -> None:
    print("Calibration of the MST plan: promise used, CPU-seconds")
    for epsilon, at in (
        (0.01, 1e-12),
        (0.01, 1e-3),
        (0.1, 1e-9),
        (1.0, 1e-5),
        (1.0, 1e-9),
        (10.0, 1e-9),
        (100.0, 1e-3),
    ):
        promise = Budget(epsilon, at)
        cost, seconds = timed(lambda promise=promise: calibrate(mst, promise).rho)
        used = certify(mst(Cost(cost)), at).epsilon / epsilon
        say(f"epsilon {epsilon:g}, delta {at:g}: seconds", seconds, 1.0, f"used {used:.5f}, rho {cost:.4g}")
        if not 0.98 <= used <= 1:
            missed.append(f"calibration at {epsilon}, {at}")


def main() -> int:
    certify([ev.DpSgd(0.1, 1.0, 2)], 1e-5)  # imports
    for part in (gaussians, spacings, dp_sgd, joint, mechanisms, calibration):
        part()
    print(f"{len(missed)} missed" if missed else "all kept")
    return bool(missed)


if __name__ == "__main__":
    sys.exit(main())
