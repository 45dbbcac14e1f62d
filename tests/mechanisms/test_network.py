"""The network: what it trains explains what was measured, alike each time, and pays what was planned."""

from __future__ import annotations

import importlib.util
import itertools
import sys
from pathlib import Path

import numpy as np
import pytest
from free_runs import measured

from dpsynth.budget import Cost
from dpsynth.domain import Domain
from dpsynth.errors import UsageError
from dpsynth.gan import training
from dpsynth.gan.training import Schedule, Training
from dpsynth.mechanisms import METHODS, Mixed, Task, labelling, network
from dpsynth.pgm import MergedMixture, MixtureModel
from dpsynth.pgm.problem import Target
from dpsynth.progress import silent
from dpsynth.records import Records
from dpsynth.workload import Workload

DOMAIN = Domain.of(a=4, b=3, c=5, d=2)
Floats = np.ndarray


@pytest.fixture(scope="module")
def records() -> Records:
    """A hidden class makes all pairs hang together; the parity of two columns sways the third."""
    rng = np.random.default_rng(1)
    n = 20_000
    hidden = rng.integers(0, 2, n)
    a, b, c = ((hidden + rng.integers(0, 2, n)) % DOMAIN[x] for x in "abc")
    d = np.where(rng.random(n) < 0.9, (a + b) % 2, rng.integers(0, 2, n))
    return Records.of(DOMAIN, {"a": a, "b": b, "c": c, "d": d})


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """For what does not depend on how long is trained."""
    monkeypatch.setattr(network, "STEPS", (4, 4))


def exact(records: Records, clique: tuple[str, ...]) -> Floats:
    counts = np.zeros(DOMAIN.shape(clique))
    np.add.at(counts, tuple(records[a] for a in clique), 1)
    return counts


def error(model: MixtureModel, records: Records, clique: tuple[str, ...]) -> float:
    """Total variation."""
    found = exact(records, clique)
    return float(np.abs(model.marginal(clique) / model.total - found / found.sum()).sum() / 2)


def trained(
    records: Records, cliques: list[tuple[str, ...]], steps: int = 300
) -> tuple[MixtureModel, list[float]]:
    ones = {a: exact(records, (a,)) + 1.0 for a in DOMAIN.attributes}
    start = Training(DOMAIN, {a: t / t.sum() for a, t in ones.items()}, float(len(records)), 60)
    targets = [Target(c, exact(records, c), np.full(DOMAIN.shape(c), 100.0)) for c in cliques]
    losses = start.train(targets, Schedule(steps, 0.1, 1e-5), silent)
    return start.model(), losses


def test_pairs_and_a_triple_are_explained(records: Records) -> None:
    pairs = list(itertools.combinations(DOMAIN.attributes, 2))
    of_pairs, losses = trained(records, pairs)
    assert losses[-1] < 0.02 * losses[0]
    assert max(error(of_pairs, records, pair) for pair in pairs) < 0.02
    # parity cannot be seen in pairs
    assert error(of_pairs, records, ("a", "b", "d")) > 0.1
    with_triple, _ = trained(records, [*pairs, ("a", "b", "d")], 500)
    assert error(with_triple, records, ("d", "a", "b")) < 0.03


def test_the_same_measurements_give_the_same_mixture(records: Records) -> None:
    one, two = (trained(records, [("a", "b")], 30)[0] for _ in range(2))
    for attribute in DOMAIN.attributes:
        np.testing.assert_array_equal(one.tables[attribute], two.tables[attribute])


def test_the_pull_holds_what_nothing_measured(records: Records) -> None:
    """Columns that no measurement joins stay independent, and keep their own shares."""
    model, _ = trained(records, [("a", "b"), ("c",)])
    joint = model.marginal(("c", "d")) / model.total
    apart = np.outer(joint.sum(axis=1), joint.sum(axis=0))
    assert np.abs(joint - apart).sum() / 2 < 0.06
    assert error(model, records, ("c",)) < 0.01


def test_a_triple_is_chosen_where_pairs_are_not_enough(
    records: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(network, "COMPONENTS", 60)
    found, run = measured("network", records, Cost(0.5), workload=Workload("d"))
    assert isinstance(found, Mixed)
    assert ("a", "b", "d") in {m.clique for m in found.measurements}
    assert [c.purpose for c in run.made] == [
        "one-way marginals", network.LOOKED, network.PAIRS, network.ERRORS, network.TRIPLES, labelling.RESIDUALS,
    ]  # fmt: skip
    assert error(found.generator, records, ("a", "b", "d")) < 0.05  # type: ignore[arg-type]


def test_light_cells_are_merged_and_spread_out_again(short: None) -> None:
    domain = Domain.of(a=200, b=2, c=2)
    rng = np.random.default_rng(2)
    a = np.minimum(rng.geometric(0.02, 5000), 199)
    rows = Records.of(domain, {"a": a, "b": (a > 40).astype(int), "c": (a > 80).astype(int)})
    found, _ = measured("network", rows, Cost(0.02), ordered=frozenset("a"))
    assert isinstance(found.generator, MergedMixture)
    assert found.generator.domain == domain
    assert found.generator.inside.domain["a"] < 100


def test_pairs_that_nobody_asked_for_are_not_paid_for(records: Records, short: None) -> None:
    found, _ = measured("network", records, Cost(0.5), workload=Workload(pairs=(("a", "b"),)))
    assert ("c", "d") not in {m.clique for m in found.measurements}
    assert ("a", "b") in {m.clique for m in found.measurements}


def test_fewer_steps_where_a_step_is_dear(records: Records, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    monkeypatch.setattr(network, "WORK", 1.0)
    measured("network", records, Cost(0.5), progress=lambda step, done: told.append(step))
    assert told == ["training"] * 2


def test_without_pytorch_nothing_is_planned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"dpsynth-audit\[gan\]"):
        METHODS["network"].cells(Task(DOMAIN))


def test_a_pytorch_that_does_not_load_is_refused_before_anything_is_spent(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "torch.py").write_text("raise ImportError('a library is missing')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    with pytest.raises(UsageError, match="does not load"):
        METHODS["network"].cells(Task(DOMAIN))


def test_a_loss_comes_to_rest() -> None:
    falling = [1.0 / (step + 1) for step in range(60)]
    assert not training._at_rest(falling)
    assert training._at_rest([*falling, *[falling[-1]] * training.WINDOW])
    assert not training._at_rest([1.0] * training.WINDOW)


def test_the_noise_part_of_a_pair() -> None:
    task = Task(Domain.of(a=10, b=10, c=10))
    small, large = (network.pair_error(task, Cost(rho), 10_000) for rho in (1.0, 0.01))
    assert small is not None
    assert large is not None
    assert 0 < small < large <= 1
    assert network.pair_error(Task(Domain.of(a=10)), Cost(1.0), 100) is None
