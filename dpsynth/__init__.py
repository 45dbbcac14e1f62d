"""Differentially private synthetic tables: one budget, one ledger, attacks on every release.

The public names are loaded at their first use, so that `import dpsynth` and `import attacks` stay quick.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dpsynth.budget import Budget
    from dpsynth.errors import (
        AuditError,
        BudgetError,
        CapacityError,
        DataError,
        DPSynthError,
        SchemaError,
        UsageError,
        VerifyError,
    )
    from dpsynth.fitting import fit
    from dpsynth.pipeline import Settings, run_release
    from dpsynth.privacy.ledger import Ledger
    from dpsynth.release import ReleaseFields, verify
    from dpsynth.schema import Schema
    from dpsynth.synthesis import load, plan
    from dpsynth.synthesizer import Synthesizer

__all__ = [
    "AuditError",
    "Budget",
    "BudgetError",
    "CapacityError",
    "DPSynthError",
    "DataError",
    "Ledger",
    "ReleaseFields",
    "Schema",
    "SchemaError",
    "Settings",
    "Synthesizer",
    "UsageError",
    "VerifyError",
    "fit",
    "load",
    "plan",
    "run_release",
    "verify",
]

_HOMES = {
    "Budget": "budget",
    "Ledger": "privacy.ledger",
    "ReleaseFields": "release",
    "Schema": "schema",
    "Settings": "pipeline",
    "Synthesizer": "synthesizer",
    "fit": "fitting",
    "load": "synthesis",
    "plan": "synthesis",
    "run_release": "pipeline",
    "verify": "release",
}


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module 'dpsynth' has no attribute {name!r}")
    return getattr(import_module(f"dpsynth.{_HOMES.get(name, 'errors')}"), name)
