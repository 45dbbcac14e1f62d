"""Two more questions about the nearest synthetic rows: is the best match right, and is it better than the second?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from attacks.kernels import Distances, Index, Neighbourhood
from attacks.knowledge import Holds, ThreatModel, Wants
from attacks.membership.density import synthetic_near
from attacks.threat import Floats, View

_BLUNT = 16.0  # a sixteenth of a mismatch: below it distances say nothing


@dataclass(frozen=True)
class RatioTest:
    """How much closer the closest synthetic row is than the second closest: a match without a rival."""

    name: str = "ratio of the two closest"

    @property
    def threat(self) -> ThreatModel:
        how = "looks for a synthetic row that is much closer to the target than the next"
        return ThreatModel((Holds.SYNTHETIC, Holds.SCHEMA), Wants.LINKAGE, how)

    def __call__(self, view: View, rng: np.random.Generator) -> Floats:
        near = synthetic_near(view, 2).astype(np.float64) + _BLUNT
        return view.candidates.best(np.log(near[:, 1]) - np.log(near[:, 0]))


@dataclass(frozen=True)
class LinkByKnown:
    """The attacker knows some columns of a target, finds the synthetic row closest on them, and reads the rest.

    Score: how surprising it is what that row gets right, ``-log`` of the share of the cell among the candidates,
    added over the columns that he did not know. `weights`: one per known column, how much a mismatch counts
    (None: all alike); only their ratios matter. The unit's best row counts.
    """

    known: tuple[str, ...]
    weights: tuple[float, ...] | None = None
    name: str = "link by known columns"

    def __post_init__(self) -> None:
        if not self.known or (self.weights is not None and len(self.weights) != len(self.known)):
            raise ValueError("name at least one column, and one weight for each")

    @property
    def threat(self) -> ThreatModel:
        how = f"knows the target's {', '.join(self.known)} and reads the rest from the closest row"
        return ThreatModel((Holds.SYNTHETIC, Holds.SCHEMA), Wants.LINKAGE, how)

    def __call__(self, view: View, rng: np.random.Generator) -> Floats:
        domain = view.synthetic.cells.domain
        names = domain.attributes
        missing = set(self.known) - set(names)
        if missing:
            raise ValueError(f"no column is called {sorted(missing)[0]}")
        row = self._matched(view, [names.index(name) for name in self.known])
        scores = np.zeros(len(view.candidates.rows))
        for name in names:
            if name not in self.known:
                own, read = view.candidates.rows.cells[name], view.synthetic.cells[name][row]
                share = (np.bincount(own, minlength=domain[name]) + 1.0) / (len(own) + domain[name])
                scores += np.where(own == read, -np.log(share[own]), 0.0)
        return view.candidates.best(scores)

    def _matched(self, view: View, columns: list[int]) -> Index:
        table, targets = view.synthetic.fine[:, columns], view.candidates.rows.fine[:, columns]
        arranged = Neighbourhood.of(table, view.candidates.ordered[columns], self.weights)
        found: tuple[Distances, Index] = arranged.nearest(targets)
        return found[1][:, 0]
