"""The command line: thin, in the order of the work. Nothing here does more than a library user can."""

from __future__ import annotations

from dpsynth.cli.app import app

__all__ = ["main"]


def main() -> None:
    """Entry point of the `dpsynth` command."""
    app()
