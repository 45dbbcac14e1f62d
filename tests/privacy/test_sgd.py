"""Noisy gradient sums: exact arithmetic against brute force, the bound of one unit, and lies about each."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dpsynth.domain import Domain
from dpsynth.engines.base import Drawn
from dpsynth.engines.memory import MemoryEngine
from dpsynth.entropy import Stream, system
from dpsynth.errors import BudgetError
from dpsynth.privacy import noise, sgd
from dpsynth.privacy.curator import Curator
from dpsynth.privacy.events import DpSgd
from dpsynth.privacy.gaussian import discrete_gaussian_mu
from dpsynth.privacy.sgd import GRID, Dense, Indicators, Outer, SgdPlan, exact_sum
from dpsynth.records import Records

DOMAIN = Domain.of(a=5, b=3)


def records_of(rows: int, seed: int = 0) -> Records:
    rng = np.random.default_rng(seed)
    return Records.of(DOMAIN, {a: rng.integers(0, DOMAIN[a], rows) for a in DOMAIN.attributes})


def drawn(rows: int, units: Sequence[int] | None = None) -> Drawn:
    numbers = np.arange(rows) if units is None else np.array(units, dtype=np.int64)
    return Drawn(records_of(rows), numbers)


def parts_of(seed: int, rows: int, size: float = 3.0) -> list[sgd.Part]:
    """One part of each kind, of random entries."""
    rng = np.random.default_rng(seed)
    cells = np.stack([rng.integers(0, 4, rows), rng.integers(0, 6, rows)], axis=1)
    return [
        Dense(rng.normal(0, size, (rows, 3))),
        Indicators(cells, (4, 6), rng.normal(0, size, (rows, 2))),
        Outer(rng.normal(0, size, (rows, 5)), rng.normal(0, size, (rows, 2))),
    ]


def written_out(part: sgd.Part) -> np.ndarray[Any, Any]:
    """Each record's gradient as a plain vector."""
    match part:
        case Dense(values):
            return values
        case Indicators(cells, sizes, values):
            found = np.zeros((len(cells), sum(sizes)))
            starts = [0, *np.cumsum(sizes)[:-1]]
            for row, block in np.ndindex(cells.shape):
                found[row, starts[block] + cells[row, block]] = values[row, block]
            return found
        case Outer(inputs, deltas):
            return np.stack([np.outer(a, b).ravel() for a, b in zip(inputs, deltas, strict=True)])
    raise AssertionError


@given(st.integers(0, 2**32 - 1), st.floats(0.01, 100.0))
@settings(max_examples=30)
def test_sums_are_those_of_clipped_gradients(seed: int, clip: float) -> None:
    parts = parts_of(seed, 20)
    vectors = np.concatenate([written_out(p) for p in parts], axis=1)
    norms = np.linalg.norm(vectors, axis=1)
    expected = (vectors * np.minimum(1, clip / norms)[:, None]).sum(axis=0)
    found = exact_sum([drawn(20)], lambda _: parts, clip) * (clip / GRID)
    assert np.allclose(found, expected, atol=20 * clip / sgd.HALF * 2)
    assert np.allclose(found[:13], expected[:13], atol=21 * clip / GRID + clip * 1e-7)


@given(
    st.integers(0, 2**32 - 1),
    st.floats(1e-6, 1e6),
    st.floats(1e-9, 1e9),
    st.lists(st.integers(0, 3), min_size=1, max_size=8),
)
@settings(max_examples=50)
def test_no_unit_moves_the_sum_by_more_than_the_grid(
    seed: int, clip: float, size: float, units: list[int]
) -> None:
    """In whole numbers, without rounding: the squared norm of one unit's contribution is at most GRID**2."""
    parts = parts_of(seed, len(units), size)
    one = Drawn(records_of(len(units)), np.zeros(len(units), dtype=np.int64))
    moved = exact_sum([one], lambda _: parts, clip)
    assert sum(int(x) ** 2 for x in moved) <= GRID**2


def test_the_sum_over_parts_of_a_batch_is_the_sum_of_all() -> None:
    parts = parts_of(3, 30)
    whole = exact_sum([drawn(30)], lambda _: parts, 1.0)
    halves = iter([slice(0, 11), slice(11, 30)])

    def piece(_: Records) -> list[sgd.Part]:
        rows = next(halves)
        dense, blocks, outer = parts
        assert isinstance(dense, Dense)
        assert isinstance(blocks, Indicators)
        assert isinstance(outer, Outer)
        return [
            Dense(dense.values[rows]),
            Indicators(blocks.cells[rows], blocks.sizes, blocks.values[rows]),
            Outer(outer.inputs[rows], outer.deltas[rows]),
        ]

    assert np.array_equal(whole, exact_sum([drawn(11), drawn(19)], piece, 1.0))


def test_pieces_cut_no_unit_and_lose_no_record(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sgd, "PIECE", 4)
    for units in ([], [7], [0, 0, 0, 0, 0, 0, 1, 2, 2, 5, 5, 5, 5, 5, 9], list(range(13))):
        pieces = list(sgd._pieces([drawn(len(units), units)]))
        assert np.concatenate([p.units for p in pieces]).tolist() == units
        assert [len(p.records) for p in pieces] == [len(p.units) for p in pieces]
        owners = [set(p.units.tolist()) for p in pieces]
        assert sum(len(o) for o in owners) == len(set(units))
        assert pieces
    assert len(pieces) == 4


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, 1e300])
def test_a_gradient_that_is_not_finite_counts_as_zero(bad: float) -> None:
    for spoiled in range(3):
        parts = parts_of(1, 6)
        rest = exact_sum([drawn(5)], lambda _, parts=parts: [_without(p, 2) for p in parts], 1.0)  # type: ignore[misc]
        part = parts[spoiled]
        match part:
            case Dense(values) | Indicators(_, _, values) | Outer(_, values):
                values[2, 0] = bad
        found = exact_sum([drawn(6)], lambda _, parts=parts: parts, 1.0)  # type: ignore[misc]
        assert np.array_equal(found, rest)


def _without(part: sgd.Part, row: int) -> sgd.Part:
    match part:
        case Dense(values):
            return Dense(np.delete(values, row, 0))
        case Indicators(cells, sizes, values):
            return Indicators(np.delete(cells, row, 0), sizes, np.delete(values, row, 0))
        case Outer(inputs, deltas):
            return Outer(np.delete(inputs, row, 0), np.delete(deltas, row, 0))
    raise AssertionError


def test_cells_out_of_range_do_not_reach_another_block() -> None:
    cells = np.array([[0, 1], [4, 1], [-1, 0]])
    part = Indicators(cells, (4, 2), np.ones((3, 2)))
    found = exact_sum([drawn(3)], lambda _: [part], 10.0) * (10.0 / GRID)
    assert np.allclose(found, [1, 0, 0, 0, 0, 1], atol=1e-4)


def test_an_empty_batch_is_a_batch() -> None:
    found = exact_sum([drawn(0)], lambda records: [Dense(np.zeros((len(records), 4)))], 1.0)
    assert np.array_equal(found, np.zeros(4))


def test_parts_must_have_a_row_for_each_record() -> None:
    with pytest.raises(ValueError, match="a row for each"):
        exact_sum([drawn(3)], lambda _: [Dense(np.zeros((2, 4)))], 1.0)
    with pytest.raises(ValueError, match="without records"):
        exact_sum([], lambda _: [Dense(np.zeros((0, 4)))], 1.0)


@pytest.mark.parametrize("sigma", [sgd.MIN_SIGMA, 0.5, 1.0, 3.0, 1000.0, sgd.MAX_SIGMA])
def test_noise_on_the_grid_is_priced_by_the_gaussian(sigma: float) -> None:
    mu = GRID * discrete_gaussian_mu(sigma * GRID * sgd.SAFETY, 1)
    assert mu <= 1 / sigma
    noise.discrete_gaussian(sigma * GRID * sgd.SAFETY, 1, system())


@pytest.mark.parametrize(
    "bad",
    [
        {"sigma": 1e6},
        {"sigma": 1e-3},
        {"clip": 0.0},
        {"clip": math.nan},
        {"clip": 1e300},
    ],
)
def test_plans_out_of_range_are_refused(bad: dict[str, float]) -> None:
    good: dict[str, Any] = {"rate": 0.1, "steps": 3, "sigma": 1.0, "clip": 1.0}
    assert SgdPlan(**good).event == DpSgd(0.1, 1.0, 3)
    with pytest.raises(ValueError, match="lies in"):
        SgdPlan(**(good | bad))
    with pytest.raises(BudgetError):
        SgdPlan(**(good | {"rate": 1.5}))
    with pytest.raises(BudgetError):
        SgdPlan(**(good | {"steps": 0}))


class Open:
    """An account that takes everything, or nothing."""

    def __init__(self, refuses: bool = False) -> None:
        self.events: list[Any] = []
        self.refuses = refuses

    def charge(self, purpose: str, event: Any) -> None:
        if self.refuses:
            raise BudgetError("B999", "spent")
        self.events.append(event)


def door_to(rows: int, account: Open, stream: Stream | None = None) -> Curator:
    return Curator(MemoryEngine(records_of(rows), 1), account, stream or system())


def counts(records: Records) -> list[sgd.Part]:
    return [Indicators(records.matrix(), DOMAIN.sizes, np.ones((len(records), 2)))]


def test_all_steps_are_charged_before_the_first_is_taken() -> None:
    account = Open()
    sums = door_to(50, account).noisy_gradients(SgdPlan(0.5, 4, 1.0, 2.0), counts, "test")
    assert account.events == [DpSgd(0.5, 1.0, 4)]
    assert [s.shape for s in sums] == [(8,)] * 4
    refused = Open(refuses=True)
    with pytest.raises(BudgetError):
        door_to(50, refused).noisy_gradients(SgdPlan(0.5, 4, 1.0, 2.0), lambda _: 1 / 0, "test")  # type: ignore[arg-type]


def test_sums_are_right_on_average() -> None:
    """Rate 1 and little noise: the counts. Rate a half: half of them, within the spread of the coins."""
    records = records_of(400)
    exact = np.concatenate([np.bincount(records[a], minlength=DOMAIN[a]) for a in DOMAIN.attributes])
    plan = SgdPlan(1.0, 2, sgd.MIN_SIGMA, math.sqrt(2))
    for found in door_to(400, Open()).noisy_gradients(plan, counts, "all"):
        assert np.allclose(found, exact, atol=0.3)
    plan = SgdPlan(0.5, 60, sgd.MIN_SIGMA, math.sqrt(2))
    mean = np.mean(list(door_to(400, Open()).noisy_gradients(plan, counts, "half")), axis=0)
    spread = np.sqrt(exact * 0.25 / 60 + 0.03**2 / 60)
    assert (np.abs(mean - exact / 2) < 7 * spread).all()


def test_a_test_stream_repeats_itself() -> None:
    def run() -> list[np.ndarray[Any, Any]]:
        door = door_to(100, Open(), Stream.for_tests(b"sgd"))
        return list(door.noisy_gradients(SgdPlan(0.3, 3, 1.0, 2.0), counts, "test"))

    assert np.array_equal(run(), run())


def test_merged_cells_reach_the_gradient() -> None:
    door = door_to(50, Open()).coarsened({"a": np.array([0, 0, 0, 1, 1])})
    seen: list[Domain] = []

    def gradient(records: Records) -> list[sgd.Part]:
        seen.append(records.domain)
        return [Dense(np.zeros((len(records), 1)))]

    list(door.noisy_gradients(SgdPlan(0.5, 1, 1.0, 1.0), gradient, "test"))
    assert seen == [Domain.of(a=2, b=3)]


@pytest.mark.parametrize("factors", [(2.25e-162, 1e153), (1e153, 2.25e-162), (1e-170, 1e150)])
def test_a_factor_whose_square_vanishes_does_not_hide_the_other(factors: tuple[float, float]) -> None:
    """Squares of 1e-162 are rounded to a few digits or to nothing; the product of the factors is far above the clip."""
    for width in (1, 400):
        part = Outer(np.full((1, width), factors[0]), np.full((1, 3), factors[1]))
        found = exact_sum([drawn(1)], lambda records, own=part: [own], 2.0**-40)
        assert np.linalg.norm(found.astype(np.float64)) <= GRID
        assert not np.isfinite(part.squares()).any()
