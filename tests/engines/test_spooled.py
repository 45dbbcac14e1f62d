"""The engine on disk against the one in memory: the same coins, the same bounded rows, the same integers."""

from __future__ import annotations

import copy
import errno
import itertools
import pickle
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpsynth.domain import Domain
from dpsynth.engines import splitting
from dpsynth.engines import spooled as module
from dpsynth.engines.coins import row_coins
from dpsynth.engines.memory import MemoryEngine, bound_and_split
from dpsynth.engines.splitting import Batch, spooled
from dpsynth.engines.spool import Column
from dpsynth.engines.spooled import SpoolEngine
from dpsynth.entropy import Stream
from dpsynth.errors import CapacityError
from dpsynth.records import Records

DOMAIN = Domain.of(a=3, b=300, c=5)
CLIQUES: list[tuple[str, ...]] = [(), ("a",), ("c", "a"), ("b",), ("a", "b", "c")]
KEY = bytes(range(32))

Row = tuple[int, int, int, int]
rows_of = st.lists(
    st.tuples(st.integers(0, 6), st.integers(0, 2), st.integers(0, 299), st.integers(0, 4)),
    min_size=1,
    max_size=60,
)
cuts = st.lists(st.integers(0, 60), max_size=3)


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CHUNK", 7)
    monkeypatch.setattr(splitting, "BUCKETS", 3)
    monkeypatch.setattr(splitting, "TOGETHER", 8)


def records(rows: Sequence[Row]) -> Records:
    table = np.array(rows, dtype=np.int64).reshape(-1, 4)[:, 1:]
    return Records.of(DOMAIN, {name: table[:, i] for i, name in enumerate(DOMAIN.attributes)})


def names(rows: Sequence[Row]) -> list[bytes]:
    return [b"unit %d" % row[0] for row in rows]


def parts(rows: list[Row], at: list[int], by_unit: bool) -> Iterator[Batch]:
    """The rows in batches that end at these places; some may be empty."""
    ends = [0, *sorted(min(cut, len(rows)) for cut in at), len(rows)]
    for start, end in itertools.pairwise(ends):
        part = rows[start:end]
        yield Batch(records(part), names(part) if by_unit else None)


def both(rows: list[Row], at: list[int], k: int | None) -> tuple[MemoryEngine, SpoolEngine]:
    """`k`: rows of a unit; None: every row is one."""
    bound = k or 1
    units = names(rows) if k else None
    split = bound_and_split(records(rows), units, rows_per_unit=bound, holdout=0.3, run_key=KEY)
    numbers = None if k is None else np.array([rows[i][0] for i in split.training], dtype=np.int64)
    memory = MemoryEngine(records(rows).take(split.training), bound, numbers)
    disk = spooled(parts(rows, at, bool(k)), DOMAIN, rows_per_unit=bound, holdout=0.3, run_key=KEY)
    return memory, disk


@given(rows_of, cuts, st.sampled_from([None, 1, 2, 4]))
def test_the_same_integers_as_in_memory(rows: list[Row], at: list[int], k: int | None) -> None:
    memory, disk = both(rows, at, k)
    merges = {"b": np.arange(300) // 50, "c": np.array([0, 0, 1, 1, 2])}
    for one, other in ((memory, disk), (memory.merged(merges), disk.merged(merges))):
        assert one.domain == other.domain
        expected, found = one.marginals(CLIQUES), other.marginals(CLIQUES)
        for clique in CLIQUES:
            np.testing.assert_array_equal(found[clique], expected[clique])
    np.testing.assert_array_equal(disk.unit_sizes(), memory.unit_sizes())


@given(rows_of, cuts, st.sampled_from([None, 3]))
def test_a_batch_of_all_units_is_every_record_of_every_unit(
    rows: list[Row], at: list[int], k: int | None
) -> None:
    memory, disk = both(rows, at, k)
    for engine in (memory, disk):
        (batch,) = engine.poisson_batches(1.0, 1, Stream.for_tests(b"coins"))
        drawn = list(batch)
        assert drawn, "an empty batch is a batch"
        seen = Counter(row for part in drawn for row in map(tuple, part.records.matrix().tolist()))
        assert seen == Counter(map(tuple, memory.records.matrix().tolist()))
        held: Counter[int] = Counter()
        for part in drawn:
            assert (np.diff(part.units) >= 0).all()
            held.update(part.units.tolist())
        sizes = Counter(held.values())
        assert [sizes[n + 1] for n in range(engine.rows_per_unit)] == engine.unit_sizes().tolist()


def test_a_batch_takes_units_whole_and_each_by_its_own_coin() -> None:
    rows = [(unit, 0, unit % 300, 0) for unit in range(4000) for _ in range(2)]
    _, disk = both(rows, [], 2)
    units = int(disk.unit_sizes().sum())
    for batch in disk.poisson_batches(0.25, 3, Stream.for_tests(b"other coins")):
        taken: Counter[int] = Counter()
        for part in batch:
            taken.update(part.units.tolist())
        assert set(taken.values()) == {2}
        assert abs(len(taken) - units / 4) < 7 * np.sqrt(units * 3 / 16)


def test_coins_are_the_same_wherever_a_batch_begins() -> None:
    whole = row_coins(0, 200_000, KEY)
    for first, count in ((0, 0), (65_530, 12), (65_536, 1), (131_000, 69_000)):
        np.testing.assert_array_equal(row_coins(first, count, KEY), whole[first : first + count])
    assert abs(whole.mean() - 0.5) < 0.005
    assert len(np.unique(whole)) == len(whole)


def test_a_full_disk_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    class Full:
        def write(self, data: Any) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

    column = Column(np.uint8)
    monkeypatch.setattr(column, "_file", Full())
    with pytest.raises(CapacityError) as caught:
        column.append(np.zeros(3))
    assert caught.value.code.endswith("C170")
    assert "TMPDIR" in str(caught.value)


def test_no_file_has_a_name(tmp_path: Any) -> None:
    rows = [(1, 0, 0, 0), (2, 1, 5, 2)]
    engine = spooled(
        [Batch(records(rows), names(rows))],
        DOMAIN,
        rows_per_unit=2,
        holdout=0.0,
        run_key=KEY,
        folder=tmp_path,
    )
    assert engine.marginals([()])[()] == 2
    assert list(tmp_path.iterdir()) == []


def test_nothing_of_it_can_be_copied() -> None:
    _, disk = both([(1, 0, 0, 0)], [], None)
    for thing in (disk, Column(np.uint8)):
        for attempt in (copy.copy, copy.deepcopy, pickle.dumps):
            with pytest.raises(TypeError):
                attempt(thing)
