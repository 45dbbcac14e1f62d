"""The sample of a stream: narrow while it is chosen, and given back as it came."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from dpsynth.engines.keeping import Kept
from dpsynth.schema import Schema
from dpsynth.table import Table

SCHEMA = Schema(columns={"x": {"type": "integer", "min": -(10**15), "max": 10**15}})
KEY = bytes(range(32))
numbers = st.integers(-(10**15), 10**15) | st.integers(-300, 300)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(numbers, min_size=1, max_size=6), min_size=1, max_size=6), st.integers(1, 40))
def test_kept_values_are_those_of_the_stream(batches: list[list[int]], most: int) -> None:
    kept, first = Kept(most, holdout=0.3, run_key=KEY), 0
    for batch in batches:
        table = Table(SCHEMA, {"x": np.array(batch)}, {"x": np.zeros(len(batch), bool)})
        kept.take(table, None, first)
        first += len(batch)
    found = [part.values["x"] for part in kept.tables()]
    assert all(values.dtype == np.int64 for values in found)
    everything = [number for batch in batches for number in batch]
    both = np.concatenate(found).tolist()
    assert all(both.count(number) <= everything.count(number) for number in both)
    if most >= len(everything):
        assert sorted(both) == sorted(everything)
