"""Attribute inference: what the attacker knows of a target in, a guess of his secret out.

Right guesses about members, less those about held-out units: what the table gives away about the people in it,
beyond what it says about everybody.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from attacks.disclosure.parts import TARGETS, Classes, closest_by_class, margin, places
from attacks.knowledge import Holds, ThreatModel, Wants
from attacks.threat import Floats, Index, Rows, View

_HOLDS = (Holds.SYNTHETIC, Holds.SCHEMA)
_LEARN_FROM = 10_000  # synthetic rows
_TREES = 25


def _threat(secret: str, known: tuple[str, ...], how: str) -> ThreatModel:
    return ThreatModel(
        _HOLDS, Wants.ATTRIBUTE, f"knows the target's {_listed(known)} and guesses '{secret}': {how}"
    )


def _listed(names: tuple[str, ...], most: int = 8) -> str:
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more columns"


@dataclass(frozen=True)
class InferByNearest:
    """The secret of the closest synthetic row on the known columns; of several as close, the commonest one."""

    secret: str
    known: tuple[str, ...]
    most_targets: int = TARGETS
    right_above: float = 0.0

    @property
    def name(self) -> str:
        return f"infer {self.secret}, nearest row"

    @property
    def threat(self) -> ThreatModel:
        return _threat(self.secret, self.known, "takes it from the closest synthetic row")

    def __call__(self, view: View, rng: np.random.Generator) -> Floats:
        classes = Classes.at(view, *places(view, (self.secret,)))
        distance = closest_by_class(view, places(view, self.known), classes)
        share = np.bincount(classes(view.synthetic), minlength=classes.count) / len(view.synthetic)
        nearness = share / 2.0 - distance  # distances are whole numbers: the share only breaks ties
        truth = classes(view.candidates.rows)
        return view.candidates.best(margin(nearness, truth))


@dataclass(frozen=True)
class InferByLearning:
    """The most probable secret by randomized trees (Geurts et al. 2006) that learnt from synthetic rows."""

    secret: str
    known: tuple[str, ...]
    most_targets: int = TARGETS
    right_above: float = 0.0

    @property
    def name(self) -> str:
        return f"infer {self.secret}, learning"

    @property
    def threat(self) -> ThreatModel:
        return _threat(self.secret, self.known, "learns it from the synthetic rows")

    def __call__(self, view: View, rng: np.random.Generator) -> Floats:
        classes = Classes.at(view, *places(view, (self.secret,)))
        columns = places(view, self.known)
        chosen = view.synthetic
        if len(chosen) > _LEARN_FROM:
            chosen = chosen.take(rng.choice(len(chosen), _LEARN_FROM, replace=False))
        learnt, target = classes(chosen), _features(view.candidates.rows, columns)
        chance = _forest(_features(chosen, columns), learnt, classes.count, target, rng)
        return view.candidates.best(margin(chance, classes(view.candidates.rows)))


def _features(rows: Rows, columns: tuple[int, ...]) -> NDArray[np.float32]:
    return rows.fine[:, columns].astype(np.float32)


def _forest(
    known: NDArray[np.float32],
    secret: Index,
    classes: int,
    asked: NDArray[np.float32],
    rng: np.random.Generator,
) -> Floats:
    """Chances of each class for the rows asked about, shape (rows, classes)."""
    from sklearn.ensemble import ExtraTreesClassifier  # importing it takes a second

    forest = ExtraTreesClassifier(_TREES, random_state=int(rng.integers(2**31)), n_jobs=1)
    forest.fit(known, secret)
    chance = np.zeros((len(asked), classes))
    chance[:, forest.classes_] = forest.predict_proba(asked)
    return chance
