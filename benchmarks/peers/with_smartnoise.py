"""smartnoise-synth's MST and AIM on coded rows, with their defaults.

Its transformers, which would learn the categories from the rows, are fitted on the public domain instead, so
that no part of the budget goes into preprocessing.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import version as installed

import numpy as np
import pandas as pd
from snsynth.aim import AIMSynthesizer
from snsynth.mst import MSTSynthesizer
from snsynth.transform.label import LabelTransformer
from snsynth.transform.table import TableTransformer
from task import Task

SYNTHESIZERS = {"mst": MSTSynthesizer, "aim": AIMSynthesizer}


def version() -> str:
    return f"smartnoise-synth {installed('smartnoise-synth')} (mbi {installed('mbi')})"


def fit(task: Task, rows: np.ndarray) -> Callable[[int], np.ndarray]:
    frame = pd.DataFrame(rows, columns=list(task.domain))
    synthesizer = SYNTHESIZERS[task.method](epsilon=task.epsilon, delta=task.delta)
    synthesizer.fit(frame, transformer=public_transformer(task.domain))
    return lambda count: np.asarray(pd.DataFrame(synthesizer.sample(count)))


def public_transformer(domain: dict[str, int]) -> TableTransformer:
    columns = []
    for size in domain.values():
        column = LabelTransformer(nullable=False)
        column.fit(list(range(size)))
        columns.append(column)
    found = TableTransformer(columns)
    found._columns = list(domain)
    return found
