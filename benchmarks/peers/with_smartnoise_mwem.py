"""smartnoise-synth's MWEM on coded rows, with its defaults but for fewer iterations on tables this small.

Its transformers are fitted on the public domain, as for its other methods. Beside rows its fitted object publishes the
total of its synthetic histogram.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
from snsynth.mwem import MWEMSynthesizer
from task import Task
from with_smartnoise import public_transformer, version

__all__ = ["fit", "fitted_total", "version"]

_last: list[MWEMSynthesizer] = []


def fit(task: Task, rows: np.ndarray) -> Callable[[int], np.ndarray]:
    synthesizer = MWEMSynthesizer(epsilon=task.epsilon, iterations=10)
    synthesizer.fit(
        pd.DataFrame(rows, columns=list(task.domain)), transformer=public_transformer(task.domain)
    )
    _last[:] = [synthesizer]
    return lambda count: np.asarray(pd.DataFrame(synthesizer.sample(count)))


def fitted_total() -> float:
    """Of the synthetic histogram that the last fit left behind."""
    return float(sum(np.sum(histogram) for histogram, _, _ in _last[0].synthetic_histograms))
