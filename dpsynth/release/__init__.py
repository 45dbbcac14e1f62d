"""The bundle: write it, sign it, verify it, and the pages in it."""

from dpsynth.release.fields import Publication, ReleaseFields
from dpsynth.release.gate import Gate, before_spending, judge
from dpsynth.release.keys import PublicKey, Signer, generate, load_public, load_signer
from dpsynth.release.policy import Policy
from dpsynth.release.staging import refuse_existing
from dpsynth.release.standing import Standing
from dpsynth.release.verification import Verification, verify
from dpsynth.release.writer import Bundle, require_form, write

__all__ = [
    "Bundle",
    "Gate",
    "Policy",
    "PublicKey",
    "Publication",
    "ReleaseFields",
    "Signer",
    "Standing",
    "Verification",
    "before_spending",
    "generate",
    "judge",
    "load_public",
    "load_signer",
    "refuse_existing",
    "require_form",
    "verify",
    "write",
]
