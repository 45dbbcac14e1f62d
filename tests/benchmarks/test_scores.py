"""The yardsticks of the benchmarks, by hand on tiny tables."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from benchmarks.scores import (
    NIST_AGE_EDGES,
    Scores,
    binned_age,
    marginal_error,
    marginal_errors,
    mean_scores,
    nist_score,
    score,
    total_variation,
    trained_auc,
)
from benchmarks.tables import Table, binned, spaced, split

REAL = np.array([[0, 0, 0], [0, 1, 0], [1, 1, 1], [1, 1, 1]])
SYNTHETIC = np.array([[0, 0, 1], [1, 0, 0]])
SIZES = [2, 2, 2]


def test_errors_of_marginals_by_hand() -> None:
    """Shares of 0: .5, .25, .5 of the real rows; .5, 1, .5 of the synthetic. Pairs and the triple likewise."""
    assert list(marginal_errors(REAL, SYNTHETIC, SIZES, 1)) == [0.0, 0.75, 0.0]
    assert list(marginal_errors(REAL, SYNTHETIC, SIZES, 2)) == [0.75, 1.0, 0.75]
    assert list(marginal_errors(REAL, SYNTHETIC, SIZES, 3)) == [1.0]
    assert marginal_error(REAL, SYNTHETIC, SIZES, 2) == pytest.approx(2.5 / 3)


def test_a_large_marginal_is_the_same_on_the_cells_that_occur() -> None:
    rng = np.random.default_rng(1)
    one, two = rng.integers(0, 50, 1000), rng.integers(0, 50, 700)
    assert total_variation(one, two, 50) == pytest.approx(
        total_variation(one * 10**9, two * 10**9, 50 * 10**9)
    )
    assert 0 < total_variation(one, two, 50) < 1
    assert total_variation(one, one, 50) == 0.0
    assert total_variation(one, one + 50, 100) == pytest.approx(1.0)


def national(rows: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.column_stack([rng.integers(0, 100, rows), rng.integers(0, 2, rows)])


def test_nist_score_of_a_table_with_itself_and_with_nothing_in_common() -> None:
    rows, domain = national(500), {"AGEP": 100, "SEX": 2}
    assert nist_score(rows, rows, domain) == 1000
    assert nist_score(rows[rows[:, 1] == 0], rows[rows[:, 1] == 1], domain) == 0


def test_nist_score_is_cut_not_rounded() -> None:
    """One of 3 rows elsewhere: 1000 * 2 / 3 = 666.7; two of 3: 333.3."""
    domain = {"AGEP": 100, "SEX": 2}
    real, other = np.array([[5, 0], [5, 0], [5, 0]]), np.array([[5, 0], [5, 0], [90, 0]])
    assert nist_score(real, other, domain) == 666
    assert nist_score(other, np.array([[90, 0], [90, 0], [90, 0]]), domain) == 333


def test_nist_ages_in_one_bin_are_one() -> None:
    first, last = NIST_AGE_EDGES[:-1], [*(e - 1 for e in NIST_AGE_EDGES[1:-1]), 95]
    assert len(first) == 20
    for ages in (first, last):
        rows = np.array([[age, 0] for age in ages])
        assert binned_age(rows, 0)[:, 0].tolist() == list(range(20))
    assert binned_age(np.array([[99, 0]]), 0)[0, 0] == 19


def test_auc_of_what_can_be_learnt_and_of_nothing() -> None:
    rng = np.random.default_rng(2)
    known = rng.integers(0, 10, (400, 2))
    learnable = np.column_stack([known, known[:, 0] > 4]).astype(np.int64)
    assert trained_auc(learnable, learnable, 2) > 0.99
    one_class = learnable.copy()
    one_class[:, 2] = 0
    assert trained_auc(one_class, learnable, 2) == 0.5


def test_score_says_what_is_not_defined() -> None:
    table = Table("any", {"a": 2, "b": 2, "c": 2}, (), None, REAL, None)
    found = score(table, SYNTHETIC)
    assert found == Scores(0.25, pytest.approx(2.5 / 3), 1.0, None, None)
    assert mean_scores([found, Scores(0.75, 0.5, 0.5, None, None)]) == {
        "one_way": 0.5,
        "two_way": pytest.approx((2.5 / 3 + 0.5) / 2),
        "three_way": 0.75,
        "auc": None,
        "nist": None,
    }


def test_a_code_outside_its_column_is_refused() -> None:
    with pytest.raises(ValueError, match="outside"):
        Table("any", {"a": 2, "b": 1, "c": 2}, (), None, REAL, None)


def test_rows_are_split_once_and_for_all() -> None:
    train, held_out = split(np.arange(50).reshape(-1, 1))
    assert len(train) == 40
    assert held_out[:, 0].tolist() == [28, 11, 10, 41, 2, 27, 38, 31, 22, 4]
    assert sorted([*train[:, 0], *held_out[:, 0]]) == list(range(50))


def test_grids_are_written_down() -> None:
    starts = spaced((0, 30, 10), (30, 100, 35))
    assert starts == [0, 10, 20, 30, 65]
    assert binned(pd.Series(["0", "9", "64.5", "1000"]), starts).tolist() == [0, 0, 3, 4]
    with pytest.raises(ValueError, match="below"):
        binned(pd.Series(["-1"], name="x"), starts)
