"""One run of one generator: in its own environment, within limits, scored, and kept as a line of a file."""

from __future__ import annotations

import ast
import datetime as dt
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from benchmarks import scores
from benchmarks.peers.setup import PEERS, interpreter, pins
from benchmarks.peers.task import Task
from benchmarks.scores import Scores
from benchmarks.tables import Codes, Table

HERE = Path(__file__).parent
OURS = "dpsynth"
DELTA = 1e-9
UNTOLD = ", target not told"
DECIDING = (
    "mechanisms",
    "pgm",
    "engines",
    "model",
    "privacy",
    "synthesis.py",
    "workload.py",
    "measurement.py",
    "counting.py",
    "counting_loops.py",
    "counting_joints.py",
)
"""The parts of our source that decide what a fit gives; a change elsewhere leaves stored results standing."""
WALL = 8
"""A run may take so many times its CPU limit of wall time: the machine may be busy."""
QUIET = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "NUMBA_NUM_THREADS": "1",
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false",
    "PYTHONWARNINGS": "ignore",
    "CUDA_VISIBLE_DEVICES": "",
}


@dataclass(frozen=True)
class Generator:
    """A method of a library: ours, or a peer's in its own environment. `told`: which column will be predicted."""

    library: str
    method: str
    told: bool = True

    @property
    def name(self) -> str:
        return f"{self.library} {self.method}" + ("" if self.told else UNTOLD)

    @property
    def ours(self) -> bool:
        return self.library == OURS

    @cached_property
    def version(self) -> str:
        """What the result depends on: the pinned library and our wiring of it, or our own source."""
        adapter = HERE / "peers" / f"with_{self.library}.py"
        if self.ours:
            files = [f for part in DECIDING for f in _sources(HERE.parent / OURS / part)]
            return f"source {_digest([_code(file) for file in [*files, adapter]])}"
        peer = PEERS[self.library]
        wiring = _digest([pins(self.library).encode(), repr(peer.environment).encode(), _code(adapter)])
        return f"{peer.package} wired {wiring}"


@dataclass(frozen=True)
class Run:
    """A result, as it is stored. `state`: done, unfinished (a limit), failed (with the reason).

    CPU in seconds, imports apart: `cpu_s` of the first fit of a process, `again_cpu_s` of the last when there
    were several; `peak_mb`: the largest resident memory of the process.
    """

    generator: str
    table: str
    fingerprint: str
    epsilon: float
    delta: float
    seed: int
    version: str
    taken: str
    state: str
    reason: str
    cpu_limit: float
    cpu_s: float
    again_cpu_s: float | None
    sample_cpu_s: float | None
    peak_mb: float
    scored: int
    scores: Scores | None

    @property
    def key(self) -> tuple[str, str, float, float, int, str]:
        return (self.generator, self.fingerprint, self.epsilon, self.delta, self.seed, self.version)


@dataclass(frozen=True)
class Setting:
    """What is the same for all runs of one command. `cpu_limit` in seconds, for one fit and its sample."""

    environments: Path
    results: Path
    cpu_limit: float
    memory_mb: int
    nice: int
    repeats: int
    fresh: bool


class Results:
    """A file of JSON lines, one a run, and beside it the rows of each, so that they can be scored again."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows = path.with_suffix(".rows")
        self.rows.mkdir(parents=True, exist_ok=True)

    def __iter__(self) -> Iterator[Run]:
        """The latest run of each key."""
        latest: dict[object, Run] = {}
        if self.path.exists():
            for line in self.path.read_text().splitlines():
                facts = json.loads(line)
                facts["scores"] = None if facts["scores"] is None else Scores(**facts["scores"])
                run = Run(**facts)
                latest[run.key] = run
        return iter(latest.values())

    def add(self, run: Run, rows: Codes | None) -> None:
        if rows is not None:
            np.savez_compressed(self._file(run), rows=rows.astype(np.uint16))
        with self.path.open("a") as file:
            file.write(json.dumps(asdict(run)) + "\n")

    def rescored(self, run: Run, table: Table) -> Run:
        """The run by today's scores; it is scored again when they have changed."""
        if run.state != "done" or run.scored == scores.REVISION:
            return run
        rows = np.load(self._file(run))["rows"].astype(np.int64)
        fresh = replace(run, scored=scores.REVISION, scores=scores.score(table, rows))
        self.add(fresh, None)
        return fresh

    def _file(self, run: Run) -> Path:
        return self.rows / f"{_digest([repr(run.key).encode()])}.npz"


def result(generator: Generator, table: Table, epsilon: float, seed: int, setting: Setting) -> Run:
    """The stored run, or a new one, which is stored."""
    results = Results(setting.results)
    wanted = (generator.name, table.fingerprint, epsilon, DELTA, seed, generator.version)
    if not setting.fresh:
        for run in results:
            enough = run.state != "unfinished" or run.cpu_limit >= setting.cpu_limit
            if run.key == wanted and enough:
                return results.rescored(run, table)
    run, rows = execute(generator, table, epsilon, seed, setting)
    results.add(run, rows)
    return run


def execute(
    generator: Generator, table: Table, epsilon: float, seed: int, setting: Setting
) -> tuple[Run, Codes | None]:
    """A fit and a sample of as many rows as the table has, in a process of their own."""
    task = Task(
        library=generator.library,
        method=generator.method,
        epsilon=epsilon,
        delta=DELTA,
        seed=seed,
        domain=dict(table.domain),
        ordered=list(table.ordered),
        target=table.target if generator.told else None,
        rows_wanted=len(table.train),
        cpu_limit=setting.cpu_limit,
        memory_mb=setting.memory_mb,
        repeats=setting.repeats,
    )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        np.save(folder / "rows.npy", table.train)
        task.write(folder / "task.json")
        version = generator.version
        status, cpu_s, peak_mb = _spawn(generator, folder, setting)
        run = Run(
            generator=generator.name,
            table=table.name,
            fingerprint=table.fingerprint,
            epsilon=epsilon,
            delta=DELTA,
            seed=seed,
            version=version,
            taken=dt.datetime.now(dt.UTC).strftime("%Y-%m-%d %H:%M"),
            state="done" if status == 0 else "unfinished" if status < 0 else "failed",
            reason="" if status == 0 else _reason(folder, status),
            cpu_limit=setting.cpu_limit,
            cpu_s=cpu_s,
            again_cpu_s=None,
            sample_cpu_s=None,
            peak_mb=peak_mb,
            scored=scores.REVISION,
            scores=None,
        )
        if status != 0:
            return run, None
        figures = json.loads((folder / "figures.json").read_text())
        rows = np.load(folder / "synthetic.npy")
        fits = [fit["cpu_s"] for fit in figures["fits"]]
        again = fits[-1] if len(fits) > 1 else None
        scored = scores.score(table, rows)
        sample = figures["sample_cpu_s"]
        return replace(run, cpu_s=fits[0], again_cpu_s=again, sample_cpu_s=sample, scores=scored), rows


def _spawn(generator: Generator, folder: Path, setting: Setting) -> tuple[int, float, float]:
    """(exit status, negative for a signal; CPU seconds in all; largest resident memory in MB)."""
    python = Path(sys.executable) if generator.ours else interpreter(generator.library, setting.environments)
    root = str(HERE.parent)
    own = {"PYTHONPATH": root} if generator.ours else PEERS[generator.library].environment
    environment = {**os.environ, **QUIET, **own}
    with (folder / "log.txt").open("w") as log:
        process = subprocess.Popen(
            ["nice", "-n", str(setting.nice), str(python), str(HERE / "peers" / "child.py"), str(folder)],
            stdout=log,
            stderr=subprocess.STDOUT,
            env=environment,
            cwd=folder,
        )
        timer = threading.Timer(WALL * setting.cpu_limit, process.kill)
        timer.start()
        _, status, used = os.wait4(process.pid, 0)
        timer.cancel()
        process.returncode = os.waitstatus_to_exitcode(status)
    scale = 2**20 if sys.platform == "darwin" else 2**10
    return process.returncode, used.ru_utime + used.ru_stime, used.ru_maxrss / scale


def _reason(folder: Path, status: int) -> str:
    """The last line that the process wrote, or the limit that ended it."""
    if status < 0:
        return "CPU limit" if status == -24 else f"ended by signal {-status}"
    lines = (folder / "log.txt").read_text(errors="replace").strip().splitlines()
    return (lines[-1] if lines else f"exit status {status}")[:160]


def _sources(path: Path) -> list[Path]:
    return [path] if path.is_file() else sorted(path.rglob("*.py"))


def _digest(parts: Sequence[bytes]) -> str:
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:8]


def _code(path: Path) -> bytes:
    """The program of a file, without comments, layout and docstrings: what can change a result."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list) and body and isinstance(body[0], ast.Expr):
            value = body[0].value
            if isinstance(value, ast.Constant) and isinstance(value.value, str):
                del body[0]
    return ast.dump(tree).encode()
