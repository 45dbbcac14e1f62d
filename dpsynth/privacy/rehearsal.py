"""The trusted part on made-up rows, for those who audit it: scripted coins, an account that writes everything down.

Only for tables that nobody's privacy depends on: a curator whose coins are all zero adds no noise and so tells exact
counts. Everything made here is marked as seeded, so that no run and no model of it is ever releasable.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from dpsynth.budget import Budget
from dpsynth.domain import Domain
from dpsynth.engines.base import Engine
from dpsynth.entropy import Stream, system
from dpsynth.privacy.curator import Curator
from dpsynth.privacy.events import Charge, Event
from dpsynth.privacy.ledger_book import RunRecord
from dpsynth.privacy.ledger_run import Grant, Run
from dpsynth.privacy.receipt import Receipt, Unit

KEY = bytes(range(32))
"""The run key of a rehearsal: neighbours that share it share every other unit's coins."""


class Rejected(Exception):
    """A private choice would have drawn another candidate."""


class Script:
    """A stand-in for a secret stream: every word is `word`, every bounded draw is `candidate`, the run key is `KEY`.

    Zeros draw noise of zero. `once`: the second bounded draw raises `Rejected`, which shows whether the first was kept.
    """

    seeded = True

    def __init__(self, word: int = 0, candidate: int = 0, *, once: bool = False) -> None:
        self._word, self._candidate, self._once = word, candidate, once
        self._draws = 0

    def words(self, n: int) -> NDArray[np.uint64]:
        return np.full(n, self._word, np.uint64)

    def below(self, bound: int, n: int) -> NDArray[np.int64]:
        self._draws += 1
        if self._once and self._draws > 1:
            raise Rejected
        return np.full(n, self._candidate % bound, np.int64)

    def bytes(self, n: int) -> bytes:
        return (KEY * (n // len(KEY) + 1))[:n]


def scripted(word: int = 0, candidate: int = 0, *, once: bool = False) -> Stream:
    """A `Script` where a stream is asked for."""
    return cast(Stream, Script(word, candidate, once=once))


class Diary:
    """What happened at the door, in order: ("charge", purpose, event) and ("count", which question)."""

    def __init__(self) -> None:
        self.lines: list[tuple[object, ...]] = []

    def charges_since(self, line: int) -> list[Event]:
        return [cast(Event, entry[2]) for entry in self.lines[line:] if entry[0] == "charge"]


class Noted:
    """Takes every charge, as an account without a limit, and remembers the events."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def charge(self, purpose: str, event: Event) -> None:
        del purpose
        self.events.append(event)


class Rehearsal(Run):
    """A run without a ledger: it accepts exactly the planned charges, and writes all of them into a diary.

    `receipt`: one that an account in memory wrote for the same plan, which says that nothing of it is releasable.
    """

    def __init__(self, plan: Sequence[Charge], unit: Unit, diary: Diary, receipt: Receipt) -> None:
        if receipt.releasable:
            raise ValueError("a rehearsal has no receipt that allows a release")
        record = RunRecord(0, "", "rehearsal", "rehearsal", Budget(1.0, 1e-6), unit, tuple(plan), None)
        super().__init__(record, (), lambda *end: None, lambda seeded: receipt)
        self.taint()
        self._diary = diary

    def charge(self, purpose: str, event: Event) -> None:
        super().charge(purpose, event)
        self._diary.lines.append(("charge", purpose, event))

    def grant(self, purpose: str) -> Grant:
        found = super().grant(purpose)
        vars(found)["charge"] = _told(found.charge, self._diary)
        return found


def _told(charge: Callable[[str, Event], None], diary: Diary) -> Callable[[str, Event], None]:
    def told(purpose: str, event: Event) -> None:
        charge(purpose, event)
        diary.lines.append(("charge", purpose, event))

    return told


class WatchedEngine:
    """An engine whose questions, whichever they are, are written into a diary."""

    def __init__(self, engine: Engine, diary: Diary) -> None:
        self._engine, self._diary = engine, diary

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._engine, name)
        if not callable(found):
            return found

        def asked(*arguments: Any, **named: Any) -> Any:
            self._diary.lines.append(("count", name))
            answer = found(*arguments, **named)
            return watched(answer, self._diary) if name == "merged" else answer

        return asked


def watched(engine: Engine, diary: Diary) -> Engine:
    """A `WatchedEngine` where an engine is asked for."""
    return cast(Engine, WatchedEngine(engine, diary))


def exact_door(engine: Engine, word: int = 0, candidate: int = 0, *, once: bool = False) -> Curator:
    """A curator over made-up rows whose coins are scripted: zeros, and it answers without noise."""
    return Curator(engine, Noted(), scripted(word, candidate, once=once))


def watched_door(engine: Engine, run: Run, diary: Diary, planned: Domain | None = None) -> Curator:
    """A curator as in a real run, with real noise, whose questions are written down."""
    return Curator(watched(engine, diary), run, real_coins(), planned=planned)


def real_coins() -> Stream:
    """Noise as in a real run, from the operating system."""
    return system()
