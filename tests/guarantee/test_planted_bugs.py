"""Every bug of the catalogue, planted in the real code, is caught by the audit that the catalogue names."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import dpsynth
from attacks.guarantee.aliasing import shared
from dpsynth import discovering, synthesis
from dpsynth.budget import Budget
from dpsynth.engines.base import Drawn
from dpsynth.engines.memory import MemoryEngine, bound_and_split
from dpsynth.guarantee import rehearsing
from dpsynth.guarantee.catalogue import CATALOGUE, Bug, as_markdown
from dpsynth.guarantee.choices import audit_choices
from dpsynth.guarantee.discoveries import audit_discovery
from dpsynth.guarantee.findings import Fault, Findings
from dpsynth.guarantee.gradients import audit_gradients
from dpsynth.guarantee.structure import audit_structure
from dpsynth.guarantee.tables import people
from dpsynth.guarantee.white_box import audit_method
from dpsynth.measurement import Measurement
from dpsynth.model import FittedModel
from dpsynth.privacy import curator, discovery, intake, noise, sensitivity, sgd
from dpsynth.privacy.curator import Curator
from dpsynth.privacy.events import Composed, DpSgd
from dpsynth.schema import Schema

BUDGET = Budget(1.0, 1e-6)
METHOD = "mst"
Plant = pytest.MonkeyPatch

AUDITS: dict[str, Callable[[], Findings]] = {
    "audit_method": lambda: audit_method(METHOD, BUDGET, tables=people(250), fits=2),
    "audit_structure": lambda: audit_structure(METHOD, BUDGET, people(60)),
    "audit_choices": audit_choices,
    "audit_gradients": audit_gradients,
    "audit_discovery": audit_discovery,
    "shared": lambda: two_networks(),
}


# --- noise and charges -------------------------------------------------------------------------------


def halved_noise(plant: Plant) -> None:
    honest = noise.discrete_gaussian
    plant.setattr(noise, "discrete_gaussian", lambda sigma, shape, stream: honest(sigma / 2, shape, stream))


def noise_of_another_step(plant: Plant) -> None:
    honest = Curator._noised

    def wrong(self: Curator, clique: Any, exact: Any, sigma: float) -> Measurement:
        found = honest(self, clique, exact, sigma / 2 if len(clique) == 1 else sigma)
        return Measurement(clique, found.values, sigma, found.merges)

    plant.setattr(Curator, "_noised", wrong)


def count_without_noise(plant: Plant) -> None:
    honest = Curator._noised

    def bare(self: Curator, clique: Any, exact: Any, sigma: float) -> Measurement:
        found = honest(self, clique, exact, sigma)
        return found if clique != ("smoker",) else Measurement(clique, exact.copy(), sigma, found.merges)

    plant.setattr(Curator, "_noised", bare)


def _without_account(honest: Callable[..., Any]) -> Callable[..., Any]:
    def careless(self: Curator, *arguments: Any, **named: Any) -> Any:
        account, self._account = self._account, SimpleNamespace(charge=lambda *charge: None)  # type: ignore[assignment]
        try:
            return honest(self, *arguments, **named)
        finally:
            self._account = account

    return careless


def skipped_charge(plant: Plant) -> None:
    plant.setattr(Curator, "measure", _without_account(Curator.measure))


def late_charge(plant: Plant) -> None:
    honest = Curator.measure

    def late(self: Curator, cliques: Any, *rest: Any) -> Any:
        self._exact(cliques)
        return honest(self, cliques, *rest)

    plant.setattr(Curator, "measure", late)


def understated_charge(plant: Plant) -> None:
    honest = sensitivity.measure_event

    def doubled(cost: Any, k: int, weights: Any) -> Any:
        event = honest(cost, k, weights)
        parts = event.events if isinstance(event, Composed) else (event,)
        wrong = tuple(replace(part, sigma=2 * part.sigma) for part in parts)
        return wrong[0] if len(wrong) == 1 else Composed(wrong)

    plant.setattr(sensitivity, "measure_event", doubled)


def unclipped_person(plant: Plant) -> None:
    def generous(records: Any, units: Any, *, rows_per_unit: int, holdout: float, run_key: bytes) -> Any:
        return bound_and_split(records, units, rows_per_unit=10**6, holdout=holdout, run_key=run_key)

    plant.setattr(intake, "bound_and_split", generous)
    # the engine itself would refuse to number the rows of such a unit
    plant.setattr(MemoryEngine, "unit_sizes", lambda self: np.ones(self.rows_per_unit, np.int64))


def rows_per_unit_forgotten_in_one_step(plant: Plant) -> None:
    sigmas, event = sensitivity.sigmas, sensitivity.measure_event

    def rows(k: int, weights: Any) -> int:
        return 1 if len(weights) == 4 else k  # the four pairs of the tree

    plant.setattr(sensitivity, "sigmas", lambda cost, k, w: sigmas(cost, rows(k, w), w))
    plant.setattr(sensitivity, "measure_event", lambda cost, k, w: event(cost, rows(k, w), w))


def rows_counted_as_units(plant: Plant) -> None:
    honest = MemoryEngine.unit_sizes

    def rows(self: MemoryEngine) -> Any:
        found = honest(self)
        return found * np.arange(1, len(found) + 1)

    plant.setattr(MemoryEngine, "unit_sizes", rows)


# --- choices -----------------------------------------------------------------------------------------


def monotonic_selection(plant: Plant) -> None:
    honest = noise.choose
    plant.setattr(noise, "choose", lambda scores, eps, k, stream: honest(scores, 2 * eps, k, stream))


def selection_without_noise(plant: Plant) -> None:
    plant.setattr(noise, "choose", lambda scores, eps, k, stream: int(np.argmax(scores)))


def weights_forgotten_in_choice(plant: Plant) -> None:
    plant.setattr(curator.sensitivity, "l1_score_sensitivity", lambda k, weight=1: k)


# --- what a fit keeps --------------------------------------------------------------------------------


def _after_fit(plant: Plant, change: Callable[[FittedModel, Any, Any], FittedModel]) -> None:
    honest = synthesis.fit_reserved

    def changed(table: Any, *rest: Any, **named: Any) -> Any:
        model, kept = honest(table, *rest, **named)
        return change(model, table, kept), kept

    plant.setattr(synthesis, "fit_reserved", changed)
    plant.setattr(rehearsing, "fit_reserved", changed)


def domain_from_data(plant: Plant) -> None:
    def seen(model: FittedModel, table: Any, kept: Any) -> FittedModel:
        columns = {name: column.model_dump() for name, column in model.schema.columns.items()}
        columns["cost"]["max"] = float(table.values["cost"].max())
        return replace(model, schema=Schema(columns=columns, unit=model.schema.unit))  # type: ignore[arg-type]

    _after_fit(plant, seen)


def exact_row_count(plant: Plant) -> None:
    honest = discovering.bounded
    rows: list[int] = []

    def counting(table: Any, *rest: Any, **named: Any) -> Any:
        rows.append(len(table))
        return honest(table, *rest, **named)

    def remember(model: FittedModel, table: Any, kept: Any) -> FittedModel:
        object.__setattr__(model, "_rows", len(table))
        return model

    plant.setattr(discovering, "bounded", counting)
    _after_fit(plant, remember)
    plant.setattr(FittedModel, "default_rows", lambda self: vars(self).get("_rows", 1))


def seedable_noise(plant: Plant) -> None:
    def seeded(sigma: float, shape: Any, stream: Any) -> Any:
        return np.rint(np.random.normal(0.0, sigma, shape)).astype(np.int64)  # noqa: NPY002

    plant.setattr(noise, "discrete_gaussian", seeded)


def raw_value_kept(plant: Plant) -> None:
    def filled(model: FittedModel, table: Any, kept: Any) -> FittedModel:
        object.__setattr__(model, "fill", {"cost": float(table.values["cost"][0])})
        return model

    _after_fit(plant, filled)


def raw_rows_kept(plant: Plant) -> None:
    def keep(model: FittedModel, table: Any, kept: Any) -> FittedModel:
        object.__setattr__(model, "_again", lambda: table)
        return model

    _after_fit(plant, keep)


def sample_that_refits(plant: Plant) -> None:
    honest = FittedModel.sample
    rows: dict[int, Any] = {}

    def keep(model: FittedModel, table: Any, kept: Any) -> FittedModel:
        rows[id(model)] = kept.engine
        return model

    def again(self: FittedModel, *rest: Any, **named: Any) -> Any:
        if id(self) in rows:
            rows[id(self)].marginals([("plan",)])
        return honest(self, *rest, **named)

    _after_fit(plant, keep)
    plant.setattr(FittedModel, "sample", again)


def hold_out_not_held_out(plant: Plant) -> None:
    def all_in(records: Any, *rest: Any, **named: Any) -> Any:
        found = bound_and_split(records, *rest, **named)
        return replace(found, training=np.sort(np.concatenate([found.training, found.holdout])))

    plant.setattr(intake, "bound_and_split", all_in)


# --- gradients ---------------------------------------------------------------------------------------


def _batches(plant: Plant, choose: Callable[[int, float], Any]) -> None:
    def batches(self: MemoryEngine, rate: float, steps: int, stream: Any) -> Iterator[Iterator[Drawn]]:
        order, starts = self._by_unit
        units = len(starts) - 1
        for _ in range(steps):
            chosen = np.sort(choose(units, rate))
            rows = [order[starts[u] : starts[u + 1]] for u in chosen]
            numbers = np.repeat(chosen, [len(r) for r in rows])
            taken = np.concatenate(rows) if rows else np.zeros(0, np.int64)
            yield iter([Drawn(self.records.take(taken), numbers)])

    plant.setattr(MemoryEngine, "poisson_batches", batches)


def fixed_batches(plant: Plant) -> None:
    rng = np.random.default_rng(1)
    _batches(plant, lambda units, rate: rng.permutation(units)[: round(rate * units)])


def larger_batches(plant: Plant) -> None:
    honest = MemoryEngine.poisson_batches

    def larger(self: MemoryEngine, rate: float, steps: int, stream: Any) -> Any:
        return honest(self, min(1.0, 1.5 * rate), steps, stream)

    plant.setattr(MemoryEngine, "poisson_batches", larger)


def half_the_steps_charged(plant: Plant) -> None:
    def half(self: sgd.SgdPlan) -> DpSgd:
        return DpSgd(self.rate, self.sigma, max(1, self.steps // 2))

    plant.setattr(sgd.SgdPlan, "event", property(half))


def unclipped_gradient(plant: Plant) -> None:
    def plain(parts: Any, drawn: Drawn, clip: float) -> Any:
        sound = np.isfinite(sum(part.squares() for part in parts))
        return np.where(sound, sgd.GRID / clip * (1 - sgd.MARGIN), 0.0)

    plant.setattr(sgd, "_scales", plain)


def gradient_clipped_by_row(plant: Plant) -> None:
    honest = sgd._scales

    def alone(parts: Any, drawn: Drawn, clip: float) -> Any:
        return honest(parts, Drawn(drawn.records, np.arange(len(drawn.records))), clip)

    plant.setattr(sgd, "_scales", alone)


def infinite_gradient(plant: Plant) -> None:
    honest = sgd.exact_sum

    def poisoned(batch: Any, gradient: Any, clip: float) -> Any:
        parts = [list(batch)] if not isinstance(batch, list) else [batch]
        total = honest(iter(parts[0]), gradient, clip).astype(float)
        for drawn in parts[0]:
            for part in gradient(drawn.records):
                if not np.isfinite(part.squares()).all():
                    total = total * np.nan
        return total

    plant.setattr(sgd, "exact_sum", poisoned)


def halved_gradient_noise(plant: Plant) -> None:
    honest = sgd.noised
    plant.setattr(
        sgd, "noised", lambda total, plan, stream: honest(total, replace(plan, sigma=plan.sigma / 2), stream)
    )


# --- networks and discovery --------------------------------------------------------------------------

ALIASED: list[bool] = []


def aliased_networks(plant: Plant) -> None:
    plant.setattr(f"{__name__}.ALIASED", [True])


def two_networks() -> Findings:
    one = SimpleNamespace(weights=[np.zeros((4, 3)), np.zeros(3)])
    other = SimpleNamespace(layers=(one.weights[0][:2],) if ALIASED else (np.zeros((4, 3)),))
    pairs = shared({"generator": one, "critic": other})
    return Findings("networks", faults=tuple(Fault("shared", a, f"shares memory with {b}") for a, b in pairs))


def discovery_without_noise(plant: Plant) -> None:
    plant.setattr(noise, "discrete_gaussian", lambda sigma, shape, stream: np.zeros(shape, np.int64))


def low_threshold(plant: Plant) -> None:
    plant.setattr(discovery, "threshold", lambda sigma, values, delta: 2 + round(sigma))


def values_of_a_unit_unbounded(plant: Plant) -> None:
    unclipped_person(plant)


# --- the tests ---------------------------------------------------------------------------------------


def spoken(found: Findings, bug: Bug) -> bool:
    if bug.kind == "structural":
        return any(fault.check == bug.check for fault in found.faults)
    return any(bound.is_violated and bound.about == bug.check for bound in found.bounds)


@pytest.mark.parametrize("name", AUDITS)
def test_the_honest_code_is_not_accused(name: str) -> None:
    found = AUDITS[name]()
    assert found.why() == []


@pytest.mark.parametrize("bug", CATALOGUE, ids=lambda bug: bug.name)
def test_the_bug_is_caught(bug: Bug, monkeypatch: Plant) -> None:
    globals()[bug.name](monkeypatch)
    found = AUDITS[bug.audit]()
    assert spoken(found, bug), str(found)


def test_the_catalogue_is_long_enough_and_told() -> None:
    assert len(CATALOGUE) >= 18
    assert len({bug.name for bug in CATALOGUE}) == len(CATALOGUE)
    page = (Path(__file__).resolve().parents[2] / "privacy_budget.md").read_text()
    for bug in CATALOGUE:
        assert f"`{bug.name}`" in as_markdown()
        assert f"`{bug.name}`" in page
        assert f"`{bug.audit}`" in page


def test_private_rows_are_not_fitted_while_an_audit_replaces_the_door() -> None:
    """In another thread, say: the audit's doors know the run key and may add no noise."""
    tables = people(50)
    quiet = rehearsing.doors(lambda own, run: Curator(own.engine, run, rehearsing.scripted()))
    with quiet, pytest.raises(ValueError, match="an audit of made-up rows"):
        dpsynth.fit(tables.base, tables.schema, method="independent", epsilon=1.0, delta=1e-6)
