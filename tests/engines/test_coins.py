"""The secret choices in bulk against their definitions one by one, and the bound against sorting by hand."""

from __future__ import annotations

import hashlib
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dpsynth.domain import Domain
from dpsynth.engines import coins, hashing
from dpsynth.engines.bounding import first_of_each
from dpsynth.engines.coins import coins_of, rank, ranks, unit_coin, unit_words
from dpsynth.records import Records
from dpsynth.unit_names import UnitNames, joined

KEY = bytes(range(32))
texts = st.lists(st.binary(max_size=150), min_size=1, max_size=12)


@settings(max_examples=50, deadline=None)
@given(texts, st.integers(0, 40), st.booleans())
def test_words_and_ranks_are_the_digests_of_the_definitions(
    names: list[bytes], columns: int, one_by_one: bool
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(coins._Bulk, "not_worth", lambda more: one_by_one)
        check_words_and_ranks(names, columns)


def check_words_and_ranks(names: list[bytes], columns: int) -> None:
    units = UnitNames.of(names)
    assert list(units) == names == [units[row] for row in range(len(names))]
    thrown = coins_of(unit_words(units, KEY)[:, 0])[units.codes]
    assert thrown.tolist() == [unit_coin(name, KEY) for name in names]
    domain = Domain.from_sizes({f"c{i}": 2**32 for i in range(columns + 1)})
    cells = np.random.default_rng(columns).integers(0, 2**32, (len(names), columns + 1))
    records = Records(domain, tuple(cells.astype(np.uint32).T))
    some = np.arange(len(names))[::-2]
    expected = [rank(names[row], cells[row].astype(np.uint32).tobytes(), KEY) for row in some]
    assert [row.astype(">u8").tobytes() for row in ranks(units, records, some, KEY)] == expected


@pytest.mark.parametrize("length", [0, 1, 55, 56, 63, 64, 119, 120])
@pytest.mark.parametrize("many", [0, 1, 300])
def test_digests_in_bulk_are_those_of_hashlib(
    many: int, length: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hashing, "_PIECE", 280)
    messages = np.random.default_rng(length).integers(0, 256, (many, length)).astype(np.uint8)
    block = bytes(range(64))
    for before in (b"", block):
        began = hashing.after(before) if before else hashing.FIRST
        expected = [hashlib.sha256(before + row.tobytes()).digest() for row in messages]
        assert [row.tobytes() for row in hashing.digests(messages, began, len(before))] == expected


@given(texts, st.lists(st.integers(0, 12), max_size=3))
def test_names_cut_and_joined_are_the_same_names(names: list[bytes], at: list[int]) -> None:
    ends = [0, *sorted(at), len(names)]
    parts = [UnitNames.of(names).take(np.arange(a, max(a, min(b, len(names))))) for a, b in pairwise(ends)]
    whole = joined(parts)
    assert list(whole) == [name for part in parts for name in part]
    assert len(set(whole.names)) == len(whole.names)
    numbers: dict[bytes, int] = {}
    assert whole.numbers().tolist() == [numbers.setdefault(name, len(numbers)) for name in whole]


words = st.integers(0, 3) | st.sampled_from([2**64 - 1, 2**63, 2**62 + 1])


@given(st.lists(st.tuples(words, words, words, words), max_size=40), st.integers(1, 3))
def test_the_first_of_each_unit_by_rank(rows: list[tuple[int, int, int, int]], bound: int) -> None:
    """Also where units share their first word and ranks theirs, which never happens outside of this test."""
    table = np.array(rows, dtype=np.uint64).reshape(-1, 4)
    kept, sizes = first_of_each((table[:, 0], table[:, 1]), (table[:, 2], table[:, 3]), bound)
    by_unit: dict[tuple[int, int], list[tuple[int, int, int]]] = {}
    for row, (a, b, c, d) in enumerate(rows):
        by_unit.setdefault((a, b), []).append((c, d, row))
    expected = [[row for *_, row in sorted(by_unit[unit])[:bound]] for unit in sorted(by_unit)]
    assert kept.tolist() == [row for unit in expected for row in unit]
    assert sizes.tolist() == [len(unit) for unit in expected]
