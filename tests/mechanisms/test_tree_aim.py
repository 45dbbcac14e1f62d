"""The clique tree as AIM's start: both spend their part, and the rounds add what the tree lacks."""

from __future__ import annotations

import numpy as np
import pytest
from free_runs import measured

from dpsynth.budget import Cost
from dpsynth.domain import Domain
from dpsynth.mechanisms import METHODS, Task, tree_aim
from dpsynth.mechanisms.aim import ROUNDS
from dpsynth.privacy.events import GdpGrant
from dpsynth.records import Records


def crowded(n: int, seed: int) -> Records:
    """Eight attributes that all copy one hidden cause, so that every pair depends."""
    rng = np.random.default_rng(seed)
    cause = rng.integers(0, 4, n)
    columns = {a: np.where(rng.random(n) < 0.6, cause, rng.integers(0, 4, n)) for a in "abcdefgh"}
    return Records.of(Domain(tuple("abcdefgh"), (4,) * 8), columns)


def test_the_rounds_begin_where_the_tree_ends() -> None:
    records, cost = crowded(4000, 1), Cost(0.1)
    found, run = measured("tree-aim", records, cost)
    tree, _ = measured("tree", records, cost.share(tree_aim.TREE_SHARE))
    assert [c.purpose for c in run.made][-1] == ROUNDS
    assert len(found.measurements) > len(tree.measurements) - 3
    assert run.grants[-1].remaining < 0.01 * run.grants[-1].event.mu ** 2  # type: ignore[union-attr]


def test_its_plan_is_the_tree_and_one_grant() -> None:
    task, cost = Task(Domain.of(a=4, b=4, c=3)), Cost(0.1)
    *tree, last = METHODS["tree-aim"].plan(task, cost)
    assert tuple(tree) == METHODS["tree"].plan(task, cost.share(tree_aim.TREE_SHARE))
    assert isinstance(last.event, GdpGrant)
    assert last.event.mu**2 / 2 == pytest.approx(0.1 * (1 - tree_aim.TREE_SHARE))


def test_two_attributes_are_left_to_the_tree() -> None:
    task, cost = Task(Domain.of(a=4, b=4)), Cost(0.1)
    assert METHODS["tree-aim"].plan(task, cost) == METHODS["tree"].plan(task, cost)


def test_progress_never_goes_back() -> None:
    told: list[float] = []
    measured("tree-aim", crowded(2000, 2), Cost(0.05), progress=lambda step, done: told.append(done))
    assert told == sorted(told)
    assert told[0] < 0.1
    assert told[-1] > tree_aim.TREE_SHARE
