"""Discovery of values and bounds: how far a unit moves the numbers of units, how large the noise is, what a lone unit shows.

The answers are lists, not noisy numbers; so the noise is seen through the rates at which values of known numbers of units
are released, and the sensitivity through the numbers that the engine hands over.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy import special

from attacks.stats import clopper_pearson
from dpsynth.domain import Domain
from dpsynth.guarantee.findings import Beside, Fault, Findings
from dpsynth.privacy import intake
from dpsynth.privacy.curator import Curator
from dpsynth.privacy.discovery import BoundSearch, RawColumn, ValueSearch
from dpsynth.privacy.events import PartitionSelection, flatten
from dpsynth.privacy.intake import Intake
from dpsynth.privacy.rehearsal import Noted, exact_door, real_coins, scripted
from dpsynth.records import Records

K = 3
SIGMA, DELTA = 4.0, 1e-7
EDGES = (-10.0, -1.0, 0.0, 1.0, 10.0, 100.0)
SEARCH = ValueSearch("word", SIGMA, K, DELTA, 50)
BOUNDS = BoundSearch("number", SIGMA, K, EDGES)
LONE = "only mine"


def audit_discovery(confidence: float = 1 - 1e-6, draws: int = 800) -> Findings:
    """`Curator.values` and `Curator.bounds` on made-up columns. Below a second."""
    bound, faults = _noise(confidence, draws)
    return Findings("discovery", (bound,), (*_movement(), *_threshold(), *faults))


def _movement() -> list[Fault]:
    """A unit with many rows: at most K numbers move, each by 1."""
    words = [f"w{i}" for i in range(8)]
    new = [*words, LONE, "other", *words]
    alone, joined = _table([], []), _table(new, [float(i) for i in range(len(new))])
    found = []
    before, after = (t.engine.units_with("word") for t in (alone, joined))
    moves = {word: after.get(word, 0) - before.get(word, 0) for word in set(before) | set(after)}
    spans = joined.engine.units_between("number", EDGES) - alone.engine.units_between("number", EDGES)
    for about, numbers in (("values", np.array(list(moves.values()))), ("bounds", spans)):
        if np.abs(numbers).max() > 1 or np.abs(numbers).sum() > K:
            words_of = (
                f"one unit moves {int((numbers != 0).sum())} numbers, by up to {int(np.abs(numbers).max())}"
            )
            found.append(Fault("sensitivity", about, f"{words_of}; at most {K} may move, by 1"))
    return found


def _threshold() -> list[Fault]:
    """The number of units that is released without noise, against the tail of the charged noise and the charged delta."""
    event = _event()
    shown = [n for n in range(1, 200) if "x" in exact_door(_table(_crowd(n), []).engine).values(SEARCH)]
    least = min(shown, default=math.inf)
    tail = math.inf if math.isinf(least) else _tail(event.noise.sigma, int(least) - 1)  # type: ignore[union-attr]
    if K * tail > event.delta * (1 + 1e-9):
        words = f"what a lone unit has is released with probability {K * tail:.2g}, charged {event.delta:g}"
        return [Fault("discovery threshold", "values", words)]
    return []


def _noise(confidence: float, draws: int) -> tuple[Beside, list[Fault]]:
    """The rate at which a value of so many units is released: Phi-like in their number, with the noise's own slope.

    The rates at one sigma below and above the threshold lie apart as the charged noise says, or the noise is another.
    """
    noted = Noted()
    event_sigma, step = SIGMA, round(SIGMA)
    level = 1 - (1 - confidence) / 2
    rates = {}
    for units in (SEARCH.threshold - step, SEARCH.threshold + step):
        door = Curator(_table(_crowd(units), []).engine, noted, real_coins())
        hits = sum("x" in door.values(SEARCH) for _ in range(draws))
        rates[units] = clopper_pearson(hits, draws, level)
    below, above = rates.values()
    charged = _event_of(noted)
    event_sigma = charged.noise.sigma  # type: ignore[union-attr]
    expected = (_tail(event_sigma, step), 1 - _tail(event_sigma, step + 1))
    faults = []
    for rate, wanted in zip((below, above), expected, strict=True):
        if not rate.low <= wanted <= rate.high:
            words = f"released {rate.value:.3f} of the time, the charged noise says {wanted:.3f}"
            faults.append(Fault("discovery noise", "values", words))
    # two numbers of units that lie 2 `step` apart are told apart as well as these two rates allow
    low = max(0.0, float(special.ndtri(above.low) - special.ndtri(below.high))) / (2 * step)
    high = float(special.ndtri(above.high) - special.ndtri(below.low)) / (2 * step)
    facts = {"numbers_that_move": K, "threshold": SEARCH.threshold}
    root = math.sqrt(K)
    claim = root / event_sigma * (1 + 1 / (24 * event_sigma**2))
    return Beside("discovery of values", low * root, high * root, claim, facts), faults


def _event() -> PartitionSelection:
    noted = Noted()
    Curator(_table([], []).engine, noted, scripted()).values(SEARCH)
    return _event_of(noted)


def _event_of(noted: Noted) -> PartitionSelection:
    return next(e for e in flatten(noted.events) if isinstance(e, PartitionSelection))


def _tail(sigma: float, start: int) -> float:
    """P(X >= start) of the discrete Gaussian, by its sum."""
    xs = np.arange(-40 * math.ceil(sigma), 40 * math.ceil(sigma) + 1)
    weights = np.exp(-(xs**2) / (2 * sigma**2))
    return float(weights[xs >= start].sum() / weights.sum())


def _crowd(units: int) -> list[str]:
    """So many units that have the value x; see `_table`."""
    return ["x"] * units


def _table(words: list[str], numbers: list[float]) -> Intake:
    """Eight units with a row each, and more: all rows of one unit, or, without numbers, a unit for each word."""
    base = [f"w{i % 4}" for i in range(8)]
    everything = base + words
    texts = sorted(set(everything))
    index = {text: i for i, text in enumerate(texts)}
    values = np.array([index[word] for word in everything])
    amounts = np.array([0.5] * 8 + (numbers or [0.5] * len(words)))
    units = [b"base%d" % i for i in range(8)]
    units += [b"new"] * len(words) if numbers else [b"crowd%d" % i for i in range(len(words))]
    rows = len(everything)
    known: NDArray[np.bool_] = np.ones(rows, dtype=np.bool_)
    raw = {"word": RawColumn(values, known, texts), "number": RawColumn(amounts, known)}
    records = Records.of(Domain.of(row=max(2, rows)), {"row": np.arange(rows)})
    return intake.take_in(records, units, rows_per_unit=K, holdout=0.0, stream=scripted(), raw=raw)
