"""Poisson batches of the memory engine: coins of units, parts, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from dpsynth.domain import Domain
from dpsynth.engines import memory
from dpsynth.engines.base import Drawn
from dpsynth.engines.memory import MemoryEngine
from dpsynth.entropy import system
from dpsynth.records import Records, joined

DOMAIN = Domain.of(row=60)
UNITS = np.random.default_rng(0).integers(0, 25, 60)


def engine(units: np.ndarray | None = UNITS, k: int = 9) -> MemoryEngine:  # type: ignore[type-arg]
    return MemoryEngine(Records.of(DOMAIN, {"row": np.arange(60)}), k, units)


def batches(of: MemoryEngine, rate: float, steps: int) -> list[list[Drawn]]:
    return [list(batch) for batch in of.poisson_batches(rate, steps, system())]


@pytest.mark.parametrize("part", [1, 4, 1 << 13])
def test_units_come_whole_with_all_their_records(part: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "PART", part)
    for batch in batches(engine(), 0.5, 20):
        rows = joined([drawn.records for drawn in batch])["row"]
        numbers = np.concatenate([drawn.units for drawn in batch])
        assert (np.diff(numbers) >= 0).all()
        taken = set(UNITS[rows].tolist())
        assert sorted(rows.tolist()) == [row for row in range(60) if UNITS[row] in taken]
        assert len(taken) == len(set(numbers.tolist()))


def test_rate_one_takes_everybody_and_a_tiny_one_nobody() -> None:
    [[all_of_them]] = batches(engine(), 1.0, 1)
    assert sorted(all_of_them.records["row"].tolist()) == list(range(60))
    [[nobody]] = batches(engine(), 2.0**-60, 1)
    assert len(nobody.records) == len(nobody.units) == 0


def test_each_unit_has_its_own_coin() -> None:
    """In 1,000 batches each unit is in a third, and two of them together in a ninth."""
    within = np.zeros((1_000, 25))
    for i, [drawn] in enumerate(batches(engine(), 1 / 3, 1_000)):
        within[i, np.unique(UNITS[drawn.records["row"].astype(int)])] = 1
    present = np.unique(UNITS)
    within = within[:, present] - 1 / 3
    joint = within.T @ within / 1_000
    off = joint[~np.eye(len(present), dtype=bool)]
    assert np.abs(within.mean(axis=0)).max() < 7 * np.sqrt(2 / 9 / 1_000)
    assert np.abs(off).max() < 7 * (2 / 9) / np.sqrt(1_000)


def test_rows_are_units_where_nobody_says_otherwise() -> None:
    [[drawn]] = batches(engine(None, 1), 1.0, 1)
    assert drawn.units.tolist() == list(range(60))
    with pytest.raises(ValueError, match="each record's unit"):
        engine(None, 2).poisson_batches(0.5, 1, system())
    with pytest.raises(ValueError, match="rate"):
        engine().poisson_batches(1.5, 1, system())
    with pytest.raises(ValueError, match="one unit for each"):
        batches(engine(np.arange(3)), 0.5, 1)


def test_no_records_make_an_empty_batch() -> None:
    empty = MemoryEngine(Records.of(DOMAIN, {"row": np.empty(0, np.int64)}), 1, np.empty(0, np.int64))
    [[drawn]] = batches(empty, 0.5, 1)
    assert len(drawn.records) == 0


def test_merging_keeps_the_units() -> None:
    merged = engine().merged({"row": np.arange(60) // 6})
    assert merged.units is not None
    assert np.array_equal(merged.units, UNITS)
