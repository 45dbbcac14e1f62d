"""A Spark session: the one that is there, or a quiet one of our own. The only place that imports pyspark on the driver."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dpsynth.errors import UsageError
from dpsynth.spark_problems import is_of_spark

JAVA, LATER = 17, 21
"""Spark 4.0 is made for these versions of Java; before the first it does not run, after the second it may not start."""
_WAIT_SECONDS = 5.0
_REMOTE = ("SPARK_REMOTE", "SPARK_CONNECT_MODE_ENABLED")
"""Variables by which pyspark opens sessions of Spark Connect."""
_LOGGING = """\
rootLogger.level = off
"""


def running() -> Any:
    """The session that the caller has started, or None. Without pyspark there is none."""
    if "pyspark" not in sys.modules:
        return None
    return _sessions().getActiveSession()


def session(master: str | None = None) -> Any:
    """The session that is running, else a new one on `master`: ``local[2]``, ``spark://host:7077``, ``yarn``, ...

    Without a master Spark's own settings decide (spark-defaults.conf), and all cores of this machine where they say
    nothing. A new session prints no log lines, answers no web page, and counts time in UTC.

    Raises UsageError: U280 without pyspark, U281 without Java, U282 for a Java before 17, U283 for a master that cannot be
    reached or a session that does not start, U285 when another master is in use, U286 for Spark Connect.
    """
    builder = _sessions().builder
    there = running()
    if there is not None:
        _require_same(there, master)
        return there
    if (master or "").startswith("sc://"):
        raise _connect("give the address of the cluster itself, such as --master spark://host:7077")
    if any(os.environ.get(name) for name in _REMOTE):
        raise _connect(f"unset {' and '.join(name for name in _REMOTE if os.environ.get(name))}")
    java = require_java()
    if master is not None:
        _require_reachable(master)
        builder = builder.master(master)
    for name, value in _settings(master).items():
        builder = builder.config(name, value)
    with tempfile.TemporaryDirectory(prefix="dpsynth-") as folder:
        quiet = Path(folder) / "log4j2.properties"
        quiet.write_text(_LOGGING)
        wanted = {
            "SPARK_SUBMIT_OPTS": f"{os.environ.get('SPARK_SUBMIT_OPTS', '')} -Dlog4j2.configurationFile={quiet}"
        }
        if master is None or master.startswith("local"):
            wanted["PYSPARK_PYTHON"] = os.environ.get("PYSPARK_PYTHON", sys.executable)
        return _started(builder, wanted, Path(folder) / "said", java)


def is_frame(source: Any) -> bool:
    """Whether something is a DataFrame of Spark. Imports nothing."""
    return any(
        kind.__module__.startswith("pyspark.sql") and kind.__name__ == "DataFrame"
        for kind in type(source).__mro__
    )


def session_of(frame: Any) -> Any:
    """The session of a DataFrame. UsageError U286 for one of Spark Connect: it has no access to its executors."""
    found = frame.sparkSession
    if not hasattr(found, "_jsparkSession"):
        raise _connect("open a session on the cluster itself: SparkSession.builder.master(...)")
    return found


def _connect(fix: str) -> UsageError:
    """What is counted must be known to be each part of the table, once: that needs jobs of our own, and what they keep."""
    return UsageError("U286", "Spark Connect cannot be used: it hides the jobs and what executors keep", fix)


def declared(kinds: Any) -> Any:
    """An Arrow schema as Spark declares it."""
    from pyspark.sql.pandas.types import from_arrow_schema

    return from_arrow_schema(kinds, prefer_timestamp_ntz=True)


def require_java() -> int:
    """The version of the Java for Spark: the one in JAVA_HOME, else the first on the path. UsageError U281 where there is
    none, U282 where it is too old."""
    home = os.environ.get("JAVA_HOME")
    java = str(Path(home) / "bin" / "java") if home else shutil.which("java")
    fix = f"install a Java {JAVA} runtime (such as the package openjdk-{JAVA}-jre-headless), or set JAVA_HOME to one"
    try:
        asked = subprocess.run(
            [java or "", "-version"], capture_output=True, text=True, timeout=60, check=False
        )
    except (OSError, subprocess.SubprocessError):
        where = "in JAVA_HOME" if home else "on the path"
        raise UsageError("U281", f"Spark needs Java {JAVA}, and there is none {where}", fix) from None
    found = re.search(r'version "(\d+)(?:\.(\d+))?', asked.stderr + asked.stdout)
    if found is None:
        raise UsageError("U281", f"Spark needs Java {JAVA}, and {java} does not say its version", fix)
    major = int(found.group(2) or 1) if found.group(1) == "1" else int(found.group(1))
    if major < JAVA:
        raise UsageError("U282", f"Spark needs Java {JAVA}, and {java} is Java {major}", fix)
    return major


def _sessions() -> Any:
    try:
        from pyspark.sql import SparkSession
    except ImportError:
        raise UsageError(
            "U280", "the engine spark needs pyspark", f"pip install 'dpsynth-audit[spark]', and Java {JAVA}"
        ) from None
    return SparkSession


def _settings(master: str | None) -> dict[str, str]:
    found = {
        "spark.app.name": "dpsynth",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.log.level": "OFF",
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.caseSensitive": "true",
        # what executors keep, send to each other and spill lies on their disks under a key that dies with the session
        "spark.io.encryption.enabled": "true",
        # the 007 of a folder code=007 is a text as everywhere, not 7
        "spark.sql.sources.partitionColumnTypeInference.enabled": "false",
    }
    if master is None or master.startswith("local"):
        # the workers are this machine: nothing listens to others
        found |= {"spark.driver.host": "127.0.0.1", "spark.driver.bindAddress": "127.0.0.1"}
    return found


def _require_same(there: Any, master: str | None) -> None:
    if master is not None and there.sparkContext.master != master:
        raise UsageError(
            "U285",
            f"a session on {there.sparkContext.master} is running, not on {master}",
            "stop it, or leave the master out",
        )


def _require_reachable(master: str) -> None:
    """Ask for a connection first: Spark itself tries for a minute."""
    if not master.startswith("spark://"):
        return
    for place in master.removeprefix("spark://").split(","):
        host, _, port = place.rpartition(":")
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout=_WAIT_SECONDS).close()
        except (OSError, ValueError, OverflowError):
            continue
        return
    raise _not_started(f"the master {master} cannot be reached")


def _not_started(problem: str) -> UsageError:
    return UsageError(
        "U283",
        f"no Spark session: {problem}",
        "check --master (local[4], spark://host:7077, yarn) and that its cluster runs",
    )


def _started(builder: Any, wanted: Mapping[str, str], said: Path, java: int) -> Any:
    try:
        with _apart(said), _environment(wanted):
            return builder.getOrCreate()
    except Exception as error:
        if not is_of_spark(error) and not isinstance(error, OSError | RuntimeError):
            raise
        newer = (
            f"; Spark 4.0 is made for Java {JAVA} and {LATER}, and this is Java {java}"
            if java > LATER
            else ""
        )
        raise _not_started(f"it does not start ({type(error).__name__}){newer}") from None


@contextmanager
def _environment(wanted: Mapping[str, str]) -> Iterator[None]:
    """These variables for what starts in this block; then what they were."""
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    try:
        yield
    finally:
        for name, old in before.items():
            if old is None:
                del os.environ[name]
            else:
                os.environ[name] = old


@contextmanager
def _apart(said: Path) -> Iterator[None]:
    """Java inherits standard error when it starts and has remarks from its first second on: they go to a file."""
    with said.open("wb") as file:
        kept = os.dup(2)
        os.dup2(file.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)
