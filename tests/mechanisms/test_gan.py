"""The GAN beyond what every mechanism must do: its price, its bounds, what it learns, and that it comes back from a file."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from free_runs import FreeRun

from dpsynth import Schema, fit, load
from dpsynth.budget import MIN_DELTA, MIN_EPSILON, Budget, Cost
from dpsynth.domain import Domain
from dpsynth.engines import spooled
from dpsynth.engines.memory import MemoryEngine
from dpsynth.engines.spool import Spool
from dpsynth.engines.spooled import SpoolEngine
from dpsynth.entropy import Stream
from dpsynth.gan.critic import Critic
from dpsynth.gan.layout import Layout
from dpsynth.measurement import Measurement
from dpsynth.mechanisms import Found, Mixed, Task, labelling
from dpsynth.mechanisms.coarse import merges_for
from dpsynth.mechanisms.gan import CRITIC, FINEST, Gan, _most_cells
from dpsynth.pgm import MergedMixture, MixtureModel
from dpsynth.pgm import fit as estimate
from dpsynth.privacy.accounting import calibrate, certify
from dpsynth.privacy.curator import Curator
from dpsynth.privacy.events import Composed, DpSgd
from dpsynth.privacy.merging import merged_domain
from dpsynth.records import Records
from dpsynth.workload import Workload

DOMAIN = Domain.of(a=4, b=4, y=2, c=3)
QUICK = Gan(steps=8, moves=10, tail=80, rows=80)


def copied(rows: int, seed: int = 0) -> Records:
    """b is a in nine rows of ten; y follows whether a = c, which no pair shows; c is uniform."""
    rng = np.random.default_rng(seed)
    a, c = rng.integers(0, 4, rows), rng.integers(0, 3, rows)
    b = np.where(rng.random(rows) < 0.9, a, rng.integers(0, 4, rows))
    y = np.where(rng.random(rows) < 0.9, a == c, rng.integers(0, 2, rows))
    return Records.of(DOMAIN, {"a": a, "b": b, "y": y, "c": c})


def run(
    records: Records, gan: Gan, cost: Cost, target: str | None = "y", k: int = 1, key: bytes = b"gan"
) -> tuple[Found | Mixed, FreeRun]:
    task = Task(records.domain, k, Workload(target))
    account = FreeRun(gan.plan(task, cost))
    units = np.arange(len(records)) // k
    curator = Curator(MemoryEngine(records, k, units), account, Stream.for_tests(key))
    return gan.measure(curator, task, cost, estimate), account


def total_variation(records: Records, found: Found | Mixed, clique: tuple[str, ...]) -> float:
    exact = MemoryEngine(records, 1).marginals([clique])[clique] / len(records)
    made = found.generator.marginal(clique)
    return float(np.abs(exact - made / made.sum()).sum() / 2)


def test_with_much_budget_pairs_and_crossed_pairs_are_learnt() -> None:
    records = copied(4_000)
    found, _ = run(records, QUICK, Cost(30.0))
    for pair in (("a", "b"), ("a", "c"), ("b", "y")):
        assert total_variation(records, found, pair) < 0.03, pair
    assert total_variation(records, found, ("a", "y", "c")) < 0.08
    untold, _ = run(records, QUICK, Cost(30.0), target=None)
    assert total_variation(records, untold, ("a", "b")) < 0.03
    assert total_variation(records, untold, ("a", "y", "c")) > 0.12


def test_a_table_on_disk_is_learnt_in_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    records, spool = copied(1_500), Spool(DOMAIN)
    spool.append(records)
    monkeypatch.setattr(spooled, "CHUNK", 400)
    task, cost = Task(DOMAIN, workload=Workload("y")), Cost(30.0)
    account = FreeRun(QUICK.plan(task, cost))
    door = Curator(SpoolEngine(spool, 1), account, Stream.for_tests(b"disk"))
    found = QUICK.measure(door, task, cost, estimate)
    assert total_variation(records, found, ("a", "b")) < 0.05


def test_rows_of_a_unit_share_its_clip() -> None:
    """Three rows a unit: the same event, three times the clip, so about three times the noise on every sum."""
    task = Task(DOMAIN, 3, Workload("y"))
    critic = QUICK._split(task, Cost(0.1)).critic
    assert critic is not None
    plan = QUICK._training(task, critic)
    assert plan.clip == 3.0
    [_, charge, label] = QUICK.plan(task, Cost(0.1))
    assert label.event.rate == 1.0  # type: ignore[union-attr]
    assert charge.purpose == CRITIC
    assert charge.event == plan.event == DpSgd(0.5, plan.sigma, 8)
    found, account = run(copied(900), QUICK, Cost(5.0), k=3)
    assert [c.purpose for c in account.made] == ["one-way marginals", CRITIC, labelling.RESIDUALS]
    assert found.generator.domain == DOMAIN


def test_the_same_noise_makes_the_same_model() -> None:
    records = copied(500)
    one, two, other = (
        run(records, QUICK, Cost(1.0), key=key)[0].generator for key in (b"one", b"one", b"two")
    )
    draws = [g.sample(50, np.random.default_rng(1)).matrix() for g in (one, two, other)]
    assert np.array_equal(draws[0], draws[1])
    assert not np.array_equal(draws[0], draws[2])


def test_wide_columns_are_merged_and_spread_again() -> None:
    domain = Domain.of(a=200, b=3, y=2)
    rng = np.random.default_rng(2)
    a = rng.integers(0, 200, 2_000)
    records = Records.of(domain, {"a": a, "b": a * 3 // 200, "y": rng.integers(0, 2, 2_000)})
    found, _ = run(records, QUICK, Cost(0.5))
    assert isinstance(found.generator, MergedMixture)
    assert found.generator.domain == domain
    assert "y" not in found.generator.merges
    assert total_variation(records, found, ("b", "y")) < 0.1


@pytest.mark.parametrize("finest", FINEST)
def test_the_critic_is_never_larger_than_was_stated(finest: int) -> None:
    """Whatever the counts, columns merge to as few cells as the plan counted with."""
    rng = np.random.default_rng(finest)
    domain = Domain.of(a=300, b=150, c=40, y=3, d=2)
    for target in (None, "y"):
        for ordered in (frozenset("abcd"), frozenset[str]()):
            task = Task(domain, 1, Workload(target), ordered=ordered)
            ones = [
                Measurement((a,), rng.pareto(0.5, domain[a]).astype(np.int64), 1.0)
                for a in domain.attributes
                if a != target
            ]
            total = float(max(m.values.sum() for m in ones))
            merges = merges_for(task, ones, total / finest)
            layout = Layout(merged_domain(domain, merges))
            [part] = Critic(layout, None if target is None else 3, 1.0).gradient(
                Records.of(layout.domain, {a: np.zeros(1, np.int64) for a in domain.attributes})
            )
            assert part.size <= _most_cells(task, finest)


def test_the_limit_on_cells_makes_the_critic_coarser() -> None:
    domain = Domain.of(**{f"x{i}": 100 for i in range(10)})
    roomy, tight = Task(domain, max_cells=5e6), Task(domain, max_cells=2e4)
    assert Gan().cells(tight) - 1000 <= 2e4 < Gan().cells(roomy)


@pytest.mark.parametrize(
    ("size", "columns", "crossed"), [(2, 3, True), (8, 3, True), (9, 3, False), (2, 2, False)]
)
def test_only_targets_of_few_values_are_crossed(size: int, columns: int, crossed: bool) -> None:
    domain = Domain.from_sizes({"y": size, "a": 3, "b": 3}).project(("y", "a", "b")[:columns])
    assert (labelling.drawn_again(Task(domain, workload=Workload("y"))) == "y") is crossed


def test_the_smallest_promise_has_a_plan() -> None:
    task, budget = Task(DOMAIN, 5, Workload("y")), Budget(MIN_EPSILON, MIN_DELTA)
    cost = calibrate(lambda c: [charge.event for charge in Gan().plan(task, c)], budget)
    assert certify([c.event for c in Gan().plan(task, cost)], budget.delta).epsilon <= MIN_EPSILON


def test_a_fitted_gan_states_its_joint_price_and_comes_back_without_torch(tmp_path: Path) -> None:
    records = copied(300)
    frame = pd.DataFrame({a: records[a].astype(str) for a in ("a", "b", "y")})
    lines = [
        f"  {a}: {{type: category, values: {[str(i) for i in range(DOMAIN[a])]}, origin: public}}"
        for a in frame
    ]
    schema = Schema.from_yaml(
        "\n".join(["version: 1", "data: {unit: {entity: row}}", "columns:", *lines, ""])
    )
    model = fit(frame, schema, method="gan", epsilon=2.0, delta=1e-6)
    assert 0.98 * 2.0 <= model.receipt.certificate.epsilon <= 2.0
    assert model.receipt.certificate.accountant == "pld"
    first, second = (c.event for c in model.receipt.charges)
    assert isinstance(second, DpSgd)
    assert isinstance(first, Composed)
    assert isinstance(model.generator, MixtureModel | MergedMixture)
    model.save(tmp_path / "model")
    again = load(tmp_path / "model")
    assert again.id == model.id
    rows = model.sample(40, np.random.default_rng(3))
    assert rows.equals(again.sample(40, np.random.default_rng(3)))
    told = "import sys, dpsynth; dpsynth.load(sys.argv[1]).sample(5); print('torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", told, str(tmp_path / "model")], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "False"


@pytest.mark.parametrize("planned", [2, 30])
@pytest.mark.parametrize("found", [1, 2])
def test_a_discovered_target_changes_nothing_of_what_is_charged(planned: int, found: int) -> None:
    """Whether it is drawn again, and the critic's share with it, follows from the room that was planned for."""
    sizes = dict(zip(DOMAIN.attributes, DOMAIN.sizes, strict=True))
    task = Task(Domain.from_sizes({**sizes, "y": planned}), workload=Workload("y"))
    there = Domain.from_sizes({**sizes, "y": found})
    records = Records.of(there, {a: copied(300)[a] % there[a] for a in there.attributes})
    charges = QUICK.plan(task, Cost(1.0))
    account = FreeRun(charges)
    door = Curator(MemoryEngine(records, 1), account, Stream.for_tests(b"found"), planned=task.domain)
    made = QUICK.measure(door, Task(there, workload=Workload("y")), Cost(1.0), estimate)
    assert account.made == list(charges)
    assert made.generator.domain == there
