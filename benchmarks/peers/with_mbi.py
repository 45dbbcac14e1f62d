"""MST and AIM wired on mbi's public interface, with its default estimator and sampler.

MST: McKenna, Miklau and Sheldon 2021. AIM: McKenna, Mullins, Sheldon and Miklau 2022, all triples as its
workload, 80 MB as its limit for a model. One liberty, in favour of speed: AIM scores its candidates on rows
drawn from the model, since an exact answer compiles code for each candidate in each round.
Both are priced in zCDP; the exponential mechanism by its bounded range, eps^2 / 8 (Cesar and Rogers 2021).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping
from importlib.metadata import version as installed

import jax
import networkx as nx
import numpy as np
from mbi import Dataset, Domain, LinearMeasurement, estimation, junction_tree
from scipy.optimize import brentq, minimize_scalar
from task import Task

jax.config.update("jax_enable_compilation_cache", False)

Clique = tuple[str, ...]
MEASURED, CHOSEN = 0.9, 0.1
"""AIM's shares of a round: for the measurement, for the choice."""
SIZE_LIMIT_MB = 80
ROUNDS_A_COLUMN = 16


def version() -> str:
    return f"mbi {installed('mbi')} (jax {installed('jax')})"


def fit(task: Task, rows: np.ndarray) -> Callable[[int], np.ndarray]:
    domain = Domain.fromdict(task.domain)
    data = Dataset({name: rows[:, i] for i, name in enumerate(task.domain)}, domain)
    rng = np.random.default_rng(task.seed)
    rho = zcdp(task.epsilon, task.delta)
    sample = {"mst": mst, "aim": aim}[task.method](data, rho, rng)

    def codes(count: int) -> np.ndarray:
        drawn = sample(count).to_dict()
        return np.column_stack([drawn[name] for name in task.domain])

    return codes


def zcdp(epsilon: float, delta: float) -> float:
    """The largest rho that implies (epsilon, delta) by Canonne, Kamath and Steinke 2020, Proposition 12."""

    def log_delta(rho: float) -> float:
        def at(log_order: float) -> float:
            a = 1 + math.exp(log_order)
            return (a - 1) * (a * rho - epsilon) + (a - 1) * math.log1p(-1 / a) - math.log(a)

        return float(minimize_scalar(at, bounds=(-8, 14), method="bounded", options={"xatol": 1e-9}).fun)

    top = epsilon + 1.0
    return float(brentq(lambda rho: log_delta(rho) - math.log(delta), 1e-12, top, xtol=1e-12))


def mst(data: Dataset, rho: float, rng: np.random.Generator) -> Callable[[int], Dataset]:
    """A third of rho each: one-way marginals, the choice of a tree, its pairs. Rare cells (below 3 sigma) are
    merged before the pairs, and spread evenly afterwards."""
    names = data.domain.attributes
    sigma = math.sqrt(len(names) / (2 * rho / 3))
    ones = {(name,): noisy(data, (name,), sigma, rng) for name in names}
    groups = {name: rare_merged(ones[(name,)], sigma) for name in names}
    merged = data.compress(groups)
    total = estimation.minimum_variance_unbiased_total(measured(ones, sigma))
    first = [m.compress(groups, data.domain) for m in measured(ones, sigma)]
    chosen = tree(merged, first, total, rho / 3, rng)
    sigma = math.sqrt(len(chosen) / (2 * rho / 3))
    pairs = {pair: noisy(merged, pair, sigma, rng) for pair in chosen}
    found = first + measured(pairs, sigma)
    model = estimation.MirrorDescent().estimate(merged.domain, found, known_total=total)
    np.random.seed(rng.integers(2**32))  # noqa: NPY002  mbi samples from the global stream
    return lambda count: model.synthetic_data(count).decompress(groups)


def noisy(data: Dataset, clique: Clique, sigma: float, rng: np.random.Generator) -> np.ndarray:
    exact = counts(data, clique)
    return exact + rng.normal(0, sigma, exact.size)


def counts(data: Dataset, clique: Clique) -> np.ndarray:
    """Rows in each cell of a marginal, flat, by NumPy."""
    shape = tuple(data.domain[name] for name in clique)
    columns = [np.asarray(data.data[name], dtype=np.int64) for name in clique]
    return np.bincount(np.ravel_multi_index(columns, shape), minlength=math.prod(shape)).astype(float)


def measured(values: Mapping[Clique, np.ndarray], sigma: float) -> list[LinearMeasurement]:
    return [LinearMeasurement(y, clique, sigma) for clique, y in values.items()]


def rare_merged(y: np.ndarray, sigma: float) -> np.ndarray:
    """The new cell of each cell: those above 3 sigma keep one of their own, the others share the last."""
    kept = y >= 3 * sigma
    if kept.all() or kept.sum() < 1:
        return np.arange(len(y))
    groups = np.full(len(y), kept.sum())
    groups[kept] = np.arange(kept.sum())
    return groups


def tree(
    data: Dataset, first: list[LinearMeasurement], total: float, rho: float, rng: np.random.Generator
) -> list[Clique]:
    """A spanning tree of heavy pairs, an edge at a time by the exponential mechanism."""
    names = data.domain.attributes
    independent = estimation.MirrorDescent().estimate(data.domain, first, known_total=total)
    alone = {name: np.asarray(independent.project((name,)).datavector(), dtype=float) for name in names}
    weights = {}
    for one, two in itertools.combinations(names, 2):
        product = np.outer(alone[one], alone[two] / alone[two].sum()).ravel()
        weights[one, two] = float(np.abs(counts(data, (one, two)) - product).sum())
    graph = nx.Graph()
    graph.add_nodes_from(names)
    epsilon = math.sqrt(8 * rho / max(1, len(names) - 1))
    for _ in range(len(names) - 1):
        part = {name: i for i, nodes in enumerate(nx.connected_components(graph)) for name in nodes}
        open_ = {pair: w for pair, w in weights.items() if part[pair[0]] != part[pair[1]]}
        graph.add_edge(*exponential(open_, epsilon, rng))
    return [tuple(sorted(edge, key=names.index)) for edge in graph.edges]


def exponential(scores: Mapping[Clique, float], epsilon: float, rng: np.random.Generator) -> Clique:
    """One key, more likely the higher its score, of sensitivity 1: the largest after Gumbel noise."""
    keys = list(scores)
    keyed = 0.5 * epsilon * np.array([scores[k] for k in keys]) + rng.gumbel(size=len(keys))
    return keys[int(np.argmax(keyed))]


def aim(data: Dataset, rho: float, rng: np.random.Generator) -> Callable[[int], Dataset]:
    """Measure what the model explains worst, until the budget is spent."""
    names, domain = data.domain.attributes, data.domain
    candidates = weighted_candidates(names)
    rounds = ROUNDS_A_COLUMN * len(names)
    sigma = math.sqrt(rounds / (2 * MEASURED * rho))
    epsilon = math.sqrt(8 * CHOSEN * rho / rounds)
    truth = {clique: counts(data, clique) for clique in candidates}
    found = measured({(name,): noisy(data, (name,), sigma, rng) for name in names}, sigma)
    used = len(names) / (2 * sigma**2)
    model = estimation.MirrorDescent().estimate(domain, found)
    while used < rho:
        step = 1 / (2 * sigma**2) + epsilon**2 / 8
        if rho - used < 2 * step:  # the last round takes all that is left
            sigma = math.sqrt(1 / (2 * MEASURED * (rho - used)))
            epsilon = math.sqrt(8 * CHOSEN * (rho - used))
            step = rho - used
        used = min(rho, used + step) if rho - used - step > 1e-12 else rho
        open_ = within_size(candidates, found, domain, SIZE_LIMIT_MB * used / rho)
        drawn = model.synthetic_data(data.records)
        clique = worst(open_, truth, drawn, domain, sigma, epsilon, rng)
        before = counts(drawn, clique)
        found += measured({clique: noisy(data, clique, sigma, rng)}, sigma)
        model = estimation.MirrorDescent().estimate(domain, found, warm_start=model)
        after = np.asarray(model.project(clique).datavector())
        if np.abs(after - before).sum() <= math.sqrt(2 / math.pi) * sigma * len(before):
            sigma, epsilon = sigma / 2, epsilon * 2
    return lambda count: model.synthetic_data(count)


def weighted_candidates(names: tuple[str, ...]) -> dict[Clique, float]:
    """All marginals of up to three columns; a weight says how much a clique shares with the triples asked for."""
    width = min(3, len(names))
    workload = [set(w) for w in itertools.combinations(names, width)]
    every = [c for k in range(1, width + 1) for c in itertools.combinations(names, k)]
    return {c: float(sum(len(w & set(c)) for w in workload)) for c in every}


def within_size(
    candidates: Mapping[Clique, float], found: list[LinearMeasurement], domain: Domain, limit: float
) -> dict[Clique, float]:
    """Those that leave the model's junction tree below `limit` MB."""
    known = [tuple(m.clique) for m in found]
    covered = [set(c) for c in known]
    return {
        c: w
        for c, w in candidates.items()
        if any(set(c) <= k for k in covered)
        or junction_tree.hypothetical_model_size(domain, [*known, c]) <= limit
    }


def worst(
    candidates: Mapping[Clique, float],
    truth: Mapping[Clique, np.ndarray],
    drawn: Dataset,
    domain: Domain,
    sigma: float,
    epsilon: float,
    rng: np.random.Generator,
) -> Clique:
    """The exponential mechanism on weight * (error - expected noise); the largest weight is the sensitivity."""
    largest = max(candidates.values())
    scores = {}
    for clique, weight in candidates.items():
        error = np.abs(truth[clique] - counts(drawn, clique)).sum()
        noise = math.sqrt(2 / math.pi) * sigma * domain.size(clique)
        scores[clique] = weight / largest * (error - noise)
    return exponential(scores, epsilon, rng)
