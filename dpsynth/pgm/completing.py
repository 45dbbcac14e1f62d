"""Records of which some attributes are known: the others drawn from the model given them, exactly."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from dpsynth.domain import Domain
from dpsynth.pgm.graphical import GraphicalModel
from dpsynth.pgm.lookup import Distinct, draw_given
from dpsynth.pgm.merged import MergedMixture, MergedModel
from dpsynth.pgm.mixture import MixtureModel
from dpsynth.pgm.sampling import CHUNK, deal
from dpsynth.records import Records, code_dtype

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Known = Mapping[str, Integers]


class Impossible(ValueError):
    """The model gives these records (`rows`, ascending) no chance, whatever their unknown attributes are."""

    def __init__(self, rows: Integers) -> None:
        super().__init__("known cells that cannot be together")
        self.rows = rows


class Conditioned(Protocol):
    """Any distribution that takes evidence."""

    @property
    def domain(self) -> Domain: ...

    def sample(self, n: int, rng: np.random.Generator) -> Records: ...

    def conditioned(self, weights: Mapping[str, Floats]) -> Conditioned: ...


def complete(model: Conditioned, known: Mapping[str, NDArray[Any]], rng: np.random.Generator) -> Records:
    """A record for each row of `known` (cells by attribute, one attribute at least): the known cells as they are, the others
    drawn from ``p(unknown | known)``.

    Among rows with the same evidence the counts of cells are the expected ones, rounded systematically, as in
    `GraphicalModel.sample`. Raises `Impossible` for rows that the model excludes, ValueError for cells that are none of
    the domain's.
    """
    cells = {a: np.asarray(c, dtype=np.int64) for a, c in known.items()}
    domain = model.domain
    if not cells or any(len(c) and not 0 <= c.min() <= c.max() < domain[a] for a, c in cells.items()):
        raise ValueError("cells of the domain's attributes, one attribute at least")
    return Records.of(domain, {**_drawn(model, cells, rng), **cells})


def _drawn(model: Conditioned, known: Known, rng: np.random.Generator) -> Mapping[str, NDArray[Any]]:
    """Cells of every attribute, or of the unknown ones."""
    match model:
        case GraphicalModel():
            return _in_graphical(model, known, rng)
        case MergedModel() | MergedMixture():
            return _in_merged(model, known, rng)
        case MixtureModel():
            return _in_mixture(model, known, rng)
        case _:
            return _one_by_one(model, known, rng)


def _in_graphical(model: GraphicalModel, known: Known, rng: np.random.Generator) -> Known:
    draws = draw_given(model, known, rng)
    if len(draws.impossible):
        raise Impossible(draws.impossible)
    if not len(draws.risky):
        return {a: c.astype(np.int64) for a, c in draws.cells.items()}
    try:
        alone = _one_by_one(model, {a: c[draws.risky] for a, c in known.items()}, rng)
    except Impossible as error:
        raise Impossible(draws.risky[error.rows]) from None
    found = {a: c.astype(np.int64) for a, c in draws.cells.items()}
    for attribute, codes in found.items():
        codes[draws.risky] = alone[attribute]
    return found


def _in_merged(
    model: MergedModel | MergedMixture, known: Known, rng: np.random.Generator
) -> Mapping[str, NDArray[Any]]:
    outside = [model.shares[a][c] <= 0 for a, c in known.items() if a in model.merges]
    if outside and np.any(outside):
        raise Impossible(np.flatnonzero(np.any(outside, axis=0)))
    cells = {a: np.asarray(model.merges[a])[c] if a in model.merges else c for a, c in known.items()}
    expanded = model.expanded(complete(model.inside, cells, rng), rng)
    return dict(zip(expanded.domain.attributes, expanded.columns, strict=True))


def _in_mixture(model: MixtureModel, known: Known, rng: np.random.Generator) -> Mapping[str, NDArray[Any]]:
    """A component for each row from its probabilities given the evidence, then each unknown cell from the component."""
    given = {a: np.asarray(t, np.float64) for a, t in model.tables.items()}
    distinct = Distinct.of([(c, model.domain[a]) for a, c in known.items()])
    component = np.zeros(len(distinct.number), dtype=code_dtype(model.components))
    excluded = np.zeros(len(component), dtype=bool)
    size = max(1, CHUNK // model.components)
    for start in range(0, len(distinct), size):
        first = distinct.first[start : start + size]
        rows = np.flatnonzero((distinct.number >= start) & (distinct.number < start + size))
        with np.errstate(divide="ignore", invalid="ignore"):
            logs = np.log(np.asarray(model.weights, np.float64))[None] + np.zeros((len(first), 1))
            for attribute, cells in known.items():
                table = given[attribute]
                logs += np.log(table / table.sum(axis=1, keepdims=True))[:, cells[first]].T
        top = logs.max(axis=1, keepdims=True)
        weights = np.exp(logs - np.where(np.isneginf(top), 0.0, top))
        none = np.isneginf(top[:, 0])
        weights[none] = 1.0
        excluded[rows] = none[distinct.number[rows] - start]
        component[rows] = deal((distinct.number[rows] - start).astype(np.uint32), weights, rng)
    if excluded.any():
        raise Impossible(np.flatnonzero(excluded))
    return {a: deal(component, t, rng) for a, t in given.items() if a not in known}


def _one_by_one(model: Conditioned, known: Known, rng: np.random.Generator) -> dict[str, Integers]:
    """One conditioned model for each distinct evidence."""
    domain = model.domain
    distinct = Distinct.of([(c, domain[a]) for a, c in known.items()])
    found = {a: np.zeros(len(distinct.number), dtype=np.int64) for a in domain.attributes}
    excluded = np.zeros(len(distinct.number), dtype=bool)
    for number, first in enumerate(distinct.first.tolist()):
        weights = {a: (np.arange(domain[a]) == c[first]).astype(np.float64) for a, c in known.items()}
        rows = np.flatnonzero(distinct.number == number)
        try:
            drawn = model.conditioned(weights).sample(len(rows), rng)
        except ValueError:
            excluded[rows] = True
            continue
        for attribute, codes in found.items():
            codes[rows] = drawn[attribute]
    if excluded.any():
        raise Impossible(np.flatnonzero(excluded))
    return found
