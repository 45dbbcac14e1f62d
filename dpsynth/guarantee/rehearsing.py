"""Whole fits on made-up tables by the real code, at no charge: what audits repeat many times.

Parts of the trusted code are replaced for the time of an audit, in this process: never audit while private rows are being
fitted in another thread of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, cast

import pandas as pd

from dpsynth.guarantee.witness import Answer, Witness
from dpsynth.model import FittedModel
from dpsynth.privacy import intake
from dpsynth.privacy.curator import Curator
from dpsynth.privacy.intake import Intake
from dpsynth.privacy.ledger import Ledger, Run
from dpsynth.privacy.receipt import Receipt
from dpsynth.privacy.rehearsal import Diary, Rehearsal, exact_door, scripted, watched_door
from dpsynth.synthesis import Plan, fit_reserved
from dpsynth.table import read_table


class NotAsPlanned(Exception):
    """A fit did not make the charges that were planned."""


@contextmanager
def replaced(owner: Any, name: str, value: Any) -> Iterator[None]:
    """``owner.name`` is `value` inside the block."""
    honest = owner.__dict__[name]
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, honest)


def receipt_of(preview: Plan) -> Receipt:
    """What an account in memory writes about a run of this plan: nothing is releasable."""
    account = Ledger.in_memory(preview.budget, preview.unit)
    with account.reserve("rehearsal", preview.charges, preview.budget, unit=preview.unit) as run:
        return run.receipt()


def rehearse(
    frame: pd.DataFrame,
    preview: Plan,
    receipt: Receipt,
    *,
    schema: Any = None,
    holdout: float = 0.0,
    diary: Diary | None = None,
) -> tuple[FittedModel, Intake]:
    """The real `fit_reserved` on a made-up table, with real noise; its run is a `Rehearsal`."""
    run = Rehearsal(preview.charges, preview.unit, diary or Diary(), receipt)
    found = fit_reserved(read_table(frame, schema), preview, run, holdout=holdout)
    if run.outstanding:
        raise NotAsPlanned(f"{len(run.outstanding)} planned charges were not made")
    return found


@contextmanager
def doors(door: Callable[[Intake, Run], Any]) -> Iterator[None]:
    """Inside the block all intakes share one run key, and their curator is what `door` makes.

    A run that is no `Rehearsal` gets none: ValueError for whoever fits private rows meanwhile.
    """

    def made(own: Intake, run: Run) -> Any:
        if not isinstance(run, Rehearsal):
            raise ValueError("an audit of made-up rows is running in this process: fit private rows after it")
        return door(own, run)

    with replaced(intake, "system", scripted), replaced(Intake, "curator", made):
        yield


def watched_fit(
    frame: pd.DataFrame, others: list[Intake], schema: Any, preview: Plan, receipt: Receipt
) -> tuple[FittedModel, list[Answer]]:
    """A fit whose every question is asked again of `others`, the table's neighbours: the model and the answers."""
    diary = Diary()
    answers: list[Answer] = []

    def door(own: Intake, run: Run) -> Curator:
        real = watched_door(own.engine, run, diary, own.planned)
        quiet = [exact_door(each.engine) for each in (own, *others)]
        return cast(Curator, Witness(real, quiet[0], quiet[1:], diary, answers))

    with doors(door):
        model, _ = rehearse(frame, preview, receipt, schema=schema, diary=diary)
    return model, answers
