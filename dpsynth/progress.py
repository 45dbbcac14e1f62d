"""How long work tells where it is: a callable that anybody can supply."""

from __future__ import annotations

from collections.abc import Callable

from dpsynth.errors import DPSynthError

Progress = Callable[[str, float], None]
"""Called with the step in words and how much of it is done, in [0, 1]. Must return quickly.

It may raise `Cancelled`: the work stops at once, and what was reserved in the ledger stays spent.
"""


class Cancelled(DPSynthError):
    """The caller's progress function asked to stop."""

    exit_code = 130
    letter = "X"

    def __init__(self) -> None:
        super().__init__(
            "X130", "stopped on request", "what was reserved stays spent; see `dpsynth ledger show`"
        )


def silent(step: str, done: float) -> None:
    """Says nothing."""
