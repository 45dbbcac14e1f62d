"""What the public checklist may quote: audits of this very version on made-up tables, or nothing."""

from __future__ import annotations

import pytest

from dpsynth.release import audited
from dpsynth.versions import VERSION

RECORD = {
    "version": VERSION,
    "claim": {"epsilon": 4.0, "delta": 1e-5},
    "confidence": 0.99,
    "tables": "people, crowd",
    "methods": {
        "mst": {
            "verdict": "NO VIOLATION FOUND",
            "white_box": {"epsilon_lower": 3.5},
            "many_fits": {"fits": 600, "epsilon_lower_if_gaussian": 2.25},
        },
        "gan": {"verdict": "NO VIOLATION FOUND", "white_box": {"epsilon_lower": None}},
    },
}


@pytest.fixture(autouse=True)
def _record(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audited, "record", lambda: RECORD)


def test_a_quote_says_version_tables_claim_and_bounds() -> None:
    words = audited.quoted(VERSION, "mst")
    assert words is not None
    for piece in (
        VERSION,
        "mst",
        "people, crowd",
        "claim of epsilon 4",
        "3.50",
        "600 fits",
        "2.25",
        "proves no promise",
    ):
        assert piece in words
    assert "infinity" in (audited.quoted(VERSION, "gan") or "")


def test_nothing_is_quoted_of_another_version_or_method() -> None:
    assert audited.quoted("0.0.0", "mst") is None
    assert audited.quoted(VERSION, "magic") is None
