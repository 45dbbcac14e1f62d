"""The obvious way: the whole joint table of a tiny domain, and problems for hypothesis to make."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.special import logsumexp

from dpsynth.domain import Clique, Domain
from dpsynth.pgm import GraphicalModel

Floats = NDArray[np.float64]

SHAPES: dict[str, tuple[Domain, list[Clique]]] = {
    "tree": (Domain.of(a=3, b=2, c=4, d=3), [("a", "b"), ("b", "c"), ("b", "d")]),
    "chain": (Domain.of(a=3, b=2, c=4, d=3), [("a", "b"), ("b", "c"), ("c", "d")]),
    "cycle": (Domain.of(a=3, b=2, c=4, d=3), [("a", "b"), ("b", "c"), ("c", "d"), ("d", "a")]),
    "complete": (
        Domain.of(a=3, b=2, c=4, d=3),
        [("a", "b"), ("b", "c"), ("c", "d"), ("d", "a"), ("a", "c"), ("b", "d")],
    ),
    "triples": (Domain.of(a=3, b=2, c=4, d=3, e=2), [("a", "b", "c"), ("c", "d", "e"), ("e", "a")]),
    "disconnected": (Domain.of(a=3, b=2, c=4, d=3), [("a", "b"), ("c", "d")]),
    "nested": (Domain.of(a=3, b=2, c=4), [("a", "b", "c"), ("a", "b"), ("c",)]),
    "permuted": (Domain.of(a=3, b=2, c=4), [("b", "a"), ("a", "b"), ("c", "b")]),
    "single variable": (Domain.of(a=5), [("a",)]),
    "one cell": (Domain.of(a=1), [("a",)]),
    "cells of one": (Domain.of(a=3, b=1, c=4), [("a", "b"), ("b", "c")]),
    "independent": (Domain.of(a=3, b=2, c=4), [("a",), ("b",), ("c",)]),
    "star": (Domain.of(a=2, b=3, c=2, d=2, e=4), [("e", "a"), ("e", "b"), ("e", "c"), ("e", "d")]),
}


def joint(model: GraphicalModel) -> tuple[float, Floats]:
    """(log Z, probabilities of all records), by adding up potentials over the whole joint table."""
    logs = np.zeros(model.domain.sizes)
    for clique, table in model.potentials.items():
        axes = [model.domain.index(a) for a in clique]
        ordered = table.transpose(np.argsort(axes))
        logs = logs + ordered.reshape([s if i in axes else 1 for i, s in enumerate(model.domain.sizes)])
    log_z = float(logsumexp(logs))
    return log_z, np.exp(logs - log_z) if log_z > -np.inf else np.zeros(logs.shape)


def project(domain: Domain, probabilities: Floats, clique: Clique) -> Floats:
    """The joint table summed to a clique, axes as the clique names them."""
    summed = probabilities.sum(axis=tuple(i for i, a in enumerate(domain.attributes) if a not in clique))
    kept = [a for a in domain.attributes if a in clique]
    return np.asarray(summed.transpose([kept.index(a) for a in clique]))


def random_model(
    domain: Domain, cliques: list[Clique], rng: np.random.Generator, scale: float = 1.0, zeros: float = 0.0
) -> GraphicalModel:
    """Normal potentials of standard deviation `scale`; each cell is -inf with probability `zeros`."""
    covered = {a for clique in cliques for a in clique}
    tables = {c: rng.normal(0, scale, domain.shape(c)) for c in cliques}
    for table in tables.values():
        table[rng.random(table.shape) < zeros] = -np.inf
    return GraphicalModel(
        domain, 100.0, tables | {(a,): np.zeros(domain[a]) for a in domain.attributes if a not in covered}
    )


@st.composite
def models(draw: st.DrawFn, max_scale: float = 5.0) -> GraphicalModel:
    """Any structure over up to five attributes: cliques nest, repeat in other orders or stand alone."""
    sizes = draw(st.lists(st.integers(1, 4), min_size=1, max_size=5))
    domain = Domain(tuple("abcde"[: len(sizes)]), tuple(sizes))
    clique = st.lists(st.sampled_from(domain.attributes), min_size=1, max_size=3, unique=True).map(tuple)
    cliques = draw(st.lists(clique, min_size=1, max_size=7, unique=True))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    return random_model(
        domain, cliques, rng, draw(st.floats(0.0, max_scale)), draw(st.sampled_from([0.0, 0.1]))
    )
