"""privacy.json: what was promised, charged and not protected, in words and numbers."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from release_parts import HUMAN, Parts

from dpsynth import release
from dpsynth.budget import MIN_EPSILON
from dpsynth.privacy import accounting, events
from dpsynth.privacy.events import BoundedRange, Composed, DiscreteGaussian, DpSgd, ZcdpGrant
from dpsynth.release.facts import trade_off_points
from dpsynth.release.fields import AuditFacts, ReleaseFields
from dpsynth.release.gate import before_spending, judge
from dpsynth.release.privacy_json import charged_events, describe, unprotected
from dpsynth.schema import Schema


@pytest.fixture(scope="module")
def privacy(bundle: release.Bundle) -> dict[str, Any]:
    return dict(json.loads((bundle.public / "privacy.json").read_text()))


def test_it_states_the_receipt(privacy: dict[str, Any], parts: Parts) -> None:
    receipt = parts.model.receipt
    assert privacy["guarantee"]["epsilon"] == receipt.certificate.epsilon
    assert privacy["guarantee"]["epsilon"] <= 2.0
    assert privacy["guarantee"]["requested"] == {"epsilon": 2.0, "delta": 1e-6}
    assert (privacy["unit"]["entity"], privacy["unit"]["rows_per_unit"]) == ("person", 2)
    assert "secret key" in privacy["unit"]["enforced"]
    assert privacy["ledger"]["promise"] == {"epsilon": 3.0, "delta": 1e-6}
    assert privacy["ledger"]["spent_before"]["epsilon"] == 0.0
    assert privacy["ledger"]["spent_after"]["epsilon"] == receipt.spent_after.epsilon
    assert privacy["ledger"]["head"] == receipt.ledger_head
    assert len(privacy["curve"]) > 20
    assert privacy["model"] == {"id": parts.model.id, "method": "mst"}


def test_every_charge_is_there_with_its_share(privacy: dict[str, Any], parts: Parts) -> None:
    assert charged_events(privacy) == [charge.event for charge in parts.model.receipt.charges]
    assert sum(charge["share"] for charge in privacy["charges"]) == pytest.approx(1, abs=1e-4)
    for charge in privacy["charges"]:
        assert set(charge) == {"purpose", "mechanism", "noise", "sensitivity", "share", "event"}
    again = accounting.certify(charged_events(privacy), privacy["guarantee"]["delta"])
    assert again.epsilon == pytest.approx(privacy["guarantee"]["epsilon"], rel=1e-9)


def test_what_is_not_protected_is_listed(privacy: dict[str, Any]) -> None:
    words = json.dumps(privacy["unprotected_quantities"])
    assert "attack gate" in words
    assert "fit the schema" in words
    assert "'plan'" in words
    assert "was: inspected" in words
    assert "printed in the brochure" in words
    assert privacy["audits"]["samples_audited"] == 1


def test_audited_samples_are_listed() -> None:
    schema = Schema(columns={"ill": {"type": "boolean"}})
    found = unprotected(schema, "row", AuditFacts(3, ()))
    assert not any("inspected" in q["why"] for q in found)
    assert any("samples audited: 3" in q["why"] for q in found)


def test_events_in_words() -> None:
    several = Composed((DiscreteGaussian(12.5, 3, 2), DiscreteGaussian(40.0, 3), BoundedRange(0.25, 4)))
    words = describe(several)
    assert "3 noisy marginals (discrete Gaussian); then 4 private choices" in words["mechanism"]
    assert "12.5 to 40 rows" in words["noise"]
    assert "at most 3 rows" in words["sensitivity"]
    assert "probability 0.05" in describe(DpSgd(0.05, 2.0, 100))["sensitivity"]
    for other in (
        ZcdpGrant(0.1),
        events.PureDp(1.0),
        events.DiscreteLaplace(4.0, 2),
        events.External(1.0, 1e-9),
    ):
        assert all(describe(other).values())


def test_the_plotted_bound_lies_on_the_exact_curve() -> None:
    for plan in ([DiscreteGaussian(30.0, 3, 20)], [DiscreteGaussian(4.0, 3, 3), BoundedRange(1.0, 5)]):
        exact = accounting.trade_off(plan)
        points = trade_off_points(plan)
        assert len(points) == 41
        assert np.all(np.diff(np.array(points), axis=0) >= 0)
        for fpr, tpr in points[::8]:
            assert exact.tpr(fpr) * 0.999 <= tpr <= exact.tpr(fpr) * 1.01


def test_the_gate_names_what_a_person_has_to_do(parts: Parts) -> None:
    inspected = Schema(columns={"ill": {"type": "boolean", "origin": "inspected"}})
    gate = before_spending(inspected, ReleaseFields(purpose="..."))
    assert [check.passed for check in gate.checks] == [False, False]
    assert "'ill'" in gate.checks[0].words
    assert "purpose" in gate.checks[1].words
    assert before_spending(parts.model.schema, HUMAN).passed
    whole = judge(parts.model.schema, HUMAN, parts.model.receipt, parts.suite)
    assert whole.passed
    assert len({check.code for check in whole.checks}) == len(whole.checks)


def test_what_was_noised_by_a_seed_or_paid_from_memory_is_never_released(parts: Parts) -> None:
    from dataclasses import replace

    receipt = parts.model.receipt
    for lie in (replace(receipt, seeded=True), replace(receipt, releasable=False)):
        gate = judge(parts.model.schema, HUMAN, lie, parts.suite)
        assert [c.code for c in gate.checks if not c.passed] == ["A303"]
    over = replace(receipt, spent_after=replace(receipt.spent_after, epsilon=3.5))
    assert [c.code for c in judge(parts.model.schema, HUMAN, over, parts.suite).checks if not c.passed] == [
        "A304"
    ]


def test_human_fields_come_from_a_mapping_and_are_never_invented() -> None:
    fields = ReleaseFields.from_json({"purpose": "x", "title": None, "prohibited_uses": ["a", "b"]})
    assert fields.prohibited_uses == ("a", "b")
    wanted = ["recipient", "lawful_basis", "contact", "approver", "review_date", "bounds_decided_by"]
    assert fields.missing == wanted
    assert ReleaseFields(review_date="soon").missing[-1] == "review_date"
    assert HUMAN.undecided([*parts_columns(), "new"]) == ["new"]
    assert HUMAN.missing == []
    assert ReleaseFields.from_json(HUMAN.as_json()) == HUMAN


def parts_columns() -> list[str]:
    return ["age", "cost", "plan", "ill"]


def test_a_run_at_the_least_epsilon_that_may_be_asked_for_can_be_released(parts: Parts) -> None:
    """Its certificate lies a little below: that is no promise of noise only, made after the charge."""
    certificate = replace(parts.model.receipt.certificate, epsilon=0.99 * MIN_EPSILON)
    receipt = replace(parts.model.receipt, certificate=certificate)
    gate = judge(parts.model.schema, HUMAN, receipt, parts.suite)
    assert gate.passed
