"""What the split between members and controls carries: fair coins, and whether the files overlap."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from attacks.stats import clopper_pearson
from attacks.threat import Game, Mask

_SURE = 0.999
_CLEAR = 4.0  # standard errors


def fair_targets(game: Game, rng: np.random.Generator) -> tuple[Mask, float]:
    """Targets whose membership is a fair coin, and how far from fair its log odds may be.

    Each unit of the larger side stays with such a probability, by a draw of its own, that both answers are
    equally likely. With a declared hold-out coin that is exact; else the odds come from the two sizes, and
    the bias returned covers their error (99.9 %, Clopper and Pearson).
    """
    units = len(game.member)
    held_out = game.coin if game.coin is not None else game.controls / units
    odds = held_out / (1.0 - held_out)
    keep = np.where(game.member, min(1.0, odds), min(1.0, 1.0 / odds))
    target = np.asarray(rng.random(units) < keep)
    if game.coin is not None:
        return target, 0.0
    sure = clopper_pearson(game.controls, units, _SURE)
    low, value, high = (float(np.log(p / (1.0 - p))) for p in (sure.low, sure.value, sure.high))
    return target, max(value - low, high - value)


@dataclass(frozen=True)
class Overlap:
    """Share of the held-out units with a row that is also a member's, and what chance alone gives."""

    rate: float
    expected: float
    error: float  # standard error of the difference

    @property
    def excess(self) -> float:
        """How much more than chance, 0 unless clearly more."""
        more = self.rate - self.expected
        return more if more > _CLEAR * self.error else 0.0


def overlap(game: Game, rng: np.random.Generator) -> Overlap:
    """Held-out units against the members, beside as many members against the other members."""
    members = np.flatnonzero(game.member)
    stand_in = np.zeros(len(game.member), bool)
    count = min(game.controls, len(members) // 2)
    stand_in[rng.choice(members, count, replace=False)] = True
    seen = _met(game, game.member & ~stand_in)
    more = float(seen[~game.member].mean()) - float(seen[stand_in].mean())
    pooled = float(seen[~game.member | stand_in].mean())
    error = np.sqrt(max(pooled * (1.0 - pooled), 1e-12) * (1.0 / game.controls + 1.0 / count))
    rate, whole = float(shared(game).sum()) / game.controls, len(members) / (len(members) - count)
    return Overlap(rate, float(np.clip(rate - more * whole, 0.0, rate)), float(error) * whole)


def shared(game: Game) -> Mask:
    """The held-out units with a row that is also a member's, shape (units,)."""
    return _met(game, game.member) & ~game.member


def without_shared(game: Game, overlap: Overlap, rng: np.random.Generator) -> Game:
    """The game without so many of these held-out units, drawn by chance, that the rest are as many as chance gives.

    A person in both files is no control: he is copied as members are, and nobody can single him out.
    """
    found = np.flatnonzero(shared(game))
    away = rng.choice(found, min(len(found), round(overlap.excess * game.controls)), replace=False)
    kept = np.ones(len(game.member), bool)
    kept[away] = False
    return game.only(kept)


def _met(game: Game, units: Mask) -> Mask:
    """Per unit: whether a row of it is also a row of one of these units."""
    candidates = game.view.candidates
    known = candidates.rows.keys[candidates.rows_of(units)]
    return np.asarray(candidates.best(np.isin(candidates.rows.keys, known)) > 0)


def held_out_in_table(game: Game, rng: np.random.Generator) -> float | None:
    """Share of the held-out rows that stand in the table, if that shows that it was made from them; else None.

    Compared with how many of them stand among as many members' rows. Take n random rows and any n rows that were
    made without seeing the held-out ones: for a held-out row of probability p the second can win by at most
    p (1 - p)^n, at most p e^(-np), and only for n different rows, so that the shares differ by at most 1/e on
    average. More than that, and four standard errors, cannot be explained otherwise.
    """
    candidates = game.view.candidates
    inside = candidates.rows_of(game.member)
    asked, members = candidates.rows.keys[~inside], candidates.rows.keys[inside]
    size = min(len(game.view.synthetic), len(members))
    made = game.view.synthetic.keys[rng.choice(len(game.view.synthetic), size, replace=False)]
    real = members[rng.choice(len(members), size, replace=False)]
    found, expected = float(np.isin(asked, made).mean()), float(np.isin(asked, real).mean())
    error = np.sqrt((found * (1.0 - found) + expected * (1.0 - expected)) / game.controls)
    return found if found - expected > np.exp(-1.0) + _CLEAR * error else None
