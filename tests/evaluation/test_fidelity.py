"""Marginal errors, their yardsticks and intervals; the score of NIST and its reading."""

from __future__ import annotations

import numpy as np
import pytest

from dpsynth.domain import Domain
from dpsynth.evaluation.fidelity import Comparison, MarginalErrors, marginal_errors
from dpsynth.evaluation.figures import Figure, rounded
from dpsynth.evaluation.marginals import Sample
from dpsynth.evaluation.score import k_marginal, score_of, subsample_errors
from dpsynth.records import Records

DOMAIN = Domain.of(a=8, b=6, c=5, d=4)


def population(n: int, rng: np.random.Generator) -> Records:
    """Four related columns."""
    a = rng.integers(0, 8, n)
    b = np.minimum(5, (a + rng.integers(0, 3, n)) // 2)
    c = np.where(rng.random(n) < 0.6, b % 5, rng.integers(0, 5, n))
    d = (c + (rng.random(n) < 0.3)) % 4
    return Records.of(DOMAIN, {"a": a, "b": b, "c": c, "d": d})


def errors(
    synthetic: Records, train: Records, holdout: Records, rng: np.random.Generator, ways: int = 2
) -> MarginalErrors:
    comparison = Comparison.of(Sample.of(synthetic), Sample.of(train), Sample.of(holdout), rng)
    return marginal_errors(comparison, ways, rng)


def test_the_yardsticks_are_in_their_order() -> None:
    rng = np.random.default_rng(1)
    train, holdout = population(6000, rng), population(600, rng)
    shuffled = Records(DOMAIN, tuple(rng.permutation(c) for c in train.columns))
    fresh = errors(train.take(rng.integers(0, 6000, 6000)), train, holdout, rng)
    unrelated = errors(shuffled, train, holdout, rng)
    assert fresh.error.value == pytest.approx(fresh.redrawn.value, rel=0.25)
    assert fresh.heldout is not None
    assert fresh.heldout.value > 2 * fresh.redrawn.value  # ten times fewer rows
    assert unrelated.error.value == pytest.approx(unrelated.independent or 0, rel=0.05)
    assert unrelated.error.value > 5 * fresh.error.value
    assert unrelated.by_clique[0].error - unrelated.by_clique[0].redrawn == max(
        c.error - c.redrawn for c in unrelated.by_clique
    )


def test_a_copy_has_no_error_and_one_way_tables_no_relation() -> None:
    rng = np.random.default_rng(2)
    train = population(1000, rng)
    same = errors(train, train, population(100, rng), rng, ways=1)
    assert same.error.value == 0
    assert same.error.low == 0
    assert same.independent is None
    assert same.compared == same.possible == 4


def test_the_interval_is_as_wide_as_the_error_really_varies() -> None:
    """Other people in training and another sample: the error's true spread, by doing it 60 times."""
    rng = np.random.default_rng(3)
    wrong = Records(DOMAIN, tuple(rng.permutation(c) for c in population(50_000, rng).columns))
    values, widths = [], []
    for _ in range(60):
        train = population(1500, rng)
        found = errors(wrong.take(rng.integers(0, 50_000, 1500)), train, train.take(slice(0, 0)), rng)
        values.append(found.error.value)
        widths.append((found.error.high - found.error.low) / 2 / 1.96)
    assert np.mean(widths) == pytest.approx(np.std(values), rel=0.35)


def test_correlated_rows_of_a_unit_widen_the_interval() -> None:
    rng = np.random.default_rng(4)
    people = population(400, rng)
    rows = people.take(np.repeat(np.arange(400), 5))
    synthetic, none = population(2000, rng), rows.take(slice(0, 0))
    units = np.repeat(np.arange(400), 5)
    by_unit = Comparison.of(Sample.of(synthetic), Sample.of(rows, units), Sample.of(none), rng)
    by_row = Comparison.of(Sample.of(synthetic), Sample.of(rows), Sample.of(none), rng)
    wide, narrow = (marginal_errors(c, 2, rng).error for c in (by_unit, by_row))
    assert wide.high - wide.low > 1.3 * (narrow.high - narrow.low)


def test_without_a_hold_out_there_is_no_such_yardstick() -> None:
    rng = np.random.default_rng(5)
    train = population(300, rng)
    found = errors(train, train, train.take(slice(0, 0)), rng)
    assert found.heldout is None
    assert all(c.heldout is None for c in found.by_clique)
    assert found.as_json()["best_heldout"] is None


def test_more_ways_than_columns_mean_nothing() -> None:
    rng = np.random.default_rng(6)
    train = population(50, rng)
    with pytest.raises(ValueError, match="between one and all"):
        errors(train, train, train, rng, ways=5)


@pytest.mark.parametrize("share", [0.02, 0.1, 0.3, 0.6])
def test_a_random_subsample_reads_as_what_it_is(share: float) -> None:
    rng = np.random.default_rng(7)
    train = population(10_000, rng)
    read = []
    for _ in range(8):
        part = train.take(rng.permutation(10_000)[: int(share * 10_000)])
        found = k_marginal(errors(part, train, train.take(slice(0, 0)), rng), Sample.of(train), rng)
        read.append(found.equivalent.value)
        assert found.equivalent.low < found.equivalent.value < found.equivalent.high
    assert np.median(read) == pytest.approx(share, rel=0.2)
    assert f"{100 * read[-1]:.0f} % of its people" in found.words("person")


def test_larger_shares_are_closer() -> None:
    rng = np.random.default_rng(8)
    curve = subsample_errors(Sample.of(population(3000, rng)), [("a", "b"), ("c", "d")], rng)
    assert np.all(np.diff(curve) <= 0)
    assert curve[-1] < 0.02


def test_the_score_is_truncated_as_published() -> None:
    assert [score_of(e) for e in (0.0, 0.0431, 0.0859, 1.0)] == [1000, 956, 914, 0]


def test_the_words_fit_the_entity() -> None:
    rng = np.random.default_rng(9)
    train = population(500, rng)
    found = k_marginal(errors(train, train, train, rng), Sample.of(train), rng)
    assert found.words("household").endswith("of its households would be")
    assert found.words("row").endswith("of its rows would be")


def test_a_figure_keeps_its_value_and_its_bounds() -> None:
    one = Figure.around(0.01, [0.1, 0.2, 0.3], floor=0.0)
    assert (one.value, one.low) == (0.01, 0.0)
    assert one.high == pytest.approx(0.01 + 1.96 * 0.1, rel=1e-3)
    assert rounded(float("nan")) is None
    assert rounded(1 / 3) == 0.333333
