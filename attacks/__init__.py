"""Attacks on anybody's synthetic table. Knows nothing of how synthesis works."""

from attacks.asked import Asked, default_attacks
from attacks.evaluate import FEWEST, AttackResult, Bound, Success
from attacks.knowledge import Holds, Targets, ThreatModel, Wants
from attacks.membership.shadow import ShadowResult, shadow_attack
from attacks.result import INCONCLUSIVE, LEAK, NO_EVIDENCE, VIOLATION, ControlResult, SuiteResult
from attacks.stats import Interval, RateAt
from attacks.suite import run_game, run_suite
from attacks.threat import Attack, Candidates, Claim, Combination, Game, Rows, View

__all__ = [
    "FEWEST", "INCONCLUSIVE", "LEAK", "NO_EVIDENCE", "VIOLATION", "Asked", "Attack", "AttackResult", "Bound", "Candidates",
    "Claim", "Combination", "ControlResult", "Game", "Holds", "Interval", "RateAt", "Rows", "ShadowResult", "Success",
    "SuiteResult", "Targets", "ThreatModel", "View", "Wants", "default_attacks", "run_game", "run_suite", "shadow_attack",
]  # fmt: skip
