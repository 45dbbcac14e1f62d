"""A real Spark cluster on the loopback beside DuckDB: CPU seconds, jobs, and the same counts when a worker is killed.

python -m benchmarks.spark --table adult_coded.csv.gz --domain adult_coded-domain.json --rows 1e6 1e7 --scratch /big/disk

A standalone master and two workers of one core each are started with `spark-class` from the wheel, on 127.0.0.1, their logs
in a temporary folder. The tables are those of `benchmarks.large`. CPU seconds are those of all processes below this one,
from /proc (user and system time of each, and of its children that have ended): the JVMs of driver, master and workers, and
the workers' Python. They are read before and after each step, so that starting the cluster is apart.
"""

from __future__ import annotations

import argparse
import itertools
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

from benchmarks.large import make, schema_of
from dpsynth import demo_data
from dpsynth.entropy import Stream
from dpsynth.model import FittedModel
from dpsynth.schema import Schema

HOST = "127.0.0.1"
TICK = os.sysconf("SC_CLK_TCK")


@dataclass
class Cluster:
    """A master and its workers, in processes of their own."""

    master: str
    started: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def kill_a_worker(self) -> None:
        """The last one, at once, with the executor that it has started: a machine that is switched off."""
        victim = self.started[-1].pid
        for process in (*_below(victim), victim):
            try:
                os.kill(process, signal.SIGKILL)
            except ProcessLookupError:
                continue


@contextmanager
def cluster(workers: int = 2) -> Iterator[Cluster]:
    import pyspark

    home = Path(pyspark.__file__).parent
    port, apart = _free_port(), {"SPARK_HOME": str(home), "SPARK_DAEMON_MEMORY": "256m"}
    os.environ.update({"PYSPARK_PYTHON": sys.executable, "SPARK_LOCAL_IP": HOST})
    with tempfile.TemporaryDirectory(prefix="dpsynth-cluster-") as folder:
        found = Cluster(f"spark://{HOST}:{port}")

        def start(name: str, *words: str) -> None:
            log = (Path(folder) / f"{name}.log").open("wb")
            command = [str(home / "bin" / "spark-class"), *words]
            environment = {**os.environ, **apart, "SPARK_WORKER_DIR": folder}
            found.started.append(
                subprocess.Popen(command, stdout=log, stderr=log, env=environment, cwd=folder)
            )

        try:
            start(
                "master",
                "org.apache.spark.deploy.master.Master",
                "--host",
                HOST,
                "--port",
                str(port),
                "--webui-port",
                "0",
            )
            _wait_for(port)
            for number in range(workers):
                options = [
                    "--host",
                    HOST,
                    "--cores",
                    "1",
                    "--memory",
                    "1g",
                    "--webui-port",
                    "0",
                    "--work-dir",
                    folder,
                ]
                start(f"worker-{number}", "org.apache.spark.deploy.worker.Worker", *options, found.master)
            yield found
        finally:
            for process in reversed(found.started):
                process.terminate()
            for process in found.started:
                process.wait(30)


def _free_port() -> int:
    with socket.socket() as one:
        one.bind((HOST, 0))
        return int(one.getsockname()[1])


def _wait_for(port: int) -> None:
    for _ in range(600):
        try:
            socket.create_connection((HOST, port), timeout=1).close()
            return
        except OSError:
            time.sleep(0.2)
    raise SystemExit("the master does not start")


def _processes() -> dict[int, tuple[int, float]]:
    """Of each process: its parent, and its CPU seconds with those of its children that have ended."""
    found = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            words = (entry / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        found[int(entry.name)] = (int(words[1]), sum(map(int, words[11:15])) / TICK)
    return found


def _below(root: int) -> list[int]:
    """All processes that a process has started, directly or not, the youngest first."""
    known, found = _processes(), [root]
    for process in found:
        found += [child for child, (parent, _) in known.items() if parent == process]
    return found[:0:-1]


def spent() -> float:
    """CPU seconds of this process and of everything that it has started."""
    known = _processes()
    return sum(known[process][1] for process in (os.getpid(), *_below(os.getpid())) if process in known)


@dataclass
class Took:
    """CPU and wall seconds of a step."""

    cpu: float = 0.0
    wall: float = 0.0


def timed(step: Callable[[], Any]) -> tuple[Any, Took]:
    cpu, wall = spent(), time.monotonic()
    answer = step()
    return answer, Took(spent() - cpu, time.monotonic() - wall)


def cliques_of(schema: Schema) -> list[tuple[str, ...]]:
    """All pairs, and twenty triples."""
    names = schema.domain.attributes
    return [*itertools.combinations(names, 2), *itertools.islice(itertools.combinations(names, 3), 20)]


def one_choice() -> Any:
    """The same secret choices for both engines: which rows of a person count is chosen by a key, new for each run."""
    found = ExitStack()
    for where in ("stream_intake", "spark_intake"):
        found.enter_context(patch(f"dpsynth.privacy.{where}.system", lambda: Stream.for_tests(b"benchmark")))
    return found


def with_duckdb(file: Path, schema: Schema, scratch: Path) -> dict[str, Any]:
    from dpsynth.large import take_in_large

    taken, reading = timed(lambda: take_in_large(file, schema, holdout=0.0, folder=scratch))
    counts, counting = timed(lambda: taken.engine.marginals(cliques_of(schema)))
    _, warm = timed(lambda: taken.engine.merged({}).marginals(cliques_of(schema)))
    return {"reading": reading, "counting": counting, "again": warm, "counts": counts}


def with_spark(file: Path, schema: Schema) -> dict[str, Any]:
    from dpsynth.spark import take_in_cluster

    taken, reading = timed(lambda: take_in_cluster(str(file), schema, holdout=0.0))
    jobs = taken.engine.chunks.jobs
    counts, counting = timed(lambda: taken.engine.marginals(cliques_of(schema)))
    asked = len(jobs.last)
    _, warm = timed(lambda: taken.engine.merged({}).marginals(cliques_of(schema)))
    return {
        "reading": reading,
        "counting": counting,
        "again": warm,
        "counts": counts,
        "jobs": asked,
        "taken": taken,
    }


def killed(there: Cluster, taken: Any, schema: Schema) -> tuple[dict[Any, Any], Took]:
    """The counts of a round in the middle of which a worker is killed."""
    timer = threading.Timer(0.5, there.kill_a_worker)
    timer.start()
    counts, took = timed(lambda: taken.engine.merged({}).marginals(cliques_of(schema)))
    timer.join()
    return counts, took


def same(one: dict[Any, Any], other: dict[Any, Any]) -> bool:
    return one.keys() == other.keys() and all(np.array_equal(one[clique], other[clique]) for clique in one)


def compare(files: dict[int, Path], schema: Schema, small: Path, scratch: Path, master: str | None) -> None:
    local = {rows: with_duckdb(file, schema, scratch) for rows, file in files.items()}
    with cluster() if master is None else nullcontext(Cluster(master)) as there:
        from dpsynth.spark_session import session

        _, start = timed(lambda: session(there.master))
        # first a few rows, so that the executors have loaded what they need
        _, load = timed(lambda: with_spark(small, schema))
        print(f"starting the session {start.cpu:.0f} CPU-s, the executors' Python {load.cpu:.0f} CPU-s\n")
        print(
            "| rows | step | DuckDB, CPU-s | Spark, CPU-s | ratio | Spark, wall s |\n|---|---|---|---|---|---|"
        )
        for rows, file in files.items():
            found = with_spark(file, schema)
            for step in ("reading", "counting", "again"):
                ours, theirs = local[rows][step], found[step]
                cells = (f"{rows:,}", step, f"{ours.cpu:.1f}", f"{theirs.cpu:.1f}")
                print(
                    f"| {' | '.join(cells)} | {theirs.cpu / ours.cpu:.1f} | {theirs.wall:.1f} |", flush=True
                )
            equal = same(found["counts"], local[rows]["counts"])
            print(
                f"\nsame counts: {equal}; jobs for {len(cliques_of(schema))} cliques: {found['jobs']}\n",
                flush=True,
            )
        if master is not None:
            return
        kept = found["taken"].engine.chunks.jobs.session.sparkContext._jsc.sc()
        before = kept.getExecutorMemoryStatus().size() - 1
        counts, took = killed(there, found["taken"], schema)
        left = kept.getExecutorMemoryStatus().size() - 1
        equal = same(counts, local[rows]["counts"])
        print(
            f"{rows:,} rows, a worker killed in the middle ({before} executors, then {left}): same counts: {equal}"
        )
        print(
            f"that round took {took.wall:.0f} s"
        )  # what the killed processes had used is no longer to be read


def demo(kill: bool) -> None:
    """The demo job on the cluster, from the table to the verified bundle; `kill`: a worker dies while it runs."""
    from dpsynth import pipeline
    from dpsynth.cli.clusters import with_engine

    with cluster() as there, demo_data.project() as project, tempfile.TemporaryDirectory() as folder:
        dying: list[threading.Timer] = []

        def told(step: str, done: float) -> None:
            if kill and step == "measuring" and not dying:
                dying.append(threading.Timer(0.0, there.kill_a_worker))
                dying[0].start()

        spec = with_engine(project, "spark", there.master)
        account = Path(folder) / "demo.ledger"
        outcome, took = timed(lambda: pipeline.run(spec, Path(folder) / "out", ledger=account, progress=told))
        how = ", a worker killed while measuring" if kill else ""
        bundle = outcome.verification.bundle_id[:12]
        words = f"{outcome.rows} rows, verified bundle {bundle}, {took.wall:.0f} s, {took.cpu:.0f} CPU-s"
        print(f"demo on the cluster{how}: {words}")


def sampled(model: Path, rows: list[int], master: str | None) -> None:
    """Synthetic rows by the executors, into a folder of parquet files."""
    from dpsynth.spark_output import write_sample
    from dpsynth.spark_session import session

    with cluster() if master is None else nullcontext(Cluster(master)) as there:
        opened, loaded = session(there.master), FittedModel.load(model)
        print("| rows | CPU-s | wall s | on the disk, MB |\n|---|---|---|---|")
        for many in [100_000, *rows]:  # the first loads the executors' Python
            with tempfile.TemporaryDirectory() as folder:
                out = Path(folder) / "rows"
                _, took = timed(partial(write_sample, loaded, many, out, opened, seed=1))
                size = sum(file.stat().st_size for file in out.iterdir()) / 1e6
                print(f"| {many:,} | {took.cpu:.1f} | {took.wall:.1f} | {size:,.0f} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--table", type=Path)
    parser.add_argument("--domain", type=Path)
    parser.add_argument("--rows", type=float, nargs="+", default=[1e6, 1e7])
    parser.add_argument("--scratch", type=Path)
    parser.add_argument("--master", help="instead of a cluster, such as local[2]: nobody is killed then")
    parser.add_argument("--each", type=float, help="rows of a person, on average; without: a row is a unit")
    parser.add_argument("--bound", type=int, default=8, help="with --each: rows of a person that count")
    parser.add_argument("--demo", choices=["whole", "killed"], help="the demo job instead")
    parser.add_argument("--sample", type=Path, metavar="MODEL", help="--rows synthetic rows of it instead")
    asked = parser.parse_args()
    if asked.sample:
        sampled(asked.sample, [int(rows) for rows in asked.rows], asked.master)
        return
    if asked.demo:
        demo(asked.demo == "killed")
        return
    schema = schema_of(asked.domain, asked.bound if asked.each else None)
    with tempfile.TemporaryDirectory(dir=asked.scratch) as folder, one_choice():
        files = {int(rows): Path(folder) / f"{int(rows)}.parquet" for rows in asked.rows}
        for rows, file in {5000: Path(folder) / "small.parquet", **files}.items():
            make(asked.table, rows, file, asked.each)
        compare(files, schema, Path(folder) / "small.parquet", Path(folder), asked.master)


if __name__ == "__main__":
    main()
