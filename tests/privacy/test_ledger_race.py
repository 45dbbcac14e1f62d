"""Processes and threads that want the same money: together they never spend more than there is."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from dpsynth.budget import Budget
from dpsynth.errors import BudgetError, VerifyError
from dpsynth.privacy.events import Charge, GdpGrant
from dpsynth.privacy.ledger import Ledger
from dpsynth.privacy.ledger_filter import Filter
from dpsynth.privacy.ledger_store import FileStore

PROMISE = Budget(3.0, 1e-9)
QUARTER = GdpGrant(Filter(PROMISE, 1e-10).mu / 4)
PLAN = (Charge("loop", QUARTER),)
FIT = 16
RACERS = 16


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "people.ledger"


def race(path: Path, work: Callable[[Ledger], int]) -> list[int]:
    """`work` in 16 processes that start together; what each returns (250: it raised)."""
    gate, start = os.pipe()
    children = []
    for _ in range(RACERS):
        child = os.fork()
        if child == 0:
            status = 250
            try:
                ledger = Ledger.load(path)
                os.close(start)
                os.read(gate, 1)
                status = work(ledger)
            finally:
                os._exit(status)
        children.append(child)
    os.close(start)
    results = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    os.close(gate)
    return results


def reserve_until_refused(ledger: Ledger) -> int:
    for made in range(100):
        try:
            ledger.reserve("mine", PLAN, PROMISE).commit()
        except BudgetError as error:
            return made if error.code == "DPS-B210" else 251
    return 252


def spent(path: Path) -> int:
    """Reservations in the ledger, after every check of it; and none too many."""
    ledger = Ledger.load(path)
    made = sum(entry.kind == "reserve" for entry in ledger.entries)
    assert made <= FIT, "overspent"
    assert ledger.spent().epsilon <= PROMISE.epsilon
    return made


def test_sixteen_processes_share_what_there_is(path: Path) -> None:
    warm = Ledger.open(path, dataset="people", promise=PROMISE)
    assert warm.fits([QUARTER])
    made = race(path, reserve_until_refused)
    assert sum(made) == FIT == spent(path)
    assert warm.remaining().epsilon == 0.0


@pytest.mark.parametrize("already", [FIT - 1, FIT])
def test_sixteen_processes_race_for_the_last_run(path: Path, already: int) -> None:
    warm = Ledger.open(path, dataset="people", promise=PROMISE)
    for _ in range(already):
        warm.reserve("before", PLAN, PROMISE)

    def once(ledger: Ledger) -> int:
        try:
            ledger.reserve("last", PLAN, PROMISE)
        except BudgetError as error:
            return 0 if error.code == "DPS-B210" else 251
        return 1

    assert sum(race(path, once)) == FIT - already
    assert spent(path) == FIT


def test_a_ledger_without_its_lock_is_caught(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The planted lie: what is left is looked up before the lock is taken."""
    warm = Ledger.open(path, dataset="people", promise=PROMISE)
    warm.fits([QUARTER])
    honest = Filter.admits

    def hasty(self: Filter, known: object, *rest: object) -> bool:
        return honest(self, [], *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(Filter, "admits", hasty)
    race(path, lambda ledger: [ledger.reserve("mine", PLAN, PROMISE) for _ in range(2)] and 0)
    with pytest.raises(AssertionError, match="overspent"):
        spent(path)


def test_without_exclusion_entries_would_collide(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The planted lie: a write lock that is taken too late. The chain does not let two heads in."""
    Ledger.open(path, dataset="people", promise=PROMISE).fits([QUARTER])
    honest = FileStore._connect

    class Late:
        def __init__(self, connection: object) -> None:
            self._connection = connection

        def __getattr__(self, name: str) -> object:
            return getattr(self._connection, name)

        def execute(self, statement: str, *values: object) -> object:
            late = statement.replace("BEGIN EXCLUSIVE", "BEGIN").replace(
                "PRAGMA locking_mode=EXCLUSIVE", "SELECT 1"
            )
            return self._connection.execute(late, *values)  # type: ignore[attr-defined]

    monkeypatch.setattr(FileStore, "_connect", lambda self: Late(honest(self)))
    race(path, reserve_until_refused)
    monkeypatch.undo()
    assert spent(path) <= FIT


def test_sixteen_processes_open_one_new_ledger(path: Path) -> None:
    children = []
    for _ in range(RACERS):
        child = os.fork()
        if child == 0:
            status = 1
            try:
                Ledger.open(path, dataset="people", promise=PROMISE).block("m", "w")
                status = 0
            finally:
                os._exit(status)
        children.append(child)
    assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [0] * RACERS
    kinds = [entry.kind for entry in Ledger.load(path).entries]
    assert kinds == ["open"] + ["block"] * RACERS


def test_threads_share_one_handle(path: Path) -> None:
    ledger = Ledger.open(path, dataset="people", promise=PROMISE)
    made: list[int] = []
    threads = [threading.Thread(target=lambda: made.append(reserve_until_refused(ledger))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(made) == FIT == spent(path)


def test_forks_from_a_busy_program_are_safe(path: Path) -> None:
    """Forking while another thread writes: the child must neither hang nor touch the parent's transaction."""
    ledger = Ledger.open(path, dataset="people", promise=PROMISE)
    stop = threading.Event()

    def write() -> None:
        while not stop.is_set():
            ledger.block("m", "w")
            time.sleep(0.01)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for number in range(30):
            child = os.fork()
            if child == 0:
                status = 1
                try:
                    ledger.block(f"child {number}", "w")
                    status = 0
                finally:
                    os._exit(status)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    finally:
        stop.set()
        writer.join()
    models = {entry.body.get("model") for entry in Ledger.load(path).entries}
    assert {f"child {number}" for number in range(30)} <= models


@contextmanager
def held(path: Path) -> Iterator[None]:
    """Another process in the middle of an append."""
    ready, release = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        with FileStore(path).writing():
            os.write(ready[1], b"x")
            os.read(release[0], 1)
            os._exit(0)
    os.read(ready[0], 1)
    try:
        yield
    finally:
        os.write(release[1], b"x")
        os.waitpid(child, 0)
        for descriptor in (*ready, *release):
            os.close(descriptor)


def test_a_busy_ledger_says_so(path: Path) -> None:
    Ledger.open(path, dataset="people", promise=PROMISE)
    hasty = Ledger.load(path, patience=0.05)
    with held(path), pytest.raises(BudgetError) as error:
        hasty.reserve("run", PLAN, PROMISE)
    assert error.value.code == "DPS-B204"
    assert "nothing was recorded" in str(error.value)
    hasty.reserve("run", PLAN, PROMISE)


def test_a_first_head_that_appears_between_two_looks(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who looks for the head of a ledger that is just being made may miss it; he looks again before he cries."""
    Ledger.open(path, dataset="people", promise=PROMISE).block("m", "w")
    honest, looks = FileStore.mark, []

    def late(self: FileStore) -> object:
        looks.append(1)
        return None if len(looks) == 1 else honest(self)

    monkeypatch.setattr(FileStore, "mark", late)
    assert len(Ledger.load(path).entries) == 2
    monkeypatch.setattr(FileStore, "mark", lambda self: None)
    with pytest.raises(VerifyError, match="head file is missing"):
        Ledger.load(path)
