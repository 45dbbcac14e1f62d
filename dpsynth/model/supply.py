"""Records as they are asked for, whatever batches they come in."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from dpsynth.records import Records


class Supply:
    """The records of `batches`, so many at a time; StopIteration when there are no more."""

    def __init__(self, batches: Iterator[Records]) -> None:
        self._batches = batches
        self._now: Records | None = None
        self._used = 0

    def take(self, n: int) -> Records:
        found: list[Records] = []
        while True:
            if self._now is None:
                self._now, self._used = next(self._batches), 0
            part = self._now.take(slice(self._used, self._used + n))
            found.append(part)
            self._used += len(part)
            n -= len(part)
            if n <= 0:
                break
            self._now = None
        columns = zip(*(part.columns for part in found), strict=True)
        return Records(found[0].domain, tuple(map(np.concatenate, columns)))
