"""Ctrl-C that is never lost, and a request to end that is told like it.

Python cannot raise in a destructor or a weak reference's callback: an interrupt that lands there is printed and
forgotten, and the run goes on although its user stopped it.
"""

from __future__ import annotations

import _thread
import os
import signal
import sys
import threading
from types import FrameType

__all__ = ["end_as_interrupted", "keep_interrupts"]

_PAUSE = 0.01
"""Seconds until the interrupt is sent again: the callback that swallowed it has returned by then."""


def keep_interrupts() -> None:
    """Send again what Python would swallow. For the process of a command, not for a library's host."""
    others = sys.unraisablehook

    def hook(what: sys.UnraisableHookArgs, /) -> None:
        if what.exc_type is not KeyboardInterrupt:
            others(what)
            return
        again = threading.Timer(_PAUSE, _thread.interrupt_main)
        again.daemon = True
        again.start()

    sys.unraisablehook = hook


def end_as_interrupted() -> None:
    """Let SIGTERM (a scheduler, a shutdown) end a command as Ctrl-C does: it says what stays spent and where the model is.
    A child that inherits this ends at once, as ever."""
    own = os.getpid()

    def ended(number: int, frame: FrameType | None) -> None:
        if os.getpid() == own:
            signal.default_int_handler(number, frame)
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)

    signal.signal(signal.SIGTERM, ended)
