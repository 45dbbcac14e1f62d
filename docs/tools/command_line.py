"""docs/reference/command-line.md from the commands themselves: what `--help` says, as one page."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from typer.main import get_command

from dpsynth.cli.app import app
from dpsynth.cli.common import _COMMON

HEAD = """\
# Command line

Written from the commands themselves when these pages are built: it says what `--help` says.

Every verb also takes `--json` (one object on standard output, everything else on standard error), `-q` (only the
answer), `-v` (log steps; twice: tracebacks), `--no-progress` and `--help`. Exit codes: 0 done, 1 an error of ours,
2 usage, 3 project file, 4 data, 5 budget, 6 audit or policy, 7 verification, 8 memory or disk, 130 interrupted. What each
error means is on [the page of error codes](../errors.md).
"""


def page() -> str:
    """Every verb with its arguments and options, as Markdown."""
    root = get_command(app)
    return "\n".join([HEAD, *_verbs(root, "dpsynth")]) + "\n"


def verbs() -> list[str]:
    """The names of all verbs, those of `ledger` included, as they are typed after `dpsynth`."""
    return [name for name, _ in _walk(get_command(app), "")]


def _walk(group: Any, before: str) -> Iterator[tuple[str, Any]]:
    context = group.context_class(group)
    for name in group.commands:
        _, command, _ = group.resolve_command(context, [name])  # verbs are imported when they are called
        if hasattr(command, "commands"):
            yield from _walk(command, f"{before}{name} ")
        else:
            yield f"{before}{name}", command


def _verbs(root: Any, program: str) -> Iterator[str]:
    for name, command in _walk(root, ""):
        context = command.context_class(command, info_name=f"{program} {name}")
        usage = " ".join([f"{program} {name}", *command.collect_usage_pieces(context)])
        yield f"\n## {name}\n\n{command.help or ''}\n\n```text\n{usage}\n```\n"
        rows = [row for parameter in command.params for row in _row(parameter, context)]
        if rows:
            yield "\n".join(["| argument or option | meaning |", "|---|---|", *rows])


def _row(parameter: Any, context: Any) -> Iterator[str]:
    if parameter.name in {*_COMMON, "help"}:
        return
    record = parameter.get_help_record(context)
    if record is not None:
        names, words = record
        shown = " ".join(words.split()).replace("|", "\\|")
        yield f"| `{names.replace('|', '/')}` | {shown} |"


if __name__ == "__main__":
    import sys

    sys.stdout.write(page())
