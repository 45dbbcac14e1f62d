"""Controls of the attacks themselves: outputs whose leak is known, because it is planted here.

Negative: half of the members, drawn by unit, leave the game and serve as reference rows. They are real rows
from where the training rows came from and nobody attacks them, so an output made of them leaks nothing about
the remaining members. Positive: the very table under attack with members' rows added.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from attacks.threat import Game, Rows, concatenate, hash_columns
from dpsynth.records import Records

_MOST_ROWS = 200_000  # rows of a negative output
_MOST_UNITS = 10_000  # attacked in an output of nothing but copies: to see fewer people copied is harder


@dataclass(frozen=True, eq=False)
class Nursery:
    """A game without its reference units, and the rows to make outputs from. `rows`: rows per output."""

    game: Game
    reference: Rows
    rows: int

    @classmethod
    def of(cls, game: Game, rng: np.random.Generator) -> Nursery:
        """Sets half of the members aside. The outputs have the synthetic table's rows per member."""
        members = np.flatnonzero(game.member)
        aside = np.zeros(len(game.member), bool)
        aside[rng.choice(members, len(members) // 2, replace=False)] = True
        candidates, rest = game.view.candidates, game.only(~aside)
        rows = round(len(game.view.synthetic) * game.view.sampled * rest.members / len(members))
        return cls(
            rest,
            candidates.rows.take(np.flatnonzero(candidates.rows_of(aside))),
            int(np.clip(rows, 1, _MOST_ROWS)),
        )

    def fresh(self, rng: np.random.Generator) -> Game:
        """Reference rows as they are, each used about equally often."""
        return self.game.on(self.reference.take(_spread(len(self.reference), self.rows, rng)))

    def independent(self, rng: np.random.Generator) -> Game:
        """Each column drawn by itself from the reference rows."""
        return self.game.on(_shuffled_columns(self.reference, self.rows, rng))


def with_fewer_units(game: Game) -> Game:
    """The game about 10,000 units at most, with as many synthetic rows for each as before."""
    units = len(game.member)
    if units <= _MOST_UNITS:
        return game
    rows = max(1, round(len(game.view.synthetic) * _MOST_UNITS / units))
    view = replace(
        game.view.few(_MOST_UNITS), synthetic=game.view.synthetic.take(np.arange(rows)), grown=None
    )
    groups = {name: group[:_MOST_UNITS] for name, group in game.groups.items()}
    return replace(game, view=view, member=game.member[:_MOST_UNITS], groups=groups)


def leaky(game: Game, share: float, rng: np.random.Generator, *, verbatim: bool) -> Game:
    """The game about the same table with so many members' rows added that they are this share of its rows.

    Word for word, or (not `verbatim`) cell by cell: inside a cell the values are then those of the table's
    own rows in the same cell. A generator that copies encoded rows does that, and it is harder to see. A
    share of 1 has nothing but copies.

    Where the members are a sample of the training data, so are the copies: of the rows of others none are at hand, and
    the table's own rows stand in for them.
    """
    table, candidates = game.view.synthetic, game.view.candidates
    whole = len(table) if share == 1.0 else len(table) * share / (1.0 - share)
    copies = max(1, round(whole * game.view.sampled))
    members = np.flatnonzero(candidates.rows_of(game.member))
    copied = candidates.rows.take(members[_spread(len(members), copies, rng)])
    if not verbatim:
        copied = _in_style(copied, table, rng)
    if share < 1.0:
        return game.with_rows(copied)
    rest = table.take(rng.permutation(len(table))[: len(table) - copies])
    return game.on(concatenate([copied, rest]))


def recoded(game: Game, rng: np.random.Generator) -> Game:
    """All members' rows with every cell moved by one: reversible, and out of these attacks' sight."""
    return game.on(_moved(leaky(game, 1.0, rng, verbatim=False).view.synthetic))


def _in_style(rows: Rows, style: Rows, rng: np.random.Generator) -> Rows:
    """The same cells; values from random rows of `style` in the same cell, their own where there are none."""
    fine, hashes = rows.fine.copy(), rows.hashes.copy()
    for c, (cells, other) in enumerate(zip(rows.cells.columns, style.cells.columns, strict=True)):
        order = np.argsort(other, kind="stable")
        first = np.searchsorted(other[order], cells, side="left")
        count = np.searchsorted(other[order], cells, side="right") - first
        found = count > 0
        pick = order[first[found] + rng.integers(0, count[found])]
        fine[found, c] = style.fine[pick, c]
        hashes[found, c] = style.hashes[pick, c]
    return Rows(rows.cells, fine, hashes)


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
