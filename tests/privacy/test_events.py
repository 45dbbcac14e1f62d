"""Events: JSON there and back, nothing impossible gets in."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpsynth.errors import BudgetError
from dpsynth.privacy import events as ev
from dpsynth.privacy.events import Event, flatten, from_json, to_json

positive = st.floats(1e-6, 1e6)
whole = st.integers(1, 10**6)
share = st.floats(0, 0.5)
noises = st.builds(ev.DiscreteGaussian, positive, whole, whole) | st.builds(
    ev.DiscreteLaplace, positive, whole
)
simple = (
    noises
    | st.builds(ev.BoundedRange, positive, whole)
    | st.builds(ev.DpSgd, st.floats(1e-6, 1), positive, whole)
    | st.builds(ev.PureDp, positive, whole)
    | st.builds(ev.External, positive, share)
    | st.builds(ev.PartitionSelection, noises, share)
    | st.builds(ev.ZcdpGrant, positive)
    | st.builds(ev.GdpGrant, positive)
)
any_event = st.recursive(
    simple,
    lambda inner: st.builds(ev.Composed, st.lists(inner, min_size=1, max_size=3).map(tuple)),
    max_leaves=5,
)


@given(any_event)
def test_every_event_survives_json(event: Event) -> None:
    assert from_json(json.loads(json.dumps(to_json(event)))) == event


def test_every_kind_has_a_strategy_here() -> None:
    """A new kind of event must be added to these tests and to the table of `test_accounting.py`."""
    assert set(ev._KINDS) == {
        "discrete_gaussian", "bounded_range", "discrete_laplace", "dp_sgd", "pure_dp",
        "external", "partition_selection", "zcdp_grant", "gdp_grant", "composed",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("make", "arguments"),
    [
        (ev.DiscreteGaussian, (0.0, 1)),
        (ev.DiscreteGaussian, (float("nan"), 1)),
        (ev.DiscreteGaussian, (float("inf"), 1)),
        (ev.DiscreteGaussian, (1.0, 0)),
        (ev.DiscreteGaussian, (1.0, 1.5)),
        (ev.DiscreteGaussian, (1.0, True)),
        (ev.DiscreteGaussian, ("1", 1)),
        (ev.DiscreteGaussian, (1.0, 1, 0)),
        (ev.BoundedRange, (-1.0,)),
        (ev.DiscreteLaplace, (1.0, -1)),
        (ev.DpSgd, (1.1, 1.0, 1)),
        (ev.DpSgd, (0.0, 1.0, 1)),
        (ev.DpSgd, (0.1, 1.0, 0)),
        (ev.External, (1.0, 1.0)),
        (ev.External, (1.0, -0.1)),
        (ev.PartitionSelection, (ev.PureDp(1.0), 0.1)),
        (ev.ZcdpGrant, (0.0,)),
        (ev.GdpGrant, (-1.0,)),
        (ev.Composed, ((),)),
        (ev.Composed, (("x",),)),
    ],
)
def test_impossible_events_are_refused(make: Any, arguments: tuple[Any, ...]) -> None:
    with pytest.raises(BudgetError) as refusal:
        make(*arguments)
    assert refusal.value.code == "DPS-B301"


@pytest.mark.parametrize(
    "value",
    [
        None,
        {},
        {"kind": "free_lunch"},
        {"kind": "gdp_grant"},
        {"kind": "gdp_grant", "mu": 1.0, "nu": 2.0},
        {"kind": "composed", "events": [{"kind": "gdp_grant", "mu": 1.0}, 7]},
    ],
)
def test_unknown_json_is_refused(value: object) -> None:
    with pytest.raises(BudgetError) as refusal:
        from_json(value)
    assert refusal.value.code == "DPS-B302"


def test_flatten_keeps_the_order() -> None:
    a, b, c = ev.PureDp(1.0), ev.PureDp(2.0), ev.PureDp(3.0)
    assert list(flatten([ev.Composed((a, ev.Composed((b,)))), c])) == [a, b, c]
