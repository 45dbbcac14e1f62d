"""One thread for linear algebra.

The matrix products of a graphical model are small: with several threads they cost up to eight times the CPU, most
of it in threads that wait for each other, and their last bits depend on the number of cores.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from threadpoolctl import ThreadpoolController


@cache
def _libraries() -> ThreadpoolController:
    return ThreadpoolController()


@contextmanager
def one_thread() -> Iterator[None]:
    """Within the block, and in functions decorated with ``@one_thread()``, BLAS uses one thread."""
    with _libraries().limit(limits=1, user_api="blas"):
        yield
