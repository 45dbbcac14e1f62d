"""Compiled loops: numba, imported at first use, its machine code kept on disk where that is possible."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

LOG = logging.getLogger(__name__)


def compiled(function: Callable[..., Any]) -> Any:
    """The function as machine code that lets go of the interpreter; compiled for each new set of argument types.

    The code is kept beside the source, in the user's cache folder or in ``NUMBA_CACHE_DIR``. Where none of them can
    be written it is compiled again in every process, a few seconds; the results are the same.
    """
    from numba import njit

    try:
        return njit(nogil=True, cache=True)(function)
    except RuntimeError as problem:
        if "cache" not in str(problem):
            raise
        LOG.warning("compiled code cannot be kept: set NUMBA_CACHE_DIR to a folder that can be written")
        return njit(nogil=True)(function)
