"""dpmm's pipelines on coded rows.

Its preprocessing, which would learn bins from the rows at an epsilon beyond the stated one, is switched off:
the rows come binned on a public grid. Everything else is its default, but one process instead of several.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import version as installed

import dpmm.pipelines
import numpy as np
import pandas as pd
from task import Task

PIPELINES = {
    "mst": dpmm.pipelines.MSTPipeline,
    "aim": dpmm.pipelines.AIMPipeline,
    "privbayes": dpmm.pipelines.PrivBayesPipeline,
}


def version() -> str:
    return f"dpmm {installed('dpmm')}"


def fit(task: Task, rows: np.ndarray) -> Callable[[int], np.ndarray]:
    frame = pd.DataFrame(rows, columns=list(task.domain))
    size = (
        {"max_model_size": 80} if task.method == "aim" else {}
    )  # its AIM's own default, which None overrides
    pipeline = PIPELINES[task.method](
        epsilon=task.epsilon, delta=task.delta, n_jobs=1, disable_processing=True, **size
    )
    pipeline.fit(frame, domain=dict(task.domain), random_state=task.seed)

    def sample(count: int) -> np.ndarray:
        drawn = pipeline.generate(n_records=count, random_state=task.seed)
        return drawn[list(task.domain)].to_numpy()

    return sample
