"""Controls of the attacks themselves: outputs whose leak is known, because they are planted here.

Half of the members, drawn by unit, leave the game and serve as reference rows. They are real rows from where
the training rows came from and nobody attacks them, so an output made of them leaks nothing about the
remaining members; copies of remaining members' rows mixed into it leak exactly that share.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from attacks.threat import Game, Mask, Rows, concatenate, hash_columns
from dpsynth.records import Records

_MOST_ROWS = 200_000  # rows of a planted output: enough to be found, cheap enough to be made five times


@dataclass(frozen=True, eq=False)
class Nursery:
    """A game without its reference units, and the rows to plant outputs from. `rows`: rows per output."""

    game: Game
    reference: Rows
    rows: int

    @classmethod
    def of(cls, game: Game, rng: np.random.Generator) -> Nursery:
        """Sets half of the members aside. The outputs have the synthetic table's rows per member."""
        members = np.flatnonzero(game.member)
        aside = np.zeros(len(game.member), bool)
        aside[rng.choice(members, len(members) // 2, replace=False)] = True
        candidates = game.view.candidates
        left = candidates.take(~aside)
        member = game.member[~aside]
        view = replace(game.view, candidates=left, prior=float(member.mean()))
        rows = round(len(game.view.synthetic) * float(member.sum()) / max(1, len(members)))
        reference = candidates.rows.take(np.flatnonzero(candidates.rows_of(aside)))
        groups = {name: group[~aside] for name, group in game.groups.items()}
        smaller = replace(game, view=view, member=member, groups=groups)
        return cls(smaller, reference, int(np.clip(rows, 1, _MOST_ROWS)))

    def fresh(self, rng: np.random.Generator) -> Game:
        """Negative: reference rows as they are, each used about equally often."""
        return self.game.on(self.reference.take(_spread(len(self.reference), self.rows, rng)))

    def independent(self, rng: np.random.Generator) -> Game:
        """Negative: each column drawn by itself from the reference rows."""
        return self.game.on(_shuffled_columns(self.reference, self.rows, rng))

    def leaky(self, share: float, rng: np.random.Generator) -> Game:
        """Positive: this share of the rows are members' rows word for word, the rest reference rows."""
        copies = max(1, round(share * self.rows))
        members = np.flatnonzero(self.game.view.candidates.rows_of(self.game.member))
        source = members[_spread(len(members), copies, rng)]
        parts = [self.game.view.candidates.rows.take(source)]
        if copies < self.rows:
            parts.append(self.reference.take(_spread(len(self.reference), self.rows - copies, rng)))
        return self.game.on(concatenate(parts))

    def recoded(self, rng: np.random.Generator) -> Game:
        """All members' rows with every cell moved by one: reversible, and out of these attacks' sight."""
        return self.game.on(_moved(self.leaky(1.0, rng).view.synthetic))


def _spread(n: int, size: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """`size` of the numbers below n, in random order, none used twice before all were used once."""
    rounds = [rng.permutation(n) for _ in range(-(-size // n))]
    return np.concatenate(rounds)[:size].astype(np.int64)


def _shuffled_columns(rows: Rows, size: int, rng: np.random.Generator) -> Rows:
    index = rng.integers(0, len(rows), (len(rows.cells.domain), size))
    cells = tuple(column[i] for column, i in zip(rows.cells.columns, index, strict=True))
    fine = np.stack([rows.fine[i, c] for c, i in enumerate(index)], axis=1)
    hashes = np.stack([rows.hashes[i, c] for c, i in enumerate(index)], axis=1)
    return Rows(Records(rows.cells.domain, cells), fine, hashes)


def _moved(rows: Rows) -> Rows:
    domain = rows.cells.domain
    cells = tuple(
        np.where(column == size - 1, 0, column + (size > 1)).astype(column.dtype)
        for column, size in zip(rows.cells.columns, domain.sizes, strict=True)
    )
    hashes = hash_columns([rows.hashes[:, c] for c in range(rows.hashes.shape[1])])
    return Rows(Records(domain, cells), rows.fine + np.uint8(128), hashes)


def overlap(game: Game, rng: np.random.Generator) -> tuple[float, float, float]:
    """How often controls' units have a row that is also among the members, and how often that is expected.

    Returns (rate of the controls, rate of as many members against the other members, standard error).
    """
    candidates = game.view.candidates
    members = np.flatnonzero(game.member)
    count = min(game.controls, len(members) // 2)
    if count == 0 or game.controls == 0:
        return 0.0, 0.0, 0.0
    stand_in = np.zeros(len(game.member), bool)
    stand_in[rng.choice(members, count, replace=False)] = True
    rest = game.member & ~stand_in
    known = candidates.rows.keys[candidates.rows_of(rest)]
    seen = candidates.best(np.isin(candidates.rows.keys, known)) > 0
    rate, expected = float(seen[~game.member].mean()), float(seen[stand_in].mean())
    pooled = float(seen[~game.member | stand_in].mean())
    return rate, expected, _spread_of(pooled, game.controls, count)


def _spread_of(rate: float, first: int, second: int) -> float:
    return float(np.sqrt(max(rate * (1 - rate), 1e-12) * (1 / first + 1 / second)))


def thinned(game: Game, rng: np.random.Generator) -> tuple[Mask, float]:
    """Targets whose membership is a fair coin, and how far from fair its log odds may be.

    Each unit of the larger side stays with a probability of its own draw such that both answers are equally
    likely. With a declared coin that is exact; else the odds come from the two sizes, and the bias returned covers
    their error (99.9 %, Clopper and Pearson).
    """
    from attacks.stats import clopper_pearson

    units = len(game.member)
    held_out = game.coin if game.coin is not None else game.controls / units
    keep = np.where(game.member, min(1.0, held_out / (1.0 - held_out)), min(1.0, (1.0 - held_out) / held_out))
    target = rng.random(units) < keep
    if game.coin is not None:
        return target, 0.0
    sure = clopper_pearson(game.controls, units, 0.999)
    odds = [np.log(p / (1.0 - p)) for p in (sure.low, sure.value, sure.high)]
    return target, float(max(odds[1] - odds[0], odds[2] - odds[1]))
