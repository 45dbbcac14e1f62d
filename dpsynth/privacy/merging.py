"""Merged cells: public maps under which cells of an attribute are counted together."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from dpsynth.domain import Clique, Domain
from dpsynth.measurement import Merges

Number = TypeVar("Number", np.int64, np.float64)

__all__ = ["Merges", "merge_counts", "merged_domain"]


def merged_domain(domain: Domain, merges: Merges) -> Domain:
    """The domain after merging; raises ValueError for a map that is not onto its own range."""
    sizes = dict(zip(domain.attributes, domain.sizes, strict=True))
    for attribute, cells in merges.items():
        if len(cells) != domain[attribute]:
            raise ValueError(f"the map of {attribute!r} names each of its cells once")
        merged = int(cells.max()) + 1
        if not np.array_equal(np.unique(cells), np.arange(merged)):
            raise ValueError(f"the map of {attribute!r} leaves a number out")
        sizes[attribute] = merged
    return Domain.from_sizes(sizes)


def merge_counts(counts: NDArray[Number], clique: Clique, merges: Merges) -> NDArray[Number]:
    """The same counts (or expected ones) on merged cells: each is the sum of the cells that fall together."""
    axis: int
    for axis, attribute in enumerate(clique):
        if attribute in merges:
            cells = merges[attribute]
            shape = (*counts.shape[:axis], int(cells.max()) + 1, *counts.shape[axis + 1 :])
            merged: NDArray[Number] = np.zeros(shape, dtype=counts.dtype)
            np.add.at(np.moveaxis(merged, axis, 0), cells, np.moveaxis(counts, axis, 0))
            counts = merged
    return counts
