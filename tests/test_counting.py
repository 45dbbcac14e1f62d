"""Counting against the obvious loop, for every number of attributes and width of codes."""

from __future__ import annotations

import itertools
import sys
from collections import Counter

import numpy as np
import pytest

from dpsynth import counting
from dpsynth import counting_packs as packs
from dpsynth.counting import count, weigh
from dpsynth.domain import Domain
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


@pytest.mark.parametrize("least", [0, 1 << 60])
def test_pairs_are_counted_alike_alone_and_in_packs(least: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counting, "PACKED_ROWS", least)
    rng = np.random.default_rng(5)
    domain = Domain.of(a=3, b=2, c=4, wide=300, d=16, e=1, f=100, g=256, h=7)
    records = Records.of(domain, {a: rng.integers(0, domain[a], 400) for a in domain.attributes})
    pairs = list(itertools.permutations(domain.attributes, 2))
    asked = [*pairs, ("a",), (), ("a", "b", "c")]
    tables = {c: np.full(domain.size(c), 5) for c in asked}
    counting.tally(records, tables)
    for clique, found in counting.count_each(records, asked).items():
        np.testing.assert_array_equal(found, count(records, clique))
        np.testing.assert_array_equal(tables[clique], found.reshape(-1) + 5)


def test_a_code_outside_its_domain_is_refused_in_packs_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counting, "PACKED_ROWS", 0)
    domain = Domain.of(a=2, b=3, c=2)
    broken = Records(domain, (np.zeros(2, np.uint8), np.array([0, 3], np.uint8), np.zeros(2, np.uint8)))
    with pytest.raises(ValueError, match="outside"):
        counting.count_each(broken, list(itertools.combinations("abc", 2)))


def test_packs_hold_every_pair_once_and_fit_a_byte() -> None:
    domain = Domain.of(
        **{f"x{i}": s for i, s in enumerate((85, 9, 100, 16, 7, 15, 6, 5, 2, 100, 99, 42, 2, 300))}
    )
    pairs = tuple(itertools.combinations(domain.attributes, 2))
    found = packs.pairs_by_packs(domain, pairs)
    held = [pair for seen in found.values() for pair in seen]
    assert sorted(held) == sorted(p for p in pairs if "x13" not in p)
    assert all(domain.size(pack) <= packs.CELLS for key in found for pack in key)
    assert 2 * len(found) <= len(held)
