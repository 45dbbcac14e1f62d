"""What a run makes of its constraints: zeros for the model, chosen by sizes alone, and real rows that break a rule."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from dpsynth.constraints import Rules, classes_of, structural_zeros
from dpsynth.domain import Clique
from dpsynth.mechanisms import Task
from dpsynth.mechanisms.rooms import Room
from dpsynth.schema import Schema

MOST_ZEROS = 200_000
"""Cells of one table of zeros in a model: larger rules are kept by mending rows."""

ROOM = 2e6
"""Cells of a junction tree over all zeros alone, at most."""


def with_zeros(task: Task, schema: Schema) -> Task:
    """The task with the cells that the schema's constraints rule out, as far as there is room. Reads no data."""
    zeros = structural_zeros(Rules.of(schema), task.domain, MOST_ZEROS)
    kept = _fitting(zeros, Room(task.domain), min(ROOM, task.max_cells) + sum(task.domain.sizes))
    chosen = {clique: zeros[clique] for clique in kept}
    return replace(task, zeros=chosen, classes=classes_of(chosen, task.domain)) if chosen else task


def _fitting(zeros: Mapping[Clique, NDArray[np.bool_]], room: Room, limit: float) -> Iterable[Clique]:
    kept = []
    for clique in zeros:
        if room.fits([clique], limit):
            room.add(clique)
            kept.append(clique)
    return kept
