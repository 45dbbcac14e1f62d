"""Counting against the obvious loop, for every number of attributes and width of codes."""

from __future__ import annotations

import itertools
import sys
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dpsynth import counting
from dpsynth.counting import count, weigh
from dpsynth.counting_joints import CELLS, joints
from dpsynth.domain import Clique, Domain
from dpsynth.records import Records, code_dtype

DOMAIN = Domain.of(a=3, b=2, wide=300, c=4, wider=70_000)


def drawn(n: int) -> Records:
    rng = np.random.default_rng(1)
    return Records.of(DOMAIN, {a: rng.integers(0, DOMAIN[a], n) for a in DOMAIN.attributes})


@pytest.mark.parametrize("n", [0, 1, 500])
def test_counts_are_those_of_a_loop(n: int) -> None:
    records = drawn(n)
    assert [c.dtype for c in records.columns] == [code_dtype(s) for s in DOMAIN.sizes]
    some = [c for k in range(4) for c in itertools.permutations("abc", k)]
    for clique in [
        *some,
        ("wide", "a"),
        ("wider",),
        ("b", "wider"),
        ("c", "a", "wide"),
        ("c", "b", "a", "wide"),
    ]:
        expected = Counter(zip(*(records[a].tolist() for a in clique), strict=True))
        found = count(records, clique)
        assert found.shape == DOMAIN.shape(clique)
        assert found.dtype == np.int64
        if clique:
            assert found.sum() == n
            assert all(found[cell] == number for cell, number in expected.items())
        (weighed,) = weigh(records, [clique], 0.25).values()
        np.testing.assert_array_equal(weighed, found * 0.25)


def test_no_attribute_has_one_cell_that_holds_all() -> None:
    assert count(drawn(7), ()) == 7


def test_a_code_outside_its_domain_is_refused() -> None:
    broken = Records(Domain.of(a=2), (np.array([0, 2], dtype=np.uint8),))
    with pytest.raises(ValueError, match="outside"):
        count(broken, ("a",))


def test_numpy_and_the_compiled_loops_count_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    records = drawn(500)
    cliques = [c for k in range(4) for c in itertools.combinations(DOMAIN.attributes[:4], k)]
    monkeypatch.setattr(counting, "UNCOMPILED", -1)
    compiled = [count(records, clique) for clique in cliques]
    monkeypatch.setattr(counting, "UNCOMPILED", 1 << 60)
    monkeypatch.delitem(sys.modules, "dpsynth.counting_loops")
    for clique, expected in zip(cliques, compiled, strict=True):
        np.testing.assert_array_equal(count(records, clique), expected)
    assert "dpsynth.counting_loops" not in sys.modules


@st.composite
def tables_and_cliques(draw: st.DrawFn) -> tuple[Records, list[Clique]]:
    sizes = draw(
        st.lists(st.sampled_from([1, 2, 3, 7, 16, 100, 256, 300, 65_536, 70_000]), min_size=1, max_size=7)
    )
    domain = Domain.from_sizes({f"x{i}": size for i, size in enumerate(sizes)})
    names = st.lists(st.sampled_from(domain.attributes), max_size=3).map(tuple)
    asked = draw(st.lists(names.filter(lambda c: domain.size(c) <= 1 << 20), max_size=25, unique=True))
    rows = draw(st.sampled_from([0, 1, 2, 7, 8, 9, 15, 16, 17, 40]))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    edges = rng.random((len(sizes), rows)) < 0.3
    columns = [np.where(e, n - 1, rng.integers(0, n, rows)) for e, n in zip(edges, sizes, strict=True)]
    return Records.of(domain, dict(zip(domain.attributes, columns, strict=True))), asked


@settings(max_examples=150, deadline=None)
@given(tables_and_cliques(), st.booleans(), st.sampled_from([0, 9, 20]), st.sampled_from([8, 33, 1 << 40]))
def test_any_cliques_are_counted_as_by_a_loop(
    drawn: tuple[Records, list[Clique]], compiled: bool, joined: int, most: int
) -> None:
    """In chunks, with joint tables from the start, from the middle on or not at all, and emptied when they are full."""
    records, asked = drawn
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(counting, "JOINED_ROWS", joined)
        patch.setattr(counting, "BLOCK", 8)
        patch.setattr(counting, "MOST", most)
        patch.setattr(counting._Loops, "not_worth", lambda more: not compiled)
        tables = {clique: np.full(records.domain.size(clique), 5) for clique in asked}
        tally = counting.Tally(records.domain, tables)
        for first in range(0, len(records), 15):
            tally.add(records.take(slice(first, first + 15)))
        tally.close()
    for clique in asked:
        expected = (
            Counter(zip(*(records[a].tolist() for a in clique), strict=True))
            if clique
            else {(): len(records)}
        )
        found = tables[clique].reshape(records.domain.shape(clique)) - 5
        assert found.sum() == len(records)
        assert all(found[cell] == number for cell, number in expected.items())


def test_a_code_outside_its_domain_is_refused_in_joint_tables_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counting, "JOINED_ROWS", 0)
    domain = Domain.of(a=2, b=3, c=2)
    broken = Records(domain, (np.zeros(2, np.uint8), np.array([0, 3], np.uint8), np.zeros(2, np.uint8)))
    tables = {pair: np.zeros(domain.size(pair), np.int64) for pair in itertools.combinations("abc", 2)}
    with pytest.raises(ValueError, match="outside"):
        counting.Tally(domain, tables).add(broken)
    assert not any(table.any() for table in tables.values())


ADULT = Domain.of(**{f"x{i}": s for i, s in enumerate((85, 9, 100, 16, 7, 15, 6, 5, 2, 100, 100, 99, 42, 2))})


@pytest.mark.parametrize("many", [2, 3])
@pytest.mark.parametrize("rows", [1 << 18, 1 << 24])
def test_joint_tables_show_every_clique_once_and_fit_a_cache(many: int, rows: int) -> None:
    asked = tuple(c for c in itertools.combinations(ADULT.attributes, many) if ADULT.size(c) <= CELLS)
    found = joints(ADULT, asked, rows)
    assert sorted(clique for joint in found for clique in joint.shows) == sorted(asked)
    assert all(set(clique) <= set(joint.attributes) for joint in found for clique in joint.shows)
    assert all(ADULT.size(joint.attributes) <= CELLS for joint in found)
    assert 2 * len(found) <= len(asked)


def test_joint_tables_that_would_fill_memory_are_not_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dpsynth.counting_joints.ALL_CELLS", 7)
    assert joints(Domain.of(p=2, q=2, r=2), (("p", "q"), ("q", "r")), 1 << 20) == ()
