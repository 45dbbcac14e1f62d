"""Small generators with known leaks, for tests and benchmarks. None of them is private unless it says so."""

from __future__ import annotations

import itertools

import networkx as nx
import numpy as np
from numpy.typing import NDArray

from dpsynth.domain import Clique, Domain
from dpsynth.records import Records


def fresh(records: Records, n: int, rng: np.random.Generator) -> Records:
    """Bootstrap of the rows given."""
    return records.take(rng.integers(0, len(records), n))


def independent(records: Records, n: int, rng: np.random.Generator) -> Records:
    """Each column drawn by itself from the rows given."""
    columns = tuple(column[rng.integers(0, len(records), n)] for column in records.columns)
    return Records(records.domain, columns)


def with_copies(base: Records, source: Records, share: float, rng: np.random.Generator) -> Records:
    """The first `share` of the base rows replaced by rows of the source, each at most once."""
    copies = min(round(share * len(base)), len(source))
    chosen = source.take(rng.choice(len(source), copies, replace=False))
    rest = base.take(np.arange(copies, len(base)))
    return Records(
        base.domain, tuple(np.concatenate(pair) for pair in zip(chosen.columns, rest.columns, strict=True))
    )


def perturbed(records: Records, share: float, n: int, rng: np.random.Generator) -> Records:
    """Bootstrap with this share of the cells drawn anew from their column."""
    base = fresh(records, n, rng)
    noise = independent(records, n, rng)
    swap = (rng.random(n) < share for _ in base.columns)
    columns = (np.where(s, b, a) for s, a, b in zip(swap, base.columns, noise.columns, strict=True))
    return Records(records.domain, tuple(columns))


def tree_cliques(records: Records) -> tuple[Clique, ...]:
    """Maximum spanning tree by exact mutual information (Chow and Liu 1968)."""
    graph = nx.Graph()
    for a, b in itertools.combinations(records.domain.attributes, 2):
        graph.add_edge(a, b, weight=_information(_pair(records, a, b)))
    return tuple(records.domain.ordered(edge) for edge in nx.maximum_spanning_tree(graph).edges)


def tree(
    records: Records,
    n: int,
    rng: np.random.Generator,
    sigma: float = 0.0,
    cliques: tuple[Clique, ...] | None = None,
) -> tuple[Records, tuple[Clique, ...]]:
    """Rows from a tree of two-way marginals with Gaussian noise of `sigma` rows on every cell (0: none)."""
    edges = tree_cliques(records) if cliques is None else cliques
    graph = nx.Graph(edges)
    root = records.domain.attributes[0]
    columns: dict[str, NDArray[np.int64]] = {}
    for parent, child in [(None, root), *nx.bfs_edges(graph, root)]:
        if parent is None:
            counts = np.bincount(records[child], minlength=records.domain[child]).astype(float)
            columns[child] = rng.choice(
                len(counts), n, p=_normal(counts + sigma * rng.normal(size=counts.shape))
            )
            continue
        table = _pair(records, parent, child)
        noisy = np.maximum(table + sigma * rng.normal(size=table.shape), 1e-9)
        steps = np.cumsum(noisy / noisy.sum(axis=1, keepdims=True), axis=1)[columns[parent]]
        columns[child] = np.minimum((rng.random(n)[:, None] > steps).sum(axis=1), table.shape[1] - 1)
    return Records.of(records.domain, columns), edges


def _pair(records: Records, a: str, b: str) -> NDArray[np.float64]:
    sizes = (records.domain[a], records.domain[b])
    index = np.ravel_multi_index((records[a].astype(np.int64), records[b].astype(np.int64)), sizes)
    return np.bincount(index, minlength=sizes[0] * sizes[1]).reshape(sizes).astype(np.float64)


def _information(counts: NDArray[np.float64]) -> float:
    p = counts / counts.sum()
    product = p.sum(axis=1, keepdims=True) * p.sum(axis=0, keepdims=True)
    seen = p > 0
    return float((p[seen] * np.log(p[seen] / product[seen])).sum())


def _normal(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    positive = np.maximum(counts, 1e-9)
    return np.asarray(positive / positive.sum())


def population(n: int, rng: np.random.Generator, columns: int = 8, cells: int = 8) -> Records:
    """Rows with dependent columns: a hidden group of 5 decides how each column leans."""
    domain = Domain.from_sizes({f"c{i}": cells for i in range(columns)})
    shape = np.random.default_rng(1).dirichlet(np.full(cells, 0.6), size=(columns, 5))
    group = rng.integers(0, 5, n)
    steps = np.cumsum(shape, axis=2)[:, group]
    drawn = (rng.random((columns, n))[:, :, None] > steps).sum(axis=2)
    return Records.of(domain, {f"c{i}": np.minimum(drawn[i], cells - 1) for i in range(columns)})
