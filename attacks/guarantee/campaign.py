"""Many fits in parallel, with a journal: the trials behind `many_fits`, resumable, stopped at looks that were fixed before.

The coins of all trials follow from one seed, written into the journal before the first fit, and trials are recorded in
order: an interrupted campaign goes on with the very coins that it would have had. The journal holds scores of made-up
tables, nothing private.
"""

from __future__ import annotations

import json
import multiprocessing
import os
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from attacks.guarantee.many_fits import Bound, Looks, bound, gaussian_epsilon
from attacks.guarantee.sigma import finite
from dpsynth.errors import UsageError

Trial = Callable[[bool], Mapping[str, float]]
"""Fit on the table with (True) or without the unit: named scores of what was released. Its noise must be its own."""
Progress = Callable[[str, float], None]

FORMAT = 1
BATCH = 16
"""Trials for each worker at a time."""


@dataclass(frozen=True)
class Claim:
    """What the generator promises for one unit added or removed; `mu` where it also promises Gaussian privacy."""

    epsilon: float
    delta: float
    mu: float | None = None

    def is_refuted(self, found: Bound) -> bool:
        return found.epsilon > self.epsilon or (self.mu is not None and found.mu > self.mu)

    def as_json(self) -> dict[str, float | None]:
        return {"epsilon": self.epsilon, "delta": self.delta, "mu": self.mu}


@dataclass(frozen=True)
class Campaign:
    """What many fits prove. `found`: the largest bounds of all looks, valid together. `violated`: above the claim."""

    about: str
    claim: Claim
    found: Bound
    trials: int
    planned: int
    violated: bool

    @property
    def gaussian_epsilon(self) -> float:
        """The Gaussian-DP estimate at the claim's delta."""
        return gaussian_epsilon(self.found, self.claim.delta)

    def as_json(self) -> dict[str, Any]:
        return {
            "about": self.about,
            "claim": self.claim.as_json(),
            "violated": self.violated,
            "fits": self.trials,
            "fits_planned": self.planned,
            **self.found.as_json(),
            "epsilon_lower_if_gaussian": finite(self.gaussian_epsilon),
        }

    def __str__(self) -> str:
        verdict = "VIOLATION" if self.violated else "no violation found"
        return (
            f"{self.about}: {verdict} in {self.trials} fits; epsilon at least {self.found.epsilon:.3f} "
            f"({self.gaussian_epsilon:.3f} if Gaussian, mu {self.found.mu:.3f}), claimed {self.claim.epsilon:g}; "
            f"strongest score: {self.found.score} ({self.found.way}), confidence {self.found.confidence:g}"
        )


def run_campaign(
    about: str,
    trial: Trial,
    claim: Claim,
    looks: Looks,
    *,
    workers: int = 1,
    journal: Path | None = None,
    seed: int | None = None,
    progress: Progress | None = None,
    stop_early: bool = True,
    known: tuple[str, float] | None = None,
) -> Campaign:
    """Run trials until a look refutes the claim or the last look is over.

    `workers`: processes (forked, so that `trial` may be any callable). `journal`: a file to which every trial is added; one
    that exists is continued. `seed` of the coins, for tests. Errors: what `trial` raises; UsageError for the journal of
    another campaign. `known`: as in `many_fits.bound`.
    """
    record = _Record.of(journal, about, claim, looks, seed)
    sides = np.random.default_rng(record.seed).random(looks.at[-1]) < 0.5
    best = Bound(0.0, 0.0, 0, looks.confidence, "none", "none")
    with _pool(trial, workers) as ask:
        for look, until in enumerate(looks.at):
            while len(record.scores) < until:
                start = len(record.scores)
                wanted = sides[start : min(until, start + workers * BATCH)]
                record.add(ask([bool(side) for side in wanted]))
                if progress is not None:
                    progress(f"fits: {about}", len(record.scores) / looks.at[-1])
            found = record.bound(sides[:until], claim.delta, looks.confidence_of(look), known)
            best = _better(best, found, looks)
            if stop_early and claim.is_refuted(best):
                break
    return Campaign(about, claim, best, best.trials, looks.at[-1], claim.is_refuted(best))


def _better(best: Bound, found: Bound, looks: Looks) -> Bound:
    """The larger of each bound; all looks hold together at the confidence of the whole."""
    told = found if found.epsilon > best.epsilon or best.epsilon == 0 else best
    epsilon, mu = max(best.epsilon, found.epsilon), max(best.mu, found.mu)
    return Bound(epsilon, mu, found.trials, looks.confidence, told.score, told.way)


class _Record:
    """Trials so far, in memory and in the journal."""

    def __init__(self, path: Path | None, seed: int, scores: list[Mapping[str, float]]) -> None:
        self.path, self.seed, self.scores = path, seed, scores

    @classmethod
    def of(cls, path: Path | None, about: str, claim: Claim, looks: Looks, seed: int | None) -> _Record:
        own = int.from_bytes(os.urandom(8)) if seed is None else seed
        header = {
            "format": FORMAT,
            "about": about,
            "claim": claim.as_json(),
            "looks": list(looks.at),
            "confidence": looks.confidence,
        }
        if path is None:
            return cls(None, own, [])
        if not path.exists():
            path.write_text(json.dumps({**header, "seed": own}) + "\n", encoding="utf-8")
            return cls(path, own, [])
        return cls._resumed(path, header)

    @classmethod
    def _resumed(cls, path: Path, header: Mapping[str, Any]) -> _Record:
        """A torn last line is what an interruption leaves: it is cut off."""
        text = path.read_text(encoding="utf-8")
        whole = text[: text.rfind("\n") + 1]
        lines = whole.splitlines()
        try:
            first = json.loads(lines[0])
            own = int(first.pop("seed"))
            scores = [json.loads(line) for line in lines[1:]]
        except (IndexError, KeyError, ValueError, AttributeError):
            first, own, scores = None, 0, []
        if first != header:
            raise UsageError(
                "U270",
                f"{path} is the journal of another campaign",
                "name a new file, or ask for the same campaign",
            )
        if whole != text:
            path.write_text(whole, encoding="utf-8")
        return cls(path, own, [{name: _number(value) for name, value in line.items()} for line in scores])

    def add(self, found: list[Mapping[str, float]]) -> None:
        self.scores += found
        if self.path is not None:
            lines = [json.dumps({name: finite(value) for name, value in each.items()}) for each in found]
            with self.path.open("a", encoding="utf-8") as out:
                out.write("".join(line + "\n" for line in lines))
                out.flush()
                os.fsync(out.fileno())

    def bound(
        self,
        sides: NDArray[np.bool_],
        delta: float,
        confidence: float,
        known: tuple[str, float] | None,
    ) -> Bound:
        names = sorted({name for each in self.scores[: len(sides)] for name in each})
        table = [[each.get(name, np.nan) for name in names] for each in self.scores[: len(sides)]]
        return bound(np.array(table, dtype=np.float64), sides, names, delta, confidence, known)


def _number(value: float | None) -> float:
    return float("nan") if value is None else float(value)


_trial: list[Trial] = []


def _begin(trial: Trial) -> None:
    _trial[:] = [trial]


def _one(with_unit: bool) -> Mapping[str, float]:
    return dict(_trial[0](with_unit))


class _pool:
    """Asks for trials: in this process, or in forked ones, which each have noise of their own."""

    def __init__(self, trial: Trial, workers: int) -> None:
        self._trial, self._workers = trial, workers
        self._executor: ProcessPoolExecutor | None = None

    def __enter__(self) -> Callable[[list[bool]], list[Mapping[str, float]]]:
        if self._workers <= 1:
            return lambda sides: [dict(self._trial(side)) for side in sides]
        fork = multiprocessing.get_context("fork")
        self._executor = ProcessPoolExecutor(self._workers, fork, _begin, (self._trial,))
        return self._asked

    def _asked(self, sides: list[bool]) -> list[Mapping[str, float]]:
        assert self._executor is not None
        return list(self._executor.map(_one, sides, chunksize=max(1, BATCH // 2)))

    def __exit__(self, *error: object) -> None:
        if self._executor is not None:
            self._executor.shutdown(cancel_futures=True)
