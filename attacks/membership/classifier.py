"""A classifier that tells synthetic from real rows (LOGAN-like; Hayes et al. 2019), asked about the candidates.

Trained on the synthetic rows against all candidates' rows, of which each is judged by the trees that did not
see it (by folds of units). Members, not controls, then look synthetic, as far as the table overfits.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from attacks.knowledge import Holds, ThreatModel, Wants
from attacks.threat import Floats, Index, View

_MOST_ROWS = 20_000  # of each kind
_FOLDS = 4


@dataclass(frozen=True)
class Classifier:
    """The mean leaf share of synthetic rows over randomized trees, out of fold; the unit's best row counts."""

    name: str = "classifier"
    trees: int = 60
    leaf: int = 2

    @property
    def threat(self) -> ThreatModel:
        how = "learns to tell synthetic rows from people's, and asks which targets look synthetic"
        return ThreatModel((Holds.SYNTHETIC, Holds.REFERENCE), Wants.MEMBERSHIP, how)

    def __call__(self, view: View, rng: np.random.Generator) -> Floats:
        real, synthetic = _matrix(view, rng)
        fold = rng.integers(0, _FOLDS, view.candidates.units)[view.candidates.unit]
        scores = np.zeros(len(real))
        for one in range(_FOLDS):
            others = np.flatnonzero(fold != one)
            others = rng.choice(others, min(len(others), _MOST_ROWS), replace=False)
            scores[fold == one] = self._ask(synthetic, real[others], real[fold == one], rng)
        return view.candidates.best(scores)

    def _ask(
        self, synthetic: NDArray[np.float32], real: NDArray[np.float32], asked: NDArray[np.float32],
        rng: np.random.Generator,
    ) -> Floats:  # fmt: skip
        from sklearn.ensemble import ExtraTreesClassifier  # importing it takes a second

        trees = ExtraTreesClassifier(
            self.trees, min_samples_leaf=self.leaf, max_features=0.5, class_weight="balanced",
            random_state=int(rng.integers(2**31)), n_jobs=1,
        )  # fmt: skip
        known = np.concatenate([synthetic, real])
        trees.fit(known, np.arange(len(known)) < len(synthetic))
        return np.asarray(trees.predict_proba(asked)[:, 1], np.float64) if len(asked) else np.zeros(0)


def _matrix(view: View, rng: np.random.Generator) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    chosen: Index = np.arange(len(view.synthetic))
    if len(chosen) > _MOST_ROWS:
        chosen = rng.choice(chosen, _MOST_ROWS, replace=False)
    return view.candidates.rows.fine.astype(np.float32), view.synthetic.fine[chosen].astype(np.float32)
