"""Do networks that should differ share memory? Object lists such as ``[network for _ in range(n)]`` make one of many."""

from __future__ import annotations

import gc
import itertools
import types
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np


def reachable(root: object, most: int = 200_000) -> Iterator[object]:
    """All objects that the garbage collector sees from here, but for modules, types and what only code refers to."""
    seen: set[int] = set()
    stack: list[object] = [root]
    while stack and len(seen) < most:
        thing = stack.pop()
        if id(thing) in seen or isinstance(thing, types.ModuleType | type | types.CodeType):
            continue
        seen.add(id(thing))
        yield thing
        if isinstance(thing, types.FunctionType):
            stack += list(thing.__closure__ or ())
        elif not isinstance(thing, types.BuiltinFunctionType):
            stack += gc.get_referents(thing)
            stack += _hidden(thing)


def _hidden(thing: object) -> list[object]:
    """What the collector does not see: the base of an array's view."""
    return [thing.base] if isinstance(thing, np.ndarray) and thing.base is not None else []


def shared(networks: Mapping[str, object]) -> list[tuple[str, str]]:
    """Names of networks (any objects that hold floating-point arrays or tensors) that have memory in common."""
    blocks = {name: list(_blocks(network)) for name, network in networks.items()}
    return [
        (one, other)
        for one, other in itertools.combinations(blocks, 2)
        if any(a[0] < b[1] and b[0] < a[1] for a in blocks[one] for b in blocks[other])
    ]


def _blocks(network: object) -> Iterator[tuple[int, int]]:
    """Begin and end of the memory of every array that may be trained."""
    for thing in reachable(network):
        if isinstance(thing, np.ndarray) and thing.dtype.kind == "f" and thing.size and thing.flags.writeable:
            yield np.lib.array_utils.byte_bounds(thing)
        elif _is_tensor(thing):
            found: Any = thing
            start = int(found.data_ptr())
            yield start, start + int(found.numel()) * int(found.element_size())


def _is_tensor(thing: object) -> bool:
    """A tensor, without importing the library that defines it."""
    return (
        type(thing).__module__.startswith("torch") and hasattr(thing, "data_ptr") and hasattr(thing, "numel")
    )
