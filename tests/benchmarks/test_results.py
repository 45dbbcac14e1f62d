"""Stored results of the benchmark: what counts as the same run, and what the table says of them."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks import runs, scores
from benchmarks.generators import generators
from benchmarks.peers.setup import PEERS, pins
from benchmarks.peers.task import Task
from benchmarks.report import report
from benchmarks.runs import DELTA, Generator, Results, Run, Setting
from benchmarks.scores import Scores
from benchmarks.tables import Codes, Table

ROWS = np.random.default_rng(0).integers(0, 3, (60, 3))
TABLE = Table("tiny", {"a": 3, "b": 3, "c": 3}, ("a",), None, ROWS, None)


def run_of(generator: Generator, two_way: float, seed: int = 0) -> Run:
    return Run(
        generator=generator.name,
        table=TABLE.name,
        fingerprint=TABLE.fingerprint,
        epsilon=1.0,
        delta=DELTA,
        seed=seed,
        version=generator.version,
        taken="2026-01-01 00:00",
        state="done",
        reason="",
        cpu_limit=900.0,
        cpu_s=2.0,
        again_cpu_s=0.5,
        sample_cpu_s=0.1,
        peak_mb=100.0,
        scored=scores.REVISION,
        scores=Scores(0.01, two_way, 2 * two_way, None, None),
    )


def setting(tmp_path: Path, *, cpu_limit: float = 900.0, fresh: bool = False) -> Setting:
    results = tmp_path / "results.jsonl"
    return Setting(tmp_path, results, cpu_limit, memory_mb=1000, nice=0, repeats=1, fresh=fresh)


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Fits that were really run."""
    seeds: list[int] = []

    def execute(g: Generator, t: Table, e: float, seed: int, s: Setting) -> tuple[Run, Codes]:
        seeds.append(seed)
        return replace(run_of(g, 0.05, seed), cpu_limit=s.cpu_limit), ROWS

    monkeypatch.setattr(runs, "execute", execute)
    return seeds


def test_a_stored_run_is_not_run_again(tmp_path: Path, counted: list[int]) -> None:
    mst = Generator("mbi", "mst")
    first = runs.result(mst, TABLE, 1.0, 0, setting(tmp_path))
    assert runs.result(mst, TABLE, 1.0, 0, setting(tmp_path)) == first
    assert counted == [0]
    runs.result(mst, TABLE, 1.0, 1, setting(tmp_path))
    runs.result(mst, TABLE, 1.0, 0, setting(tmp_path, fresh=True))
    runs.result(mst, replace(TABLE, train=ROWS[::-1].copy()), 1.0, 0, setting(tmp_path))
    assert counted == [0, 1, 0, 0]


def test_an_unfinished_run_is_tried_again_with_more_time_only(tmp_path: Path, counted: list[int]) -> None:
    mst = Generator("mbi", "mst")
    ended = replace(run_of(mst, 0.05), state="unfinished", scores=None, cpu_limit=100.0)
    Results(setting(tmp_path).results).add(ended, None)
    assert runs.result(mst, TABLE, 1.0, 0, setting(tmp_path, cpu_limit=100.0)).state == "unfinished"
    assert counted == []
    assert runs.result(mst, TABLE, 1.0, 0, setting(tmp_path)).state == "done"
    assert counted == [0]


def test_a_changed_score_is_taken_again_from_the_stored_rows(tmp_path: Path) -> None:
    results = Results(tmp_path / "results.jsonl")
    old = replace(run_of(Generator("mbi", "mst"), 0.05), scored=scores.REVISION - 1)
    results.add(old, ROWS)
    found = results.rescored(old, TABLE)
    assert found.scores == Scores(0.0, 0.0, 0.0, None, None)
    assert list(results) == [found]


def test_the_table_says_ratios_and_what_is_unfinished() -> None:
    ours, peer, slow = (Generator(*g) for g in (("dpsynth", "mst"), ("mbi", "mst"), ("dpmm", "mst")))
    found = [run_of(ours, 0.02), run_of(ours, 0.04, 1), run_of(peer, 0.06)]
    found.append(replace(run_of(slow, 1.0), state="unfinished", scores=None, reason="CPU limit"))
    text = report([TABLE], found, "the command")
    (mine,) = (line for line in text.splitlines() if line.startswith("| dpsynth mst | 2 |"))
    assert [c.strip() for c in mine.split("|")][2:-1] == [
        "2", "0.0100", "0.0300 ± 0.0141", "0.0600", "-", "-", "0.50", "0.50", "1.00", "2 (0.5)", "100",
        ours.version.removeprefix("source "), "2026-01-01 00:00",
    ]  # fmt: skip
    assert "| dpmm mst: unfinished, CPU limit | 0 |" in text
    assert "> 900" in text
    assert re.search(r"ratios 0\.65 \(beside \d+ of 7 peers\): reached", text)
    assert "| dpsynth mst | 1 of 1 | 1.00 | tiny, epsilon 1 |" in text


def test_a_task_travels(tmp_path: Path) -> None:
    task = Task("mbi", "mst", 1.0, DELTA, 3, {"a": 3}, ["a"], None, 60, 900.0, 1000, 1)
    task.write(tmp_path / "task.json")
    assert Task.read(tmp_path / "task.json") == task


def test_every_peer_is_pinned_and_named() -> None:
    for library, peer in PEERS.items():
        lines = pins(library).split()
        assert peer.package in lines
        assert all("==" in line for line in lines)
    names = [g.name for g in generators(["all"])]
    assert len(names) == len(set(names))
    assert names.index("smartnoise mst") < names.index("mbi aim")
    assert [g.name for g in generators(["mbi aim", "mbi"])] == ["mbi aim", "mbi mst"]
    with pytest.raises(SystemExit, match="no generator"):
        generators(["nobody"])
