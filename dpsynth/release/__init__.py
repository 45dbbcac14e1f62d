"""The bundle: write it, verify it, and the pages in it."""

from dpsynth.release.fields import ReleaseFields
from dpsynth.release.gate import Gate, before_spending, judge
from dpsynth.release.verification import Verification, verify
from dpsynth.release.writer import Bundle, refuse_existing, write

__all__ = [
    "Bundle",
    "Gate",
    "ReleaseFields",
    "Verification",
    "before_spending",
    "judge",
    "refuse_existing",
    "verify",
    "write",
]
