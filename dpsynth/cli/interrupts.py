"""Ctrl-C that is never lost.

Python cannot raise in a destructor or a weak reference's callback: an interrupt that lands there is printed and
forgotten, and the run goes on although its user stopped it.
"""

from __future__ import annotations

import _thread
import sys
import threading

__all__ = ["keep_interrupts"]

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
