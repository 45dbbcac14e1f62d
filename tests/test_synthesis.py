"""plan, fit, load and the Synthesizer as a programmer calls them."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from example import small_table

import dpsynth
from dpsynth import Budget, BudgetError, Ledger, Schema, Synthesizer, UsageError
from dpsynth.budget import Cost
from dpsynth.entropy import Stream
from dpsynth.pgm import fit as estimation
from dpsynth.privacy.intake import take_in
from dpsynth.progress import Cancelled
from dpsynth.synthesis import fit_reserved, unit_keys, unit_of
from dpsynth.table import read_table


@pytest.fixture
def schema(project: Path) -> Schema:
    return Schema.load(project)


@pytest.fixture
def ledger(tmp_path: Path, schema: Schema) -> Ledger:
    return Ledger.open(
        tmp_path / "own.ledger", dataset="claims", promise=Budget(3.0, 1e-6), unit=unit_of(schema)
    )


@pytest.mark.parametrize("method", ["independent", "mst"])
def test_a_fit_costs_what_its_plan_said(method: str, schema: Schema, ledger: Ledger) -> None:
    preview = dpsynth.plan(schema, method=method, epsilon=1.0, ledger=ledger)
    assert len(ledger.entries) == 1
    model = dpsynth.fit(small_table(), schema, method=method, epsilon=1.0, ledger=ledger)
    assert model.receipt.charges == preview.charges
    assert model.receipt.certificate == preview.certificate
    assert 0.98 <= preview.certificate.epsilon <= 1.0
    assert model.releasable
    assert model.receipt.unit.rows_per_unit == 2


def test_noise_of_the_plan_is_the_noise_of_the_measurements(schema: Schema) -> None:
    preview = dpsynth.plan(schema, method="mst", epsilon=1.0, delta=1e-6)
    model = dpsynth.fit(small_table(), schema, method="mst", epsilon=1.0, delta=1e-6)
    measured = {m.clique: m.sigma for m in model.measurements}
    assert {clique: measured[clique] for clique in preview.noise()} == preview.noise()
    assert preview.noise().keys() == {(name,) for name in preview.domain.attributes}


def test_without_a_ledger_nothing_can_be_released(schema: Schema, tmp_path: Path) -> None:
    model = dpsynth.fit(small_table(), schema, method="independent", epsilon=1.0, delta=1e-6)
    assert not model.releasable
    model.save(tmp_path / "model")
    assert not dpsynth.load(tmp_path / "model").releasable


def test_seeded_noise_taints_the_run(schema: Schema, ledger: Ledger) -> None:
    table = read_table(small_table(), schema)
    preview = dpsynth.plan(schema, method="independent", epsilon=1.0, ledger=ledger)
    from dpsynth.encoding import Encoding

    with ledger.reserve("test", preview.charges, preview.budget) as run:
        stream = Stream.for_tests(b"chosen")
        taken = take_in(
            Encoding(schema).encode(table), unit_keys(table), rows_per_unit=2, holdout=0.1, stream=stream
        )
        preview.mechanism.measure(taken.curator(run), preview.task, preview.cost, estimation)
    assert not run.receipt().releasable


def test_mistakes_cost_nothing(schema: Schema, ledger: Ledger) -> None:
    for call, error in [
        (lambda: dpsynth.fit(small_table(), schema, method="magic", epsilon=1.0, ledger=ledger), UsageError),
        (lambda: dpsynth.fit(small_table(), schema, method="mst", epsilon=0.0, ledger=ledger), BudgetError),
        (lambda: dpsynth.fit(small_table(), schema, method="mst", epsilon=float("nan"), ledger=ledger), BudgetError),
        (lambda: dpsynth.fit(small_table(), schema, method="mst", epsilon=50.0, ledger=ledger), BudgetError),
        (lambda: dpsynth.fit(small_table().drop(columns="age"), schema, method="mst", epsilon=1.0, ledger=ledger),
         dpsynth.DataError),
        (lambda: dpsynth.fit(small_table(), schema, method="mst", epsilon=1.0), BudgetError),
    ]:  # fmt: skip
        with pytest.raises(error):
            call()
    assert [entry.kind for entry in ledger.entries] == ["open"]


def test_cancelling_stops_and_stays_spent(schema: Schema, ledger: Ledger) -> None:
    def stop(step: str, done: float) -> None:
        if step == "fitting":
            raise Cancelled

    with pytest.raises(Cancelled):
        dpsynth.fit(small_table(), schema, method="mst", epsilon=1.0, ledger=ledger, progress=stop)
    assert [entry.kind for entry in ledger.entries] == ["open", "reserve", "commit"]
    assert ledger.spent().epsilon > 0.9


@pytest.mark.parametrize("where", ["reading", "measuring", "fitting"])
def test_a_killed_process_has_spent_its_run(
    where: str, project: Path, schema: Schema, ledger: Ledger
) -> None:
    child = os.fork()
    if child == 0:

        def die(step: str, done: float) -> None:
            if step == where:
                os.kill(os.getpid(), signal.SIGKILL)

        try:
            again = Ledger.load(project.parent / "own.ledger")
            dpsynth.fit(small_table(), schema, method="independent", epsilon=1.0, ledger=again, progress=die)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    assert [entry.kind for entry in ledger.entries] == ["open", "reserve"]
    assert ledger.spent().epsilon > 0.9
    dpsynth.fit(small_table(), schema, method="independent", epsilon=0.5, ledger=ledger)


def test_the_synthesizer_is_scikit_learn_shaped(schema: Schema) -> None:
    synthesizer = Synthesizer(schema, method="mst", epsilon=2.0, delta=1e-6)
    with pytest.raises(UsageError, match="never fitted"):
        synthesizer.sample(3)
    rows = synthesizer.fit(small_table()).sample(40, np.random.default_rng(1))
    assert list(rows.columns) == ["person", "age", "plan", "smoker", "cost"]
    assert len(rows) == 40
    copy = Synthesizer(**synthesizer.get_params())
    assert copy.get_params() == synthesizer.get_params()
    assert copy.set_params(epsilon=1.0).epsilon == 1.0
    with pytest.raises(UsageError):
        copy.set_params(seed=1)


def test_the_callers_frame_is_left_alone(schema: Schema) -> None:
    frame = small_table()
    before = frame.copy()
    dpsynth.fit(frame, schema, method="independent", epsilon=1.0, delta=1e-6)
    assert frame.equals(before)


def test_costs_split_exactly() -> None:
    assert Cost(2.0).share(0.25).rho == 0.5
    for nonsense in (0.0, 1.1, -1.0):
        with pytest.raises(ValueError):
            Cost(1.0).share(nonsense)
    make: list[Callable[[], Cost]] = [
        lambda: Cost(0.0),
        lambda: Cost(float("nan")),
        lambda: Cost(float("inf")),
    ]
    for bad in make:
        with pytest.raises(ValueError):
            bad()


def test_the_planned_error_comes_true() -> None:
    """Noisy one-way marginals lie as far from the truth as the plan says, within 20 %; half the noise would not."""
    schema = Schema.model_validate(
        {"columns": {"age": {"type": "integer", "min": 0, "max": 63, "cells": 64}}}
    )
    ages = np.random.default_rng(1).integers(0, 64, 4_000)
    preview = dpsynth.plan(schema, method="independent", epsilon=0.5, delta=1e-6)
    planned = preview.expected_error(("age",), len(ages))
    assert planned is not None
    exact = np.bincount(ages, minlength=64)
    errors = []
    for _ in range(12):
        frame = pd.DataFrame({"age": ages})
        [measured] = dpsynth.fit(frame, schema, method="independent", epsilon=0.5, delta=1e-6).measurements
        errors.append(np.abs(measured.values - exact).sum() / (2 * len(ages)))
    assert np.mean(errors) == pytest.approx(planned, rel=0.2)
    assert np.mean(errors) != pytest.approx(planned / 2, rel=0.2)


def test_what_a_plan_admits_is_not_refused_once_it_is_paid() -> None:
    """The plan's own limit reaches the estimation: the tightest one that is admitted fits, a smaller one is seen."""
    wide = {"type": "integer", "min": 0, "max": 199, "cells": 200}
    schema = Schema.model_validate({"columns": {"a": wide, "b": wide}})
    frame = pd.DataFrame({"a": np.arange(500) % 200, "b": np.arange(500) % 200})
    table = read_table(frame, schema)
    limit = 200 * 200 + 400
    preview = dpsynth.plan(schema, method="mst", epsilon=1.0, delta=1e-6, count_cells=limit)
    with pytest.raises(dpsynth.CapacityError):
        dpsynth.plan(schema, method="mst", epsilon=1.0, delta=1e-6, count_cells=limit - 1)
    for plan, fits in ((preview, True), (replace(preview, count_cells=limit / 4), False)):
        account = Ledger.in_memory(preview.budget, preview.unit)
        with account.reserve("test", plan.charges, plan.budget) as run:
            if fits:
                fit_reserved(table, plan, run, holdout=0.0)
            else:
                with pytest.raises(dpsynth.CapacityError):
                    fit_reserved(table, plan, run, holdout=0.0)
