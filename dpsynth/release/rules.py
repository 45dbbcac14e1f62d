"""One rule of the gate, with its outcome in words."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Check:
    """`code` is the error raised when the rule fails; `words` say what was found, `fix` what would help."""

    code: str
    rule: str
    passed: bool
    words: str
    fix: str
