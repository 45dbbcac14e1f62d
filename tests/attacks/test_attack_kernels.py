"""The compiled loops against the obvious."""

from __future__ import annotations

import known_leaks
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from attacks.kernels import FARTHEST, Neighbourhood, nearest, permuted_sums
from attacks.membership.joins import matches, within_unit
from attacks.threat import Candidates, Rows


def by_hand(
    targets: NDArray[np.uint8], table: NDArray[np.uint8], ordered: NDArray[np.bool_]
) -> NDArray[np.int64]:
    a, b = targets[:, None].astype(np.int64), table[None].astype(np.int64)
    return np.where(ordered, np.abs(a - b), 255 * (a != b)).sum(axis=2)


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    columns=st.integers(1, 12),
    k=st.integers(1, 4),
    levels=st.sampled_from([2, 9, 256]),
)
def test_nearest_is_the_sorted_distances(seed: int, columns: int, k: int, levels: int) -> None:
    rng = np.random.default_rng(seed)
    targets = rng.integers(0, levels, (7, columns)).astype(np.uint8)
    table = rng.integers(0, levels, (int(rng.integers(1, 40)), columns)).astype(np.uint8)
    ordered = rng.random(columns) < 0.5
    expected = np.sort(by_hand(targets, table, ordered), axis=1)[:, :k]
    found = nearest(targets, table, ordered, k=k)
    assert np.array_equal(found[:, : expected.shape[1]], expected)
    assert (found[:, expected.shape[1] :] == FARTHEST).all()


def test_nearest_over_several_blocks_and_without_ones_own_rows() -> None:
    rng = np.random.default_rng(0)
    table = rng.integers(0, 256, (5000, 6)).astype(np.uint8)
    ordered = np.array([True, False] * 3)
    first = np.arange(5000) // 3 * 3
    last = np.minimum(first + 3, 5000)
    found = nearest(table[:60], table, ordered, skip=(first[:60], last[:60]))[:, 0]
    distances = by_hand(table[:60], table, ordered)
    for i in range(60):
        distances[i, first[i] : last[i]] = FARTHEST
    assert np.array_equal(found, distances.min(axis=1))


def test_nearest_refuses_what_it_cannot_do() -> None:
    codes = np.zeros((3, 2), np.uint8)
    with pytest.raises(ValueError, match="same columns"):
        nearest(codes, codes, np.array([True]))
    with pytest.raises(ValueError, match="k is"):
        nearest(codes, codes, np.ones(2, bool), k=0)
    for weights in ([1.0], [1.0, -1.0], [0.0, 0.0], [1.0, np.nan]):
        with pytest.raises(ValueError, match="weights"):
            Neighbourhood.of(codes, np.ones(2, bool), weights)


def test_many_columns_do_not_overflow() -> None:
    """257 columns all different make 65,535, what 16 bits can just not tell from "no neighbour"."""
    for columns in (256, 257, 400):
        table = np.full((3, columns), 255, np.uint8)
        found = nearest(np.zeros((1, columns), np.uint8), table, np.zeros(columns, bool), k=4)
        assert found.tolist() == [[255 * columns] * 3 + [FARTHEST]]


def test_an_empty_table_has_no_neighbours() -> None:
    nothing = np.zeros((0, 2), np.uint8)
    distances, rows = Neighbourhood.of(nothing, np.ones(2, bool)).nearest(np.zeros((3, 2), np.uint8), 2)
    assert (distances == FARTHEST).all()
    assert (rows == -1).all()


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    rows=st.sampled_from([1, 30, 513, 3000]),
    levels=st.sampled_from([2, 5, 256]),
    k=st.sampled_from([1, 3]),
)
def test_leaving_blocks_out_changes_nothing(seed: int, rows: int, levels: int, k: int) -> None:
    """Weighted, with rows to skip, over many blocks: the distances of brute force, and the rows they belong to."""
    rng = np.random.default_rng(seed)
    columns = int(rng.integers(1, 8))
    centres = rng.integers(0, levels, (9, columns))
    table = (
        (centres[rng.integers(0, 9, rows)] + rng.integers(0, 3, (rows, columns)))
        .clip(0, 255)
        .astype(np.uint8)
    )
    targets = table[rng.integers(0, rows, 12)] ^ (rng.random((12, columns)) < 0.2)
    ordered = rng.random(columns) < 0.5
    weights = rng.random(columns) * (rng.random(columns) < 0.8)
    weights[rng.integers(columns)] = 2.0
    first = rng.integers(0, rows, 12)
    last = first + rng.integers(0, 40, 12)

    arranged = Neighbourhood.of(table, ordered, weights.tolist())
    found, which = arranged.nearest(targets, k, (first, last))

    whole = np.zeros(columns, np.int64)
    whole[arranged.chosen] = arranged.weights
    assert np.abs(whole / arranged.units - weights / weights.sum()).max() < 1e-6
    a, b = targets[:, None].astype(np.int64), table[None].astype(np.int64)
    distances = (np.where(ordered, np.abs(a - b), 255 * (a != b)) * whole).sum(axis=2)
    for i in range(12):
        distances[i, first[i] : last[i]] = FARTHEST
    wanted = np.sort(distances, axis=1)[:, :k]
    assert np.array_equal(found[:, : wanted.shape[1]], wanted)
    named = which >= 0
    assert np.array_equal(named, found < FARTHEST)
    assert np.array_equal(np.take_along_axis(distances, which * named, axis=1)[named], found[named])
    assert all(len(set(row[row >= 0])) == (row >= 0).sum() for row in which)


def test_permuted_sums_are_sums_of_subsets_each_equally_likely() -> None:
    weights = (1 << np.arange(5, dtype=np.int64))[:, None]  # a sum names its subset
    level = np.array([0, 0, 1, 2, 2], np.uint8)
    sums, first, second = permuted_sums(weights, level, 2, 2, 20_000, seed=5).T
    subsets, counts = np.unique(sums, return_counts=True)
    assert sorted(subsets) == sorted((1 << i) + (1 << j) for i in range(5) for j in range(i))
    assert (np.abs(counts - 2000) < 5 * np.sqrt(2000 * 0.9)).all()
    assert np.array_equal(first, sum((sums >> i) & 1 for i in (0, 1)))
    assert np.array_equal(second, sum((sums >> i) & 1 for i in (0, 1, 2)))
    with pytest.raises(ValueError, match="level"):
        permuted_sums(weights, level + 1, 2, 2, 1, seed=0)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6), columns=st.integers(2, 6))
def test_joins_count_what_comparing_every_pair_counts(seed: int, columns: int) -> None:
    rng = np.random.default_rng(seed)
    ordered = np.zeros(columns, bool)
    records = known_leaks.population(60, rng, columns, cells=3)
    left, right = records.take(np.arange(25)), records.take(np.arange(20, 60))
    a, b = Rows.of_records(left, ordered).cell_hashes, Rows.of_records(right, ordered).cell_hashes
    differing = (left.matrix()[:, None] != right.matrix()[None]).sum(axis=2)
    assert np.array_equal(matches(a, b, 0), (differing == 0).sum(axis=1))
    assert np.array_equal(matches(a, b, 1), (differing <= 1).sum(axis=1))


def test_rows_of_ones_own_unit_are_counted() -> None:
    rng = np.random.default_rng(1)
    records = known_leaks.population(40, rng, 3, cells=2)
    unit = np.sort(rng.integers(0, 12, 40))
    unit = np.unique(unit, return_inverse=True)[1].astype(np.int64)
    candidates = Candidates(Rows.of_records(records, np.zeros(3, bool)), unit, np.zeros(3, bool))
    cells = records.matrix()
    for mismatches in (0, 1):
        near = (cells[:, None] != cells[None]).sum(axis=2) <= mismatches
        expected = (near & (unit[:, None] == unit[None])).sum(axis=1)
        assert np.array_equal(within_unit(candidates, candidates.rows.cell_hashes, mismatches), expected)
