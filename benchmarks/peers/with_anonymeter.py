"""Anonymeter's attacks on three csv files, run by the Python of its own environment. Prints one line of JSON.

with_anonymeter.py FOLDER    # members.csv, controls.csv, synthetic.csv
"""

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from anonymeter.evaluators import InferenceEvaluator, LinkabilityEvaluator, SinglingOutEvaluator

ATTACKS = 400


def risks(folder: Path) -> dict[str, tuple[float, float, float]]:
    """Each attack's risk with its 95 % interval; NaN and no risk where it cannot be computed."""
    members, controls, synthetic = (
        pd.read_csv(folder / f"{name}.csv") for name in ("members", "controls", "synthetic")
    )
    columns = list(members.columns)
    half = len(columns) // 2
    made = {
        "singling out": (
            SinglingOutEvaluator(ori=members, syn=synthetic, n_attacks=ATTACKS, control=controls),
            {"mode": "multivariate"},
        ),
        "linkability": (
            LinkabilityEvaluator(
                ori=members, syn=synthetic, control=controls, n_attacks=ATTACKS,
                aux_cols=(columns[:half], columns[half:]), n_neighbors=1,
            ),
            {},
        ),
        "inference": (
            InferenceEvaluator(
                ori=members, syn=synthetic, control=controls, aux_cols=columns[:-1], secret=columns[-1], n_attacks=ATTACKS
            ),
            {},
        ),
    }  # fmt: skip
    found = {}
    for name, (evaluator, arguments) in made.items():
        try:
            evaluator.evaluate(**arguments)
            risk = evaluator.risk(confidence_level=0.95)
            found[name] = (float(risk.value), float(risk.ci[0]), float(risk.ci[1]))
        except RuntimeError:  # too few predicates were found
            found[name] = (0.0, 0.0, 1.0)
    return found


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    np.random.seed(0)  # noqa: NPY002  (the package draws from numpy's global generator)
    print(json.dumps({"risks": risks(Path(sys.argv[1]))}))
