"""A classifier that tells synthetic from real rows (LOGAN-like; Hayes et al. 2019), asked about the candidates.

Trained on the synthetic rows against all candidates' rows, of which each is judged by the trees that did not
see it (by folds of units). Members, not controls, then look synthetic, as far as the table overfits.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from attacks.kernels import tree_votes
from attacks.knowledge import Holds, ThreatModel, Wants
from attacks.threat import Floats, View

_MOST_ROWS = 10_000  # of each kind
_WORK = 300_000  # trees times rows to learn from
_FEWEST_TREES = 12
_FOLDS = 2


@dataclass(frozen=True)
class Classifier:
    """The mean leaf share of synthetic rows over randomized trees, out of fold; the unit's best row counts.

    `trees`: at most; of many rows fewer trees are grown. `leaf`: fewest rows in one; `tries`: cuts to choose from.
    """

    name: str = "classifier"
    trees: int = 60
    leaf: int = 1
    tries: int = 8
    most_targets: int = 10_000

    @property
    def threat(self) -> ThreatModel:
        how = "learns to tell synthetic rows from people's, and asks which targets look synthetic"
        return ThreatModel((Holds.SYNTHETIC, Holds.REFERENCE), Wants.MEMBERSHIP, how)

    def __call__(self, view: View, rng: np.random.Generator) -> Floats:
        real, made = view.candidates.rows.fine, view.synthetic.fine
        made = made[rng.permutation(len(made))[:_MOST_ROWS]]
        fold = rng.permutation(view.candidates.units)[view.candidates.unit] % _FOLDS
        scores = np.zeros(len(real))
        for one in range(_FOLDS):
            others = rng.permutation(np.flatnonzero(fold != one))[:_MOST_ROWS]
            if len(others) == 0:  # a single target
                continue
            known = np.concatenate([made, real[others]])
            scores[fold == one] = tree_votes(
                known, np.arange(len(known)) < len(made), real[fold == one], view.candidates.ordered,
                trees=min(self.trees, max(_FEWEST_TREES, _WORK // len(known))), leaf=self.leaf, tries=self.tries,
                seed=int(rng.integers(2**62)),
            )  # fmt: skip
        return view.candidates.best(scores)
