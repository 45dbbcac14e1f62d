"""A model given evidence, against the joint table with everything else crossed out."""

from __future__ import annotations

import numpy as np
import pytest
from brute_force import SHAPES, joint, models, project, random_model
from hypothesis import given, settings
from hypothesis import strategies as st

from dpsynth.domain import Domain
from dpsynth.pgm import GraphicalModel

Floats = np.ndarray


def crossed_out(model: GraphicalModel, weights: dict[str, Floats]) -> Floats:
    """The joint probabilities times all weights, not normalised."""
    table = joint(model)[1]
    for attribute, shares in weights.items():
        axis = model.domain.index(attribute)
        table = table * shares.reshape([-1 if i == axis else 1 for i in range(table.ndim)])
    return table


@st.composite
def evidence(draw: st.DrawFn, domain: Domain) -> dict[str, Floats]:
    names = draw(st.lists(st.sampled_from(domain.attributes), max_size=3, unique=True))
    share = st.sampled_from([0.0, 0.0, 0.3, 1.0])
    return {a: np.array(draw(st.lists(share, min_size=domain[a], max_size=domain[a]))) for a in names}


@given(models(max_scale=3.0), st.data())
@settings(max_examples=150, deadline=None)
def test_conditioning_is_exact(model: GraphicalModel, data: st.DataObject) -> None:
    if not joint(model)[1].any():
        return
    weights = data.draw(evidence(model.domain))
    table = crossed_out(model, weights)
    if not table.any():
        with pytest.raises(ValueError, match="possible"):
            model.conditioned(weights)
        return
    given_it = model.conditioned(weights)
    assert given_it.total == pytest.approx(model.total * table.sum())
    np.testing.assert_allclose(joint(given_it)[1], table / table.sum(), rtol=1e-9, atol=1e-12)
    for clique in [*model.cliques, model.domain.attributes[:2]]:
        expected = project(model.domain, table, clique) * model.total
        np.testing.assert_allclose(given_it.marginal(clique), expected, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("shape", ["tree", "cycle", "disconnected", "single variable"])
def test_no_sampled_record_contradicts_the_evidence(shape: str) -> None:
    domain, cliques = SHAPES[shape]
    model = random_model(domain, cliques, np.random.default_rng(51))
    allowed = {a: np.arange(domain[a]) % 2 == 1 for a in domain.attributes[:2]}
    records = model.conditioned({a: mask.astype(float) for a, mask in allowed.items()}).sample(
        2000, np.random.default_rng(52)
    )
    for attribute, mask in allowed.items():
        assert mask[records[attribute]].all()
        assert len(np.unique(records[attribute])) == mask.sum()


def test_no_evidence_changes_nothing() -> None:
    domain, cliques = SHAPES["cycle"]
    model = random_model(domain, cliques, np.random.default_rng(53))
    same = model.conditioned({"a": np.ones(3)})
    assert same.total == pytest.approx(model.total)
    assert same.log_z == pytest.approx(model.log_z)


@pytest.mark.parametrize("weights", [np.ones(2), np.full(3, 1.1), np.array([1.0, np.nan, 0.0]), -np.ones(3)])
def test_weights_that_are_no_shares_are_refused(weights: Floats) -> None:
    domain, cliques = SHAPES["cycle"]
    with pytest.raises(ValueError, match="shares"):
        random_model(domain, cliques, np.random.default_rng(54)).conditioned({"a": weights})


def test_a_chain_of_evidence_is_its_product() -> None:
    domain, cliques = SHAPES["triples"]
    model = random_model(domain, cliques, np.random.default_rng(55))
    one, two = {"a": np.array([1.0, 0.0, 0.5])}, {"c": np.array([0.0, 1.0, 1.0, 0.2])}
    both = model.conditioned({**one, **two})
    after = model.conditioned(one).conditioned(two)
    assert after.total == pytest.approx(both.total)
    np.testing.assert_allclose(joint(after)[1], joint(both)[1], atol=1e-12)
