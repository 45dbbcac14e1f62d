"""MST finds the tree that is there, and its table is useful."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from dpsynth.budget import Cost
from dpsynth.domain import Clique, Domain
from dpsynth.engines.memory import MemoryEngine
from dpsynth.entropy import Stream
from dpsynth.measurement import Measurement
from dpsynth.mechanisms import METHODS, Task, oneway
from dpsynth.pgm import fit
from dpsynth.privacy.curator import Curator
from dpsynth.privacy.events import Event
from dpsynth.records import Records


class Free:
    """An account that takes everything."""

    def charge(self, purpose: str, event: Event) -> None:
        pass


CHAIN = Domain.of(a=4, b=4, c=4, d=4, e=6)


def chain(n: int, seed: int, strength: float = 0.8) -> Records:
    """a - b - c - d: each copies the one before with some probability; e is alone and skewed."""
    rng = np.random.default_rng(seed)
    columns = {"a": rng.integers(0, 4, n)}
    for before, after in itertools.pairwise("abcd"):
        columns[after] = np.where(rng.random(n) < strength, columns[before], rng.integers(0, 4, n))
    columns["e"] = np.minimum(rng.geometric(0.5, n) - 1, 5)
    return Records.of(CHAIN, columns)


def measure(name: str, records: Records, rho: float, seed: bytes = b"1") -> list[Measurement]:
    curator = Curator(MemoryEngine(records, 1), Free(), Stream.for_tests(seed))
    task = Task(curator.domain, curator.rows_per_unit)
    return list(METHODS[name].measure(curator, task, Cost(rho), fit).measurements)


def pairs_of(found: list[Measurement]) -> set[Clique]:
    return {m.clique for m in found if len(m.clique) == 2}


def error(name: str, records: Records, rho: float) -> float:
    """Mean total variation over all pairs between the records and as many sampled ones."""
    model = fit(records.domain, measure(name, records, rho))
    sample = model.sample(len(records), np.random.default_rng(3))
    pairs = list(itertools.combinations(records.domain.attributes, 2))
    one, two = (MemoryEngine(r, 1).marginals(pairs) for r in (records, sample))
    return float(np.mean([np.abs(one[p] - two[p]).sum() / 2 / len(records) for p in pairs]))


def test_it_finds_the_chain() -> None:
    found = pairs_of(measure("mst", chain(20_000, 1), 0.5))
    assert {("a", "b"), ("b", "c"), ("c", "d")} <= found
    assert len(found) == 4


def test_almost_without_budget_it_finds_some_other_tree() -> None:
    trees = {frozenset(pairs_of(measure("mst", chain(2000, 1), 1e-8, bytes([i])))) for i in range(6)}
    assert len(trees) > 1


@pytest.mark.parametrize("seed", range(5))
def test_the_pairs_are_a_spanning_tree(seed: int) -> None:
    found = pairs_of(measure("mst", chain(100, seed), 1e-4, bytes([seed])))
    reached = {"a"}
    for _ in range(len(CHAIN)):
        reached |= {v for pair in found if reached & set(pair) for v in pair}
    assert reached == set(CHAIN.attributes)
    assert len(found) == len(CHAIN) - 1


def test_it_is_much_closer_than_independent_columns() -> None:
    records = chain(20_000, 2)
    best, mst, independent = 0.004, error("mst", records, 0.05), error("independent", records, 0.05)
    assert best < mst < 0.03
    assert independent > 8 * mst


def test_more_budget_is_closer() -> None:
    records = chain(5000, 4)
    assert error("mst", records, 1.0) < error("mst", records, 0.002) / 2


def test_a_pair_of_wide_columns_without_structure_is_not_chosen() -> None:
    """Its sampling error alone is larger than the dependence of small columns."""
    n, rng = 20_000, np.random.default_rng(5)
    domain = Domain.of(wide=100, broad=100, x=2, y=2)
    x = rng.integers(0, 2, n)
    columns = {
        "wide": rng.integers(0, 100, n),
        "broad": rng.integers(0, 100, n),
        "x": x,
        "y": np.where(rng.random(n) < 0.3, x, rng.integers(0, 2, n)),
    }
    found = pairs_of(measure("mst", Records.of(domain, columns), 0.01))
    assert ("x", "y") in found
    assert ("wide", "broad") not in found


def test_one_column_is_measured_once() -> None:
    records = Records.of(Domain.of(a=3), {"a": np.array([0, 1, 2, 2])})
    (only,) = measure("mst", records, 1.0)
    assert only.clique == ("a",)


def test_two_columns_need_no_choice() -> None:
    domain = Domain.of(a=3, b=2)
    charges = METHODS["mst"].plan(Task(domain), Cost(1.0))
    assert [c.purpose for c in charges] == [oneway.PURPOSE, "mst: chosen pairs"]


def test_one_way_shares_are_best_for_the_sum_of_errors() -> None:
    """Moving budget between any two attributes makes the sum of expected L1 errors larger."""
    domain = Domain.of(a=2, b=20, c=200)
    shares = np.array(oneway.weights(domain))
    shares /= shares.sum()
    cells = np.array(domain.sizes)

    def total(rho: np.ndarray) -> float:
        return float((cells / np.sqrt(rho)).sum())

    for i, j in itertools.permutations(range(3), 2):
        moved = shares.copy()
        moved[i] += 0.01
        moved[j] -= 0.01
        assert total(moved) > total(shares)
