"""Contraction plans: every variable is summed once, and the cost is what it must be."""

from __future__ import annotations

import itertools
import math

from hypothesis import given, settings
from hypothesis import strategies as st

from dpsynth.pgm.elimination import Plan, elimination_order, plan_contraction


@st.composite
def structures(draw: st.DrawFn) -> tuple[list[int], list[tuple[int, ...]]]:
    sizes = draw(st.lists(st.integers(1, 6), min_size=1, max_size=7))
    scope = st.lists(st.integers(0, len(sizes) - 1), min_size=1, max_size=3, unique=True).map(tuple)
    scopes = draw(st.lists(scope, min_size=1, max_size=8))
    return sizes, scopes + [(v,) for v in range(len(sizes)) if not any(v in s for s in scopes)]


def checked(plan: Plan) -> list[set[int]]:
    """The scope of every node; asserts that steps are well formed and each node is read at most once."""
    scopes = [set(leaf) for leaf in plan.leaves]
    read: list[int] = []
    for step in plan.steps:
        inputs = [n for n in (step.left, step.right) if n is not None]
        read += inputs
        assert scopes[step.left] == set(step.left_axes)
        if step.right is not None:
            assert scopes[step.right] == set(step.right_axes)
        assert not set(step.summed) & set(step.out_axes)
        scopes.append(set(step.out_axes))
        axes = (step.left_axes, step.right_axes)
        assert all(plan.wanted[n] == axes[i] for i, n in enumerate(inputs))
    assert len(set(read)) == len(read)
    assert set(read) | set(plan.roots) == set(range(len(scopes)))
    return scopes


@given(structures())
@settings(max_examples=200, deadline=None)
def test_each_variable_is_summed_exactly_once(structure: tuple[list[int], list[tuple[int, ...]]]) -> None:
    sizes, scopes = structure
    plan = plan_contraction(sizes, scopes)
    nodes = checked(plan)
    assert sorted(v for step in plan.steps for v in step.summed) == list(range(len(sizes)))
    assert all(not nodes[root] for root in plan.roots)
    assert plan.cells == sum(plan.size(n) for n in nodes)


@given(structures(), st.data())
@settings(max_examples=150, deadline=None)
def test_kept_variables_end_in_one_root(
    structure: tuple[list[int], list[tuple[int, ...]]], data: st.DataObject
) -> None:
    sizes, scopes = structure
    variables = st.integers(0, len(sizes) - 1)
    keep = tuple(data.draw(st.lists(variables, min_size=1, max_size=4, unique=True)))
    plan = plan_contraction(sizes, scopes, keep)
    nodes = checked(plan)
    (root,) = plan.roots
    assert nodes[root] == set(keep)
    assert plan.wanted[root] == keep


def test_a_tree_is_never_filled_in() -> None:
    sizes = [7, 100, 3, 50, 9, 12]
    edges = [(0, 1), (1, 2), (1, 3), (3, 4), (4, 5)]
    plan = plan_contraction(sizes, edges)
    assert plan.largest <= max(math.prod(sizes[v] for v in e) for e in edges)


def test_the_order_is_as_good_as_the_best_on_a_small_grid() -> None:
    sizes = [5, 4, 3, 6, 2, 7]
    edges = [(0, 1), (1, 2), (3, 4), (4, 5), (0, 3), (1, 4), (2, 5)]

    def cost(order: tuple[int, ...]) -> int:
        live, total = [set(e) for e in edges], 0
        for v in order:
            met = set().union({v}, *(s for s in live if v in s))
            total += math.prod(sizes[u] for u in met)
            live = [s for s in live if v not in s] + [met - {v}]
        return total

    best = min(cost(order) for order in itertools.permutations(range(6)))
    assert cost(tuple(elimination_order(sizes, edges, ()))) <= 1.05 * best


def test_a_structure_always_has_the_same_plan() -> None:
    edges = list(itertools.combinations(range(8), 2))[::2]
    assert plan_contraction([3] * 8, edges) == plan_contraction([3] * 8, edges)


def test_a_long_chain_needs_no_recursion() -> None:
    edges = [(i, i + 1) for i in range(1500)]
    assert len(plan_contraction([3] * 1501, edges).roots) == 1
