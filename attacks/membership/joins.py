"""Exact and one-mismatch joins of the candidates' rows with the synthetic rows.

A match says little where rows are common. How likely a match was is learnt from all candidates, members or
not: a logistic regression of "some synthetic row matches" on how crowded the row's neighbourhood is, among
the synthetic rows and among other people's rows. The score is the surprise: ``-log p`` of a match that had
probability p, plus the log of how often it matches; a row without a match scores 0, below every match.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from attacks.knowledge import Holds, ThreatModel, Wants
from attacks.membership.logistic import chances, fitted
from attacks.threat import Candidates, Floats, Hashes, Index, Rows, View

_RIDGE = 1e-3  # per row


@dataclass(frozen=True)
class Join:
    """Matches on the schema's cells, or on the values as given; with up to `mismatches` (0 or 1)."""

    name: str
    how: str
    cells: bool = True
    mismatches: int = 0

    def __post_init__(self) -> None:
        if self.mismatches not in (0, 1):
            raise ValueError("joins allow no or one mismatch")

    @property
    def threat(self) -> ThreatModel:
        return ThreatModel((Holds.SYNTHETIC, Holds.SCHEMA), Wants.MEMBERSHIP, self.how)

    def __call__(self, view: View, rng: np.random.Generator) -> Floats:
        exact, near = against_synthetic(view, self.cells)
        others, others_near = against_others(view.candidates, self.cells)
        found, around = (exact, near - exact) if self.mismatches == 0 else (near, None)
        crowd = [others, others_near] if around is None else [around, others, others_near]
        covariates = np.log1p(np.stack(crowd, axis=1))
        chance = chances(fitted(found > 0, covariates, _RIDGE * len(found)), covariates)
        surprise = np.log(np.maximum(found, 1)) - np.log(chance)
        return view.candidates.best(np.where(found > 0, surprise, 0.0))


def against_synthetic(view: View, cells: bool) -> tuple[Index, Index]:
    """Per row of the candidates: synthetic rows that equal it, and that do but for one column at most."""
    return view.once(
        f"joins {cells}", lambda: _both(_hashes(view.candidates.rows, cells), _hashes(view.synthetic, cells))
    )


def against_others(candidates: Candidates, cells: bool) -> tuple[Index, Index]:
    """The same against the rows of other candidate units."""

    def count() -> tuple[Index, Index]:
        own = _hashes(candidates.rows, cells)
        exact, near = _both(own, own)
        return exact - within_unit(candidates, own, 0), near - within_unit(candidates, own, 1)

    return candidates.once(f"joins {cells}", count)


def _hashes(rows: Rows, cells: bool) -> Hashes:
    return rows.cell_hashes if cells else rows.hashes


def _both(left: Hashes, right: Hashes) -> tuple[Index, Index]:
    return matches(left, right, 0), matches(left, right, 1)


def matches(left: Hashes, right: Hashes, mismatches: int = 0) -> Index:
    """For each row of `left`, how many rows of `right` equal it in all, or all but at most one, columns.

    Hash join: a row's key is the exclusive-or of its columns' hashes, so dropping a column is one more.
    """
    left_key, right_key = np.bitwise_xor.reduce(left, axis=1), np.bitwise_xor.reduce(right, axis=1)
    exact = _count(left_key, right_key)
    if mismatches == 0:
        return exact
    near = exact.copy()
    for column in range(left.shape[1]):
        near += _count(left_key ^ left[:, column], right_key ^ right[:, column]) - exact
    return near


def _count(keys: Hashes, among: Hashes) -> Index:
    values, counts = np.unique(among, return_counts=True)
    if len(values) == 0:
        return np.zeros(len(keys), np.int64)
    place = np.minimum(np.searchsorted(values, keys), len(values) - 1)
    return np.where(values[place] == keys, counts[place], 0).astype(np.int64)


def within_unit(candidates: Candidates, hashes: Hashes, mismatches: int) -> Index:
    """How many rows of its own unit, itself included, each row matches."""
    found = np.ones(len(hashes), np.int64)
    longest = int((candidates.last - candidates.first).max())
    for gap in range(1, longest):
        pair = candidates.unit[gap:] == candidates.unit[:-gap]
        alike = pair & ((hashes[gap:] != hashes[:-gap]).sum(axis=1) <= mismatches)
        found[gap:] += alike
        found[:-gap] += alike
    return found
