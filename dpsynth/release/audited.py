"""What audits of this software version proved on built-in, made-up tables: public, because no private row was touched."""

from __future__ import annotations

import json
from functools import lru_cache
from importlib import resources
from typing import Any

RECORD = "guarantee_record.json"


@lru_cache(maxsize=1)
def record() -> dict[str, Any]:
    """The packaged record; empty when there is none."""
    path = resources.files("dpsynth.release") / RECORD
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return found


def quoted(version: str, method: str) -> str | None:
    """One sentence for the checklist, or None where this version of this method was not audited."""
    found = record()
    if found.get("version") != version or method not in found.get("methods", {}):
        return None
    audit, claim = found["methods"][method], found["claim"]
    white = audit["white_box"]
    words = (
        f"version {version}, method {method}, on the made-up tables {found['tables']}: against a claim of epsilon "
        f"{claim['epsilon']:g} at delta {claim['delta']:g}, the noise and sensitivity of every answer give a lower bound "
        f"of {_number(white['epsilon_lower'])}"
    )
    if "many_fits" in audit:
        many = audit["many_fits"]
        words += f", and {many['fits']} fits, taken as Gaussian, one of {_number(many['epsilon_lower_if_gaussian'])}"
    return f"{words} (confidence {found['confidence']:g} each); an audit finds faults, it proves no promise"


def _number(bound: float | None) -> str:
    """None is how JSON says that a bound is infinite."""
    return "infinity" if bound is None else f"{bound:.2f}"
