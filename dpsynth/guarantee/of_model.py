"""The noise of a fitted model against the rows it was fitted to: private, for the internal report only.

The only audit here that touches the owner's data. What it finds is a function of exact counts: it must not be published.
"""

from __future__ import annotations

import math

import numpy as np

from attacks.guarantee.gaussian import epsilon_of
from attacks.guarantee.sigma import finite, scale
from dpsynth.encoding import Encoding
from dpsynth.guarantee.findings import Beside, Findings
from dpsynth.model import FittedModel
from dpsynth.privacy.merging import merge_counts
from dpsynth.records import Records
from dpsynth.table import Table


def audit_model(model: FittedModel, training: Table, confidence: float = 1 - 1e-6) -> Findings:
    """Residuals of every released cell against counts of the rows that the model was fitted to.

    mu is that of all measurements together for a unit whose rows move each of them as far as its bound allows.
    """
    records = Encoding(model.schema).encode(training)
    found = [
        (m, m.values - merge_counts(counted(records, m.clique), m.clique, m.merges))
        for m in model.measurements
    ]
    residuals = np.concatenate([gap.ravel() for _, gap in found])
    sigmas = np.concatenate([np.full(gap.size, m.sigma) for m, gap in found])
    noise = scale(residuals, sigmas, confidence)
    k = model.receipt.unit.rows_per_unit
    claim = math.sqrt(math.fsum((k / m.sigma) ** 2 for m in model.measurements))
    low = math.inf if noise.high == 0 else claim / noise.high
    high = math.inf if noise.low == 0 else claim / noise.low
    delta = model.receipt.budget.delta
    facts = {
        "sigma": noise.as_json(),
        "epsilon_lower": finite(epsilon_of(low, delta)),
        "epsilon_promised": model.receipt.budget.epsilon,
    }
    return Findings("this model's measurements", (Beside("all measurements", low, high, claim, facts),))


def counted(records: Records, clique: tuple[str, ...]) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    """Exact counts, in two lines that share nothing with the engines."""
    shape = records.domain.shape(clique)
    if not clique:
        return np.array(len(records), dtype=np.int64)
    cells = np.ravel_multi_index([records[a].astype(np.int64) for a in clique], shape)
    return np.bincount(cells, minlength=math.prod(shape)).reshape(shape).astype(np.int64)
