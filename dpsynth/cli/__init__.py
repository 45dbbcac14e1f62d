"""The command line: thin, in the order of the work. Nothing here does more than a library user can."""

from __future__ import annotations

import sys

__all__ = ["main"]


def main() -> None:
    """Entry point of the `dpsynth` command."""
    try:
        # Loading takes seconds, in which an impatient user may press Ctrl-C: no traceback then either.
        from dpsynth.cli.app import app
        from dpsynth.cli.interrupts import end_as_interrupted, keep_interrupts

        keep_interrupts()
        end_as_interrupted()
        app()
    except KeyboardInterrupt:
        sys.stderr.write("interrupted; nothing was started\n")
        sys.exit(130)
