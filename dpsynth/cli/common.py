"""What every verb shares: options, one way out, text or JSON."""

from __future__ import annotations

import functools
import inspect
import json as jsonlib
import logging
import os
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from dpsynth.errors import CapacityError, DPSynthError, UsageError, is_full
from dpsynth.progress import Progress, silent

INTERRUPTED = 130
HUNG_UP = 141
"""Whoever read the output has closed the pipe, as head does: the shell's number for it."""


@dataclass(frozen=True)
class Answer:
    """What a verb found: `data` for --json, `text` for people, and the exit code. An `error` is shown after it,
    as if it had been raised, and gives the exit code."""

    data: Mapping[str, Any]
    text: str
    exit_code: int = 0
    error: DPSynthError | None = None


@dataclass(frozen=True)
class Screen:
    """How this call talks to its user; handed to each verb."""

    json: bool
    quiet: bool
    verbose: int
    no_progress: bool
    errors: Console = field(default_factory=lambda: Console(stderr=True, highlight=False))

    @property
    def shows_progress(self) -> bool:
        return self.errors.is_terminal and not (self.json or self.quiet or self.no_progress)

    @contextmanager
    def progress(self) -> Iterator[Progress]:
        """One bar for each step on a terminal; nothing anywhere else."""
        if not self.shows_progress:
            yield silent
            return
        from rich.progress import BarColumn, SpinnerColumn, TextColumn, TimeElapsedColumn
        from rich.progress import Progress as Bars

        columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
        with Bars(*columns, console=self.errors, transient=True) as bars:
            tasks: dict[str, Any] = {}

            def step(name: str, done: float) -> None:
                if name not in tasks:
                    for earlier in tasks.values():
                        bars.update(earlier, completed=1.0)
                    tasks[name] = bars.add_task(name, total=1.0)
                bars.update(tasks[name], completed=done)

            yield step

    def say(self, text: str) -> None:
        """A line for people, on standard error, so that standard output stays the answer."""
        if not (self.quiet or self.json):
            self.errors.print(text, markup=False)


ProjectFile = Annotated[
    Path, typer.Argument(metavar="PROJECT.yaml", help="The project file.", show_default=False)
]

JsonFlag = Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")]
QuietFlag = Annotated[bool, typer.Option("--quiet", "-q", help="Only the answer, no remarks.")]
VerboseFlag = Annotated[
    int, typer.Option("--verbose", "-v", count=True, help="Log steps; twice: tracebacks.")
]
NoProgressFlag = Annotated[
    bool, typer.Option("--no-progress", help="No bars (automatic when not a terminal).")
]

_COMMON: dict[str, tuple[Any, Any]] = {
    "json": (JsonFlag, False),
    "quiet": (QuietFlag, False),
    "verbose": (VerboseFlag, 0),
    "no_progress": (NoProgressFlag, False),
}


def _stays(out: object) -> str:
    """What an interrupt leaves behind."""
    from dpsynth.unfinished import SUFFIX  # a second of imports that help and refusals never need

    words = "what was reserved in the ledger stays spent"
    if isinstance(out, Path) and (left := out.with_name(out.name + SUFFIX)).exists():
        words += f"; the model that it paid for is in {left}: go on with dpsynth sample, audit and release"
    return words


def verb(function: Callable[..., Answer]) -> Callable[..., None]:
    """Give a verb the common options, print its Answer, and turn every error into one line and an exit code.

    The function's first parameter is its Screen.
    """

    @functools.wraps(function)
    def command(**arguments: Any) -> None:
        screen = Screen(**{name: arguments.pop(name) for name in _COMMON})
        _set_logging(screen)
        try:
            answer = function(screen, **arguments)
        except DPSynthError as error:
            raise typer.Exit(_refused(screen, error)) from None
        except KeyboardInterrupt:
            screen.errors.print(f"interrupted; {_stays(arguments.get('out'))}", markup=False)
            raise typer.Exit(INTERRUPTED) from None
        except BrokenPipeError:
            raise typer.Exit(_hung_up()) from None
        except (MemoryError, OSError) as error:
            raise typer.Exit(_refused(screen, _machine(error))) from None
        except Exception as error:
            raise typer.Exit(_broken(screen, error)) from None
        try:
            _print_answer(screen, answer)
            sys.stdout.flush()
        except BrokenPipeError:
            raise typer.Exit(_hung_up()) from None
        raise typer.Exit(answer.exit_code if answer.error is None else answer.error.exit_code)

    own = list(inspect.signature(function, eval_str=True).parameters.values())[1:]
    shared = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
        for name, (annotation, default) in _COMMON.items()
    ]
    parameters = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in own] + shared
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {p.name: p.annotation for p in parameters}
    return command


def _hung_up() -> int:
    """Nobody reads standard output any more: what is still in its buffer goes nowhere."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
    return HUNG_UP


def _print_answer(screen: Screen, answer: Answer) -> None:
    told = {} if answer.error is None else {"error": answer.error.as_json()}
    if screen.json:
        print(jsonlib.dumps({**answer.data, **told}, indent=2, allow_nan=False, ensure_ascii=False))
    elif answer.text:
        print(answer.text)
    if answer.error is not None:
        _print_error(screen, answer.error)


def _print_error(screen: Screen, error: DPSynthError) -> None:
    screen.errors.print(f"{error.code}: {error}", markup=False, soft_wrap=True)


def _refused(screen: Screen, error: DPSynthError) -> int:
    if screen.json:
        print(jsonlib.dumps({"error": error.as_json()}, indent=2, ensure_ascii=False))
    _print_error(screen, error)
    if screen.verbose > 1:
        screen.errors.print(traceback.format_exc(), markup=False)
    return error.exit_code


def _machine(error: MemoryError | OSError) -> DPSynthError:
    """What the machine refused: memory, room, or a path. The path is the user's own."""
    if isinstance(error, MemoryError):
        return CapacityError(
            "C001", "the memory of this machine is not enough", "declare fewer cells, draw fewer rows"
        )
    what = f"{error.filename or 'a file'} cannot be used ({error.strerror or 'no such place'})"
    if is_full(error):
        return CapacityError("C002", what, "make room and try again")
    return UsageError("U001", what, "check the path and its rights")


def _broken(screen: Screen, error: Exception) -> int:
    """An error of ours. Its text may quote a value of the data, so only -v -v shows it."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    where = f"{last.filename.rsplit('/', 1)[-1]}:{last.lineno}"
    message = (
        f"DPS-X001: internal error ({type(error).__name__} at {where}); run again with -v -v and report it"
    )
    if screen.json:
        print(jsonlib.dumps({"error": {"code": "DPS-X001", "problem": message, "fix": ""}}))
    screen.errors.print(message, markup=False, soft_wrap=True)
    if screen.verbose > 1:
        screen.errors.print(traceback.format_exc(), markup=False)
    return 1


def _set_logging(screen: Screen) -> None:
    level = (
        logging.ERROR
        if screen.quiet
        else (logging.WARNING, logging.INFO, logging.DEBUG)[min(screen.verbose, 2)]
    )
    logging.basicConfig(
        level=level, stream=sys.stderr, format="%(levelname)s %(name)s: %(message)s", force=True
    )
