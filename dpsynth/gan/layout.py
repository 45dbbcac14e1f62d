"""Cells of all attributes side by side: one row of numbers per component of a mixture."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dpsynth.domain import Domain

Singles = NDArray[np.float32]


class Layout:
    """Attribute i has the columns ``starts[i] .. starts[i] + domain.sizes[i] - 1``."""

    def __init__(self, domain: Domain) -> None:
        self.domain = domain
        self.sizes = np.array(domain.sizes, dtype=np.int64)
        self.starts = np.concatenate([[0], np.cumsum(self.sizes)[:-1]])
        self.width = int(self.sizes.sum())
        self.owner = np.repeat(np.arange(len(domain)), self.sizes)
        """The attribute of each column, shape (width,)."""

    def columns(self, attribute: int) -> slice:
        start = int(self.starts[attribute])
        return slice(start, start + int(self.sizes[attribute]))

    def softmax(self, logits: Singles) -> Singles:
        """Shares of each attribute's cells, shape (components, width)."""
        highest = np.maximum.reduceat(logits, self.starts, axis=1)
        raised: Singles = np.exp(logits - highest[:, self.owner])
        raised /= np.add.reduceat(raised, self.starts, axis=1)[:, self.owner]
        return raised

    def through_softmax(self, shares: Singles, gradient: Singles) -> Singles:
        """The gradient by the logits, from that by the shares."""
        moved = shares * gradient
        return moved - shares * np.add.reduceat(moved, self.starts, axis=1)[:, self.owner]

    def joined(self, tables: Mapping[str, NDArray[Any]]) -> Singles:
        """One table per attribute, shapes (..., cells), side by side."""
        return np.concatenate([tables[a] for a in self.domain.attributes], axis=-1).astype(np.float32)

    def apart(self, rows: Singles) -> dict[str, Singles]:
        """The inverse of `joined`."""
        return {a: rows[..., self.columns(i)].copy() for i, a in enumerate(self.domain.attributes)}
