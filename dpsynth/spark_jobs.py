"""One question to a Spark cluster: asked in a thread of its own, with our progress, its failures in our words."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from dpsynth.progress import Progress, silent
from dpsynth.spark_problems import explained, is_of_spark

POLL_SECONDS = 0.2
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
            thread.start()
            try:
                while not done.wait(POLL_SECONDS):
                    if self.progress is not silent:  # asking costs Spark a little
                        self.progress(step, _share(context, group))
            except BaseException:
                context.cancelJobGroup(group)
                done.wait(10)
                raise
            self.last = tuple(sorted(context.statusTracker().getJobIdsForGroup(group)))
            if wrong:
                raise wrong[0]
        return answer[0]


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
