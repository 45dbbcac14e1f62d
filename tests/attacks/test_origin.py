"""Votes for the origin of rows: against posteriors worked out pair by pair, planted leaks, and nothing to find."""

from __future__ import annotations

import known_leaks
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from attacks import stats
from attacks.asked import EXTENDED, Asked, default_attacks, resolved
from attacks.kernels import posterior_votes
from attacks.membership.classifier import Classifier
from attacks.membership.density import DensityRatio, MonteCarlo, people_near, synthetic_near
from attacks.reidentification.linkage import LinkByKnown, RatioTest
from attacks.reidentification.nearest import CloserThanPeople
from attacks.reidentification.origin import Channel, Origin, log_ratios, most_likely
from attacks.threat import Candidates, Game, Rows, View
from dpsynth.records import Records

ORDERED = np.arange(8) % 2 == 0
HALF = np.arange(600) % 2 == 0


def view_of(records: Records, synthetic: Records) -> View:
    candidates = Candidates(Rows.of_records(records, ORDERED), np.arange(len(records)), ORDERED)
    return View(Rows.of_records(synthetic, ORDERED), candidates, 0.5)


def people(seed: int) -> tuple[Records, Records, np.random.Generator]:
    """600 candidates, of whom every other one is a member; the members."""
    rng = np.random.default_rng(seed)
    records = known_leaks.population(600, rng, columns=8, cells=8)
    return records, records.take(np.flatnonzero(HALF)), rng


def moved(records: Records, rng: np.random.Generator) -> Records:
    """Ordered columns up or down by one or two cells, the others as they are."""
    columns = [
        np.clip(c.astype(int) + rng.integers(-2, 3, len(c)), 0, 7).astype(c.dtype) if ordered else c
        for c, ordered in zip(records.columns, ORDERED, strict=True)
    ]
    return Records(records.domain, tuple(columns))


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6), columns=st.integers(1, 5))
def test_votes_are_the_posteriors(seed: int, columns: int) -> None:
    rng = np.random.default_rng(seed)
    rows = rng.integers(0, 6, (9, columns)).astype(np.uint8)
    candidates = rng.integers(0, 6, (14, columns)).astype(np.uint8)
    tables = rng.normal(size=(columns, 256, 256)).astype(np.float32)
    ratio = np.ones((9, 14))
    for c in range(columns):
        ratio *= np.exp(tables[c][rows[:, c][:, None], candidates[:, c][None, :]].astype(np.float64))
    votes, evidence = posterior_votes(rows, candidates, tables)
    assert votes == pytest.approx((ratio / ratio.sum(axis=1, keepdims=True)).sum(axis=0), rel=1e-4, abs=1e-4)
    assert evidence == pytest.approx(np.log(ratio.mean(axis=1)).mean(), rel=1e-4, abs=1e-4)


@settings(max_examples=20, deadline=None)
@given(
    seed=st.integers(0, 10**6), category=st.floats(0.05, 0.95), number=st.floats(0.05, 0.95),
    width=st.sampled_from([0.0, 0.02, 0.3]),
)  # fmt: skip
def test_a_channel_is_a_probability(seed: int, category: float, number: float, width: float) -> None:
    """Whatever the origin's level, what is made of it adds up to 1 over the levels that occur."""
    rng = np.random.default_rng(seed)
    share = np.where(rng.random((2, 256)) < 0.1, rng.random((2, 256)), 0.0)
    share[:, 7] = 0.5
    share /= share.sum(axis=1, keepdims=True)
    tables = log_ratios(share, np.array([True, False]), Channel(category, number, width))
    for column in range(2):
        there = np.flatnonzero(share[column])
        made = np.exp(tables[column][np.ix_(there, there)].astype(np.float64)) * share[column][there][:, None]
        assert made.sum(axis=0) == pytest.approx(1.0, rel=1e-4)


def test_the_channel_that_made_the_rows_is_found() -> None:
    records, members, rng = people(1)
    outputs = {
        "copied": (members, lambda c: c.category >= 0.95 and c.number >= 0.95 and c.width == 0),
        "changed": (known_leaks.perturbed(members, 0.5, 300, rng), lambda c: c.category == c.number == 0.5),
        "moved": (moved(members, rng), lambda c: c.category >= 0.95 and c.width >= 0.1),
    }
    for name, (made, fits) in outputs.items():
        view = view_of(records, made)
        rows, own = view.synthetic.fine, view.candidates.rows.fine
        share = np.stack([np.bincount(c, minlength=256) / 900 for c in np.concatenate([rows, own]).T])

        def likelihood(
            channel: Channel, rows: NDArray[np.uint8] = rows, own: NDArray[np.uint8] = own
        ) -> float:
            return posterior_votes(rows[:100], own, log_ratios(share, ORDERED, channel))[1]  # noqa: B023

        assert fits(most_likely(likelihood, ORDERED)), name


def area(attack: object, view: View, rng: np.random.Generator) -> float:
    return stats.auc(attack(view, rng), HALF).value  # type: ignore[operator]


@pytest.mark.parametrize("kind", ["changed", "moved"])
def test_origins_are_seen_where_distances_see_little(kind: str) -> None:
    records, members, rng = people(2)
    made = moved(members, rng) if kind == "moved" else known_leaks.perturbed(members, 0.3, 300, rng)
    view = view_of(records, made)
    found = area(Origin(), view, rng)
    assert found > 0.65
    assert found > area(CloserThanPeople(), view, rng) + 0.02


def test_nobody_is_accused_when_other_people_s_rows_are_used() -> None:
    """p-values of 40 outputs made of reference rows; fair ones exceed 0.05 in all but about two."""
    rng = np.random.default_rng(3)
    small = 0
    for _ in range(40):
        records = known_leaks.population(400, rng, columns=8, cells=8)
        view = view_of(records.take(np.arange(200)), records.take(np.arange(200, 400)))
        small += stats.permutation_p(Origin()(view, rng), np.arange(200) % 2 == 0, 199, rng) <= 0.05
    assert small <= 11  # binomial: exceeded with probability below 1e-6


def test_a_person_s_votes_are_those_of_all_his_rows() -> None:
    records, members, _ = people(4)
    alone = view_of(records, members)
    unit = np.arange(600) // 3
    together = View(alone.synthetic, Candidates(alone.candidates.rows, unit, ORDERED), 0.5)
    each = Origin()(alone, np.random.default_rng(0))
    assert Origin()(together, np.random.default_rng(0)) == pytest.approx(each.reshape(200, 3).sum(axis=1))


@pytest.mark.parametrize("ordered", [np.ones(8, bool), np.zeros(8, bool)])
def test_columns_of_one_kind_only(ordered: NDArray[np.bool_]) -> None:
    records, members, rng = people(5)
    candidates = Candidates(Rows.of_records(records, ordered), np.arange(600), ordered)
    view = View(Rows.of_records(members, ordered), candidates, 0.5)
    assert area(Origin(), view, rng) > 0.9


@pytest.mark.parametrize(
    "attack", [DensityRatio(), MonteCarlo(), MonteCarlo(plain=True), Classifier(), RatioTest()]
)
def test_the_extended_attacks_see_a_copy(attack: object) -> None:
    records, members, rng = people(6)
    assert area(attack, view_of(records, members), rng) > 0.7


def test_rows_added_to_a_table_need_no_second_search() -> None:
    records, members, _ = people(7)
    view = view_of(records, members.take(np.arange(200)))
    more = Rows.of_records(members.take(np.arange(200, 300)), ORDERED)
    grown = Game(view, HALF, None).with_rows(more).view
    whole = view_of(records, members)
    assert np.array_equal(synthetic_near(grown, 4), synthetic_near(whole, 4))
    assert np.array_equal(people_near(grown, 4), people_near(whole, 4))


def test_the_extended_set_holds_the_default_one() -> None:
    records, members, _ = people(8)
    view = view_of(records, members)
    default = [attack.name for attack in default_attacks(view)]
    extended = [attack.name for attack in resolved([EXTENDED], view, Asked())]
    assert {"origin of rows", "density ratio", "classifier", "ensemble"} <= set(default)
    assert extended[: len(default)] == default
    assert set(extended) - set(default) == {"Monte Carlo neighbourhood", "ratio of the two closest"}
    known = Asked(quasi_identifiers=("c0", "c1", "c2"))
    assert "link by known columns" in [attack.name for attack in resolved([EXTENDED], view, known)]


def test_a_link_by_known_columns_reads_the_closest_row() -> None:
    """Against every pair: what the closest row on the known columns gets right of the others, weighted."""
    records, members, rng = people(9)
    view = view_of(records, known_leaks.perturbed(members, 0.1, 300, rng))
    attack = LinkByKnown(("c0", "c3"), (1.0, 3.0))
    own, made = view.candidates.rows, view.synthetic
    apart = np.abs(own.fine[:, None, 0].astype(int) - made.fine[None, :, 0])
    distance = apart + 3 * 255 * (own.fine[:, None, 3] != made.fine[None, :, 3])
    scores = attack(view, rng)
    for i in range(0, 600, 50):
        closest = np.flatnonzero(distance[i] == distance[i].min())
        possible = []
        for j in closest:
            surprise = 0.0
            for name in ("c1", "c2", "c4", "c5", "c6", "c7"):
                cells = own.cells[name]
                share = (np.bincount(cells, minlength=8)[cells[i]] + 1.0) / (len(cells) + 8)
                surprise -= np.log(share) * (cells[i] == made.cells[name][j])
            possible.append(surprise)
        assert np.isclose(scores[i], possible).any()
    assert area(LinkByKnown(("c0", "c1", "c2", "c3", "c4")), view_of(records, members), rng) > 0.7
    with pytest.raises(ValueError, match="weight"):
        LinkByKnown(("c0",), (1.0, 2.0))
    with pytest.raises(ValueError, match="no column"):
        LinkByKnown(("unknown",))(view, rng)
