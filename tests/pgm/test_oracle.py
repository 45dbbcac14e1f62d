"""The engine against another one, mbi (extra `oracle`): log Z, marginals and fits of problems that hypothesis makes.

Few examples: JAX compiles for every new structure. mbi computes with 32-bit numbers here.
"""

from __future__ import annotations

import ast
from pathlib import Path

import numpy as np
import pytest
from brute_force import SHAPES, random_model
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dpsynth.domain import Clique, Domain
from dpsynth.measurement import Measurement
from dpsynth.pgm import GraphicalModel, fit

ROOT = Path(__file__).resolve().parents[2]
KINDS = ["tree", "cycle", "disconnected", "nested", "permuted", "single variable", "one cell", "triples"]


def oracle_answers(model: GraphicalModel) -> tuple[float, dict[Clique, np.ndarray]]:
    """Log Z and expected counts of the model's cliques."""
    import mbi

    domain = mbi.Domain(model.domain.attributes, model.domain.sizes)
    factors = {c: mbi.Factor(domain.project(c), np.asarray(t)) for c, t in model.potentials.items()}
    potentials = mbi.CliqueVector(domain, list(factors), factors)
    found = mbi.marginal_oracles.message_passing_stable(potentials, model.total)
    tables = {c: np.asarray(found[c].values, dtype=np.float64) for c in factors}
    joint = sum((factors[c].expand(domain) for c in factors), mbi.Factor.zeros(domain))
    return float(joint.logsumexp()), tables


def oracle_fit(domain: Domain, measurements: list[Measurement], total: float) -> dict[Clique, np.ndarray]:
    import mbi

    theirs = mbi.Domain(domain.attributes, domain.sizes)
    asked = [
        mbi.LinearMeasurement(m.values.ravel().astype(float), m.clique, stddev=m.sigma) for m in measurements
    ]
    model = mbi.estimation.MirrorDescent().estimate(theirs, asked, known_total=total, iters=300)
    return {m.clique: np.asarray(model.project(m.clique).values, dtype=np.float64) for m in measurements}


def noisy(truth: GraphicalModel, cliques: list[Clique], sigma: float, seed: int) -> list[Measurement]:
    rng = np.random.default_rng(seed)
    exact = [truth.marginal(c) for c in cliques]
    values = [np.rint(t + rng.normal(0, sigma, t.shape)).astype(np.int64) for t in exact]
    return [Measurement(c, v, sigma) for c, v in zip(cliques, values, strict=True)]


@given(st.sampled_from(KINDS), st.floats(0.0, 3.0), st.integers(0, 2**32 - 1))
@settings(max_examples=12, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
def test_log_z_and_marginals_are_those_of_the_oracle(shape: str, scale: float, seed: int) -> None:
    domain, cliques = SHAPES[shape]
    model = random_model(domain, cliques, np.random.default_rng(seed), scale)
    log_z, tables = oracle_answers(model)
    assert model.log_z == pytest.approx(log_z, abs=1e-4)
    for clique, table in tables.items():
        np.testing.assert_allclose(model.marginal(clique), table, atol=1e-3 * model.total)


@pytest.mark.parametrize("shape", ["tree", "cycle"])
def test_a_fit_is_that_of_the_oracle_to_the_noise(shape: str) -> None:
    """Both are closer to each other than either is to the truth, whose noise both have seen."""
    domain, cliques = SHAPES[shape]
    truth = random_model(domain, cliques, np.random.default_rng(61))
    truth = GraphicalModel(domain, 20_000.0, truth.potentials)
    measurements = noisy(truth, cliques, 40.0, 62)
    ours = fit(domain, measurements)
    theirs = oracle_fit(domain, measurements, ours.total)
    for clique, table in theirs.items():
        gap = np.abs(ours.marginal(clique) - table)
        assert gap.max() < 3.0 * 40.0
        assert gap.mean() < 40.0
    lie = random_model(domain, cliques, np.random.default_rng(63))
    wrong = [np.abs(lie.marginal(c) * 200 - table).mean() for c, table in theirs.items()]
    assert max(wrong) > 40.0


@pytest.mark.parametrize("package", ["dpsynth", "attacks"])
def test_the_product_does_not_import_the_oracle(package: str) -> None:
    for path in (ROOT / package).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = (
                [alias.name for alias in node.names]
                if isinstance(node, ast.Import)
                else [node.module or ""]
                if isinstance(node, ast.ImportFrom)
                else []
            )
            assert not {name.split(".")[0] for name in names} & {"mbi", "jax", "jaxlib"}, path
