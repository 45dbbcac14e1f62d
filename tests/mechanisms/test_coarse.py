"""Which cells are merged, and which pairs fit into small bags."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dpsynth.domain import Domain
from dpsynth.measurement import Measurement
from dpsynth.mechanisms import Task, bags
from dpsynth.mechanisms.coarse import marginals, merges_for
from dpsynth.pgm import fit
from dpsynth.privacy.merging import merged_domain


def merged(counts: list[int], *, ordered: bool, apart: int = 0, sigma: float = 10.0) -> list[int]:
    names = frozenset(["x"])
    task = Task(
        Domain.of(x=len(counts)),
        ordered=names if ordered else frozenset(),
        apart=dict.fromkeys(names, apart),
    )
    found = merges_for(task, [Measurement(("x",), np.array(counts), sigma)])
    return found["x"].tolist() if found else list(range(len(counts)))


@pytest.mark.parametrize(
    ("counts", "ordered", "cells"),
    [
        ([100, 200, 300], True, [0, 1, 2]),
        ([100, 10, 10, 300], True, [0, 1, 1, 2]),
        ([100, 20, 20, 20, 20, 300], True, [0, 1, 1, 2, 2, 3]),
        ([100, 20, 20, 5, 300], True, [0, 1, 1, 1, 2]),
        ([5, 100, 5], True, [0, 1, 2]),
        ([0, -4, 3, 1], True, [0, 0, 0, 0]),
        ([5, 100, 5], False, [0, 1, 0]),
        ([5, 100, 29, 200, 29, 4], False, [0, 1, 0, 2, 0, 0]),
        ([29, 100, 29, 29, 200, 29], False, [0, 1, 0, 2, 3, 2]),
    ],
)
def test_light_cells_merge(counts: list[int], ordered: bool, cells: list[int]) -> None:
    assert merged(counts, ordered=ordered) == cells


def test_a_missing_value_is_next_to_none() -> None:
    assert merged([100, 5, 5, 5], ordered=True, apart=1) == [0, 1, 1, 2]
    assert merged([100, 5, 5, 5, 5], ordered=True, apart=2) == [0, 1, 1, 2, 3], (
        "a special value is near nothing"
    )
    assert merged([100, 5, 5, 5], ordered=True) == [0, 1, 1, 1]


@given(
    counts=st.lists(st.integers(-50, 500), min_size=1, max_size=40),
    ordered=st.booleans(),
    apart=st.integers(0, 3),
)
@settings(max_examples=150, deadline=None)
def test_any_counts_give_a_map_onto_its_range(counts: list[int], ordered: bool, apart: int) -> None:
    cells = np.array(merged(counts, ordered=ordered, apart=min(apart, len(counts))))
    merged_domain(Domain.of(x=len(counts)), {"x": cells})
    sizes = np.bincount(cells)
    assert all(sizes[cells[i]] == 1 for i, count in enumerate(counts) if count >= 30)
    if ordered:
        assert (np.diff(cells) >= 0).all()
        assert all(sizes[cell] == 1 for cell in cells[len(cells) - min(apart, len(counts)) :])


def test_marginals_of_a_model_on_merged_cells() -> None:
    domain, cells = Domain.of(a=4, b=2), {"a": np.array([0, 1, 1, 0])}
    ones = [
        Measurement(("a",), np.array([10, 20, 30, 40]), 1.0),
        Measurement(("b",), np.array([60, 40]), 1.0),
    ]
    model = fit(domain, ones)
    (found,) = marginals(model, [("b", "a")], cells).values()
    np.testing.assert_allclose(found, np.outer([60, 40], [50, 50]) / 100, rtol=0.05)
    pair = Measurement(("a", "b"), np.array([[30, 20], [30, 20]]), 1.0, cells)
    (again,) = marginals(fit(domain, [*ones, pair]), [("b", "a")], cells).values()
    assert again.shape == (2, 2)


def junction_cells(domain: Domain, edges: list[tuple[str, str]]) -> int:
    """The least over all elimination orders of the largest bag."""

    def largest(order: tuple[str, ...]) -> int:
        near = {a: {b for e in edges if a in e for b in e} | {a} for a in domain.attributes}
        most = 0
        for a in order:
            bag = near.pop(a)
            most = max(most, domain.size(tuple(bag)))
            for b in bag - {a}:
                near[b] = (near[b] | bag) - {a}
        return most

    return min(largest(order) for order in itertools.permutations(domain.attributes))


@given(seed=st.integers(0, 10_000), limit=st.sampled_from([6.0, 30.0, 120.0, 1000.0]))
@settings(max_examples=40, deadline=None)
def test_bags_hold_the_graph_and_keep_the_limit(seed: int, limit: float) -> None:
    rng = np.random.default_rng(seed)
    domain = Domain.from_sizes({a: int(rng.integers(1, 6)) for a in "abcde"})
    pairs = [tuple(sorted(p)) for p in itertools.combinations("abcde", 2)]
    tree = bags.JunctionTree(domain, bags.Limits(limit, 1e9))
    kept: list[tuple[str, str]] = []
    for i in rng.permutation(len(pairs)):
        one, two = pairs[i]
        if tree.add((one, two)):
            kept.append((one, two))
            assert tree.holds((one, two))
    assert all(tree.holds(pair) for pair in kept)
    assert all(domain.size(bag) <= limit for bag in tree.bags if len(bag) > 1)
    assert junction_cells(domain, kept) <= max([domain.size(bag) for bag in tree.bags])
    assert {a for bag in tree.bags for a in bag} == set(domain.attributes)


def test_the_tree_that_holds_the_most_error_is_kept() -> None:
    """One wide pair with the largest error would fill the only bag; three small ones hold more together."""
    domain = Domain.of(wide=100, broad=100, a=2, b=2, c=2)
    errors = dict.fromkeys(itertools.combinations(domain.attributes, 2), 0.0)
    errors |= {("wide", "broad"): 10.0, ("wide", "a"): 8.0, ("broad", "b"): 8.0, ("a", "b"): 6.0}
    tree = bags.best_tree(domain, bags.Limits(1e4, 1.1e4), errors, 0.001)
    assert tree.holds(("wide", "broad"))
    tight = bags.best_tree(domain, bags.Limits(1e3, 1.1e4), errors, 0.001)
    assert not tight.holds(("wide", "broad"))
    assert all(tight.holds(p) for p in [("wide", "a"), ("broad", "b"), ("a", "b")])
    assert set(bags.inside([("a", "b", "c"), ("b", "c")], 2)) == {("a", "b"), ("a", "c"), ("b", "c")}


def test_elimination_of_more_attributes_than_a_word_has_bits() -> None:
    n = 70
    path = [sum(1 << k for k in (i - 1, i, i + 1) if 0 <= k < n) for i in range(n)]
    logs = [float(np.log(5))] * n
    assert bags.eliminated([1 << i for i in range(n)], logs, bags.Limits(1e3, 1e9)) == [
        1 << i for i in range(n)
    ]
    found = bags.eliminated(path, logs, bags.Limits(25, 1e9))
    assert found is not None
    assert sorted(found) == [3 << i for i in range(n - 1)]
    assert bags.eliminated(path, logs, bags.Limits(24, 1e9)) is None
    assert bags.eliminated(path, logs, bags.Limits(25, 25 * (n - 2))) is None
