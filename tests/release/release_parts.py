"""What bundles are made of in these tests: a table with facts that nobody outside may see, and its fit."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from dpsynth import evaluation, release
from dpsynth.budget import Budget
from dpsynth.model import FittedModel
from dpsynth.privacy.ledger import Ledger
from dpsynth.release import manifest
from dpsynth.release.privacy_json import tool
from dpsynth.schema import Schema
from dpsynth.synthesis import fit_reserved, plan, unit_of
from dpsynth.table import Table, read_table

HUMAN = release.ReleaseFields(
    purpose="Teaching",
    recipient="Anybody",
    lawful_basis="Made-up people",
    contact="data@example.org",
    prohibited_uses=("Re-identification",),
    approver="A data officer",
    review_date="2031-01-31",
    bounds_decided_by={
        "age": "The registry's manual",
        "cost": "The price list",
        "plan": "The brochure",
        "ill": "The manual",
    },
    publication=release.Publication("The Institute", "Nonprofit", "Utopia", "2030-01-31", "CC0-1.0"),
)
SCHEMA = {
    "person": {"type": "id", "format": "P-####"},
    "age": {"type": "integer", "min": 0, "max": 110, "cells": 6},
    "cost": {"type": "number", "min": 0, "max": 5000, "cells": 4, "decimals": 2, "missing": True},
    "plan": {
        "type": "category",
        "values": ["basic", "full"],
        "was": "inspected",
        "reason": "printed in the brochure",
    },
    "ill": {"type": "boolean"},
}


@dataclass(frozen=True)
class Private:
    """What is true of the source and nobody else's business, as it would be written down."""

    rows: int
    held_out_rows: int
    units: int
    largest_cost: str
    smallest_cost: str
    missing: int


@dataclass(frozen=True, eq=False)
class Parts:
    """Everything that goes into a bundle."""

    model: FittedModel
    synthetic: Table
    suite: dict[str, Any]
    evaluation: dict[str, Any]
    ledger: Path
    private: Private

    def write(self, out: Path, **changes: Any) -> release.Bundle:
        given: dict[str, Any] = {
            "model": self.model,
            "synthetic": self.synthetic,
            "suite": self.suite,
            "evaluation": self.evaluation,
            "human": HUMAN,
        }
        return release.write(out, **{**given, **changes})


def people(rng: np.random.Generator) -> pd.DataFrame:
    """About 13,500 rows of 9,000 people, with an extreme cost at either end."""
    units = rng.integers(1, 3, 9000)
    person = np.repeat(np.arange(9000), units)
    age = np.repeat(rng.integers(18, 93, 9000), units)
    cost = np.round(rng.gamma(1.5, 30 + 5 * age), 2).clip(1.0, 4711.03)
    cost[17], cost[18] = 4711.03, 0.1739
    frame = pd.DataFrame({"person": [f"P-{p:04d}X" for p in person], "age": age, "cost": cost})
    frame["plan"] = np.where(rng.random(len(frame)) < age / 100, "full", "basic")
    frame["ill"] = rng.random(len(frame)) < age / 120
    frame.loc[rng.random(len(frame)) < 0.2, "cost"] = np.nan
    return frame


def attack(name: str, group: str, auc: float) -> dict[str, Any]:
    """One attack's entry in the suite's JSON."""
    return {
        "attack": name,
        "knows": "the synthetic rows",
        "group": group,
        "members": 8117,
        "controls": 893,
        "auc": {"value": auc, "low": auc - 0.03, "high": auc + 0.03, "confidence": 0.95},
        "auc_claim_allows_at_most": 0.8808,
        "tpr_at_fpr": [
            {"fpr": 0.01, "tpr": None, "claim_allows_at_most": 0.1},
            {
                "fpr": 0.1,
                "tpr": {"value": 0.1234, "low": 0.1, "high": 0.15, "confidence": 0.95},
                "claim_allows_at_most": 0.5,
            },
        ],
        "p_value": 0.3217,
        "adjusted_p_value": 0.6434,
        "epsilon_bound": {"epsilon_at_least": 0.0712, "delta": 1e-6} if group == "everyone" else None,
    }


def suite_json() -> dict[str, Any]:
    """The shape of attacks.SuiteResult.as_json(), with figures that would be recognised."""
    return {
        "verdict": "NO EVIDENCE FROM THESE ATTACKS",
        "headline": "None of 2 attacks told 8117 people from 893.",
        "bound": None,
        "claim": {"epsilon": 2.0, "delta": 1e-6},
        "unit": "person",
        "members": 8117,
        "word_for_word": {
            "synthetic_rows_that_are_members": 0.25,
            "members_in_the_table": 0.0625,
            "held_out_in_the_table": 0.125,
        },
        "controls_held_out": 893,
        "split_is_random": True,
        "worst_attack": "closest record",
        "epsilon_at_least": 0.0712,
        "smallest_copied_share_seen": 0.0137,
        "attacks": [
            attack("closest record", "everyone", 0.5123),
            attack("closest record", "most isolated 5%", 0.5321),
            attack("exact cells", "everyone", 0.4987),
        ],
        "controls": [
            {
                "control": "copy of every row",
                "kind": "positive",
                "copied_share": 1.0,
                "seen": True,
                "passed": True,
                "best_attack": "exact cells",
                "adjusted_p_value": 0.0001,
            }
        ],
        "warnings": ["893 held-out people carry no rate below 11.2 %"],
    }


def make_parts(folder: Path) -> Parts:
    """Fit and evaluate once; takes about a second."""
    rng = np.random.default_rng(20)
    schema = Schema(columns=SCHEMA, unit={"entity": "person", "column": "person", "rows_per_unit": 2})
    frame = people(rng)
    table = read_table(frame, schema)
    path = folder / "people.ledger"
    with Ledger.open(path, dataset="people", promise=Budget(3.0, 1e-6), unit=unit_of(schema)) as ledger:
        preview = plan(schema, method="mst", epsilon=2.0, ledger=ledger)
        with ledger.reserve("fit", preview.charges, preview.budget) as run:
            model, intake = fit_reserved(table, preview, run, holdout=0.1)
    synthetic = model.sample_table(2000, rng)
    train, holdout = table.take(intake.training), table.take(intake.holdout)
    found = evaluation.evaluate(synthetic, train, holdout, schema, target=(), rng=rng)
    private = Private(
        rows=len(frame),
        held_out_rows=len(holdout),
        units=len(np.unique(train.units)) if train.units is not None else 0,
        largest_cost="4711.03",
        smallest_cost="0.1739",
        missing=int(frame["cost"].isna().sum()),
    )
    return Parts(model, synthetic, suite_json(), found.as_json(), path, private)


def reseal(folder: Path) -> None:
    """Write the manifest that fits what lies in a public folder now."""
    (folder / manifest.NAME).write_bytes(manifest.describe(folder, "public", tool()).to_bytes())
