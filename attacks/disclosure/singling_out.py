"""Singling out: descriptions that fit one synthetic row; do they fit exactly one person?

A target counts as singled out when a description that fits exactly one synthetic row fits rows of that target
and of no other candidate. Members and held-out units are described alike; more members than held-out units
singled out means that the descriptions come from their rows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from attacks.knowledge import Holds, ThreatModel, Wants
from attacks.threat import Candidates, Floats, Hashes, Mask, Rows, View

_DESCRIPTIONS = 24  # sets of columns
_FEWEST, _MOST = 2, 6  # columns in one
Description = tuple[tuple[int, ...], Mask]
"""Columns, and which candidate rows agree on them with no row of another unit."""


@dataclass(frozen=True)
class SinglingOut:
    """By the values of one column, or (`several`) by the cells of 2 to 6 columns, drawn at random.

    A set of columns in which hardly any lonely candidate is met counts more.
    """

    name: str = "single out by one column"
    several: bool = False
    right_above: float = 0.0

    @property
    def threat(self) -> ThreatModel:
        what = "the cells of a few columns" if self.several else "one value"
        how = f"describes targets by {what} that only one synthetic row has"
        return ThreatModel((Holds.SYNTHETIC, Holds.SCHEMA), Wants.SINGLING_OUT, how)

    def __call__(self, view: View, rng: np.random.Generator) -> Floats:
        candidates = view.candidates
        real, synthetic = self._hashes(candidates.rows), self._hashes(view.synthetic)
        scores = np.zeros(candidates.units)
        for columns, alone in candidates.once(self.name, lambda: self._described(candidates, rng)):
            scores += _singled_out(candidates, _key(real, columns), alone, _key(synthetic, columns))
        return scores

    def _described(self, candidates: Candidates, rng: np.random.Generator) -> list[Description]:
        """What does not depend on the synthetic rows, computed once for all controls."""
        hashes = self._hashes(candidates.rows)
        sets = self._sets(hashes.shape[1], rng)
        return [(columns, _alone(candidates, _key(hashes, columns))) for columns in sets]

    def _hashes(self, rows: Rows) -> Hashes:
        return rows.cell_hashes if self.several else rows.hashes

    def _sets(self, width: int, rng: np.random.Generator) -> list[tuple[int, ...]]:
        if not self.several:
            return [(i,) for i in range(width)]
        most = min(_MOST, width)
        drawn = {
            tuple(
                sorted(rng.choice(width, rng.integers(min(_FEWEST, most), most + 1), replace=False).tolist())
            )
            for _ in range(_DESCRIPTIONS)
        }
        return sorted(drawn)


def _key(hashes: Hashes, columns: tuple[int, ...]) -> Hashes:
    return np.asarray(np.bitwise_xor.reduce(hashes[:, columns], axis=1), np.uint64)


def _singled_out(candidates: Candidates, real: Hashes, alone: Mask, synthetic: Hashes) -> Floats:
    """Per unit: how surprising it is that this set of columns singles it out; 0 where it does not."""
    values, counts = np.unique(synthetic, return_counts=True)
    met = alone & np.isin(real, values[counts == 1])
    chance = (met.sum() + 0.5) / (alone.sum() + 1.0)
    return candidates.best(np.where(met, -np.log(chance), 0.0))


def _alone(candidates: Candidates, keys: Hashes) -> Mask:
    """Rows whose key no row of another unit has."""
    order = np.argsort(keys, kind="stable")
    start = np.flatnonzero(np.diff(keys[order], prepend=keys[order][:1] ^ np.uint64(1)) != 0)
    unit = candidates.unit[order]
    shared = np.minimum.reduceat(unit, start) != np.maximum.reduceat(unit, start)
    lengths = np.diff(np.append(start, len(keys)))
    alone = np.empty(len(keys), bool)
    alone[order] = ~np.repeat(shared, lengths)
    return alone
