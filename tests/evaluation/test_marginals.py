"""Marginals on one grid: against counting by hand."""

from __future__ import annotations

import itertools
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dpsynth.domain import Domain
from dpsynth.evaluation import marginals
from dpsynth.evaluation.marginals import (
    Sample,
    cell_index,
    cliques_of,
    coarse,
    quantile_bins,
    shares,
    total_variation,
)
from dpsynth.records import Records


def records(n: int, seed: int, **sizes: int) -> Records:
    rng = np.random.default_rng(seed)
    return Records.of(Domain.of(**sizes), {name: rng.integers(0, size, n) for name, size in sizes.items()})


def by_hand(one: Records, other: Records, clique: tuple[str, ...]) -> float:
    p = Counter(zip(*(one[a].tolist() for a in clique), strict=True))
    q = Counter(zip(*(other[a].tolist() for a in clique), strict=True))
    return sum(abs(p[c] / len(one) - q[c] / len(other)) for c in p.keys() | q.keys()) / 2


@pytest.mark.parametrize("dense", [1, 1 << 17])
@pytest.mark.parametrize("clique", [("a",), ("c", "a"), ("a", "b", "c")])
def test_total_variation_is_that_of_counting(
    clique: tuple[str, ...], dense: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(marginals, "DENSE_CELLS", dense)
    one, other = records(300, 1, a=5, b=3, c=40), records(200, 2, a=5, b=3, c=40)
    (p, q), cells = cell_index(clique, [one, other])
    assert total_variation(shares(p, cells), shares(q, cells)) == pytest.approx(by_hand(one, other, clique))


def test_an_empty_table_has_no_shares() -> None:
    (p,), cells = cell_index(("a",), [records(0, 1, a=5)])
    assert shares(p, cells).tolist() == [0.0] * 5


@given(st.lists(st.integers(0, 99), min_size=1, max_size=400), st.integers(2, 30))
@settings(max_examples=60, deadline=None)
def test_quantile_bins_are_a_coarser_order(values: list[int], most: int) -> None:
    column = np.array(values)
    bins = quantile_bins(column, 100, most)
    assert bins[0] == 0
    assert set(np.diff(bins)) <= {0, 1}
    assert bins[-1] < most
    largest_cell = np.bincount(column, minlength=100).max()
    filled = np.bincount(bins[column])
    assert filled.max() <= len(values) / most + largest_cell


def test_only_long_ordered_columns_are_put_together_and_missing_stays_apart() -> None:
    table = records(2000, 3, age=101, code=60, short=7)
    (after,) = coarse([table], table, {"age": 100, "short": 7})
    assert after.domain["code"] == 60
    assert after.domain["short"] == 7
    assert after.domain["age"] == 21
    assert np.array_equal(after["age"] == 20, table["age"] == 100)  # the last cell stood for missing values


def test_all_cliques_or_a_sample_of_them() -> None:
    rng = np.random.default_rng(4)
    names = list("abcdefg")
    assert cliques_of(names, 2, 100, rng) == list(itertools.combinations(names, 2))
    few = cliques_of(names, 3, 10, rng)
    assert len(set(few)) == 10
    assert set(few) <= set(itertools.combinations(names, 3))


def test_units_are_drawn_whole() -> None:
    rng = np.random.default_rng(5)
    units = np.array([30, 30, 10, 20, 10, 10])
    sample = Sample.of(records(6, 6, a=2), units)
    assert sample.unit_count == 3
    for weights in [sample.redraw(rng, 2.0), *(sample.subsample(rng, 0.5) for _ in range(5))]:
        for unit in (10, 20, 30):
            assert len(set(weights[units == unit])) == 1
    drawn = np.mean([Sample.of(records(500, 7, a=2)).redraw(rng, 3.0).sum() for _ in range(20)])
    assert drawn == pytest.approx(1500, rel=0.05)


def test_a_subsample_has_the_asked_share_of_units() -> None:
    sample = Sample.of(records(1000, 8, a=2))
    weights = sample.subsample(np.random.default_rng(9), 0.3)
    assert set(weights) == {0.0, 1.0}
    assert weights.sum() == 300
    assert Sample.of(records(3, 8, a=2)).subsample(np.random.default_rng(9), 0.001).sum() == 1
