"""What is refused before a Spark session starts, and what Spark's own errors become. Needs neither Spark nor Java."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest

from dpsynth import spark_session
from dpsynth.cli.clusters import with_engine
from dpsynth.errors import CapacityError, DataError, DPSynthError, UsageError
from dpsynth.project import Project, is_elsewhere
from dpsynth.spark_jobs import Jobs, translated
from dpsynth.spark_problems import explained
from dpsynth.spark_session import is_frame, require_java, session


def java(home: Path, says: str) -> None:
    (home / "bin").mkdir(parents=True)
    program = home / "bin" / "java"
    program.write_text(f"#!/bin/sh\necho '{says}' >&2\n")
    program.chmod(0o755)


class TestJava:
    @pytest.mark.parametrize("says", ['openjdk version "17.0.15" 2025-04-15', 'java version "21" 2023-09-19'])
    def test_a_recent_one_will_do(self, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        java(tmp_path, says)
        monkeypatch.setenv("JAVA_HOME", str(tmp_path))
        require_java()

    @pytest.mark.parametrize(
        ("says", "major"), [('java version "1.8.0_392"', 8), ('openjdk version "11.0.2"', 11)]
    )
    def test_an_old_one_is_named(
        self, says: str, major: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        java(tmp_path, says)
        monkeypatch.setenv("JAVA_HOME", str(tmp_path))
        with pytest.raises(UsageError, match=f"is Java {major}; install a Java 17") as caught:
            require_java()
        assert caught.value.code == "DPS-U282"

    def test_none_is_said(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("JAVA_HOME", str(tmp_path))
        with pytest.raises(UsageError, match="none in JAVA_HOME"):
            require_java()
        monkeypatch.delenv("JAVA_HOME")
        monkeypatch.setenv("PATH", str(tmp_path))
        with pytest.raises(UsageError, match="none on the path"):
            require_java()

    def test_one_that_says_nothing(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        java(tmp_path, "no runtime present")
        monkeypatch.setenv("JAVA_HOME", str(tmp_path))
        with pytest.raises(UsageError, match="does not say its version"):
            require_java()


class TestStarting:
    def test_without_pyspark(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(__import__("sys").modules, "pyspark.sql", None)
        with pytest.raises(UsageError, match=r"dpsynth-audit\[spark\]"):
            session("local[2]")

    def test_a_master_that_cannot_be_reached(self, monkeypatch: pytest.MonkeyPatch) -> None:
        class Sessions:
            builder = None

        monkeypatch.setattr(spark_session, "_sessions", lambda: Sessions)
        monkeypatch.setattr(spark_session, "running", lambda: None)
        monkeypatch.setattr(spark_session, "require_java", lambda: 17)
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))  # nobody listens
            for master in (f"spark://127.0.0.1:{taken.getsockname()[1]}", "spark://nowhere", "spark://:x"):
                with pytest.raises(UsageError, match="cannot be reached") as caught:
                    session(master)
                assert caught.value.code == "DPS-U283"

    @pytest.mark.parametrize(("java", "said"), [(21, False), (25, True)])
    def test_a_session_that_does_not_start(
        self, java: int, said: bool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        class Builder:
            def master(self, name: str) -> Builder:
                return self

            def config(self, name: str, value: str) -> Builder:
                return self

            def getOrCreate(self) -> None:
                raise RuntimeError("the gateway has ended")

        class Sessions:
            builder = Builder()

        monkeypatch.setattr(spark_session, "_sessions", lambda: Sessions)
        monkeypatch.setattr(spark_session, "running", lambda: None)
        monkeypatch.setattr(spark_session, "require_java", lambda: java)
        with pytest.raises(UsageError, match=r"does not start \(RuntimeError\)") as caught:
            session("local[2]")
        assert caught.value.code == "DPS-U283"
        assert ("this is Java 25" in caught.value.problem) == said

    def test_spark_connect(self, monkeypatch: pytest.MonkeyPatch) -> None:
        class Sessions:
            builder = None

        monkeypatch.setattr(spark_session, "_sessions", lambda: Sessions)
        monkeypatch.setattr(spark_session, "running", lambda: None)
        with pytest.raises(UsageError, match="Spark Connect cannot be used") as caught:
            session("sc://somewhere:15002")
        assert caught.value.code == "DPS-U286"
        monkeypatch.setenv("SPARK_REMOTE", "sc://somewhere:15002")
        with pytest.raises(UsageError, match="unset SPARK_REMOTE"):
            session()

        class Frame:
            sparkSession = object()

        with pytest.raises(UsageError, match="Spark Connect cannot be used"):
            spark_session.session_of(Frame())

    def test_a_master_without_spark(self, project: Path) -> None:
        with pytest.raises(UsageError, match="--master without Spark"):
            with_engine(Project.load(project), None, "local[2]")
        assert with_engine(Project.load(project), "duckdb", None).data.engine == "duckdb"


class Py4JJavaError(Exception):
    """As the bridge raises it."""


Py4JJavaError.__module__ = "py4j.protocol"


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ("java.io.IOException: No space left on device, row Ann 47", "C180"),
        ("java.lang.OutOfMemoryError: Java heap space Ann 47", "C181"),
        ("ExecutorLostFailure (executor 1 exited) Ann 47", "C182"),
        ("[TABLE_OR_VIEW_NOT_FOUND] The table Ann 47", "D181"),
        ("[FAILED_READ_FILE.FILE_NOT_EXIST] file Ann 47", "D181"),
        ("[MALFORMED_RECORD_IN_PARSING.WITHOUT_SUGGESTION] Malformed records Ann 47", "D182"),
        ("[FAILED_READ_FILE.PARQUET_COLUMN_DATA_TYPE_MISMATCH] Ann 47", "D183"),
        ("[PARQUET_TYPE_ILLEGAL] Illegal Parquet type: INT64 (TIMESTAMP(NANOS,false)) Ann 47", "D188"),
        ("ModuleNotFoundError: No module named 'dpsynth' Ann 47", "U284"),
        ("whatever else Ann 47", "D185"),
    ],
)
def test_what_spark_says_is_told_in_our_words(said: str, code: str) -> None:
    with pytest.raises(DPSynthError) as caught, translated():
        raise Py4JJavaError(
            f"An error occurred while calling o42.collectToPython.\n: {said}\n\tat java.base/x"
        )
    assert caught.value.code == f"DPS-{code}"
    assert "Ann" not in str(caught.value)
    assert "47" not in str(caught.value)
    assert len(str(caught.value)) < 300
    assert caught.value.fix


def test_errors_of_others_stay_as_they_are() -> None:
    with pytest.raises(KeyError), translated():
        raise KeyError("ours")
    assert isinstance(explained(Py4JJavaError("[SOME_CONDITION.OF_SPARK] Ann")), DataError)
    assert "SOME_CONDITION.OF_SPARK" in str(explained(Py4JJavaError("[SOME_CONDITION.OF_SPARK] Ann")))
    assert isinstance(explained(Py4JJavaError("No space left on device")), CapacityError)


class Context:
    """Of a session whose jobs never end."""

    master = "local[2]"

    def __init__(self) -> None:
        self.cancelled: list[str] = []
        self.workers = 0

    @property
    def _jsc(self) -> Any:
        return self

    def sc(self) -> Any:
        return self

    def getExecutorMemoryStatus(self) -> Any:
        return self

    def size(self) -> int:
        return 1 + self.workers

    def setJobGroup(self, group: str, step: str, interruptOnCancel: bool) -> None: ...

    def cancelJobGroup(self, group: str) -> None:
        self.cancelled.append(group)

    def statusTracker(self) -> Any:
        class Tracker:
            def getJobIdsForGroup(self, group: str) -> list[int]:
                return []

        return Tracker()


class Session:
    def __init__(self) -> None:
        self.sparkContext = Context()
        self.settings = {"kept": "1"}
        outer = self

        class Conf:
            def get(self, name: str, default: Any = None) -> Any:
                return outer.settings.get(name, default)

            def set(self, name: str, value: str) -> None:
                outer.settings[name] = value

            def unset(self, name: str) -> None:
                del outer.settings[name]

        self.conf = Conf()


def test_a_progress_that_asks_to_stop_cancels_the_jobs(monkeypatch: pytest.MonkeyPatch) -> None:
    import threading

    from dpsynth import spark_jobs
    from dpsynth.progress import Cancelled

    monkeypatch.setattr(spark_jobs, "POLL_SECONDS", 0.001)
    there, ended = Session(), threading.Event()

    def stop(step: str, done: float) -> None:
        ended.set()
        raise Cancelled

    with pytest.raises(Cancelled):
        Jobs(there, stop).run(lambda: ended.wait(10), "counting", {"kept": "2", "new": "3"})
    assert len(there.sparkContext.cancelled) == 1
    assert there.settings == {"kept": "1"}
    assert Jobs(there).run(lambda: dict(there.settings), "counting", {"kept": "2"}) == {"kept": "2"}


@pytest.mark.parametrize("workers", [0, 1])
def test_a_cluster_without_workers_does_not_hang(workers: int, monkeypatch: pytest.MonkeyPatch) -> None:
    import threading

    from dpsynth import spark_jobs

    for name, seconds in (("POLL_SECONDS", 0.001), ("LOOK_SECONDS", 0.001), ("WAIT_SECONDS", 0.05)):
        monkeypatch.setattr(spark_jobs, name, seconds)
    there, ended, heard = Session(), threading.Event(), set[str]()
    there.sparkContext.master = "spark://somewhere:7077"
    there.sparkContext.workers = workers
    there.sparkContext.cancelJobGroup = lambda group: ended.set()  # type: ignore[method-assign]

    def ask() -> Any:
        jobs = Jobs(there, lambda step, done: heard.add(step))
        return jobs.run(lambda: ended.wait(0.3 if workers else 10), "counting", {})

    if workers:
        assert ask() is False
        assert heard == {"counting"}
        return
    with pytest.raises(CapacityError, match="no worker") as caught:
        ask()
    assert caught.value.code == "DPS-C183"
    assert "waiting for workers of the cluster" in heard


def test_what_is_a_frame_of_spark_and_what_lies_elsewhere() -> None:
    import pandas as pd

    assert not is_frame(pd.DataFrame({"a": [1]}))
    assert not is_frame("table:people")
    assert is_frame(type("DataFrame", (), {"__module__": "pyspark.sql.classic.dataframe"})())
    assert [is_elsewhere(path) for path in ("table:people", "s3a://b/x", "rows.csv", "C:/rows.csv")] == [
        True, True, False, False,
    ]  # fmt: skip


def test_a_project_names_a_table_or_an_address(rewrite: Any, project: Path) -> None:
    path = rewrite("path: claims.csv", "engine: spark, path: 's3a://claims/2026'")
    assert Project.load(path).source == "s3a://claims/2026"
    path = rewrite("engine: spark, path: 's3a://claims/2026'", "engine: spark, path: claims.csv")
    assert Project.load(path).source == project.parent / "claims.csv"
