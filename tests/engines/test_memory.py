"""The memory engine against counting by hand, and the bound and the hold-out against their definitions."""

from __future__ import annotations

import copy
import pickle
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from dpsynth.domain import Domain
from dpsynth.engines.memory import MemoryEngine, bound_and_split
from dpsynth.records import Records

DOMAIN = Domain.of(a=3, b=2, c=5)
KEY = bytes(range(32))


def make(rows: list[tuple[int, int, int]]) -> Records:
    table = np.array(rows, dtype=np.int64).reshape(-1, 3)
    return Records.of(DOMAIN, {name: table[:, i] for i, name in enumerate(DOMAIN.attributes)})


rows_strategy = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 1), st.integers(0, 4)), max_size=30)


@given(rows_strategy)
def test_marginals_equal_counting_by_hand(rows: list[tuple[int, int, int]]) -> None:
    cliques = [(), ("a",), ("c", "a"), ("a", "b", "c")]
    counts = MemoryEngine(make(rows), 1).marginals(cliques)
    for clique in cliques:
        by_hand = Counter(tuple(row[DOMAIN.index(name)] for name in clique) for row in rows)
        assert counts[clique].shape == DOMAIN.shape(clique)
        assert {cell: n for cell, n in np.ndenumerate(counts[clique]) if n} == dict(by_hand)


def units_of(numbers: list[int]) -> list[bytes]:
    return [f"p{n}".encode() for n in numbers]


@given(
    st.lists(
        st.tuples(st.integers(0, 6), st.integers(0, 2), st.integers(0, 1), st.integers(0, 4)), max_size=40
    ),
    st.integers(1, 4),
    st.randoms(use_true_random=False),
)
def test_bound_holds_and_does_not_depend_on_row_order(rows, k, random) -> None:  # type: ignore[no-untyped-def]
    def kept(some):  # type: ignore[no-untyped-def]
        records = make([row[1:] for row in some])
        split = bound_and_split(
            records, units_of([r[0] for r in some]), rows_per_unit=k, holdout=0.3, run_key=KEY
        )
        assert set(split.training).isdisjoint(split.holdout)
        return [sorted(some[i] for i in part) for part in (split.training, split.holdout)]

    training, holdout = kept(rows)
    in_file = Counter(row[0] for row in rows)
    assert Counter(row[0] for row in training + holdout) == {unit: min(n, k) for unit, n in in_file.items()}
    assert {r[0] for r in training}.isdisjoint(r[0] for r in holdout)
    shuffled = list(rows)
    random.shuffle(shuffled)
    assert kept(shuffled) == [training, holdout]


@given(st.lists(st.integers(0, 5), min_size=1, max_size=30))
def test_removing_a_unit_leaves_the_others_where_they_were(numbers: list[int]) -> None:
    """Neighbouring tables stay neighbours: this is what an exact or stratified hold-out breaks."""
    rows = [(n % 3, n % 2, i % 5) for i, n in enumerate(numbers)]

    def placed(keep: list[int]) -> dict[bytes, str]:
        units = units_of([numbers[i] for i in keep])
        split = bound_and_split(
            make([rows[i] for i in keep]), units, rows_per_unit=2, holdout=0.5, run_key=KEY
        )
        return {
            units[i]: part
            for part, where in (("train", split.training), ("hold", split.holdout))
            for i in where
        }

    everyone = placed(list(range(len(numbers))))
    gone = numbers[0]
    without = placed([i for i, n in enumerate(numbers) if n != gone])
    assert without == {unit: part for unit, part in everyone.items() if unit != f"p{gone}".encode()}


@pytest.mark.parametrize("by_person", [True, False])
def test_coins_have_the_declared_probability(by_person: bool) -> None:
    n = 20_000
    records = make([(0, 0, 0)] * n)
    units = units_of(list(range(n))) if by_person else None
    held = len(bound_and_split(records, units, rows_per_unit=1, holdout=0.1, run_key=KEY).holdout)
    assert binomtest(held, n, 0.1).pvalue > 1e-9
    assert binomtest(held, n, 0.12).pvalue < 1e-9


def test_another_run_key_chooses_other_rows() -> None:
    records = make([(i % 3, i % 2, i % 5) for i in range(60)])
    units = units_of([0] * 60)
    chosen = [
        bound_and_split(records, units, rows_per_unit=5, holdout=0.0, run_key=bytes([b]) * 32) for b in (1, 2)
    ]
    assert [len(c.training) for c in chosen] == [5, 5]
    assert not np.array_equal(chosen[0].training, chosen[1].training)


def test_engine_refuses_to_travel() -> None:
    engine = MemoryEngine(make([(0, 0, 0)]), 1)
    for travel in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="private rows"):
            travel(engine)


@pytest.mark.parametrize("bad", [{"run_key": b"short"}, {"holdout": 1.0}, {"rows_per_unit": 2}])
def test_nonsense_is_refused(bad: dict[str, object]) -> None:
    settings: dict[str, object] = {"rows_per_unit": 1, "holdout": 0.1, "run_key": KEY, **bad}
    with pytest.raises(ValueError):
        bound_and_split(make([(0, 0, 0)]), None, **settings)  # type: ignore[arg-type]
