"""What balancing a rare class does to a classifier: bank marketing, where 11.7 % of the calls end in a yes.

A fifth of the real rows is kept for testing, never seen by any generator. On the others a model is fitted, and classifiers
learn from: the real rows; the real rows with weights, or with repeated rows of the rare class, so that both classes
weigh the same; the real rows with synthetic ones of the rare class (`augment`); synthetic rows as the model has them;
synthetic rows with both classes equally often (`balance`). How long a call lasted is left out: nobody knows it beforehand.

    python -m benchmarks.balancing FOLDER/bank_marketing.csv.gz --seeds 3 -o benchmarks/balancing.md
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import (
    average_precision_score,
    balanced_accuracy_score,
    brier_score_loss,
    f1_score,
    recall_score,
    roc_auc_score,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler

from dpsynth import Schema, fit
from dpsynth.augmenting import LABEL, augment
from dpsynth.model import FittedModel
from dpsynth.workload import Workload

TARGET, RARE, UNKNOWN_BEFORE = "y", "yes", "duration"
PROJECT = Path(__file__).parents[1] / "examples" / "bank.yaml"
DELTA = 1e-9

READING = (
    "How to read it: weights, repeated rows and synthetic rows of the rare class move the threshold, so that more of the "
    "rare class is found; they do not order the calls better (AUC, average precision), and the chances that the "
    "classifier states are no longer chances (Brier score). Where real rows may be used, weights do the same and need no "
    "model. What synthetic rows add is that the classifier, trained on them alone, has never seen a real row."
)

Rows = tuple[pd.DataFrame, Any]
"""Rows to learn from, and their weights or None."""


def linear() -> Any:
    columns = make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore"), make_column_selector(dtype_exclude=np.number)),
        (StandardScaler(), make_column_selector(dtype_include=np.number)),
    )
    return make_pipeline(columns, LogisticRegression(max_iter=500))


def boosted() -> Any:
    codes = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    columns = make_column_transformer(
        (codes, make_column_selector(dtype_exclude=np.number)), remainder="passthrough"
    )
    return make_pipeline(columns, HistGradientBoostingClassifier(max_iter=150, random_state=0))


CLASSIFIERS: dict[str, Callable[[], Any]] = {"logistic regression": linear, "boosted trees": boosted}


def training_rows(real: pd.DataFrame, model: FittedModel, seed: int) -> Iterator[tuple[str, Rows]]:
    """Each way to learn, by name."""
    rare = real[TARGET] == RARE
    share = float(rare.mean())
    yield "real", (real, None)
    yield "real, weighted", (real, np.where(rare, 0.5 / share, 0.5 / (1 - share)))
    again = real[rare].sample(int((~rare).sum() - rare.sum()), replace=True, random_state=seed)
    yield "real, rare rows repeated", (pd.concat([real, again]), None)
    rng = np.random.default_rng(seed)
    yield "real and synthetic rare rows", (augment(real, model, TARGET, rng=rng).drop(columns=LABEL), None)
    yield "synthetic", (model.sample(len(real), rng), None)
    yield "synthetic, balanced", (model.sample(len(real), rng, balance=TARGET), None)


def scores(name: str, rows: Rows, test: pd.DataFrame) -> dict[str, float]:
    frame, weights = rows
    learner = CLASSIFIERS[name]()
    last = learner.steps[-1][0]
    inputs = frame.drop(columns=[TARGET, UNKNOWN_BEFORE])
    learner.fit(inputs, frame[TARGET] == RARE, **{f"{last}__sample_weight": weights})
    chance = learner.predict_proba(test.drop(columns=[TARGET, UNKNOWN_BEFORE]))[:, 1]
    truth = test[TARGET] == RARE
    return {
        "AUC": roc_auc_score(truth, chance),
        "average precision": average_precision_score(truth, chance),
        "recall at 0.5": recall_score(truth, chance > 0.5),
        "F1 at 0.5": f1_score(truth, chance > 0.5),
        "balanced accuracy at 0.5": balanced_accuracy_score(truth, chance > 0.5),
        "Brier score (small is good)": brier_score_loss(truth, chance),
    }


def run(path: Path, epsilon: float, seed: int) -> list[dict[str, Any]]:
    schema = Schema.load(PROJECT)
    table = pd.read_csv(path)
    order = np.random.default_rng(seed).permutation(len(table))
    cut = len(table) // 5
    test, real = table.iloc[order[:cut]], table.iloc[order[cut:]]
    model = fit(real, schema, method="tree", epsilon=epsilon, delta=DELTA, workload=Workload(TARGET))
    return [
        {
            "epsilon": epsilon,
            "seed": seed,
            "classifier": classifier,
            "rows": way,
            **scores(classifier, rows, test),
        }
        for way, rows in training_rows(real, model, seed)
        for classifier in CLASSIFIERS
    ]


def report(found: pd.DataFrame, command: str) -> str:
    """Means over seeds; in brackets the half range."""
    lines = [
        "# What balancing a rare class does to a classifier",
        "",
        (__doc__ or "").split("\n\n")[1].replace("\n", " "),
        "",
        f"`{command}`: means over {found['seed'].nunique()} splits, in brackets half of the range.",
        "",
    ]
    measures = [c for c in found if c not in ("epsilon", "seed", "classifier", "rows")]
    for (epsilon, classifier), part in found.groupby(["epsilon", "classifier"], sort=False):
        lines += [
            f"## {classifier}, epsilon {epsilon:g}",
            "",
            "| learnt from | " + " | ".join(measures) + " |",
        ]
        lines.append("|---" * (len(measures) + 1) + "|")
        for way, rows in part.groupby("rows", sort=False):
            cells = [f"{rows[m].mean():.3f} ({np.ptp(rows[m]) / 2:.3f})" for m in measures]
            lines.append(f"| {way} | " + " | ".join(cells) + " |")
        lines.append("")
    lines.append(READING)
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("table", type=Path)
    parser.add_argument("--epsilon", type=float, nargs="+", default=[1.0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("-o", "--out", type=Path)
    given = parser.parse_args()
    found = pd.DataFrame(
        [
            row
            for epsilon in given.epsilon
            for seed in range(given.seeds)
            for row in run(given.table, epsilon, seed)
        ]
    )
    epsilons = " ".join(f"{epsilon:g}" for epsilon in given.epsilon)
    command = f"python -m benchmarks.balancing {given.table.name} --epsilon {epsilons} --seeds {given.seeds}"
    text = report(found, command)
    print(text)
    if given.out is not None:
        given.out.write_text(text + "\n")


if __name__ == "__main__":
    main()
