"""What Spark's executors do, done here without Spark: any partitions, any order of arrival, tasks tried twice."""

from __future__ import annotations

import datetime as dt
import itertools
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dpsynth.discovering import _raw, ranked
from dpsynth.discovery import with_bounds, with_values
from dpsynth.encoding import Encoding
from dpsynth.engines import spark_chunks, spark_tasks
from dpsynth.engines.coins import row_coins
from dpsynth.engines.keeping import Sketch
from dpsynth.engines.memory import MemoryEngine, bound_and_split
from dpsynth.engines.spark_chunks import CHUNK, SEEN, SKETCH, WRONG, CutUnits, EncodeRows, SendUnits, Split
from dpsynth.engines.spark_notes import Offer, Seen, Some, as_error, offered, wrong
from dpsynth.engines.spark_open import AddTexts, CountBetween, CountTexts, EncodeAgain, Open, added_texts
from dpsynth.engines.spark_tasks import (
    ABOUT,
    NAMES,
    Add,
    Cells,
    Count,
    CountUnits,
    Draw,
    added,
    drawn_records,
    named,
)
from dpsynth.engines.spark_words import Layout
from dpsynth.errors import CapacityError, DataError
from dpsynth.schema import Schema
from dpsynth.spark_source import Rows
from dpsynth.synthesis import unit_keys
from dpsynth.table import read_table

KEY = bytes(range(32))
COLUMNS: dict[str, Any] = {
    "person": {"type": "id"},
    "age": {"type": "integer", "min": 0, "max": 99, "cells": 10, "missing": True},
    "town": {"type": "category", "values": ["Zürich", "", "007", "日本", "elsewhere"], "other": "elsewhere"},
    "paid": {"type": "number", "min": 0, "max": 10, "cells": 10, "decimals": 2},
    "born": {"type": "date", "min": "1990-01-01", "max": "2009-12-31", "cells": 20},
    "seen": {"type": "datetime", "min": "2020-01-01T00:00", "max": "2020-12-31T23:59", "cells": 12,
             "timezone": "Europe/Paris"},
}  # fmt: skip
CLIQUES = [(), ("age",), ("town", "paid"), ("seen", "born"), ("age", "town", "paid")]
MERGES = {"born": np.arange(20) // 5, "age": np.array([0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5])}

rows_of = st.lists(
    st.fixed_dictionaries({
        "person": st.sampled_from(["Ana", "Bo", "Ç", "d'E", "Ana ", ""]),
        "age": st.none() | st.integers(0, 99),
        "town": st.sampled_from(["Zürich", "", "007", "日本", "Nowhere", "zürich"]),
        "paid": st.sampled_from([0.0, 0.99, 1.0, 1.01, 9.99, 10.0]),
        "born": st.dates(pd.Timestamp("1990-01-01").date(), pd.Timestamp("2009-12-31").date()),
        "seen": st.datetimes(pd.Timestamp("2020-01-01T02:00"), pd.Timestamp("2020-12-31T20:00")).map(
            lambda t: pd.Timestamp(t).floor("s").tz_localize("UTC")
        ),
    }),
    min_size=1,
    max_size=40,
)  # fmt: skip


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spark_chunks, "ROWS", 7)
    monkeypatch.setattr(spark_chunks, "FLUSH", 9)
    monkeypatch.setattr(spark_tasks, "PIECE", 16)


@cache
def schema_of(k: int | None) -> Schema:
    unit = (
        {"entity": "row"}
        if k is None
        else {"entity": "person", "column": "person", "rows_per_unit": k, "missing": "own"}
    )
    return Schema(columns=COLUMNS, unit=unit, missing_values=["?"])


def arrow_of(rows: Sequence[dict[str, Any]]) -> Any:
    kinds = [pa.string(), pa.int64(), pa.string(), pa.float64(), pa.date32(), pa.timestamp("us", "UTC")]
    return pa.Table.from_pylist(list(rows), pa.schema(list(zip(COLUMNS, kinds, strict=True))))


@dataclass
class Cluster:
    """Runs a task on each partition, as Spark does, but here and in any order."""

    monkeypatch: pytest.MonkeyPatch
    order: random.Random

    def each(self, parts: Sequence[Sequence[Any]], task: Any) -> list[list[Any]]:
        done: dict[int, list[Any]] = {}
        for number in self.order.sample(range(len(parts)), len(parts)):
            for _ in range(self.order.choice([1, 2])):  # a task that is tried twice counts once
                self.monkeypatch.setattr(spark_chunks, "partition", lambda number=number: number)
                done[number] = list(task(iter(parts[number])))
        return [done[number] for number in range(len(parts))]

    def met(self, sent: list[list[Any]], width: int) -> list[list[Any]]:
        """Shuffled by bucket, arriving in any order, sorted by bucket."""
        rows = [row for part in sent for row in part]
        self.order.shuffle(rows)
        buckets = [[r for r in rows if r.column("bucket")[0].as_py() % width == n] for n in range(width)]
        return [sorted(some, key=lambda r: r.column("bucket")[0].as_py()) for some in buckets]


def parts_of(rows: list[dict[str, Any]], cuts: list[int]) -> list[list[Any]]:
    """Partitions of a table, each in batches of a few rows."""
    table, ends = arrow_of(rows), [0, *sorted(min(cut, len(rows)) for cut in cuts), len(rows)]
    return [table.slice(a, b - a).to_batches(max_chunksize=3) for a, b in itertools.pairwise(ends)]


def chunks_of(
    cluster: Cluster, parts: list[list[Any]], k: int | None, holdout: float, schema: Schema | None = None
) -> list[list[Any]]:
    reader = Rows(schema or schema_of(k), tuple(COLUMNS), None, False)
    split = Split(k or 1, holdout, KEY, 1000, 5, 1000)
    if k is None:
        return cluster.each(parts, EncodeRows(reader, split))
    sent = cluster.each(parts, SendUnits(reader, split))
    return cluster.each(cluster.met(sent, 3), CutUnits(Layout.of(reader.schema), k))


def kind_of(row: Any) -> str:
    return str(row.column("kind")[0].as_py())


def of_kind(chunks: list[list[Any]], kind: str) -> list[list[Any]]:
    return [[row for row in part if kind_of(row) == kind] for part in chunks]


def memory_of(rows: list[dict[str, Any]], cuts: list[int], k: int | None, holdout: float) -> MemoryEngine:
    """The same by the code for memory, where rows have the numbers that partitions give them."""
    schema = schema_of(k)
    table = read_table(arrow_of(rows), schema)
    records, units = Encoding(schema).encode(table), unit_keys(table)
    if units is not None:
        split = bound_and_split(records, units, rows_per_unit=k or 1, holdout=holdout, run_key=KEY)
        return MemoryEngine(records.take(split.training), k or 1, units.take(split.training).numbers())
    ends = [0, *sorted(min(cut, len(rows)) for cut in cuts), len(rows)]
    coins = [row_coins(part << 40, b - a, KEY) for part, (a, b) in enumerate(itertools.pairwise(ends))]
    return MemoryEngine(records.take(np.concatenate(coins) >= holdout), 1)


@settings(max_examples=60)
@given(rows_of, st.lists(st.integers(0, 40), max_size=3), st.sampled_from([None, 1, 2, 4]), st.integers())
def test_the_same_integers_as_in_memory(
    rows: list[dict[str, Any]], cuts: list[int], k: int | None, seed: int
) -> None:
    if k is not None:
        # nameless rows are numbered within their partition: as in memory only where that is the first
        rows = [{**row, "person": row["person"] or "x"} for row in rows]
    with pytest.MonkeyPatch.context() as monkeypatch:
        cluster = Cluster(monkeypatch, random.Random(seed))
        chunks = of_kind(chunks_of(cluster, parts_of(rows, cuts), k, 0.3), CHUNK)
        memory = memory_of(rows, cuts, k, 0.3)
        domain = memory.domain
        for merges in ({}, MERGES):
            expected = (memory.merged(merges) if merges else memory).marginals(CLIQUES)
            read = domain.ordered({a for clique in CLIQUES for a in clique})
            task = Count(Cells(domain, read, merges), tuple(CLIQUES))
            answers = [row for part in cluster.each(chunks, task) for row in part]
            found = added(iter(answers))
            assert found == added(Add()(iter(answers)))
            names = np.frombuffer(found.pop(NAMES, b""), ABOUT)
            assert len(names) == len({(n["part"], n["seq"]) for n in names}) == sum(map(len, chunks))
            counts = [np.frombuffer(found[piece], np.int64) for piece in sorted(found)]
            wanted = np.concatenate([expected[c].ravel() for c in CLIQUES])
            # where everybody is held out, nobody answers
            np.testing.assert_array_equal(np.concatenate(counts) if counts else np.zeros_like(wanted), wanted)
        if k is not None:
            held = added(iter(r for part in cluster.each(chunks, CountUnits(k)) for r in part))
            sizes = np.frombuffer(held[0], np.int64) if held else np.zeros(k + 2, np.int64)
            np.testing.assert_array_equal(sizes[1:-1], memory.unit_sizes())
            assert sizes[-1] == 0


@settings(max_examples=20)
@given(rows_of, st.lists(st.integers(0, 40), max_size=3), st.sampled_from([None, 2]), st.integers())
def test_what_a_table_is_known_by_depends_neither_on_order_nor_on_partitions(
    rows: list[dict[str, Any]], cuts: list[int], k: int | None, seed: int
) -> None:
    with pytest.MonkeyPatch.context() as monkeypatch:
        cluster = Cluster(monkeypatch, random.Random(seed))
        shuffled = cluster.order.sample(rows, len(rows))
        changed = [*rows[:-1], {**rows[-1], "paid": 5.55}]
        known = []
        for some, at in ((rows, cuts), (shuffled, []), (changed, [])):
            seen = Seen()
            for part in of_kind(chunks_of(cluster, parts_of(some, at), k, 0.3), SEEN):
                for row in part:
                    seen.add(Seen.of(row.column("note")[0].as_py()))
            known.append(seen.note())
        assert known[0] == known[1] != known[2]


@cache
def unknown_schema(k: int | None) -> Schema:
    """Texts and numbers are to be discovered."""
    columns = {
        **COLUMNS,
        "age": {"type": "integer", "missing": True, "discover": "bounds", "cells": 10, "special": [-1]},
        "town": {"type": "category", "discover": {"max_values": 9}, "missing": True},
        "paid": {"type": "number", "decimals": 2, "discover": "bounds", "cells": 10},
    }
    return Schema(columns=columns, unit=schema_of(k).unit, missing_values=["?", "Nowhere"])


def _discovered(schema: Schema) -> Schema:
    age, town, paid = (schema.columns[name] for name in ("age", "town", "paid"))
    return schema.with_columns({
        **schema.columns,
        "age": with_bounds(age, 0, 50, 9, "test"),  # type: ignore[arg-type]
        "town": with_values(town, ["Zürich", "007"], "test"),  # type: ignore[arg-type]
        "paid": with_bounds(paid, 0.0, 5.0, 10, "test"),  # type: ignore[arg-type]
    })  # fmt: skip


@settings(max_examples=40)
@given(rows_of, st.lists(st.integers(0, 40), max_size=3), st.sampled_from([None, 1, 2, 4]), st.integers())
def test_what_is_to_be_discovered_counts_as_in_memory(
    rows: list[dict[str, Any]], cuts: list[int], k: int | None, seed: int
) -> None:
    """Each unit once for each of its texts, wherever its rows were; then the same records as memory encodes."""
    rows = [{**row, "person": row["person"] or "x"} for row in rows]
    schema = unknown_schema(k)
    table = read_table(arrow_of(rows), schema)
    whole = _raw_memory(table, rows, cuts, k)
    scale = (-1e12, -1.0, 0.0, 1.0, 2.0, 50.0, 1e12)
    with pytest.MonkeyPatch.context() as monkeypatch:
        cluster = Cluster(monkeypatch, random.Random(seed))
        chunks = of_kind(chunks_of(cluster, parts_of(rows, cuts), k, 0.3, schema), CHUNK)
        answers = list(itertools.chain(*cluster.each(chunks, CountTexts(Open(schema, "town"), 3))))
        names, found = added_texts(iter(answers))
        assert (names, found) == added_texts(AddTexts()(iter(answers)))
        assert sum(map(Counter, found.values()), Counter()) == whole.units_with("town")
        assert len(names) == ABOUT.itemsize * sum(map(len, chunks))
        for column in ("age", "paid"):
            task = CountBetween(Open(schema, column), scale)
            parts = added(itertools.chain(*cluster.each(chunks, task)))
            counts = np.frombuffer(parts[0], np.int64) if parts else np.zeros(6, np.int64)
            np.testing.assert_array_equal(counts, whole.units_between(column, scale))
        known = _discovered(schema)
        first, again = (cluster.each(chunks, EncodeAgain(schema, known)) for _ in range(2))
        assert first == again
        before = b"".join(row.column("note")[0].as_py() for part in first for row in part)
        assert before == b"".join(named(row) for part in chunks for row in part)
        records = Encoding(known).encode(table.under(known))
        expected = MemoryEngine(records.take(_training(table, rows, cuts, k)), k or 1).marginals(CLIQUES)
        task = Count(Cells(records.domain, records.domain.attributes, {}), tuple(CLIQUES))
        parts = added(itertools.chain(*cluster.each(first, task)))
        wanted = np.concatenate([expected[c].ravel() for c in CLIQUES])
        counted = b"".join(parts[piece] for piece in sorted(parts) if piece != NAMES)
        np.testing.assert_array_equal(np.frombuffer(counted, np.int64) if counted else 0 * wanted, wanted)


def _training(table: Any, rows: list[dict[str, Any]], cuts: list[int], k: int | None) -> Any:
    if k is not None:
        units = unit_keys(table)
        return bound_and_split(ranked(table), units, rows_per_unit=k, holdout=0.3, run_key=KEY).training
    ends = [0, *sorted(min(cut, len(rows)) for cut in cuts), len(rows)]
    coins = [row_coins(part << 40, b - a, KEY) for part, (a, b) in enumerate(itertools.pairwise(ends))]
    return np.flatnonzero(np.concatenate(coins) >= 0.3)


def _raw_memory(table: Any, rows: list[dict[str, Any]], cuts: list[int], k: int | None) -> MemoryEngine:
    training = _training(table, rows, cuts, k)
    raw = {
        name: _raw(table, name, table.schema.modelled[name]).take(training) for name in table.schema.unknown
    }
    units = None if k is None else unit_keys(table).take(training).numbers()  # type: ignore[union-attr]
    return MemoryEngine(ranked(table).take(training), k or 1, units, raw)


def test_a_sketch_holds_all_rows_below_its_ceiling(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    rows = [
        {"person": f"P{n}", "age": int(rng.integers(90)), "town": "007", "paid": n / 100, "born": dt.date(2000, 1, 1),
         "seen": pd.Timestamp("2020-06-01", tz="UTC")}
        for n in range(900)
    ]  # fmt: skip
    reader, cluster = Rows(schema_of(2), tuple(COLUMNS), None, False), Cluster(monkeypatch, random.Random(1))
    split = Split(2, 0.3, KEY, 5, 5, sketch=50)
    sent = of_kind(cluster.each(parts_of(rows, [200, 500]), SendUnits(reader, split)), SKETCH)
    notes = [offered(row.column("note")[0].as_py()) for part in sent for row in part]
    ceiling = min(ceilings[0] for _, ceilings in notes)
    below = np.concatenate([some.coins[some.coins < ceiling] for some, _ in notes])
    expected = Sketch(50, KEY).hashes(read_table(arrow_of(rows), schema_of(2)))
    np.testing.assert_array_equal(np.sort(below), np.sort(expected[expected < ceiling]))
    assert 50 <= len(below) < 300


def test_more_texts_than_could_be_discovered(monkeypatch: pytest.MonkeyPatch) -> None:
    for count in (7, 1024, 40_000):
        seen = Seen()
        for part in np.array_split(np.arange(count), 3):
            words = np.array([f"word {n}" for n in part], dtype=object)
            seen.add(Seen(0, (0, 0), {"a": pd.util.hash_array(words).tolist()}))
            seen = Seen.of(seen.note())
        assert abs(seen.different_texts("a") - count) <= (0 if count < 1024 else 0.2 * count)


def test_an_error_travels_as_it_is_and_ends_its_partition(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [
        {"person": "A", "age": 5, "town": "", "paid": 1.0, "born": pd.Timestamp("2000-01-01").date(),
         "seen": pd.Timestamp("2020-06-01", tz="UTC")}
    ] * 20  # fmt: skip
    rows[11] = {**rows[11], "paid": 77.25}
    cluster = Cluster(monkeypatch, random.Random(1))
    for k in (None, 2):
        chunks = chunks_of(cluster, parts_of(rows, [5]), k, 0.0)
        (note,) = [row.column("note")[0].as_py() for part in of_kind(chunks, WRONG) for row in part]
        error = as_error(note)
        assert isinstance(error, DataError)
        with pytest.raises(DataError) as expected:
            read_table(arrow_of(rows), schema_of(k))
        assert error.code == expected.value.code
        assert error.problem == expected.value.problem.replace("row 12", "row 7 of partition 2")
        assert error.fix == expected.value.fix
        assert "77" not in str(error)


def test_a_fault_of_the_program_is_named_without_its_text() -> None:
    try:
        raise KeyError("somebody's illness")
    except KeyError as error:
        told = as_error(wrong(error))
    assert told.code == "DPS-X002"
    assert "KeyError at test_spark_chunks.py" in str(told)
    assert "illness" not in str(told)
    assert isinstance(as_error(wrong(CapacityError("C180", "full", "room"))), CapacityError)


@given(st.lists(st.lists(st.integers(0, 500), max_size=30), min_size=1, max_size=4), st.integers(1, 9))
def test_the_smallest_coins_are_offered(parts: list[list[int]], most: int) -> None:
    """With all their rows, and below a ceiling that says from where on others may lack."""
    coins = np.random.default_rng(3).permutation(501) / 501
    for numbers in parts:
        offer, name = Offer(most), np.array(numbers, dtype=np.int64)
        for some in np.array_split(name, 3):
            held = some % 3 == 0
            offer.take(Some(pa.table({"a": some}), coins[some], held, None))
        some, ceilings = offered(offer.note()) if numbers else (None, [2.0, 2.0])
        for side in (False, True):
            mine = name[(name % 3 == 0) == side]
            smallest = sorted({coins[n] for n in mine.tolist()})[: most + 1]
            if len(smallest) <= most:
                smallest, below = [*smallest, 9.0], ceilings[side]
            below = min(ceilings[side], smallest[-1])
            expected = Counter(n for n in mine.tolist() if coins[n] < below)
            got = (
                []
                if some is None
                else some.rows.column(0).to_numpy()[(some.held == side) & (some.coins < below)]
            )
            assert Counter(np.asarray(got, dtype=np.int64).tolist()) == expected
            assert len(set(expected)) >= min(most, len(set(mine.tolist())))


def test_units_are_drawn_whole_by_coins_that_a_second_try_throws_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows = [
        {"person": f"P{n % 300}", "age": n % 90, "town": "007", "paid": 1.0,
         "born": pd.Timestamp("2000-01-01").date(), "seen": pd.Timestamp("2020-06-01", tz="UTC")}
        for n in range(600)
    ]  # fmt: skip
    cluster = Cluster(monkeypatch, random.Random(2))
    chunks = of_kind(chunks_of(cluster, parts_of(rows, [100, 400]), 2, 0.0), CHUNK)
    domain = schema_of(2).domain
    task = Draw(Cells(domain, domain.attributes), 1 << 62, (b"a" * 32, b"b" * 32))
    first, again = (cluster.each(chunks, task) for _ in range(2))
    assert first == again
    taken = [_drawn(first, step, domain) for step in (0, 1)]
    assert taken[0] != taken[1]
    for units in taken:
        assert set(units.values()) == {2}
        assert abs(len(units) - 75) < 7 * np.sqrt(300 * 3 / 16)
    whole = Draw(Cells(domain, domain.attributes), 1 << 64, (b"a" * 32,))
    assert len(_drawn(cluster.each(chunks, whole), 0, domain)) == 300


def _drawn(answers: list[list[Any]], step: int, domain: Any) -> Counter[tuple[int, int]]:
    """Records of each unit that was drawn, by chunk and number."""
    found: Counter[tuple[int, int]] = Counter()
    for row in itertools.chain.from_iterable(answers):
        if row.column("step")[0].as_py() == step:
            records, units = drawn_records(row.column("content")[0].as_py(), domain)
            assert len(records) == len(units)
            found.update((row.column("part")[0].as_py(), unit) for unit in units.tolist())
    return found


def test_rows_are_cut_into_chunks_of_one_size_whatever_the_batches() -> None:
    def sizes(batches: Iterator[Any]) -> list[int]:
        return [table.num_rows for table in spark_chunks._even(batches)]

    table = pa.table({"a": list(range(23))})
    for width in (1, 2, 7, 8, 23):
        assert sizes(iter(table.to_batches(max_chunksize=width))) == [7, 7, 7, 2]
    assert sizes(iter([])) == []
