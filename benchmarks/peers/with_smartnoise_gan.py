"""smartnoise-synth's DP-CTGAN and PATE-CTGAN on coded rows, with their defaults.

Their transformers are fitted on the public domain, so that no part of the budget goes into preprocessing.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import version as installed

import numpy as np
import pandas as pd
import torch
from snsynth.pytorch.nn.dpctgan import DPCTGAN
from snsynth.pytorch.nn.patectgan import PATECTGAN
from snsynth.transform.chain import ChainTransformer
from snsynth.transform.label import LabelTransformer
from snsynth.transform.onehot import OneHotEncoder
from snsynth.transform.table import TableTransformer
from task import Task

SYNTHESIZERS = {"dpctgan": DPCTGAN, "patectgan": PATECTGAN}


def version() -> str:
    return f"smartnoise-synth {installed('smartnoise-synth')} (torch {torch.__version__})"


def fit(task: Task, rows: np.ndarray) -> Callable[[int], np.ndarray]:
    torch.manual_seed(task.seed)
    torch.set_num_threads(1)
    frame = pd.DataFrame(rows, columns=list(task.domain))
    synthesizer = SYNTHESIZERS[task.method](epsilon=task.epsilon, delta=task.delta, cuda=False, verbose=False)
    synthesizer.train(frame, transformer=public_transformer(task.domain))
    return lambda count: np.asarray(pd.DataFrame(synthesizer.generate(count)), dtype=np.int64)


def public_transformer(domain: dict[str, int]) -> TableTransformer:
    columns = []
    for size in domain.values():
        column = ChainTransformer([LabelTransformer(nullable=False), OneHotEncoder()])
        column.fit(list(range(size)))
        columns.append(column)
    found = TableTransformer(columns)
    found._columns = list(domain)
    return found
