"""What a person or the pipeline must say for a release; nothing here is ever invented."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class ReleaseFields:
    """The human part of a bundle: who answers for it, what it is for. Shown word for word, to everybody."""

    purpose: str = ""
    recipient: str = ""
    lawful_basis: str = ""
    contact: str = ""
    prohibited_uses: tuple[str, ...] = ()
    title: str = ""  # optional: the heading of the report

    @property
    def missing(self) -> list[str]:
        """Names of the required fields that are still empty."""
        return [name for name, value in vars(self).items() if name != "title" and not _filled(value)]

    def as_json(self) -> dict[str, Any]:
        return {**vars(self), "prohibited_uses": list(self.prohibited_uses)}

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> ReleaseFields:
        """Of a project's `release` section; unknown keys are a TypeError."""
        rest = {name: value for name, value in fields.items() if value is not None}
        uses: Sequence[str] = rest.pop("prohibited_uses", ())
        return cls(**rest, prohibited_uses=tuple(uses))


def _filled(value: str | tuple[str, ...]) -> bool:
    """Whether it says anything: dots and question marks stand for what a draft left open."""
    texts = (value,) if isinstance(value, str) else value
    return any(text.strip(" .?") for text in texts)


ONLY_FOR_SOME = frozenset({"exact row"})
"""Attacks that run when the real rows have something to attack: that they ran says something about the rows."""


@dataclass(frozen=True)
class AttackRan:
    """What may be said in public of one attack: fixed by the plan, not by the data.

    How many targets it had is the number of units, which is private: it is not said.
    """

    name: str
    knowledge: str

    @property
    def fixed(self) -> bool:
        return self.name not in ONLY_FOR_SOME

    def as_json(self) -> dict[str, Any]:
        return dict(vars(self))


@dataclass(frozen=True)
class AuditFacts:
    """The public side of the audits of one model: which attacks ran, on how many samples, and that they
    let it pass.

    That they did is a fact about private rows which no noise protects; it is listed as such.
    """

    samples_audited: int
    attacks: tuple[AttackRan, ...]

    @classmethod
    def of(cls, suite: Mapping[str, Any], samples_audited: int) -> AuditFacts:
        """From the suite's result as JSON; takes names and knowledge of its attacks, each once, and
        nothing else; attacks that run on some tables only are left out.
        """
        ran = dict.fromkeys(AttackRan(str(a["attack"]), str(a["knows"])) for a in suite.get("attacks", ()))
        return cls(samples_audited, tuple(attack for attack in ran if attack.fixed))

    def as_json(self) -> dict[str, Any]:
        return {
            "samples_audited": self.samples_audited,
            "attacks": [attack.as_json() for attack in self.attacks],
            "result": "the policy gate let this release through; rates stay with the owner",
        }
