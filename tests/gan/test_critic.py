"""The critic's closed forms against automatic differentiation, brute force, and opacus' ghost norms."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from dpsynth.domain import Domain
from dpsynth.gan.critic import CROSSED, Critic, weights
from dpsynth.gan.layout import Layout
from dpsynth.privacy.sgd import Indicators, Outer
from dpsynth.records import Records

DOMAIN = Domain.of(a=3, b=4, y=2, c=2)
TARGET = 2


def records_of(rows: int, seed: int = 0) -> Records:
    rng = np.random.default_rng(seed)
    return Records.of(DOMAIN, {a: rng.integers(0, DOMAIN[a], rows) for a in DOMAIN.attributes})


def shares_of(rows: int, seed: int = 1) -> np.ndarray[Any, Any]:
    rng = np.random.default_rng(seed)
    return Layout(DOMAIN).softmax(rng.normal(0, 2, (rows, sum(DOMAIN.sizes))).astype(np.float32))


def cliques(target: int | None) -> list[tuple[int, ...]]:
    pairs = list(itertools.combinations(range(4), 2))
    crossed = [(a, b, target) for a, b in pairs if target is not None and target not in (a, b)]
    return [*pairs, *crossed]


def written_out(part: Indicators) -> np.ndarray[Any, Any]:
    found = np.zeros((len(part.cells), part.size))
    starts = np.cumsum((0, *part.sizes[:-1]))
    for row, block in np.ndindex(part.cells.shape):
        found[row, starts[block] + part.cells[row, block]] = part.values[row, block]
    return found


def features(records: Records, target: int | None) -> np.ndarray[Any, Any]:
    """Weighted indicators of each clique's cells, by hand."""
    names = DOMAIN.attributes
    columns, found = [records[a] for a in names], []
    all_cliques = cliques(target)
    weight = weights(6, len(all_cliques) - 6)
    for clique, w in zip(all_cliques, weight, strict=True):
        for cells in np.ndindex(*(DOMAIN.sizes[a] for a in clique)):
            hit = np.all([columns[a] == c for a, c in zip(clique, cells, strict=True)], axis=0)
            found.append(w * hit)
    return np.stack(found, axis=1)


@pytest.mark.parametrize("target", [None, TARGET])
def test_gradients_are_weighted_indicators_of_norm_one(target: int | None) -> None:
    records = records_of(40)
    [part] = Critic(Layout(DOMAIN), target, 10.0).gradient(records)
    assert isinstance(part, Indicators)
    by_hand = features(records, target)
    assert np.allclose(written_out(part), by_hand)
    assert np.allclose(part.squares(), (by_hand**2).sum(axis=1))
    assert np.allclose(part.squares(), 1.0)


def test_gradients_are_those_of_automatic_differentiation() -> None:
    """Of the critic's score by its values, record by record (torch.func), to 1e-6."""
    import torch
    from torch.func import grad, vmap

    records = records_of(20)
    [part] = Critic(Layout(DOMAIN), TARGET, 10.0).gradient(records)
    assert isinstance(part, Indicators)
    cells = torch.from_numpy(records.matrix())
    all_cliques = cliques(TARGET)
    weight = weights(6, 3)

    def score(values: Any, record: Any) -> Any:
        total, start = 0.0, 0
        for clique, w in zip(all_cliques, weight, strict=True):
            table = values[start : start + DOMAIN.size(tuple(DOMAIN.attributes[a] for a in clique))]
            start += len(table)
            for a in reversed(clique):
                here = (record[a] == torch.arange(DOMAIN.sizes[a])).double()
                table = table.reshape(-1, DOMAIN.sizes[a]) @ here
            total = total + w * table.sum()
        return total

    values = torch.zeros(part.size, dtype=torch.float64)
    each = vmap(grad(score), in_dims=(None, 0))(values, cells).numpy()
    assert np.abs(np.sqrt((each**2).sum(axis=1)) - np.sqrt(part.squares())).max() < 1e-6
    assert np.abs(each - written_out(part)).max() < 1e-6


def test_norms_of_layers_are_those_of_torch_and_of_ghost_clipping() -> None:
    """`Outer`, the gradient of a layer: norms against torch.func and against opacus, which never write it out."""
    import opacus.grad_sample.linear as ghost
    import torch
    from torch.func import functional_call, grad, vmap

    torch.manual_seed(0)
    net = torch.nn.Sequential(
        torch.nn.Linear(7, 5, bias=False), torch.nn.Tanh(), torch.nn.Linear(5, 1, bias=False)
    )
    net = net.double()
    inputs = torch.randn(12, 7, dtype=torch.float64)

    def loss(parameters: Any, record: Any) -> Any:
        return torch.nn.functional.softplus(functional_call(net, parameters, (record,))).sum()

    parameters = {name: p.detach() for name, p in net.named_parameters()}
    each = vmap(grad(loss), in_dims=(None, 0))(parameters, inputs)
    hidden = torch.tanh(inputs @ net[0].weight.T)
    output = torch.sigmoid(hidden @ net[2].weight.T)
    deltas = (output @ net[2].weight) * (1 - hidden**2)
    layers = [(net[0], inputs, deltas), (net[2], hidden, output)]
    for (name, found), (layer, into, back) in zip(each.items(), layers, strict=True):
        part = Outer(into.detach().numpy(), back.detach().numpy())
        exact = (found**2).sum(dim=(1, 2)).numpy()
        assert np.abs(part.squares() - exact).max() < 1e-6, name
        norms = ghost.compute_linear_norm_sample(layer, [into.detach()], back.detach())
        assert np.abs(np.sqrt(part.squares()) - norms[layer.weight].numpy()).max() < 1e-6


@pytest.mark.parametrize("target", [None, TARGET])
def test_the_slope_is_that_of_the_distance(target: int | None) -> None:
    """Against finite differences of half the squared distance between weighted marginals, real and generated."""
    records, layout = records_of(300), Layout(DOMAIN)
    judge = Critic(layout, target, float(len(records)))
    real = features(records, target).sum(axis=0)
    judge.learn(real)
    shares = shares_of(6)

    def distance(table: np.ndarray[Any, Any]) -> float:
        fake, all_cliques = [], cliques(target)
        weight = weights(6, len(all_cliques) - 6)
        for clique, w in zip(all_cliques, weight, strict=True):
            joint = np.ones((len(table), 1))
            for a in clique:
                joint = (joint[:, :, None] * table[:, None, layout.columns(a)]).reshape(len(table), -1)
            fake.append(w * joint.mean(axis=0))
        gap = real / len(records) - np.concatenate(fake)
        return float((gap**2).sum() / 2)

    slope = judge.slope(shares)
    wide = shares.astype(np.float64)
    for row, column in [(0, 0), (1, 4), (2, 7), (3, 8), (5, 10)]:
        step = np.zeros_like(wide)
        step[row, column] = 1e-4
        numeric = -(distance(wide + step) - distance(wide - step)) / 2e-4 * len(shares)
        assert slope[row, column] == pytest.approx(numeric, rel=2e-3, abs=1e-5)


def test_what_is_learned_is_the_mean_of_all_sums() -> None:
    layout, rng = Layout(DOMAIN), np.random.default_rng(5)
    [part] = Critic(layout, TARGET, 1.0).gradient(records_of(1))
    sums = rng.normal(0, 1, (4, part.size))
    one, four = Critic(layout, TARGET, 10.0), Critic(layout, TARGET, 10.0)
    one.learn(sums.mean(axis=0))
    for noisy in sums:
        four.learn(noisy)
    assert np.allclose(one.slope(shares_of(5)), four.slope(shares_of(5)), atol=1e-6)


def test_weights_have_squares_that_sum_to_one() -> None:
    for pairs, crossed in [(1, 0), (91, 78), (3, 1)]:
        found = weights(pairs, crossed)
        assert (found**2).sum() == pytest.approx(1.0)
        assert (found[pairs:] == CROSSED * found[0]).all()
