"""Anonymeter's attacks on three csv files, run by the Python of its own environment.

Reads the names of folders, one a line, each with members.csv, controls.csv and synthetic.csv; answers each with a line of
JSON. One process for all: the package compiles its loops anew in every process.
"""

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path
from statistics import NormalDist

import numpy as np
import pandas as pd
from anonymeter.evaluators import InferenceEvaluator, LinkabilityEvaluator, SinglingOutEvaluator

ATTACKS = 500


def games(folder: Path) -> dict[str, dict[str, float]]:
    """Of each game how often the guess was right about members and about controls, and the package's risk."""
    members, controls, synthetic = (
        pd.read_csv(folder / f"{name}.csv") for name in ("members", "controls", "synthetic")
    )
    columns = list(members.columns)
    half = len(columns) // 2
    tables = {"ori": members, "syn": synthetic, "control": controls, "n_attacks": ATTACKS}
    made = {
        "singling out": (SinglingOutEvaluator(**tables), {"mode": "multivariate"}),
        "linkability": (
            LinkabilityEvaluator(**tables, aux_cols=(columns[:half], columns[half:]), n_neighbors=1), {"n_jobs": 1},
        ),
        "inference": (
            InferenceEvaluator(**tables, aux_cols=columns[:-1], secret=columns[-1]), {"n_jobs": 1},
        ),
    }  # fmt: skip
    found = {}
    for name, (evaluator, arguments) in made.items():
        try:
            evaluator.evaluate(**arguments)
            found[name] = _told(evaluator)
        except RuntimeError:  # too few predicates were found
            continue
    return found


def _told(evaluator: object) -> dict[str, float]:
    """The package's own rates, and the one-sided p-value of their difference from its own standard errors."""
    results = evaluator.results(confidence_level=0.95)  # type: ignore[attr-defined]
    risk = evaluator.risk(confidence_level=0.95)  # type: ignore[attr-defined]
    member, control = results.attack_rate, results.control_rate
    error = float(np.hypot(member.error, control.error)) / NormalDist().inv_cdf(0.975)
    z = (member.value - control.value) / error
    return {
        "members": float(member.value), "controls": float(control.value), "p": 1.0 - NormalDist().cdf(z),
        "risk": float(risk.value), "risk_low": float(risk.ci[0]), "risk_high": float(risk.ci[1]),
    }  # fmt: skip


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    for line in sys.stdin:
        np.random.seed(0)  # noqa: NPY002  (the package draws from numpy's global generator)
        print(json.dumps(games(Path(line.strip()))), flush=True)
