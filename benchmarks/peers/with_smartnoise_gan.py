"""smartnoise-synth's DP-CTGAN and PATE-CTGAN on coded rows.

Their transformers are fitted on the public domain, so that no part of the budget goes into preprocessing. `dpctgan` and
`patectgan` have their defaults. `dpctgan_small` is a DP-CTGAN that ends within minutes: a critic of 64 by 64 instead of 256
by 256, `EPOCHS` epochs instead of 300, and the noise with which so many spend the whole epsilon by its own accountant.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from importlib.metadata import version as installed

import numpy as np
import pandas as pd
import torch
from opacus import privacy_analysis
from snsynth.pytorch.nn.dpctgan import DPCTGAN
from snsynth.pytorch.nn.patectgan import PATECTGAN
from snsynth.transform.chain import ChainTransformer
from snsynth.transform.label import LabelTransformer
from snsynth.transform.onehot import OneHotEncoder
from snsynth.transform.table import TableTransformer
from task import Task

SYNTHESIZERS = {"dpctgan": DPCTGAN, "dpctgan_small": DPCTGAN, "patectgan": PATECTGAN}
EPOCHS, BATCH = 4, 500


def version() -> str:
    return f"smartnoise-synth {installed('smartnoise-synth')} (torch {torch.__version__})"


def fit(task: Task, rows: np.ndarray) -> Callable[[int], np.ndarray]:
    torch.manual_seed(task.seed)
    torch.set_num_threads(1)
    frame = pd.DataFrame(rows, columns=list(task.domain))
    settings = small(task, len(rows)) if task.method == "dpctgan_small" else {}
    synthesizer = SYNTHESIZERS[task.method](
        epsilon=task.epsilon, delta=task.delta, cuda=False, verbose=False, **settings
    )
    synthesizer.train(frame, transformer=public_transformer(task.domain))
    return lambda count: np.asarray(pd.DataFrame(synthesizer.generate(count)), dtype=np.int64)


def small(task: Task, rows: int) -> dict[str, object]:
    """It takes two noisy steps a batch, and looks at its accountant before each epoch."""
    orders = [1 + x / 10.0 for x in range(1, 100)] + list(range(12, 64))
    steps = 2 * EPOCHS * (rows // BATCH)

    def spent(sigma: float) -> float:
        rdp = privacy_analysis.compute_rdp(BATCH / rows, sigma, steps, orders)
        return float(privacy_analysis.get_privacy_spent(orders, rdp, task.delta)[0])

    low, high = 0.3, 50.0
    for _ in range(20):
        middle = math.sqrt(low * high)
        low, high = (low, middle) if spent(middle) <= task.epsilon else (middle, high)
    return {"epochs": EPOCHS, "batch_size": BATCH, "discriminator_dim": (64, 64), "sigma": high}


def public_transformer(domain: dict[str, int]) -> TableTransformer:
    columns = []
    for size in domain.values():
        column = ChainTransformer([LabelTransformer(nullable=False), OneHotEncoder()])
        column.fit(list(range(size)))
        columns.append(column)
    found = TableTransformer(columns)
    found._columns = list(domain)
    return found
