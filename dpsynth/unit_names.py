"""The units of many rows by name: each name once, and which of them each row has."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

Answer = TypeVar("Answer")


@dataclass(frozen=True, eq=False)
class UnitNames(Sequence[bytes]):
    """A sequence of each row's name, kept as codes. Private.

    Name n is ``data[ends[n]:ends[n + 1]]``, and all differ; row i has name ``codes[i]``. Shapes (bytes,), (names + 1,),
    (rows,).
    """

    data: NDArray[np.uint8]
    ends: NDArray[np.int64]
    codes: NDArray[np.int64]
    _known: dict[Hashable, Any] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, names: Sequence[bytes]) -> UnitNames:
        """From a name for each row."""
        if isinstance(names, UnitNames):
            return names
        return cls.coded(pa.array(list(names), pa.large_binary()), np.arange(len(names), dtype=np.int64))

    @classmethod
    def coded(cls, names: Any, codes: NDArray[np.int64]) -> UnitNames:
        """From an Arrow array of names (large_binary, none missing) and the position in it of each row's; equal names
        become one."""
        found = names.dictionary_encode()
        if len(found.dictionary) < len(names):
            codes = found.indices.to_numpy(zero_copy_only=False).astype(np.int64)[codes]
            names = found.dictionary
        _, ends, data = names.buffers()
        first = np.frombuffer(ends, dtype=np.int64)[names.offset : names.offset + len(names) + 1]
        return cls(np.frombuffer(data or b"", dtype=np.uint8), first, codes)

    @property
    def names(self) -> list[bytes]:
        """The different names, by code."""
        data, ends = self.data.tobytes(), self.ends.tolist()
        return [data[ends[n] : ends[n + 1]] for n in range(len(ends) - 1)]

    def take(self, rows: NDArray[Any]) -> UnitNames:
        """The names of the chosen rows (an index array or a mask)."""
        return UnitNames(self.data, self.ends, self.codes[rows])

    def compact(self) -> UnitNames:
        """The same rows without the names that none of them has."""
        used, codes = np.unique(self.codes, return_inverse=True)
        return UnitNames.coded(self.array.take(pa.array(used)), codes.astype(np.int64))

    @property
    def array(self) -> Any:
        """The different names as an Arrow array, by code."""
        buffers = [None, pa.py_buffer(self.ends), pa.py_buffer(self.data)]
        return pa.Array.from_buffers(pa.large_binary(), len(self.ends) - 1, buffers)

    def numbers(self) -> NDArray[np.int64]:
        """The unit of each row as a number, 0 for the first that appears, shape (rows,)."""
        _, first, inverse = np.unique(self.codes, return_index=True, return_inverse=True)
        place = np.empty(len(first), dtype=np.int64)
        place[np.argsort(first)] = np.arange(len(first))
        return np.asarray(place[inverse])

    def once(self, key: bytes, about: Callable[[UnitNames, bytes], Answer]) -> Answer:
        """What `about` says of the names under a key, computed at the first time it is asked."""
        asked = (about, key)
        if asked not in self._known:
            self._known[asked] = about(self, key)
        found: Answer = self._known[asked]
        return found

    def __len__(self) -> int:
        return len(self.codes)

    def __getitem__(self, row: Any) -> Any:
        if isinstance(row, slice):
            return self.take(np.arange(len(self))[row])
        code = int(self.codes[row])
        return self.data[self.ends[code] : self.ends[code + 1]].tobytes()

    def __iter__(self) -> Iterator[bytes]:
        names = self.names
        return iter([names[code] for code in self.codes.tolist()])

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]

    def __reduce__(self) -> str:
        raise TypeError("names of units are private: they cannot be pickled or copied")


def joined(parts: Sequence[UnitNames]) -> UnitNames:
    """The rows of all parts, one at least, in their order. A name may be in several of them."""
    small = [part.compact() for part in parts]
    shift = np.cumsum([0, *(len(part.ends) - 1 for part in small)])
    codes = [part.codes + start for part, start in zip(small, shift[:-1].tolist(), strict=True)]
    return UnitNames.coded(pa.concat_arrays([part.array for part in small]), np.concatenate(codes))
