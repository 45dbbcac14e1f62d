"""What the suite found, as one value: a verdict, in words, with everything it rests on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from attacks.evaluate import EVERYONE, AttackResult
from attacks.stats import FIXED_FPR, RateAt, roc_points
from attacks.threat import Claim, Floats, Mask
from attacks.word_for_word import WordForWord

VIOLATION = "VIOLATION"
LEAK = "LEAK"
NO_EVIDENCE = "NO EVIDENCE FROM THESE ATTACKS"
INCONCLUSIVE = "INCONCLUSIVE"

POSITIVE = "positive"  # must be seen
NEGATIVE = "negative"  # must raise no alarm
CELLS = "sensitivity"  # which share of the rows' cells would be seen
BLIND_SPOT = "blind spot"  # what such attacks cannot see


@dataclass(frozen=True)
class ControlResult:
    """One planted output: what the attacks should see in it and what they saw."""

    name: str
    kind: str
    share: float | None  # copied share of its rows
    seen: bool
    passed: bool
    best_attack: str
    adjusted_p: float

    def as_json(self) -> dict[str, Any]:
        return {
            "control": self.name, "kind": self.kind, "copied_share": self.share, "seen": self.seen,
            "passed": self.passed, "best_attack": self.best_attack, "adjusted_p_value": self.adjusted_p,
        }  # fmt: skip


@dataclass(frozen=True, eq=False)
class SuiteResult:
    """Verdict, bound, attacks and controls. Internal: it was computed from real rows.

    `bound`: for a LEAK, "within" what the claim allows or "none claimed"; else None. `smallest_share`: the
    smallest share of the rows whose cells, when copied, these attacks were seen to see. `left_out`: attacks that
    did not fit into the time budget. `isolation` (units,): how far each unit is from everybody else. `knows_held_out`:
    the table is not made from the members, or not from them alone. `word_for_word`: rows that are in two tables.
    `sampled`: the share of the training units that the members are.
    """

    verdict: str
    headline: str
    bound: str | None
    claim: Claim | None
    entity: str
    members: int
    controls_held_out: int
    attacks: tuple[AttackResult, ...]
    controls: tuple[ControlResult, ...]
    smallest_share: float | None
    split_is_random: bool
    warnings: tuple[str, ...] = ()
    member: Mask = field(default_factory=lambda: np.zeros(0, bool), repr=False)
    left_out: tuple[str, ...] = ()
    isolation: Floats = field(default_factory=lambda: np.zeros(0), repr=False)
    knows_held_out: bool = False
    word_for_word: WordForWord | None = None
    sampled: float = 1.0

    @property
    def worst(self) -> AttackResult | None:
        """The attack with the smallest p-value; among equals the one with the largest area."""
        return min(self.attacks, key=lambda a: (a.adjusted_p, -a.auc.value), default=None)

    @property
    def epsilon_at_least(self) -> float | None:
        """The best lower bound on epsilon over all attacks (99 %, all attacks counted)."""
        return max((a.bound.epsilon for a in self.attacks if a.bound), default=None)

    def as_json(self) -> dict[str, Any]:
        worst = self.worst
        return {
            "verdict": self.verdict,
            "headline": self.headline,
            "bound": self.bound,
            "claim": {"epsilon": self.claim.epsilon, "delta": self.claim.delta} if self.claim else None,
            "unit": self.entity,
            "members": self.members,
            "controls_held_out": self.controls_held_out,
            "members_are_this_share_of_the_training_data": self.sampled,
            "split_is_random": self.split_is_random,
            "worst_attack": worst.label if worst else None,
            "epsilon_at_least": self.epsilon_at_least,
            "smallest_copied_share_seen": self.smallest_share,
            "attacks": [a.as_json() for a in self.attacks],
            "controls": [c.as_json() for c in self.controls],
            "knows_held_out_rows": self.knows_held_out,
            "word_for_word": self.word_for_word.as_json() if self.word_for_word else None,
            "left_out": list(self.left_out),
            "warnings": list(self.warnings),
        }

    def to_frame(self) -> pd.DataFrame:
        """One line per attack and group: rates with intervals, what the claim allows, p-values, bounds."""
        return pd.DataFrame([_flat(attack) for attack in self.attacks])

    def scores(self) -> pd.DataFrame:
        """Internal: one line per unit, whether it is a member, and each attack's score (NaN: not attacked)."""
        frame = pd.DataFrame({"member": self.member})
        for attack in self.attacks:
            if attack.group == EVERYONE:
                frame[attack.name] = attack.scores
        return frame

    def roc(self, most: int = 400) -> pd.DataFrame:
        """At most about `most` points of every attack's ROC curve, thinned evenly on a logarithmic axis.

        Columns: attack, fpr, tpr, and what the claim allows at most.
        """
        parts = []
        for attack in self.attacks:
            if attack.group == EVERYONE:
                tried = ~np.isnan(attack.scores)
                fpr, tpr = _thin(*roc_points(attack.scores[tried], self.member[tried]), most)
                parts.append(pd.DataFrame({"attack": attack.name, "fpr": fpr, "tpr": tpr}))
        frame = (
            pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=["attack", "fpr", "tpr"])
        )
        allowed = [self.claim.tpr(f) for f in frame["fpr"]] if self.claim else [np.nan] * len(frame)
        return frame.assign(claim_allows_at_most=allowed)

    def _shown(self) -> list[AttackResult]:
        """Every attack on everyone; of those on a group what was found, or else the strongest."""
        shown = [attack for attack in self.attacks if attack.group == EVERYONE]
        for group in dict.fromkeys(attack.group for attack in self.attacks if attack.group != EVERYONE):
            part = sorted((a for a in self.attacks if a.group == group), key=_strongest)
            shown += [a for a in part if a.adjusted_p <= _TELLING] or part[:1]
        return shown

    def __str__(self) -> str:
        lines = [self.verdict, self.headline]
        if self.word_for_word:
            lines += ["", self.word_for_word.words]
        shown = self._shown()
        if shown:
            lines += ["", *_table(shown)]
        guesses = [attack for attack in shown if attack.success]
        if guesses:
            lines += ["", *_guess_table(guesses)]
        if self.controls:
            lines += ["", *(f"{c.kind}: {c.name}: {_seen(c)}" for c in self.controls)]
        if self.left_out:
            lines += ["", f"left out, they did not fit into the time: {', '.join(self.left_out)}"]
        return "\n".join([*lines, *(f"note: {warning}" for warning in self.warnings)])


def _strongest(attack: AttackResult) -> tuple[float, float, float]:
    """For sorting: the smallest p-value first; among equals the largest area."""
    return attack.adjusted_p, attack.p_value, -attack.auc.value


def _thin(fpr: Floats, tpr: Floats, most: int) -> tuple[Floats, Floats]:
    """Points of a step curve whose place from the start or the end is nearest to a geometric series."""
    steps = np.unique(np.geomspace(1, len(fpr), max(2, most // 2)).astype(np.int64)) - 1
    kept = np.union1d(steps, len(fpr) - 1 - steps)
    return fpr[kept], tpr[kept]


_TELLING = 0.05
_ROW = "{:<54} {:<20} {:<15} {:<15} {:<15} {:<9} {}"
_GUESS = "{:<54} {:<20} {:<20} {:<24} {}"


def _table(attacks: Sequence[AttackResult]) -> list[str]:
    """Of every attack the area, true-positive rates with what the claim allows, p-value and bound."""
    share = [f"TPR at {100 * fpr:g} %" for fpr in FIXED_FPR]
    lines = [_ROW.format("attack", "AUC [95 %]", *share, "p (Holm)", "epsilon >=")]
    for attack in attacks:
        epsilon = f"{attack.bound.epsilon:.2f}" if attack.bound else "-"
        rates = [_rate(rate) for rate in attack.rates]
        lines.append(_ROW.format(attack.label, str(attack.auc), *rates, f"{attack.adjusted_p:.3g}", epsilon))
    if any(attack.auc_allowed is not None for attack in attacks):
        allowed = attacks[0].auc_allowed or 0.0
        most = [f"{rate.allowed:.3f}" if rate.allowed is not None else "-" for rate in attacks[0].rates]
        lines.append(_ROW.format("allowed by the claim, at most", f"{allowed:.3f}", *most, "", "").rstrip())
    return lines


def _rate(rate: RateAt) -> str:
    return "too few" if rate.rate is None else f"{rate.rate.value:.3f}"


def _guess_table(attacks: Sequence[AttackResult]) -> list[str]:
    """How often each guess was right: for members, for held-out units, and the difference."""
    lines = [_GUESS.format("right guesses", "members", "held out", "difference [95 %]", "allowed")]
    for attack in attacks:
        if attack.success is not None:
            found = attack.success
            allowed = "-" if found.allowed is None else f"{found.allowed:.3f}"
            members, controls = f"{found.members.value:.3f}", f"{found.controls.value:.3f}"
            lines.append(_GUESS.format(attack.label, members, controls, str(found.excess), allowed))
    return lines


def _flat(attack: AttackResult) -> dict[str, Any]:
    line: dict[str, Any] = {
        "attack": attack.name, "group": attack.group, "wants": str(attack.threat.wants),
        "members": attack.members, "controls": attack.controls, "auc": attack.auc.value,
        "auc_low": attack.auc.low, "auc_high": attack.auc.high, "auc_allowed": attack.auc_allowed,
    }  # fmt: skip
    for rate in attack.rates:
        name = f"tpr_at_{rate.fpr:g}"
        found = (None, None, None) if rate.rate is None else (rate.rate.value, rate.rate.low, rate.rate.high)
        line |= dict(zip((name, f"{name}_low", f"{name}_high"), found, strict=True))
        line[f"{name}_allowed"] = rate.allowed
    line |= {"p_value": attack.p_value, "adjusted_p": attack.adjusted_p}
    line["epsilon_at_least"] = attack.bound.epsilon if attack.bound else None
    success = attack.success
    line |= {
        "right_members": success.members.value if success else None,
        "right_controls": success.controls.value if success else None,
        "excess": success.excess.value if success else None,
        "excess_low": success.excess.low if success else None,
        "excess_high": success.excess.high if success else None,
        "excess_allowed": success.allowed if success else None,
    }
    return line


def _seen(control: ControlResult) -> str:
    what = f"seen by '{control.best_attack}'" if control.seen else "not seen"
    if control.kind in (POSITIVE, NEGATIVE):
        return f"{what} ({'as it must be' if control.passed else 'CONTROL FAILED'})"
    return f"{what} (no reversible recoding is)" if control.kind == BLIND_SPOT else what
