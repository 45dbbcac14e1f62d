"""Exact and one-mismatch joins of the candidates' rows with the synthetic rows.

A match says little where many real rows are alike, so it is set against how many *other* candidates' rows
match: ``log((s + 1/2) / (c + 1/2))`` with s synthetic and c other candidates' rows that match, after scaling
c to the synthetic table's size.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from attacks.threat import Candidates, Floats, Hashes, Index, View


@dataclass(frozen=True)
class Join:
    """Matches on the values as given (`cells` false) or on the schema's cells; up to `mismatches` (0 or 1)."""

    name: str
    knows: str
    cells: bool = True
    mismatches: int = 0

    def __post_init__(self) -> None:
        if self.mismatches not in (0, 1):
            raise ValueError("joins allow no or one mismatch")

    def __call__(self, view: View, rng: np.random.Generator) -> Floats:
        candidates = view.candidates
        own, other = _hashes(candidates.rows, self.cells), _hashes(view.synthetic, self.cells)
        synthetic, real = matches(own, other, self.mismatches), matches(own, own, self.mismatches)
        real = real - _within_unit(candidates, own, self.mismatches)
        expected = real * (len(other) / max(1, len(own) - len(own) / candidates.units))
        return candidates.best(np.log(synthetic + 0.5) - np.log(expected + 0.5))


def _hashes(rows: object, cells: bool) -> Hashes:
    return rows.cell_hashes if cells else rows.hashes  # type: ignore[attr-defined,no-any-return]


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


def _within_unit(candidates: Candidates, hashes: Hashes, mismatches: int) -> Index:
    """How many rows of its own unit (itself included) each row matches."""
    rows = len(hashes)
    if candidates.units == rows:
        return np.ones(rows, np.int64)
    found = np.ones(rows, np.int64)
    longest = int((candidates.last - candidates.first).max())
    for gap in range(1, longest):
        pair = candidates.unit[gap:] == candidates.unit[:-gap]
        alike = pair & ((hashes[gap:] != hashes[:-gap]).sum(axis=1) <= mismatches)
        found[gap:] += alike
        found[:-gap] += alike
    return found
