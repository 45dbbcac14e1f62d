"""Processes that die, disks that are full: never under-counted, never corrupt, and said in words.

A child is a fork of this process (imports are warm); it dies by SIGKILL. "Every step" means every line of the
ledger's own code that runs between call and return: a line tracer kills the child at line n, for all n.
"""

from __future__ import annotations

import errno
import os
import random
import resource
import select
import signal
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType

import pytest

from dpsynth.budget import Budget
from dpsynth.errors import BudgetError, CapacityError
from dpsynth.privacy import ledger_journal
from dpsynth.privacy.events import Charge, GdpGrant
from dpsynth.privacy.ledger import Ledger
from dpsynth.privacy.ledger_store import FileStore

PROMISE = Budget(50.0, 1e-9)
STEP = GdpGrant(1e-3)
PLAN = (Charge("loop", STEP),)
TRACED = ("ledger_store.py", "ledger_journal.py")


@pytest.fixture
def folder() -> Iterator[Path]:
    """In memory where there is such a place: what SIGKILL leaves behind does not depend on the disk, and
    hundreds of fsyncs take minutes on a busy one."""
    shared = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=shared if os.access(shared, os.W_OK) else None) as name:
        yield Path(name)


@pytest.fixture
def path(folder: Path) -> Path:
    return folder / "people.ledger"


@pytest.fixture
def ledger(path: Path) -> Ledger:
    """A fresh ledger, and everything priced once, so that children find the prices ready."""
    account = Ledger.open(path, dataset="people", promise=PROMISE)
    account.fits([STEP])
    account.reserve("warm", PLAN, PROMISE)
    return account


def forked(work: Callable[[], None]) -> int:
    """A child that does `work` and exits; 3 when it raises."""
    child = os.fork()
    if child:
        return child
    status = 3
    try:
        work()
        status = 0
    finally:
        os._exit(status)


def died_at(line: int, work: Callable[[], None]) -> bool:
    """Whether `work`, in a child, still ran when the tracer reached its n-th line of ledger code."""

    def child() -> None:
        left = line

        def trace(frame: FrameType, event: str, argument: object) -> Callable[..., object] | None:
            nonlocal left
            if not frame.f_code.co_filename.endswith(TRACED):
                return None
            if event == "line":
                left -= 1
                if left == 0:
                    os.kill(os.getpid(), signal.SIGKILL)
            return trace

        sys.settrace(trace)
        work()
        sys.settrace(None)

    status = os.waitpid(forked(child), 0)[1]
    assert os.WIFSIGNALED(status) or os.waitstatus_to_exitcode(status) == 0
    return os.WIFSIGNALED(status)


def every_step(work: Callable[[], None], line: int = 1) -> Iterator[int]:
    """Kill `work` at this line, the next, and so on, until it comes through alive."""
    while died_at(line, work):
        yield line
        line += 1


class Told:
    """A pipe by which a child says what it was promised, before it dies."""

    def __init__(self) -> None:
        self._read, self._write = os.pipe()

    def say(self, run_id: str) -> None:
        os.write(self._write, run_id.encode() + b"\n")

    def wait(self) -> None:
        select.select([self._read], [], [], 30.0)

    def heard(self) -> set[str]:
        text = b""
        while select.select([self._read], [], [], 0)[0]:
            text += os.read(self._read, 1 << 16)
        return {line.decode() for line in text.split(b"\n") if len(line) == 16}


def reserved(ledger: Ledger) -> set[str]:
    return {str(entry.body["run"]) for entry in ledger.entries if entry.kind == "reserve"}


def snapshot(path: Path) -> tuple[bytes, bytes]:
    return path.read_bytes(), FileStore(path).head_path.read_bytes()


def restore(path: Path, files: tuple[bytes, bytes]) -> None:
    for debris in path.parent.iterdir():
        debris.unlink()
    path.write_bytes(files[0])
    FileStore(path).head_path.write_bytes(files[1])


def check_after_crash(path: Path, told: set[str]) -> Ledger:
    """What must hold after any death: it opens, and all that was acknowledged is counted."""
    ledger = Ledger.load(path)
    assert told <= reserved(ledger), "a run that was allowed to touch data is not in the ledger"
    assert ledger.spent().mu == pytest.approx(STEP.mu * len(reserved(ledger)) ** 0.5)
    return ledger


class TestKilled:
    def test_at_every_step_of_a_run(self, ledger: Ledger, path: Path) -> None:
        told, steps, outcomes = Told(), 0, set[tuple[int, int]]()
        pristine = snapshot(path)

        def work() -> None:
            run = ledger.reserve("run", PLAN, PROMISE)
            told.say(run.id)
            run.grant("loop")
            run.commit()

        for _ in every_step(work):
            acknowledged = told.heard()
            kinds = [entry.kind for entry in check_after_crash(path, acknowledged).entries]
            outcomes.add((kinds.count("reserve") - 1, kinds.count("commit")))
            restore(path, pristine)
            steps += 1
        assert steps > 100
        assert outcomes == {(0, 0), (1, 0), (1, 1)}

    def test_at_every_step_of_the_opening(self, folder: Path) -> None:
        """A half-made ledger opens with the same promise, or with a new one if nothing of it is there."""
        steps = 0

        def place() -> Path:
            return folder / f"{steps}.ledger"

        for _ in every_step(lambda: Ledger.open(place(), dataset="people", promise=PROMISE).close()):
            ledger = Ledger.open(place(), dataset="people", promise=PROMISE)
            ledger.reserve("run", PLAN, PROMISE)
            assert len(Ledger.load(place()).entries) == 2
            steps += 1
        assert steps > 40

    def test_a_reservation_told_too_early_is_caught(
        self, ledger: Ledger, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The planted lie: rows are touched before the reservation is on the disk."""
        told = Told()
        honest = ledger_journal.seal

        def hasty(kind: str, body: dict[str, str], last: ledger_journal.Entry) -> ledger_journal.Row:
            told.say(body["run"])
            return honest(kind, body, last)

        monkeypatch.setattr(ledger_journal, "seal", hasty)

        def kill_at_every_step() -> None:
            for _ in every_step(lambda: ledger.reserve("run", PLAN, PROMISE) and None, 40):
                check_after_crash(path, told.heard())
                restore(path, pristine)

        pristine = snapshot(path)
        with pytest.raises(AssertionError, match="not in the ledger"):
            kill_at_every_step()

    def test_two_hundred_times_at_random(self, ledger: Ledger, path: Path) -> None:
        rng, told, acknowledged = random.Random(4), Told(), set[str]()
        pristine = snapshot(path)

        def work() -> None:
            account = Ledger.load(path)
            told.say("ready")
            while True:
                with account.reserve("run", PLAN, PROMISE) as run:
                    told.say(run.id)
                    run.grant("loop")

        allowed = unheard = 0
        for kill in range(200):
            child = forked(work)
            told.wait()
            time.sleep(rng.uniform(0.0, 0.03))
            os.kill(child, signal.SIGKILL)
            assert os.WIFSIGNALED(os.waitpid(child, 0)[1])
            acknowledged |= told.heard()
            found = reserved(check_after_crash(path, acknowledged))
            if kill % 20 == 19:
                # A long ledger only makes the checks slower.
                allowed += len(acknowledged)
                unheard += len(found) - 1 - len(acknowledged)
                restore(path, pristine)
                acknowledged.clear()
        assert allowed > 100, "most children died before they did anything"
        assert 0 <= unheard <= 200, "each death leaves at most one reservation that nobody was told of"

    def test_between_row_and_head(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """The head may lag by one entry after a crash; that is no cut tail, and the next entry mends it."""
        ledger = Ledger.open(path, dataset="people", promise=PROMISE)

        def die(self: FileStore, new: Path) -> None:
            os.kill(os.getpid(), signal.SIGKILL)

        with monkeypatch.context() as patch:
            patch.setattr(FileStore, "_place_head", die)
            os.waitpid(forked(lambda: ledger.block("m", "w")), 0)
        assert FileStore(path).mark().sequence == 0  # type: ignore[union-attr]
        assert len(Ledger.load(path).entries) == 2
        ledger.block("n", "w")
        assert FileStore(path).mark().sequence == 2  # type: ignore[union-attr]


class TestPower:
    """SIGKILL leaves what was written in the page cache; a power cut does not. So the order of what reaches the
    disk is checked itself."""

    def test_everything_reaches_the_disk_in_order(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        ledger = Ledger.open(path, dataset="people", promise=PROMISE)
        order: list[str] = []
        watched(monkeypatch, order)
        ledger.block("m", "w")
        kept = [step for step in order if not step.startswith("SELECT")]
        assert kept == [
            "PRAGMA synchronous=EXTRA",
            "PRAGMA trusted_schema=OFF",
            "BEGIN EXCLUSIVE",
            "PRAGMA locking_mode=EXCLUSIVE",
            "PRAGMA application_id",
            "PRAGMA journal_mode",
            "INSERT INTO entries VALUES (?, ?, ?)",
            "fsync people.ledger.head.new",
            "COMMIT",
            "replace people.ledger.head.new people.ledger.head",
            f"fsync {path.parent.name}",
        ]

    def test_sqlite_is_told_to_sync_everything(self, ledger: Ledger, path: Path) -> None:
        with FileStore(path).writing() as session:
            connection = session.connection  # type: ignore[attr-defined]
            assert connection.execute("PRAGMA synchronous").fetchone()[0] == 3
            assert connection.execute("PRAGMA journal_mode").fetchone()[0] == b"delete"


def watched(monkeypatch: pytest.MonkeyPatch, order: list[str]) -> None:
    """Write down every statement, fsync and rename of the store, in the order they happen."""
    connect, sync, replace = sqlite3.connect, os.fsync, os.replace

    class Watched(sqlite3.Connection):
        def execute(self, statement: str, *values: object) -> sqlite3.Cursor:  # type: ignore[override]
            order.append(statement)
            return super().execute(statement, *values)  # type: ignore[arg-type]

    def note_sync(descriptor: int) -> None:
        order.append(f"fsync {Path(os.readlink(f'/proc/self/fd/{descriptor}')).name}")
        sync(descriptor)

    def note_replace(old: Path, new: Path) -> None:
        order.append(f"replace {old.name} {new.name}")
        replace(old, new)

    monkeypatch.setattr(sqlite3, "connect", lambda *a, **k: connect(*a, **k, factory=Watched))
    monkeypatch.setattr(os, "fsync", note_sync)
    monkeypatch.setattr(os, "replace", note_replace)


class TestDisk:
    def test_full(self, path: Path) -> None:
        """A file-size limit stands in for a full disk: the kernel refuses the write."""
        ledger = Ledger.open(path, dataset="people", promise=PROMISE)
        size = path.stat().st_size

        def work() -> None:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))

            def fill() -> None:
                for number in range(100):
                    ledger.reserve(f"run {number}", PLAN, PROMISE)

            with pytest.raises(CapacityError, match="make room") as error:
                fill()
            assert error.value.code in {"DPS-C201", "DPS-C204"}

        assert os.waitstatus_to_exitcode(os.waitpid(forked(work), 0)[1]) == 0
        survivors = len(reserved(Ledger.load(path)))
        assert survivors >= 1
        ledger.reserve("after room was made", PLAN, PROMISE)
        assert len(reserved(Ledger.load(path))) == survivors + 1

    @pytest.mark.parametrize("limit", [0, 50, 100, 512, 4096])
    def test_no_room_at_all(self, path: Path, limit: int) -> None:
        ledger = Ledger.open(path, dataset="people", promise=PROMISE)
        before = path.read_bytes()

        def work() -> None:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
            with pytest.raises(CapacityError):
                ledger.reserve("run", PLAN, PROMISE)
            with pytest.raises(CapacityError):
                Ledger.open(path.with_name("new.ledger"), dataset="new", promise=PROMISE)

        assert os.waitstatus_to_exitcode(os.waitpid(forked(work), 0)[1]) == 0
        assert len(Ledger.load(path).entries) == 1
        assert path.read_bytes() == before
        Ledger.open(path.with_name("new.ledger"), dataset="new", promise=PROMISE)

    def test_read_only(self) -> None:
        """Who may only read can look and verify, and is told why he cannot reserve."""
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            path = folder / "people.ledger"
            Ledger.open(path, dataset="people", promise=PROMISE).reserve("run", PLAN, PROMISE)
            for file in folder.iterdir():
                file.chmod(0o444)
            folder.chmod(0o555)

            def work() -> None:
                if os.getuid() == 0:
                    os.setgid(65534)
                    os.setuid(65534)
                ledger = Ledger.load(path)
                assert ledger.spent().mu == STEP.mu
                assert Ledger.verify(path).entries == 2
                for use in (
                    lambda: ledger.reserve("run", PLAN, PROMISE),
                    lambda: ledger.block("m", "w"),
                    lambda: Ledger.open(folder / "new.ledger", dataset="d", promise=PROMISE),
                ):
                    with pytest.raises(CapacityError) as error:
                        use()
                    assert error.value.code == "DPS-C202"

            assert os.waitstatus_to_exitcode(os.waitpid(forked(work), 0)[1]) == 0
            folder.chmod(0o755)
            assert len(Ledger.load(path).entries) == 2

    def test_no_such_folder(self, tmp_path: Path) -> None:
        with pytest.raises(CapacityError) as error:
            Ledger.open(tmp_path / "nowhere" / "l", dataset="d", promise=PROMISE)
        assert error.value.code == "DPS-C202"

    def test_a_folder_in_its_place(self, tmp_path: Path) -> None:
        with pytest.raises(BudgetError):
            Ledger.load(tmp_path)
        with pytest.raises((BudgetError, CapacityError)):
            Ledger.open(tmp_path, dataset="d", promise=PROMISE)

    def test_a_head_that_cannot_be_placed(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """After the commit there is no way back: the entry counts, and the error says so."""
        ledger = Ledger.open(path, dataset="people", promise=PROMISE)

        def fail(*names: object) -> None:
            raise OSError(errno.ENOSPC, "no room")

        with monkeypatch.context() as patch:
            patch.setattr(os, "replace", fail)
            with pytest.raises(CapacityError) as error:
                ledger.reserve("run", PLAN, PROMISE)
        assert error.value.code == "DPS-C203"
        assert "the entry counts" in str(error.value)
        assert len(reserved(ledger)) == 1
        ledger.reserve("again", PLAN, PROMISE)
        assert len(reserved(Ledger.load(path))) == 2

    def test_a_head_that_cannot_be_read(self, ledger: Ledger, path: Path) -> None:
        head = FileStore(path).head_path
        head.unlink()
        head.mkdir()
        with pytest.raises(CapacityError) as error:
            ledger.block("m", "w")
        assert error.value.code == "DPS-C202"
