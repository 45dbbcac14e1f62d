"""The record of a version: what audits on built-in tables proved about this software, for the public checklist to quote.

None of it touched private rows, so it may be public. `benchmarks/guarantee.py record` writes it; the release quotes it
only where its version is the running one's.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from attacks.guarantee.campaign import run_campaign
from attacks.guarantee.many_fits import Looks
from dpsynth.budget import Budget
from dpsynth.guarantee.fits import KNOWN, OwnTrial
from dpsynth.guarantee.quick import SLOW
from dpsynth.guarantee.white_box import audit_method
from dpsynth.mechanisms import METHODS
from dpsynth.versions import VERSION

RECORD = Path(__file__).resolve().parents[1] / "release" / "guarantee_record.json"
CONFIDENCE = 0.99


def record_of(budget: Budget, fits: int) -> dict[str, Any]:
    """Every method: white box on the table `people`, many fits on the table `crowd` (none of methods that train)."""
    methods: dict[str, Any] = {}
    for name in METHODS:
        white = audit_method(name, budget, confidence=CONFIDENCE, fits=1 if name in SLOW else 3)
        methods[name] = {"white_box": white.bounds[-1].as_json(), "verdict": white.verdict}
        if name not in SLOW:
            trial = OwnTrial(name, budget)
            found = run_campaign(name, trial, trial.claim, Looks((fits,), CONFIDENCE), known=KNOWN)
            methods[name]["many_fits"] = found.as_json()
    return {
        "format": 1,
        "version": VERSION,
        "claim": {"epsilon": budget.epsilon, "delta": budget.delta},
        "confidence": CONFIDENCE,
        "tables": "people, crowd",
        "methods": methods,
    }
