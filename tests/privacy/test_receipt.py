"""A receipt says what a run spent, exactly, and comes back from JSON as it was."""

from __future__ import annotations

import dataclasses
import json
import math
from typing import Any

import pytest

from dpsynth.budget import Budget
from dpsynth.errors import DPSynthError
from dpsynth.privacy import accounting
from dpsynth.privacy.events import (
    BoundedRange,
    Charge,
    Composed,
    DiscreteGaussian,
    DiscreteLaplace,
    DpSgd,
    External,
    GdpGrant,
    PartitionSelection,
    PureDp,
    ZcdpGrant,
)
from dpsynth.privacy.ledger import Ledger, Unit
from dpsynth.privacy.receipt import NEIGHBOURS, Receipt

PROMISE = Budget(10.0, 1e-6)
PERSON = Unit("person", "person_id", 3)
EVENTS = {
    "gaussian": DiscreteGaussian(20.0 + 1 / 3, 3, 7),
    "choice": BoundedRange(0.1, 2),
    "laplace": DiscreteLaplace(30.0, 3),
    "sgd": DpSgd(0.01, 4.0, 100),
    "pure": PureDp(0.05, 2),
    "external": External(0.1, 1e-9),
    "selection": PartitionSelection(DiscreteGaussian(50.0, 3), 1e-9),
    "gdp grant": GdpGrant(0.1),
    "composed": Composed((DiscreteGaussian(30.0, 3), BoundedRange(0.05))),
}


def receipt_of(*names: str) -> Receipt:
    account = Ledger.in_memory(PROMISE, PERSON)
    account.reserve("before", [Charge("a", DiscreteGaussian(100.0, 3))], PROMISE)
    return account.reserve("a run", [Charge(name, EVENTS[name]) for name in names], PROMISE).receipt()


@pytest.mark.parametrize("names", [*[(name,) for name in EVENTS], tuple(EVENTS)])
def test_json_gives_back_the_same_receipt(names: tuple[str, ...]) -> None:
    receipt = receipt_of(*names)
    text = json.dumps(receipt.as_json(), allow_nan=False)
    again = Receipt.from_json(json.loads(text))
    assert again == receipt
    assert json.dumps(again.as_json(), allow_nan=False) == text


def test_what_it_says() -> None:
    receipt = receipt_of("gaussian", "choice")
    planned = [EVENTS["gaussian"], EVENTS["choice"]]
    assert receipt.purpose == "a run"
    assert receipt.unit == PERSON
    assert receipt.neighbours == NEIGHBOURS
    assert receipt.certificate == accounting.certify(planned, PROMISE.delta)
    assert receipt.certificate.epsilon <= receipt.budget.epsilon
    assert receipt.mu == accounting.dominating_gaussian(planned, receipt.d0)
    assert [charge.event for charge in receipt.charges] == planned
    assert receipt.spent_after.mu == pytest.approx(math.hypot(receipt.spent_before.mu, receipt.mu))
    assert receipt.spent_after.epsilon > receipt.spent_before.epsilon > 0
    assert not receipt.releasable
    assert len(receipt.ledger_head) == 64


def test_the_curve_and_the_attacker_are_those_of_the_events() -> None:
    receipt = receipt_of("gaussian")
    planned = [EVENTS["gaussian"]]
    epsilons = [epsilon for epsilon, _ in receipt.profile]
    deltas = [delta for _, delta in receipt.profile]
    assert epsilons == sorted(epsilons)
    assert deltas == sorted(deltas, reverse=True)
    assert epsilons[0] == 0.0
    assert epsilons[-1] > receipt.certificate.epsilon
    at = dict(receipt.profile)
    wanted = accounting.privacy_profile(planned, epsilons)
    assert [at[epsilon] for epsilon in epsilons] == pytest.approx(list(wanted))
    curve = accounting.trade_off(planned)
    for row in receipt.attacker:
        assert row.true_positive_rate == pytest.approx(curve.tpr(row.false_positive_rate))
        assert row.false_positive_rate < row.true_positive_rate < 1
        for prior, posterior in row.posteriors:
            assert prior < posterior < 1
    assert {row.false_positive_rate for row in receipt.attacker} == {0.001, 0.01, 0.1}
    assert {prior for row in receipt.attacker for prior, _ in row.posteriors} == {0.01, 0.5}


def test_a_single_full_run_of_an_adaptive_method() -> None:
    """A zCDP grant has no privacy-loss distribution; its receipt is complete all the same."""
    account = Ledger.in_memory(Budget(1.0, 1e-6), Unit("row"))
    receipt = account.reserve("aim", [Charge("loop", ZcdpGrant(0.01))], Budget(1.0, 1e-6)).receipt()
    assert receipt.certificate.accountant == "zcdp"
    assert Receipt.from_json(json.loads(json.dumps(receipt.as_json()))) == receipt


@pytest.mark.parametrize(
    "change",
    [
        {"format": 2},
        {"format": None},
        {"unit": {"entity": ""}},
        {"unit": {"entity": "row", "column": None, "rows_per_unit": 2}},
        {"budget": {"epsilon": -1.0, "delta": 1e-6}},
        {"charges": [{"purpose": "x", "event": {"kind": "free lunch"}}]},
        {"surplus": 1},
        {"mu": ...},
    ],
)
def test_other_json_is_refused(change: dict[str, Any]) -> None:
    fields = receipt_of("gaussian").as_json()
    fields.update(change)
    for name in [name for name, value in change.items() if value is ...]:
        del fields[name]
    with pytest.raises((ValueError, KeyError, TypeError, DPSynthError)):
        Receipt.from_json(fields)


def test_equal_each_time_but_for_the_head() -> None:
    account = Ledger.in_memory(PROMISE, PERSON)
    run = account.reserve("a run", [Charge("gaussian", EVENTS["gaussian"])], PROMISE)
    first = run.receipt()
    account.block("m", "why")
    second = run.receipt()
    assert first.ledger_head != second.ledger_head
    assert dataclasses.replace(first, ledger_head="") == dataclasses.replace(second, ledger_head="")


@pytest.mark.parametrize(
    "fields", [("",), ("row", None, 2), ("person", "id", 0), ("person", "id", True)], ids=str
)
def test_units_that_mean_nothing(fields: tuple[Any, ...]) -> None:
    with pytest.raises(ValueError):
        Unit(*fields)


def test_units_in_words() -> None:
    assert str(Unit("row")) == "one row"
    assert str(PERSON) == "one person (column 'person_id', at most 3 rows)"
