"""What would fail after the charge, and can be known before it: refused while it costs nothing.

Rules that cannot be kept together are `model.rehearsal`'s, sizes of models the plan's. Here is the rest of what a run does
with a model that it has paid for: so many rows are drawn, attacked, looked at by columns that somebody named, and written.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from typing import Protocol

from dpsynth import evaluation, release
from dpsynth.constraints.sequences import Sequences
from dpsynth.constraints.totals import Totals
from dpsynth.encoding import Encoding
from dpsynth.model import require_rows
from dpsynth.model.units import require_whole
from dpsynth.schema import Schema

SLACK, SPARE = 1.05, 100
"""A noisy number of rows or units is larger than what was counted by this share, and so many, at most, but for accidents."""


class Sized(Protocol):
    """Private rows whose number is known."""

    def about(self) -> tuple[int, int]:
        """About how many rows and units there are. Private."""
        ...


class Named(Protocol):
    """Columns that attacks are asked to look at."""

    def check(self, names: Sequence[str]) -> None: ...


class Wanted(Protocol):
    """What is needed of the settings of a run."""

    @property
    def rows(self) -> int | None: ...

    @property
    def target(self) -> Collection[str]: ...

    @property
    def asked(self) -> Named: ...

    @property
    def form(self) -> str: ...


def require_finishable(rows: Sized, schema: Schema, wanted: Wanted) -> None:
    """Refuse a run that would fail once it is paid for: names of no column (AuditError A109, UsageError U170), a form of no
    file (U161), a number of rows, the declared one or what the released one will be about, that whole units do not have
    (U265), that is more than a sample may hold (CapacityError C151), or that ids lack digits for (DataError D201)."""
    wanted.asked.check(list(schema.modelled))
    evaluation.require_targets(schema, wanted.target)
    release.require_form(wanted.form)
    number = wanted.rows or Totals.of(schema).size
    if number and schema.several_rows:
        require_whole(number, *Sequences.of(schema).sizes)
    require_rows(number or _at_most(rows.about()[0]), len(schema.domain))
    require_ids(rows, schema, number)


def require_ids(rows: Sized, schema: Schema, number: int | None = None) -> None:
    """Refuse ids of too few digits (DataError D201) for `number` rows, or for what the released one will be about."""
    there, units = rows.about()
    drawn = number or _at_most(there)
    Encoding(schema).require_ids(drawn, min(drawn, _at_most(units * drawn / max(1, there))))


def _at_most(number: float) -> int:
    """Up to two digits: a refusal says it, and logs travel."""
    most = math.ceil(SLACK * number) + SPARE
    step: int = 10 ** max(0, len(str(most)) - 2)
    return -(-most // step) * step
