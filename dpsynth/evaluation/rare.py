"""What averages hide: rare values that were lost, and combinations that no real row has."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from dpsynth.domain import Clique
from dpsynth.evaluation.fidelity import CliqueShares
from dpsynth.evaluation.figures import Figure, Json, rounded

RARE = 0.01
"""A value is rare that at most this share of the training rows has."""


@dataclass(frozen=True)
class RareColumn:
    """The rare values of one column: how many there are, how many the synthetic rows have, and what share
    of the rows has one of them."""

    column: str
    values: int
    kept: int
    kept_redrawn: float  # of as many rows drawn from the training rows, on average
    real: float
    synthetic: float

    def as_json(self) -> Json:
        return {
            "column": self.column,
            "rare_values": self.values,
            "kept": self.kept,
            "best_redrawn": rounded(self.kept_redrawn),
            "real_share": rounded(self.real),
            "synthetic_share": rounded(self.synthetic),
        }


@dataclass(frozen=True)
class NewPair:
    """Combinations of two columns' cells that no training row has."""

    clique: Clique
    synthetic: float  # share of the synthetic rows
    heldout: float | None  # share of the held-out rows: what real rows of other people have

    def as_json(self) -> Json:
        return {
            "columns": list(self.clique),
            "synthetic_share": rounded(self.synthetic),
            "best_heldout": None if self.heldout is None else rounded(self.heldout),
        }


@dataclass(frozen=True)
class Rare:
    """`kept`: the share of all rare values that the synthetic rows have; `kept_redrawn`: what as many rows
    drawn from the real table have. `new`: the mean share of synthetic rows, over pairs of columns, in cells
    that no training row has; the training rows' own share is zero, that of other real rows is `new_heldout`."""

    columns: tuple[RareColumn, ...]  # worst first
    kept: Figure | None
    kept_redrawn: Figure | None
    new: Figure | None
    new_heldout: Figure | None
    pairs: tuple[NewPair, ...]  # worst first

    def as_json(self) -> Json:
        figures = {
            "kept": self.kept,
            "best_redrawn": self.kept_redrawn,
            "new_pairs": self.new,
            "best_new_pairs_heldout": self.new_heldout,
        }
        return {
            "rare_at_most": RARE,
            **{name: None if figure is None else figure.as_json() for name, figure in figures.items()},
            "by_column": [one.as_json() for one in self.columns],
            "by_pair": [one.as_json() for one in self.pairs],
        }


@dataclass(eq=False)
class Rarities:
    """Collects what `Rare` says from the single columns and pairs that it is shown."""

    held: bool
    _columns: list[tuple[RareColumn, np.ndarray, np.ndarray]] = field(default_factory=list)
    _pairs: list[tuple[NewPair, np.ndarray, np.ndarray]] = field(default_factory=list)

    def __call__(self, shares: CliqueShares) -> None:
        if len(shares.clique) == 1:
            self._column(shares)
        elif len(shares.clique) == 2:
            self._pair(shares)

    def _column(self, shares: CliqueShares) -> None:
        rare = (shares.train > 0) & (shares.train <= RARE)
        if not rare.any():
            return
        kept, redrawn = ((drawn[:, rare] > 0).sum(axis=1) for drawn in (shares.synthetics, shares.redrawn))
        one = RareColumn(
            shares.clique[0],
            int(rare.sum()),
            int((shares.synthetic[rare] > 0).sum()),
            float(redrawn.mean()),
            float(shares.train[rare].sum()),
            float(shares.synthetic[rare].sum()),
        )
        self._columns.append((one, kept, redrawn))

    def _pair(self, shares: CliqueShares) -> None:
        never = shares.train == 0
        one = NewPair(
            shares.clique,
            float(shares.synthetic[never].sum()),
            float(shares.holdout[never].sum()) if self.held else None,
        )
        drawn = (shares.synthetics[:, never].sum(axis=1), shares.holdouts[:, never].sum(axis=1))
        self._pairs.append((one, *drawn))

    def result(self) -> Rare:
        columns = [one for one, *_ in self._columns]
        pairs = [one for one, *_ in self._pairs]
        values = sum(one.values for one in columns)
        kept = redrawn = new = heldout = None
        if values:
            drawn = np.sum([synthetic for _, synthetic, _ in self._columns], axis=0) / values
            again = np.sum([real for _, _, real in self._columns], axis=0) / values
            kept = Figure.around(sum(one.kept for one in columns) / values, drawn, 0.0, 1.0)
            redrawn = Figure.of_draws(again, 0.0, 1.0)
        if pairs:
            drawn = np.mean([synthetic for _, synthetic, _ in self._pairs], axis=0)
            again = np.mean([real for _, _, real in self._pairs], axis=0)
            new = Figure.around(float(np.mean([p.synthetic for p in pairs])), drawn, 0.0, 1.0)
            if self.held:
                mean = float(np.mean([p.heldout or 0.0 for p in pairs]))
                heldout = Figure.around(mean, again, 0.0, 1.0)
        return Rare(
            tuple(sorted(columns, key=lambda c: c.kept / c.values - c.kept_redrawn / c.values)),
            kept,
            redrawn,
            new,
            heldout,
            tuple(sorted(pairs, key=lambda p: -p.synthetic)),
        )
