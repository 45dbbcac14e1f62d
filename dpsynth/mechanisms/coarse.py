"""Which cells to merge before pairs are measured, from noisy one-way counts alone.

A cell whose count drowns in the noise of a pair brings that pair nothing but noise. Cells that stand out stay single; light
ones are merged until they stand out together: neighbours in an ordered column, any in another.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dpsynth.domain import Clique
from dpsynth.measurement import Measurement, Merges
from dpsynth.mechanisms.base import Task
from dpsynth.pgm import MergedModel, Model
from dpsynth.privacy.merging import merge_counts

Floats = NDArray[np.float64]
Cells = NDArray[np.int64]

STANDS_OUT = 3.0
"""A cell stays single from this many standard deviations of its noise on."""


def merges_for(task: Task, ones: Iterable[Measurement], least: float = 0.0) -> dict[str, Cells]:
    """Maps for the attributes of which cells merge; `ones` are their noisy one-way counts.

    `least`: the count below which a cell is light however precise its count is. The public domain says which columns are
    ordered; special values and the cell of a missing value are next to none. What a public table knows of an attribute's
    cells would be lost if they merged: they stay.
    """
    found = {}
    kept = {attribute for clique in task.known for attribute in clique}
    for one in ones:
        (attribute,) = one.clique
        if attribute in kept:
            continue
        light = max(STANDS_OUT * one.sigma, least)
        counts = one.values.astype(np.float64)
        cells = (
            _runs(counts, light, task.apart.get(attribute, 0))
            if attribute in task.ordered
            else _heap(counts, light)
        )
        if attribute in task.classes:
            cells = _apart(cells, task.classes[attribute])
        if int(cells.max()) + 1 < len(cells):
            found[attribute] = cells
    return found


def _apart(cells: Cells, classes: Cells) -> Cells:
    """Merged cells split so that each holds cells of one class only."""
    both = np.stack([cells, classes], axis=1)
    _, first, groups = np.unique(both, axis=0, return_index=True, return_inverse=True)
    rank = np.argsort(np.argsort(first))
    return np.asarray(rank[groups.reshape(-1)], dtype=np.int64)


def _runs(counts: Floats, light: float, apart: int) -> Cells:
    """Neighbours merged: each group begins where the one before has become heavy, or is a heavy cell itself. The last
    `apart` cells stay single."""
    last = len(counts) - apart
    groups: list[list[int]] = []
    weight = 0.0
    is_open = False
    for cell in range(last):
        if counts[cell] >= light:
            groups.append([cell])
            is_open = False
        elif is_open and weight < light:
            groups[-1].append(cell)
            weight += counts[cell]
        else:
            # what is left of a run goes into its group before, if that is too light to stand alone
            groups.append([cell])
            is_open, weight = True, counts[cell]
    groups = _absorbed(groups, counts, light)
    return _numbered([*groups, *([cell] for cell in range(last, len(counts)))], len(counts))


def _absorbed(groups: list[list[int]], counts: Floats, light: float) -> list[list[int]]:
    """A light group joins the merged group that ends where it begins."""
    kept: list[list[int]] = []
    for group in groups:
        merged_before = bool(kept) and (len(kept[-1]) > 1 or counts[kept[-1][0]] < light)
        if merged_before and counts[group].sum() < light:
            kept[-1] = kept[-1] + group
        else:
            kept.append(group)
    return kept


def _heap(counts: Floats, light: float) -> Cells:
    """Light cells merged from the heaviest down, each group until it is heavy; what is left joins the last."""
    order = np.argsort(-counts, kind="stable")
    groups: list[list[int]] = [[int(c)] for c in order if counts[c] >= light]
    heap: list[list[int]] = []
    for cell in (int(c) for c in order if counts[c] < light):
        if heap and counts[heap[-1]].sum() < light:
            heap[-1].append(cell)
        else:
            heap.append([cell])
    if len(heap) > 1 and counts[heap[-1]].sum() < light:
        heap[-2:] = [heap[-2] + heap[-1]]
    return _numbered(groups + heap, len(counts))


def _numbered(groups: Sequence[Sequence[int]], size: int) -> Cells:
    """Groups numbered by their first cell."""
    cells = np.empty(size, dtype=np.int64)
    for number, group in enumerate(sorted(groups, key=min)):
        cells[list(group)] = number
    return cells


def marginals(model: Model, cliques: Sequence[Clique], merges: Merges) -> dict[Clique, NDArray[Any]]:
    """Expected counts on merged cells, as counted on a sample where no table holds them; `model` has merged these cells,
    or fewer."""
    inside = model.inside if isinstance(model, MergedModel) else model
    done = model.merges if isinstance(model, MergedModel) else {}
    rest = {a: cells for a, cells in merges.items() if a not in done}
    return {c: merge_counts(table, c, rest) for c, table in inside.approximate(cliques).items()}
