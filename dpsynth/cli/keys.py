"""Keys and policies on the command line: options, and where a passphrase comes from."""

from __future__ import annotations

import getpass
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from dpsynth.errors import UsageError

VARIABLE = "DPSYNTH_KEY_PASSPHRASE"

SignKey = Annotated[
    Path | None,
    typer.Option(
        "--sign",
        metavar="KEY",
        help="Private key that signs the bundle (dpsynth keygen).",
        show_default=False,
    ),
]
PolicyFile = Annotated[
    Path | None,
    typer.Option("--policy", help="The organisation's rules for releases.", show_default=False),
]


def passphrase() -> bytes | None:
    """From the environment, or asked on a terminal; None when neither is there."""
    if VARIABLE in os.environ:
        return os.environ[VARIABLE].encode()
    if sys.stdin.isatty():
        return getpass.getpass("passphrase of the key: ").encode()
    return None


def new_passphrase(wanted: bool) -> bytes | None:
    """For a new key: from the environment, or asked twice when it is wanted. UsageError (U186) without a way to ask."""
    if VARIABLE in os.environ:
        return os.environ[VARIABLE].encode() or None
    if not wanted:
        return None
    if not sys.stdin.isatty():
        raise UsageError("U186", "a passphrase cannot be asked without a terminal", f"set {VARIABLE}")
    first, again = (getpass.getpass(f"{what}: ") for what in ("passphrase", "once more"))
    if not first or first != again:
        raise UsageError("U187", "the two passphrases differ, or are empty", "try again")
    return first.encode()
