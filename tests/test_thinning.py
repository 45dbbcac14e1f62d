"""Thinned samples: nearer to the model in every pair, biased in nothing."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from numpy.typing import NDArray

from dpsynth.counting import count
from dpsynth.domain import Domain
from dpsynth.model import thinning
from dpsynth.model.thinning import CANDIDATES, chosen, thinned_batches
from dpsynth.pgm import GraphicalModel
from dpsynth.records import Records, joined

SIZES = {"a": 7, "b": 5, "c": 9, "d": 4, "e": 6}


def model(seed: int = 1, spread: float = 1.0) -> GraphicalModel:
    """A chain of random tables."""
    rng = np.random.default_rng(seed)
    domain = Domain.from_sizes(SIZES)
    links = itertools.pairwise(domain.attributes)
    tables = {pair: spread * rng.normal(size=domain.shape(pair)) for pair in links}
    return GraphicalModel(domain, 1000.0, tables)


def sample(of: GraphicalModel, n: int, seed: int) -> Records:
    return joined(list(thinned_batches(of, n, np.random.default_rng(seed))))


def strays(records: Records, of: GraphicalModel, ways: int) -> float:
    """Mean total variation of all marginals of so many attributes from the model's own."""
    found = []
    for clique in itertools.combinations(of.domain.attributes, ways):
        due = of.marginal(clique) / of.total
        found.append(np.abs(count(records, clique) / len(records) - due).sum() / 2)
    return float(np.mean(found))


def test_pairs_and_triples_follow_the_model_more_closely_than_a_plain_sample() -> None:
    chain = model()
    plain, thinned = chain.sample(3000, np.random.default_rng(2)), sample(chain, 3000, 2)
    assert len(thinned) == 3000
    assert strays(thinned, chain, 2) < 0.55 * strays(plain, chain, 2)
    assert strays(thinned, chain, 3) < 0.85 * strays(plain, chain, 3)


def test_the_first_of_the_candidates_would_not_do() -> None:
    """What the test above would say of a choice that chooses nothing."""
    chain = model()
    drawn = joined(list(chain.sample_batches(3000 * CANDIDATES, np.random.default_rng(2))))
    plain = chain.sample(3000, np.random.default_rng(2))
    assert strays(drawn.take(np.arange(0, len(drawn), CANDIDATES)), chain, 2) > 0.55 * strays(plain, chain, 2)


def test_one_of_each_group_of_candidates_is_kept() -> None:
    drawn = model().sample(16 * 50, np.random.default_rng(3))
    kept = chosen(drawn, 50, np.random.default_rng(3))
    assert sorted(kept // 16) == list(range(50))
    assert list(kept // 16) != list(range(50)), "they come in random order"


def rare_cells(samples: int, n: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(expected, counted) numbers over samples of the rarest cells of the table of all five attributes, in ten groups of
    about as many expected records."""
    chain = model(spread=1.5)
    due = (chain.marginal(chain.domain.attributes) / chain.total).reshape(-1)
    order = np.argsort(due)
    groups = np.minimum((np.cumsum(due[order]) * 20).astype(int), 19)
    counts = sum(
        count(sample(chain, n, seed), chain.domain.attributes).reshape(-1) for seed in range(samples)
    )
    return np.bincount(groups, due[order]) * n * samples, np.bincount(groups, counts[order])


def test_neither_rare_nor_common_records_are_favoured() -> None:
    """Cells of all five attributes, most of them expected less than once a sample, from the rarest twentieth to the most
    common: what thinning must keep though it never looks at them. A sum of multinomial counts has a smaller variance."""
    expected, counted = rare_cells(samples=12, n=500)
    share = expected / expected.sum()
    assert (np.abs(counted - expected) <= 6 * np.sqrt(expected * (1 - share))).all()


def test_a_choice_that_favours_common_records_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def commonest(candidates: Records, n: int, rng: np.random.Generator) -> NDArray[np.int64]:
        likely = model(spread=1.5).log_likelihood(candidates).reshape(n, -1)
        return np.arange(n) * likely.shape[1] + likely[:, :2].argmax(axis=1)

    monkeypatch.setattr(thinning, "chosen", commonest)
    expected, counted = rare_cells(samples=12, n=500)
    share = expected / expected.sum()
    assert not (np.abs(counted - expected) <= 6 * np.sqrt(expected * (1 - share))).all()


def test_the_same_seed_gives_the_same_records() -> None:
    one, two, other = (sample(model(), 200, seed).matrix() for seed in (5, 5, 6))
    assert np.array_equal(one, two)
    assert not np.array_equal(one, other)


@pytest.mark.parametrize("n", [0, 1, 2, 17])
def test_any_small_number_of_records(n: int) -> None:
    assert len(sample(model(), n, 1)) == n


def test_batches_of_candidates_give_all_records(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dpsynth.pgm.sampling.BLOCK", CANDIDATES * 40)
    batches = list(thinned_batches(model(), 100, np.random.default_rng(1)))
    assert [len(batch) for batch in batches] == [40, 40, 20]


@pytest.mark.parametrize(("attributes", "n"), [(2, 500), (5, thinning.MOST_ROWS + 1)])
def test_what_strays_little_is_what_the_model_draws(attributes: int, n: int) -> None:
    names = list(SIZES)[:attributes]
    domain = Domain.from_sizes({a: SIZES[a] for a in names})
    one = GraphicalModel(domain, 10.0, {(a,): np.zeros(SIZES[a]) for a in names})
    plain = one.sample(n, np.random.default_rng(4))
    assert np.array_equal(sample(one, n, 4).matrix(), plain.matrix())


def test_wide_tables_and_large_domains_are_looked_at_within_limits() -> None:
    rng = np.random.default_rng(1)
    wide = Domain.from_sizes({f"c{i}": 3 for i in range(1000)})
    assert len(thinning._tables(wide, 1000, rng)) == thinning.MOST_TABLES
    large = Domain.from_sizes({"a": 50_000, "b": 50_000, "c": 10, "d": 2})
    tables = thinning._tables(large, 1000, rng)
    assert ("c", "d") in tables
    assert ("a", "b") not in tables
    assert sum(large.size(table) for table in tables) <= thinning.MOST_CELLS


def test_a_domain_without_any_table_to_look_at() -> None:
    sizes = {"a": 3000, "b": 3000, "c": 3000}
    huge = GraphicalModel(Domain.from_sizes(sizes), 10.0, {(a,): np.zeros(s) for a, s in sizes.items()})
    assert len(sample(huge, 10, 1)) == 10
