"""Ordinary mistakes and accidents, end to end: one clear line, the right exit code, nothing lost, no value quoted."""

from __future__ import annotations

import errno
import io
import json
import os
import random
import re
import shutil
import signal
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from example import PROJECT, SECRET, small_table
from typer.testing import CliRunner, Result

from dpsynth.cli.app import app
from dpsynth.cli.interrupts import end_as_interrupted, keep_interrupts
from dpsynth.privacy.ledger import Ledger

RUNNER = CliRunner()
PEOPLE = 220
# small and fast: few people, no pairs, a hold-out that the attacks can live with
QUICK = PROJECT.replace("method: mst", "method: independent").replace("holdout: 0.3", "holdout: 0.4")


def dpsynth(*words: object) -> Result:
    return RUNNER.invoke(app, [str(word) for word in words])


def refused(result: Result, code: int, prefix: str) -> str:
    """The one line of an error, after checking what every error owes its user."""
    assert result.exit_code == code, result.output
    lines = [line for line in result.stderr.splitlines() if "DPS-" in line]
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith(f"DPS-{prefix}"), lines[0]
    assert "Traceback" not in result.output
    assert SECRET not in result.output
    return lines[0]


def spent_runs(project: Path) -> int:
    ledger = project.parent / "claims.ledger"
    if not ledger.exists() or not ledger.stat().st_size:
        return 0
    with Ledger.load(ledger) as account:
        return sum(entry.kind == "reserve" for entry in account.entries)


def leftovers(folder: Path) -> list[str]:
    """What a failed verb may not leave behind."""
    known = {"claims.csv", "project.yaml"}
    return sorted(
        p.name for p in folder.iterdir() if not p.name.startswith("claims.ledger") and p.name not in known
    )


def write(folder: Path, table: str | bytes | None = None, text: str = QUICK) -> Path:
    folder.mkdir(exist_ok=True, parents=True)
    if table is None:
        table = small_table(PEOPLE).to_csv(index=False)
    (folder / "claims.csv").write_bytes(table if isinstance(table, bytes) else table.encode())
    (folder / "project.yaml").write_text(text)
    return folder / "project.yaml"


def changed(old: str, new: str, text: str = QUICK) -> str:
    assert old in text
    return text.replace(old, new)


@pytest.fixture
def quick(tmp_path: Path) -> Path:
    return write(tmp_path)


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a project, its ledger and a fitted model; copied, never changed."""
    folder = tmp_path_factory.mktemp("fitted")
    assert dpsynth("fit", write(folder), "-o", folder / "model").exit_code == 0
    return folder


@pytest.fixture
def copy(fitted: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(fitted, tmp_path / "copy"))


# --- tables ----------------------------------------------------------------------------------------

HEADER = "person,age,plan,smoker,cost\n"
FRAME = small_table(PEOPLE)


def with_column(name: str, value: Any, row: int | None = None) -> str:
    frame = FRAME.astype(object)
    if row is None:
        frame[name] = value
    else:
        frame.loc[row, name] = value
    return frame.to_csv(index=False)


TABLES = [
    ("all missing, not declared", with_column("age", ""), 4, "D", "age"),
    ("mixed types", with_column("age", f"{SECRET} years", 7), 4, "D", "line 9"),
    ("a date among numbers", with_column("cost", "2024-02-03", 0), 4, "D", "line 2"),
    ("dates for numbers", with_column("cost", "03.02.2024"), 4, "D", "cost"),
    ("infinity", with_column("cost", "inf", 3), 4, "D", "line 5"),
    ("minus infinity", with_column("cost", "-Infinity", 3), 4, "D", "line 5"),
    ("huge exponent", with_column("cost", "1e999", 3), 4, "D", "line 5"),
    ("duplicate column", FRAME.assign(x=1).rename(columns={"x": "age"}).to_csv(index=False), 4, "D", "age"),
    ("one row", HEADER + f"{SECRET}-1,44,A,yes,10.5\n", 6, "A", "few"),
    ("one person", HEADER + f"{SECRET}-1,44,A,yes,10.5\n" * 500, 6, "A", "few"),
    ("one column", "person\n" + f"{SECRET}-1\n" * 9, 4, "D", "1 of the 5 declared"),
    ("another delimiter", FRAME.to_csv(index=False, sep=";"), 4, "D", "delimiter"),
]


@pytest.mark.parametrize(
    ("table", "code", "prefix", "word"), [t[1:] for t in TABLES], ids=[t[0] for t in TABLES]
)
def test_a_table_that_does_not_fit(tmp_path: Path, table: str, code: int, prefix: str, word: str) -> None:
    project = write(tmp_path, table)
    assert word in refused(dpsynth("run", project, "-o", tmp_path / "release"), code, prefix)
    assert spent_runs(project) == 0
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize(
    ("old", "new"),
    [("purpose: testing", "purpose: 'TODO: why'"), ("cells: 10}", "cells: 10, origin: inspected}")],
)
def test_a_run_refused_beforehand_opens_no_ledger(tmp_path: Path, old: str, new: str) -> None:
    """Its promise would stand for good, though nothing was ever released under it."""
    project = write(tmp_path, text=changed(old, new))
    refused(dpsynth("run", project, "-o", tmp_path / "release"), 6, "A30")
    assert not (tmp_path / "claims.ledger").exists()
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize("verb", ["run", "fit"])
def test_a_place_that_nothing_can_be_written_to_opens_no_ledger(quick: Path, verb: str) -> None:
    refused(dpsynth(verb, quick, "-o", "/proc/nowhere/release"), 2, "U125")
    assert not (quick.parent / "claims.ledger").exists()


def test_odd_tables_that_do_fit(tmp_path: Path) -> None:
    """All missing where that is declared, constant, numbers written as text: fitted like any other."""
    frame = FRAME.assign(plan="", smoker="yes", age=FRAME["age"].map(lambda age: f" {age}.0 "))
    project = write(tmp_path, frame.to_csv(index=False, quoting=1))
    assert dpsynth("check", project).exit_code == 0
    assert dpsynth("fit", project, "-o", tmp_path / "model").exit_code == 0
    assert (
        dpsynth("sample", tmp_path / "model", "-n", 200, "-o", tmp_path / "rows.csv", "--seed", 1).exit_code
        == 0
    )
    rows = (tmp_path / "rows.csv").read_text().splitlines()
    assert len(rows) == 201
    assert sum(",yes," in row for row in rows) > 150


def test_one_modelled_column(tmp_path: Path) -> None:
    text = "version: 1\ndata: {path: claims.csv, unit: {entity: row}}\n" + QUICK[QUICK.index("budget:") :]
    lines = [
        line
        for line in text.splitlines()
        if not line.startswith(("  person:", "  plan:", "  smoker:", "  cost:"))
    ]
    alone = "\n".join(lines).replace(", workload: {target: smoker}", "")
    project = write(tmp_path, FRAME[["age"]].to_csv(index=False), alone.replace("independent", "mst"))
    assert dpsynth("fit", project, "-o", tmp_path / "model").exit_code == 0


def test_check_lists_every_column_that_does_not_fit(tmp_path: Path) -> None:
    frame = FRAME.astype(object)
    frame.loc[[2, 5], "age"] = f"{SECRET}"
    frame.loc[8, "cost"] = "inf"
    project = write(tmp_path, frame.to_csv(index=False))
    result = dpsynth("check", project)
    refused(result, 4, "D")
    assert "column 'age', line 4" in result.stdout
    assert "1 more line" in result.stdout
    assert "column 'cost', line 10" in result.stdout
    told = json.loads(dpsynth("check", project, "--json").stdout)
    assert len(told["misfits"]) == 2
    assert told["error"]["code"].startswith("DPS-D")


# --- project files ---------------------------------------------------------------------------------

BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{b}: &{b} [{', '.join(['*' + a] * 9)}]\n" for a, b in zip("abcdefg", "bcdefgh", strict=True)
)
HUGE = changed("method: independent", "method: mst")
for old, new in (("max: 99, cells: 10", "max: 99999, cells: 100000"), ("cells: 8", "cells: 100000")):
    HUGE = changed(old, new, HUGE)
FILES = [
    ("epsilon 1e-9", changed("epsilon: 2.0", "epsilon: 1.0e-9"), 5, "B", "noise"),
    ("epsilon 1e6", changed("epsilon: 2.0", "epsilon: 1.0e+6"), 5, "B", "protects nobody"),
    ("epsilon inf", changed("epsilon: 2.0", "epsilon: .inf"), 5, "B", "finite"),
    ("delta 0", changed("epsilon: 2.0, delta: 1.0e-6", "epsilon: 2.0, delta: 0"), 5, "B", "delta"),
    ("delta 1", changed("epsilon: 2.0, delta: 1.0e-6", "epsilon: 2.0, delta: 1"), 5, "B", "delta"),
    ("delta 0.5", changed("epsilon: 2.0, delta: 1.0e-6", "epsilon: 2.0, delta: 0.5"), 5, "B", "delta"),
    ("python object", "x: !!python/object/apply:os.system ['touch sprung']\n" + QUICK, 3, "S", "line 1"),
    ("alias bomb", BOMB + QUICK, 3, "S", "entries"),
    ("a key twice", QUICK + "generator: {method: mst}\n", 3, "S", "line"),
    ("unknown key", changed("columns:", "colums:"), 3, "S", "did you mean 'columns'"),
    ("unknown column key", changed("cells: 10", "cell: 10"), 3, "S", "did you mean 'cells'"),
    ("bounds crossed", changed("min: 0, max: 99", "min: 99, max: 0"), 3, "S", "age"),
    ("target not modelled", changed("target: smoker", "target: person"), 3, "S", "person"),
    ("nothing modelled", QUICK[: QUICK.index("  age:")] + "generator: {method: mst}\n", 3, "S", "no column is modelled"),
    ("huge pairs", HUGE, 8, "C", "'age' (100,000)"),
    ("too many rows", changed("method: independent", "method: independent, rows: 900000000"), 8, "C", "rows"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "code", "prefix", "word"), [f[1:] for f in FILES], ids=[f[0] for f in FILES]
)
def test_a_project_that_cannot_be_meant(tmp_path: Path, text: str, code: int, prefix: str, word: str) -> None:
    project = write(tmp_path, text=text)
    assert word in refused(dpsynth("run", project, "-o", tmp_path / "release"), code, prefix)
    assert spent_runs(project) == 0
    assert leftovers(tmp_path) == []


def test_epsilon_a_thousand_is_refused_or_kept(tmp_path: Path) -> None:
    project = write(tmp_path, text=changed("epsilon: 2.0", "epsilon: 1000.0"))
    refused(dpsynth("run", project, "-o", tmp_path / "release"), 5, "B")
    assert spent_runs(project) == 0


def _limited(words: list[str], answers: Any) -> None:
    """A verb under 2 GB of address space beyond what Python has already mapped."""
    import resource

    mapped = int(Path("/proc/self/statm").read_text().split()[0]) * 4096
    resource.setrlimit(resource.RLIMIT_AS, (mapped + (2 << 30),) * 2)
    start = time.monotonic()
    result = dpsynth(*words)
    answers.put((result.exit_code, result.stderr, time.monotonic() - start))


def limited(*words: object) -> tuple[int, str, float]:
    answers = FORK.Queue()
    process = FORK.Process(target=_limited, args=([str(word) for word in words], answers))
    process.start()
    found = answers.get(timeout=60)
    process.join()
    assert isinstance(found, tuple)
    return found


def test_ten_million_categories(tmp_path: Path) -> None:
    values = ", ".join(f"v{i}" for i in range(10_000_000))
    project = write(tmp_path, text=changed("values: [A, B, C]", f"values: [{values}]"))
    code, errors, seconds = limited("run", project, "-o", tmp_path / "release")
    assert (code, seconds < 20) == (3, True), (code, errors[:300], seconds)
    assert errors.startswith("DPS-S")
    assert leftovers(tmp_path) == []


# --- Ctrl-C, kill, two at once ---------------------------------------------------------------------

FORK = get_context("forkserver")
"""Children of a small, thread-free server that has loaded everything: no run inherits threads of the tests."""
FORK.set_forkserver_preload(
    ["dpsynth.cli.app", "dpsynth.pipeline", "attacks", "sklearn.ensemble", "test_mistakes"]
)


def _run(project: str, out: str, answers: Any) -> None:
    os.environ["OMP_NUM_THREADS"] = "1"
    signal.signal(signal.SIGINT, signal.default_int_handler)
    keep_interrupts()
    answers.put("ready")
    result = dpsynth("run", project, "-o", out)
    answers.put((result.exit_code, result.output))


def start(project: Path, out: Path) -> tuple[Any, Any]:
    answers = FORK.Queue()
    process = FORK.Process(target=_run, args=(str(project), str(out), answers))
    process.start()
    assert answers.get(timeout=60) == "ready"
    return process, answers


@pytest.fixture(scope="module")
def duration(tmp_path_factory: pytest.TempPathFactory) -> float:
    """Seconds of a run that nobody disturbs, the second one (the first warms caches of the disk)."""
    for _ in range(2):
        folder = tmp_path_factory.mktemp("undisturbed")
        process, answers = start(write(folder), folder / "release")
        begun = time.monotonic()
        code, output = answers.get(timeout=120)
        process.join()
        assert code == 0, output
    return time.monotonic() - begun


def check_the_truth(project: Path, out: Path) -> None:
    """Whatever happened: the ledger opens and verifies, a bundle is whole or absent."""
    ledger = project.parent / "claims.ledger"
    if ledger.exists() and ledger.stat().st_size:
        assert dpsynth("ledger", "verify", ledger).exit_code == 0
        with Ledger.load(ledger) as account:
            reserved = any(entry.kind == "reserve" for entry in account.entries)
            assert (account.spent().epsilon > 0) == reserved
    else:
        reserved = False
    if out.exists():
        assert reserved
        assert dpsynth("verify", out).exit_code == 0
    kept = out.with_name(out.name + ".unfinished")
    if (kept / "model").exists():
        assert reserved
        rows = project.parent / "rescued.csv"
        assert dpsynth("sample", kept / "model", "-n", 5, "-o", rows).exit_code == 0


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT], ids=["kill", "interrupt"])
def test_stopped_at_any_moment(how: signal.Signals, tmp_path: Path, duration: float) -> None:
    # more of them early, where the ledger is opened and the run reserved: what comes later takes longer
    moments = [((i + random.random()) / 9) ** 3 * duration for i in range(9)]
    outcomes = []
    for number, moment in enumerate(moments):
        project = write(tmp_path / str(number))
        out = project.parent / "release"
        process, answers = start(project, out)
        process.join(moment)
        if process.is_alive():
            os.kill(process.pid, how)
        process.join(60)
        assert process.exitcode is not None, "it hangs"
        if how is signal.SIGINT and not answers.empty():
            code, output = answers.get()
            assert code in {0, 130}, output
            assert "Traceback" not in output
        check_the_truth(project, out)
        outcomes.append(spent_runs(project))
    assert set(outcomes) == {0, 1}, "the moments were not spread over the run"
    again = project.parent / "again"
    assert dpsynth("run", project, "-o", again).exit_code == 0
    assert dpsynth("verify", again).exit_code == 0


class _InterruptedWhenDropped:
    def __del__(self) -> None:
        signal.raise_signal(signal.SIGINT)


def _swallow(answers: Any) -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)
    keep_interrupts()
    try:
        _InterruptedWhenDropped()
        time.sleep(30)
    except KeyboardInterrupt:
        answers.put("interrupted")
    else:
        answers.put("lost")


def test_an_interrupt_that_python_cannot_raise_is_not_lost() -> None:
    answers = FORK.Queue()
    process = FORK.Process(target=_swallow, args=(answers,))
    process.start()
    assert answers.get(timeout=60) == "interrupted"
    process.join()


def _ended(answers: Any) -> None:
    end_as_interrupted()
    try:
        signal.raise_signal(signal.SIGTERM)
    except KeyboardInterrupt:
        answers.put("interrupted")
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        os.write(writer, b"!")  # a signal before that is lost: a new process forgets those that wait
        time.sleep(30)
        os._exit(0)
    os.read(reader, 1)
    os.kill(child, signal.SIGTERM)
    answers.put(os.WTERMSIG(os.waitpid(child, 0)[1]))


def test_a_request_to_end_is_an_interrupt_and_ends_children_at_once() -> None:
    answers = FORK.Queue()
    process = FORK.Process(target=_ended, args=(answers,))
    process.start()
    assert answers.get(timeout=60) == "interrupted"
    assert answers.get(timeout=60) == signal.SIGTERM
    process.join(60)


def test_the_next_run_works_after_a_kill(quick: Path) -> None:
    out = quick.parent / "release"
    process, _ = start(quick, out)
    while not out.with_name("release.unfinished").exists() and process.is_alive():
        time.sleep(0.005)
    process.kill()
    process.join()
    assert not out.exists()
    assert "U121" in refused(dpsynth("run", quick, "-o", out), 2, "U")
    shutil.rmtree(out.with_name("release.unfinished"))
    assert dpsynth("run", quick, "-o", out).exit_code == 0
    assert spent_runs(quick) == 2


def test_two_runs_at_once_with_room_for_one(tmp_path: Path) -> None:
    project = write(tmp_path, text=changed("promise: {epsilon: 4.0", "promise: {epsilon: 2.5"))
    assert dpsynth("check", project).exit_code == 0
    runs = [start(project, tmp_path / name) for name in ("one", "two")]
    found = [answers.get(timeout=120) for _, answers in runs]
    for process, _ in runs:
        process.join()
    assert sorted(code for code, _ in found) == [0, 5], found
    (line,) = [line for code, output in found if code == 5 for line in output.splitlines() if "DPS-" in line]
    assert line.startswith("DPS-B")
    assert spent_runs(project) == 1
    assert [(tmp_path / name).exists() for name in ("one", "two")].count(True) == 1


# --- disks and paths -------------------------------------------------------------------------------


@contextmanager
def failing(number: int, place: str) -> Iterator[None]:
    """Every write or fsync of a file whose path has `place` in it fails with this error."""
    real_open, real_fsync, real_write = os.open, os.fsync, os.write

    def named(descriptor: int) -> bool:
        return place in os.readlink(f"/proc/self/fd/{descriptor}")

    def fsync(descriptor: int) -> None:
        if named(descriptor):
            raise OSError(number, os.strerror(number))
        real_fsync(descriptor)

    def write_(descriptor: int, content: bytes) -> int:
        if named(descriptor):
            raise OSError(number, os.strerror(number))
        return real_write(descriptor, content)

    def open_(path: Any, flags: int, *rest: Any, **options: Any) -> int:
        if number == errno.EROFS and place in os.fspath(path) and flags & (os.O_WRONLY | os.O_RDWR):
            raise OSError(number, os.strerror(number), path)
        return real_open(path, flags, *rest, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", fsync)
        patch.setattr(os, "write", write_)
        patch.setattr(os, "open", open_)
        yield


def test_no_room_is_seen_before_anything_is_paid(quick: Path) -> None:
    real = os.fsync

    def full(descriptor: int) -> None:
        if os.fstat(descriptor).st_size >= 1 << 20:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(descriptor)

    for words in (
        ("run", quick, "-o", quick.parent / "release"),
        ("fit", quick, "-o", quick.parent / "model"),
    ):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(os, "fsync", full)
            refused(dpsynth(*words), 8, "C")
        assert spent_runs(quick) == 0
        assert leftovers(quick.parent) == []


@pytest.mark.parametrize(
    ("place", "spent"),
    [
        ("claims.ledger", 0),
        (".model-", 1),
        ("release.unfinished", 1),
        (".partial/public", 1),
        (".partial/internal", 1),
    ],
)
def test_a_full_disk(quick: Path, place: str, spent: int) -> None:
    out = quick.parent / "release"
    with failing(errno.ENOSPC, place):
        refused(dpsynth("run", quick, "-o", out), 8, "C")
    assert spent_runs(quick) == spent
    assert not out.exists()
    kept = quick.parent / "release.unfinished"
    assert kept.exists() == (".partial" in place)
    if kept.exists():  # what was paid for is there, and can be finished
        assert dpsynth("sample", kept / "model", "-n", 5, "-o", quick.parent / "rows.csv").exit_code == 0
        shutil.rmtree(kept)
        (quick.parent / "rows.csv").unlink()
    assert leftovers(quick.parent) == []
    if place == ".model-":
        assert dpsynth("run", quick, "-o", out).exit_code == 0
        assert spent_runs(quick) == spent + 1


def test_a_disk_that_fills_at_the_commit_keeps_the_model(quick: Path) -> None:
    from dpsynth.privacy import ledger_run

    real = ledger_run.Run._finish

    def full(run: Any, outcome: str) -> None:
        with failing(errno.ENOSPC, "claims.ledger"):
            real(run, outcome)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ledger_run.Run, "_finish", full)
        refused(dpsynth("run", quick, "-o", quick.parent / "release"), 8, "C")
    assert spent_runs(quick) == 1
    model = quick.parent / "release.unfinished" / "model"
    assert dpsynth("sample", model, "-n", 5, "-o", quick.parent / "rows.csv").exit_code == 0


def test_a_full_disk_for_a_sample(copy: Path) -> None:
    rows = copy / "rows.csv"
    with failing(errno.ENOSPC, "rows.csv"):
        refused(dpsynth("sample", copy / "model", "-o", rows), 8, "C")
    assert not rows.exists()


def test_a_read_only_place(quick: Path) -> None:
    with failing(errno.EROFS, "claims.ledger"):
        refused(dpsynth("run", quick, "-o", quick.parent / "release"), 8, "C")
    assert leftovers(quick.parent) == []
    under = quick.parent / "claims.csv" / "deep" / "release"
    refused(dpsynth("run", quick, "-o", under), 2, "U")
    refused(dpsynth("fit", quick, "-o", under), 2, "U")
    assert spent_runs(quick) == 0


def test_paths_under_a_file(copy: Path) -> None:
    under = copy / "claims.csv" / "x"
    refused(dpsynth("sample", copy / "model", "-o", under / "rows.csv"), 2, "U")
    refused(dpsynth("init", copy / "claims.csv", "-o", under / "p.yaml"), 2, "U")
    refused(dpsynth("ledger", "export", copy / "claims.ledger", "-o", under / "l.json"), 2, "U")
    refused(dpsynth("verify", under), 7, "V")
    refused(dpsynth("sample", under, "-o", copy / "rows.csv"), 7, "V")
    for verb in ("check", "plan"):
        refused(dpsynth(verb, under), 3, "S")
    for verb in ("show", "verify", "export"):
        refused(dpsynth("ledger", verb, under), 5, "B")


def test_a_parent_that_does_not_exist_is_made(quick: Path) -> None:
    out = quick.parent / "new" / "deeper" / "release"
    assert dpsynth("run", quick, "-o", out).exit_code == 0
    assert [p.name for p in out.parent.iterdir()] == ["release"]


def test_ledgers_that_are_none(quick: Path) -> None:
    folder = quick.parent
    (folder / "junk.ledger").write_text(f"{SECRET} is no ledger\n" * 99)
    (folder / "folder.ledger").mkdir()
    for name, code, prefix in (
        ("junk", 7, "V"),
        ("folder", 8, "C"),
        ("none/deep", 8, "C"),
        ("claims.csv/x", 8, "C"),
    ):
        ledger = folder / (name if "/" in name else f"{name}.ledger")
        refused(dpsynth("run", quick, "-o", folder / "release", "--ledger", ledger), code, prefix)
        assert not (folder / "release").exists()
    assert (folder / "junk.ledger").read_text().startswith(SECRET)


def test_a_ledger_of_other_people(copy: Path) -> None:
    project = copy / "project.yaml"
    words = ("run", project, "-o", copy / "release")
    project.write_text(changed("dataset: claims", "dataset: patients"))
    assert "dataset" in refused(dpsynth(*words), 5, "B")
    project.write_text(changed("entity: person, ", "entity: patient, "))
    assert "patient" in refused(dpsynth(*words), 5, "B")
    assert spent_runs(project) == 1


@pytest.mark.parametrize(("epsilon", "delta"), [(17, 1e-9), (1e5, 1e-9), (0.1, 0.7)])
def test_what_is_out_already_can_be_entered_however_bad(copy: Path, epsilon: float, delta: float) -> None:
    """Whether it is the first entry or a later one; and nothing of the kind is admitted beforehand."""
    opened = ("--dataset", "staff", "--epsilon", 2, "--delta", 1e-6)
    assert dpsynth("ledger", "open", copy / "new.ledger", *opened).exit_code == 0
    for ledger in (copy / "new.ledger", copy / "claims.ledger"):
        charge = (
            "ledger",
            "charge",
            ledger,
            "--tool",
            "other",
            "--purpose",
            "a map",
            "--epsilon",
            epsilon,
            "--delta",
            delta,
        )
        refused(dpsynth(*charge), 5, "B")
        assert dpsynth(*charge, "--already-out").exit_code == 0
        for verb in ("show", "verify", "export"):
            assert dpsynth("ledger", verb, ledger).exit_code == 0
        assert "no further run fits" in dpsynth("ledger", "show", ledger).stdout


# --- models ----------------------------------------------------------------------------------------


def sample(copy: Path) -> Result:
    out = copy / "sampled.csv"
    result = dpsynth("sample", copy / "model", "-n", 20, "-o", out, "--seed", 1)
    assert out.exists() == (result.exit_code == 0)
    out.unlink(missing_ok=True)
    return result


MODEL_FILES = ["index.json", "model.json", "schema.yaml", "arrays.npz"]


@pytest.mark.parametrize("name", MODEL_FILES)
def test_any_flipped_byte_of_a_model(copy: Path, name: str) -> None:
    """Of the index, a byte that changes nothing it says (white space to white space) is harmless."""
    path = copy / "model" / name
    good = path.read_bytes()
    rows = dpsynth("sample", copy / "model", "-n", 20, "-o", copy / "good.csv", "--seed", 1)
    assert rows.exit_code == 0
    for place in np.random.default_rng(5).choice(len(good), size=25, replace=False):
        bad = bytearray(good)
        bad[place] ^= 1 << int(place) % 8
        path.write_bytes(bytes(bad))
        refused(sample(copy), 7, "V")


@pytest.mark.parametrize("name", MODEL_FILES)
def test_missing_linked_and_special_files_of_a_model(copy: Path, name: str) -> None:
    path = copy / "model" / name
    away = copy / "away"
    path.rename(away)
    refused(sample(copy), 7, "V")
    for make in (
        lambda: path.symlink_to(away),
        lambda: path.symlink_to("/dev/zero"),
        lambda: os.mkfifo(path),
        path.mkdir,
        lambda: path.write_bytes(away.read_bytes()[:-7]),
        lambda: path.write_bytes(b""),
    ):
        make()
        refused(sample(copy), 7, "V")
        path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
    away.rename(path)
    assert sample(copy).exit_code == 0


def forge(model: Path, name: str, content: bytes) -> None:
    """A file and its hash in the index."""
    import hashlib

    (model / name).write_bytes(content)
    index = json.loads((model / "index.json").read_text())
    index["files"][name] = hashlib.sha256(content).hexdigest()
    (model / "index.json").write_text(json.dumps(index))


def npz(shape: tuple[int, ...], content: bytes, dtype: str = "<f8") -> bytes:
    head = io.BytesIO()
    np.lib.format.write_array_header_1_0(head, {"descr": dtype, "fortran_order": False, "shape": shape})
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("generator/potential_0.npy", head.getvalue() + content)
    return out.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        npz((10**15,), b""), npz((2**40, 2**40), b""), npz((1 << 28,), bytes(1 << 20)), npz((-1,), b""),
        npz((4,), bytes(31)), npz((2,), bytes(16), "|O"), b"PK\x05\x06" + bytes(18), b"PK", b"\x93NUMPY",
    ],
    ids=["huge", "overflow", "short", "negative", "cut", "objects", "empty zip", "stub", "npy"],
)  # fmt: skip
def test_bombs_and_stubs_for_arrays(copy: Path, content: bytes) -> None:
    forge(copy / "model", "arrays.npz", content)
    begun = time.process_time()
    refused(sample(copy), 7, "V")
    assert time.process_time() - begun < 5


def test_a_zip_bomb_that_is_honest(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Zeros shrink a thousandfold: refused by the declared size, before anything is unpacked."""
    from dpsynth.model import files

    def unpacked(*_: object, **__: object) -> None:
        raise AssertionError("it was unpacked")

    assert files.MAX_BYTES <= 1 << 30
    bomb = npz((1 << 21,), bytes(1 << 24))
    assert len(bomb) < 1 << 16
    monkeypatch.setattr(files, "MAX_BYTES", 1 << 23)
    monkeypatch.setattr(np, "load", unpacked)
    forge(copy / "model", "arrays.npz", bomb)
    refused(sample(copy), 7, "V")


def test_a_model_from_the_future(copy: Path) -> None:
    index = json.loads((copy / "model" / "index.json").read_text())
    (copy / "model" / "index.json").write_text(json.dumps({**index, "format": 99}))
    assert "newer" in refused(sample(copy), 7, "V")


def test_more_rows_than_ids_is_refused_before_the_first_is_drawn(copy: Path) -> None:
    line = refused(dpsynth("sample", copy / "model", "-n", 10**12, "-o", copy / "rows.csv"), 4, "D201")
    assert re.search(r"6 digits are too few for [0-9,]{13,} ids", line), (
        "rows, or people with several of them"
    )
    assert not (copy / "rows.csv").exists()


# --- the last line of defence ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("problem", "code", "prefix"),
    [
        (MemoryError(SECRET), 8, "C001"),
        (OSError(errno.ENOSPC, "No space left", "/some/where"), 8, "C002"),
        (OSError(errno.EACCES, "Permission denied", "/some/where"), 2, "U001"),
        (KeyError(SECRET), 1, "X001"),
    ],
)
def test_what_nobody_expected(
    copy: Path, monkeypatch: pytest.MonkeyPatch, problem: Exception, code: int, prefix: str
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise problem

    monkeypatch.setattr("dpsynth.synthesis.load", broken)
    refused(sample(copy), code, prefix)
    told = json.loads(dpsynth("sample", copy / "model", "-o", copy / "rows.csv", "--json").stdout)
    assert told["error"]["code"] == f"DPS-{prefix}"


def test_ctrl_c_while_loading(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    from dpsynth import cli

    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("dpsynth.cli.app.app", stop)
    with pytest.raises(SystemExit) as caught:
        cli.main()
    assert caught.value.code == 130
    assert "interrupted" in capsys.readouterr().err
    monkeypatch.undo()
    monkeypatch.setattr("dpsynth.cli.lazily.import_module", stop)
    result = dpsynth("run", "project.yaml")
    assert (result.exit_code, result.stderr) == (130, "interrupted; nothing was started\n")


def test_the_json_schema_of_the_project_file() -> None:
    schema = json.loads(dpsynth("schema").stdout)
    assert {"data", "budget", "columns", "generator", "audit", "release"} <= schema["properties"].keys()
    assert schema["additionalProperties"] is False
