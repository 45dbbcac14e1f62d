"""One question to a Spark cluster: asked in a thread of its own, with our progress, its failures in our words."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from dpsynth.errors import CapacityError
from dpsynth.progress import Progress, silent
from dpsynth.spark_problems import explained, is_of_spark

POLL_SECONDS = 0.2
LOOK_SECONDS = 5.0
"""How often it is asked whether there are workers."""
WAIT_SECONDS = 120.0
"""So long a cluster may be without any."""
ONE_JOB: Mapping[str, str] = {
    # adaptive execution makes a job of each shuffle
    "spark.sql.adaptive.enabled": "false",
    # a row holds a chunk of records
    "spark.sql.execution.arrow.maxRecordsPerBatch": "64",
}
"""Settings of the session while chunks of records are asked."""
_groups = itertools.count(1)


class Jobs:
    """Asks a session; `last` has the numbers of the jobs that the latest question took, from Spark's status tracker."""

    def __init__(self, session: Any, progress: Progress = silent) -> None:
        self.session = session
        self.progress = progress
        self.last: tuple[int, ...] = ()

    def collected(self, frame: Any, step: str, settings: Mapping[str, str] = ONE_JOB) -> Any:
        """All rows of a DataFrame as a pyarrow Table. DPSynthError for whatever fails; Cancelled, and a keyboard's
        interrupt, stop the jobs."""
        return self.run(frame.toArrow, step, settings)

    def run(self, action: Callable[[], Any], step: str, settings: Mapping[str, str] = ONE_JOB) -> Any:
        """What `action` returns, which may start jobs."""
        group, done = f"dpsynth {next(_groups)}", threading.Event()
        context = self.session.sparkContext
        answer: list[Any] = []
        wrong: list[BaseException] = []

        def work() -> None:
            try:
                context.setJobGroup(group, step, interruptOnCancel=True)
                answer.append(action())
            except BaseException as error:
                wrong.append(error)
            finally:
                done.set()

        with translated(), _set(self.session, settings):
            thread = threading.Thread(target=work, name=group, daemon=True)
            workers = _Workers(context)
            thread.start()
            try:
                while not done.wait(POLL_SECONDS):
                    there = workers.there()
                    if self.progress is not silent:  # asking costs Spark a little
                        share = _share(context, group)
                        self.progress(step if there else "waiting for workers of the cluster", share)
            except BaseException:
                context.cancelJobGroup(group)
                done.wait(10)
                raise
            self.last = tuple(sorted(context.statusTracker().getJobIdsForGroup(group)))
            if wrong:
                raise wrong[0]
        return answer[0]


class _Workers:
    """Whether a cluster has workers for us: without any Spark waits for ever."""

    def __init__(self, context: Any) -> None:
        self._context, self._local = context, str(context.master).startswith("local")
        self._seen = self._looked = time.monotonic()
        self._there = True

    def there(self) -> bool:
        """CapacityError C183 when there has been none for `WAIT_SECONDS`."""
        now = time.monotonic()
        if self._local or now - self._looked < LOOK_SECONDS:
            return self._there
        self._looked = now
        # the driver itself is one of those that hold blocks
        self._there = int(self._context._jsc.sc().getExecutorMemoryStatus().size()) > 1
        if self._there:
            self._seen = now
        elif now - self._seen > WAIT_SECONDS:
            raise CapacityError(
                "C183",
                f"the cluster has given no worker for {WAIT_SECONDS:.0f} seconds",
                "has it any that are free? spark.executor.memory and spark.executor.cores must not be more than one has",
            )
        return self._there


@contextmanager
def translated() -> Iterator[None]:
    """Whatever Spark raises in this block, in our words."""
    try:
        yield
    except Exception as error:
        if not is_of_spark(error):
            raise
        raise explained(error) from None


def _share(context: Any, group: str) -> float:
    """How many of the tasks of the stages so far are done."""
    tracker, done, tasks = context.statusTracker(), 0, 0
    for job in tracker.getJobIdsForGroup(group):
        info = tracker.getJobInfo(job)
        for stage in info.stageIds if info else ():
            about = tracker.getStageInfo(stage)
            if about is not None:
                done, tasks = done + about.numCompletedTasks, tasks + about.numTasks
    return done / tasks if tasks else 0.0


@contextmanager
def _set(session: Any, settings: Mapping[str, str]) -> Iterator[None]:
    """These settings of a session for the length of the block; then what they were."""
    before = {name: session.conf.get(name, None) for name in settings}
    for name, value in settings.items():
        session.conf.set(name, value)
    try:
        yield
    finally:
        with suppress(Exception):  # a session that was stopped has no settings
            for name, old in before.items():
                if old is None:
                    session.conf.unset(name)
                else:
                    session.conf.set(name, old)
