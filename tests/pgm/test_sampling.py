"""Samples against the distribution they are drawn from; the checks fail for one that is slightly off."""

from __future__ import annotations

import logging
import subprocess
import sys

import numpy as np
import pytest
from brute_force import SHAPES, joint, models, project, random_model
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.stats import chi2

from dpsynth.compiling import compiled
from dpsynth.domain import Domain
from dpsynth.pgm import GraphicalModel, sampling
from dpsynth.pgm.sampling import deal
from dpsynth.records import Records

Floats = np.ndarray


def counts_of(records: Records) -> Floats:
    flat = np.ravel_multi_index([c.astype(np.int64) for c in records.columns], records.domain.sizes)
    return np.bincount(flat, minlength=records.domain.size())


def p_value(counts: Floats, probabilities: Floats) -> float:
    """Pearson's chi-squared against independent draws; cells expected below 1 are pooled."""
    expected = probabilities.ravel() * counts.sum()
    rare = expected < 1
    observed = np.append(counts[~rare], counts[rare].sum())
    expected = np.append(expected[~rare], expected[rare].sum())
    keep = expected > 0
    statistic = ((observed[keep] - expected[keep]) ** 2 / expected[keep]).sum()
    return float(chi2.sf(statistic, max(1, keep.sum() - 1)))


def tilted(model: GraphicalModel) -> GraphicalModel:
    """The lie: one table moved by up to 15 %."""
    clique, table = next(iter(model.potentials.items()))
    moved = table + np.linspace(0.0, 0.15, table.size).reshape(table.shape)
    return GraphicalModel(model.domain, model.total, {**model.potentials, clique: moved})


@pytest.mark.parametrize("shape", [s for s, (d, _) in SHAPES.items() if d.size() > 1])
def test_a_large_sample_has_the_joint_distribution(shape: str) -> None:
    domain, cliques = SHAPES[shape]
    model = random_model(domain, cliques, np.random.default_rng(11))
    counts = counts_of(model.sample(400_000, np.random.default_rng(12)))
    assert p_value(counts, joint(model)[1]) > 1e-6
    assert p_value(counts, joint(tilted(model))[1]) < 1e-6


@pytest.mark.parametrize("shape", ["cycle", "triples", "disconnected"])
def test_single_records_are_independent_draws(shape: str) -> None:
    domain, cliques = SHAPES[shape]
    model = random_model(domain, cliques, np.random.default_rng(13), 2.0)
    rng = np.random.default_rng(14)
    counts = sum(counts_of(model.sample(1, rng)) for _ in range(1500))
    assert 1e-6 < p_value(counts, joint(model)[1]) < 1 - 1e-6
    uniform = np.full(domain.size(), 1 / domain.size())
    assert p_value(counts, uniform) < 1e-6


@given(models(), st.integers(0, 300), st.integers(0, 2**32 - 1))
@settings(max_examples=80, deadline=None)
def test_any_model_any_number_of_records(model: GraphicalModel, n: int, seed: int) -> None:
    log_z, probabilities = joint(model)
    assume(log_z > -np.inf)
    records = model.sample(n, np.random.default_rng(seed))
    assert len(records) == n
    assert all(
        (column < size).all() for column, size in zip(records.columns, model.domain.sizes, strict=True)
    )
    if n:
        assert not counts_of(records)[probabilities.ravel() == 0].any()


def test_rounding_beats_independent_draws_by_far() -> None:
    domain, cliques = SHAPES["chain"]
    model = random_model(domain, cliques, np.random.default_rng(15))
    n = 100_000
    counts = counts_of(model.sample(n, np.random.default_rng(16))).reshape(domain.sizes)
    for clique in cliques:
        distance = (
            0.5 * np.abs(project(domain, counts / n, clique) - model.marginal(clique) / model.total).sum()
        )
        assert distance < 1e-4
    drawn = np.random.default_rng(17).multinomial(n, joint(model)[1].ravel()).reshape(domain.sizes)
    clique = cliques[0]
    assert 0.5 * np.abs(project(domain, drawn / n, clique) - model.marginal(clique) / 100).sum() > 1e-4


def test_extreme_potentials_are_sampled_in_logarithms() -> None:
    domain = Domain.of(a=2, b=2, c=2)
    tables = {("a", "b"): np.array([[3000.0, 0.0]] * 2), ("b", "c"): np.array([[0.0, 0.0], [3000.0, 3000.0]])}
    counts = counts_of(GraphicalModel(domain, 1.0, tables).sample(80_000, np.random.default_rng(18)))
    assert np.abs(counts - 10_000).max() <= 400


def test_rows_come_in_random_order() -> None:
    domain = Domain.of(a=2)
    rows = GraphicalModel(domain, 1.0, {("a",): np.zeros(2)}).sample(4000, np.random.default_rng(19))
    changes = np.count_nonzero(np.diff(rows["a"].astype(int)))
    assert 1700 < changes < 2300


def test_systematic_counts_are_right_on_average() -> None:
    weights, repeats = np.array([[0.05, 0.15, 0.3, 0.5]]), 20_000
    rng = np.random.default_rng(20)
    groups = np.repeat(np.arange(repeats, dtype=np.uint32), 3)
    found = deal(groups, np.repeat(weights, repeats, axis=0), rng)
    counts = np.bincount(groups * 4 + found, minlength=4 * repeats).reshape(repeats, 4)
    expected = weights[0] * 3
    fraction = expected % 1
    off = np.sqrt(fraction * (1 - fraction) / repeats) * 5 + 1e-12
    assert (np.abs(counts.mean(axis=0) - expected) < off).all()
    lie = np.rint(np.repeat(weights, repeats, axis=0) * 3)
    assert (np.abs(lie.mean(axis=0) - expected) > off).any()


def test_the_same_seed_gives_the_same_rows_in_another_process() -> None:
    code = (
        "import numpy as np; from brute_force import SHAPES, random_model;"
        "m = random_model(*SHAPES['triples'], np.random.default_rng(21));"
        "print(m.sample(200, np.random.default_rng(22)).matrix().tolist())"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=True,
            env={"PYTHONPATH": __file__.rsplit("/", 1)[0], "PYTHONHASHSEED": seed},
        ).stdout
        for seed in ("1", "2")
    }
    assert len(outputs) == 1


def test_a_negative_number_is_refused() -> None:
    domain, cliques = SHAPES["tree"]
    with pytest.raises(ValueError):
        random_model(domain, cliques, np.random.default_rng(1)).sample(-1, np.random.default_rng(1))


def in_small_blocks(monkeypatch: pytest.MonkeyPatch, kept: int = 1 << 24) -> None:
    monkeypatch.setattr(sampling, "BLOCK", 64)
    monkeypatch.setattr(sampling, "CHUNK", 8)
    monkeypatch.setattr(sampling, "KEPT_CELLS", kept)


@pytest.mark.parametrize("shape", ["cycle", "triples", "independent", "one cell"])
def test_batches_are_the_sample(shape: str, monkeypatch: pytest.MonkeyPatch) -> None:
    domain, cliques = SHAPES[shape]
    model = random_model(domain, cliques, np.random.default_rng(24))
    in_small_blocks(monkeypatch)
    whole = model.sample(200, np.random.default_rng(25)).matrix()
    rng, found = np.random.default_rng(25), []
    for batch in model.sample_batches(200, rng):
        found.append(batch.matrix())
        model.marginal(domain.attributes)  # another question between two batches
    assert [len(batch) for batch in found] == [64, 64, 64, 8]
    np.testing.assert_array_equal(np.concatenate(found), whole)
    assert [len(batch) for batch in model.sample_batches(0, rng)] == [0]


def test_kept_tables_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    domain, cliques = SHAPES["triples"]
    model = random_model(domain, cliques, np.random.default_rng(26), zeros=0.1)
    samples = []
    for kept in (0, 20, 1 << 24):
        in_small_blocks(monkeypatch, kept)
        samples.append(model.sample(1000, np.random.default_rng(27)).matrix())
    np.testing.assert_array_equal(samples[0], samples[1])
    np.testing.assert_array_equal(samples[0], samples[2])


def test_small_blocks_have_the_joint_distribution(monkeypatch: pytest.MonkeyPatch) -> None:
    domain, cliques = SHAPES["cycle"]
    model = random_model(domain, cliques, np.random.default_rng(28), 2.0)
    in_small_blocks(monkeypatch)
    counts = counts_of(model.sample(64 * 500, np.random.default_rng(29)))
    assert p_value(counts, joint(model)[1]) > 1e-6
    assert p_value(counts, joint(tilted(tilted(model)))[1]) < 1e-6


@given(st.integers(1, 5), st.integers(1, 40), st.integers(0, 400), st.integers(0, 2**32 - 1))
@settings(max_examples=60, deadline=None)
def test_dealt_counts_are_the_expected_ones_rounded(groups: int, cells: int, n: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    weights = rng.random((groups, cells)) * (rng.random((groups, cells)) < 0.7)
    weights[:, cells // 2] += 1e-3
    parents = rng.integers(0, groups, n).astype(np.uint8)
    found = deal(parents, weights, rng)
    counts = np.bincount(parents.astype(int) * cells + found, minlength=groups * cells).reshape(groups, -1)
    expected = weights / weights.sum(axis=1, keepdims=True) * counts.sum(axis=1)[:, None]
    assert (np.abs(counts - expected) < 1 + 1e-9).all()
    assert not counts[weights == 0].any()


def test_which_row_gets_which_cell_is_uniform() -> None:
    """All orders of a small group are equally likely; without shuffling only one would be seen."""
    rng, weights, seen = np.random.default_rng(30), np.ones((1, 3)), {}
    for _ in range(3000):
        order = tuple(deal(np.zeros(3, np.uint8), weights, rng).tolist())
        seen[order] = seen.get(order, 0) + 1
    assert len(seen) == 6
    assert chi2.sf(sum((c - 500) ** 2 / 500 for c in seen.values()), 5) > 1e-6


def test_without_a_place_for_compiled_code_the_results_are_the_same(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from numba.core import caching

    def nowhere(*_: object) -> None:
        raise RuntimeError("cannot cache function: no locator available")

    monkeypatch.setattr(caching.CacheImpl, "__init__", nowhere)
    caplog.set_level(logging.WARNING, "dpsynth")  # a verb that ran in this process may have set another
    double = compiled(lambda x: 2 * x)
    assert double(21) == 42
    assert "NUMBA_CACHE_DIR" in caplog.text
